//! Accounts while processes die and stores are away, and from the command line.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    postgres::{PostgresServer, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores, said, within},
};

const PASSWORD: &str = "correct horse battery";
const SOON: Duration = Duration::from_secs(15);

pub async fn ask(server: &Server, path: &str, body: Value) -> (StatusCode, Value) {
    let answer = server.anonymous(Method::POST, &format!("/api/auth/{path}")).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn sign_up(server: &Server, login: &str) -> Value {
    let (status, session) = ask(server, "sign-up", json!({ "login": login, "password": PASSWORD })).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    session
}

pub fn token_of(session: &Value) -> Value {
    json!({ "refreshToken": session["refreshToken"] })
}

async fn status_with(server: &Server, session: &Value) -> StatusCode {
    let request = server.anonymous(Method::GET, "/api/leaderboards").bearer_auth(session["accessToken"].as_str().unwrap());
    request.send().await.unwrap().status()
}

pub async fn shared() -> Stores {
    Stores { database_url: Some(fresh_database().await), redis_url: Some(std::env::var("TEST_REDIS_URL").unwrap()) }
}

async fn ready(stores: Stores) -> Server {
    let mut server = Server::prepare(stores);
    server.set("ACCOUNTS", "open");
    server.run().await;
    server
}

/// The process dies between the commit and the answer; whoever repeats gets what was lost, from this instance or another one.
async fn a_lost_answer_is_given_again(stores: Stores) {
    let mut server = ready(stores).await;
    let mut session = sign_up(&server, "ada").await;
    for round in 0..3 {
        server.kill();
        server.set("SCOREBOARD_FAILPOINTS", "session-refreshed:abort");
        server.run().await;
        let request = server.anonymous(Method::POST, "/api/auth/refresh").json(&token_of(&session));
        assert!(request.send().await.is_err(), "round {round}: the process is gone");
        server.kill();
        server.set("SCOREBOARD_FAILPOINTS", "");
        server.run().await;
        let (status, first) = ask(&server, "refresh", token_of(&session)).await;
        assert_eq!(status, StatusCode::OK, "round {round}: {first}");
        assert_eq!(ask(&server, "refresh", token_of(&session)).await, (StatusCode::OK, first.clone()));
        session = first;
    }
    assert_eq!(status_with(&server, &session).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_lost_answer_is_given_again() {
    a_lost_answer_is_given_again(shared().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_file_a_lost_answer_is_given_again() {
    a_lost_answer_is_given_again(Stores::default()).await;
}

/// Three instances, of which one after the other is killed, and clients that repeat what they did not hear of.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_instances() {
    let stores = shared().await;
    let mut servers = [ready(stores.clone()).await, ready(stores.clone()).await, ready(stores).await];
    let mut sessions = Vec::new();
    for number in 0..6 {
        sessions.push(sign_up(&servers[0], &format!("player-{number}")).await);
    }
    let urls: Vec<String> = servers.iter().map(|server| server.url("/api/auth/refresh")).collect();
    let (over, all) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients = sessions.into_iter().enumerate().map(|(number, mut session)| {
        let (urls, over, all) = (urls.clone(), Arc::clone(&over), Arc::clone(&all));
        tokio::spawn(async move {
            let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
            let (mut turn, mut refreshed) = (number, 0);
            while !over.load(Ordering::Relaxed) {
                turn += 1;
                let answer = http.post(&urls[turn % urls.len()]).json(&token_of(&session)).send().await;
                // Whatever is not heard of is asked again, elsewhere.
                let Ok(answer) = answer else { continue };
                if answer.status().is_server_error() {
                    continue;
                }
                assert_eq!(answer.status(), StatusCode::OK, "client {number} after {refreshed}");
                let Ok(next) = answer.json().await else { continue };
                session = next;
                refreshed += 1;
                all.fetch_add(1, Ordering::Relaxed);
            }
            refreshed
        })
    });
    let clients: Vec<_> = clients.collect();
    for round in 0..6 {
        let server = &mut servers[round % 3];
        server.kill();
        server.run().await;
        let enough = all.load(Ordering::Relaxed) + 60;
        within(SOON, "the clients go on", || async { all.load(Ordering::Relaxed) >= enough }).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

/// What cannot be confirmed is not accepted; tokens of others are, as before.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_no_session_is_accepted() {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let server = ready(Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) }).await;
    let session = sign_up(&server, "ada").await;
    assert_eq!(status_with(&server, &session).await, StatusCode::OK);
    postgres.crash();
    within(SOON, "the session is not confirmed any more", || async {
        status_with(&server, &session).await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let token = server.request(Method::GET, "/api/leaderboards").send().await.unwrap();
    assert_eq!(token.status(), StatusCode::OK);
    postgres.run();
    within(SOON, "it is confirmed again", || async { status_with(&server, &session).await == StatusCode::OK }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_comes_by_the_command_line() {
    for stores in [Stores::default(), shared().await] {
        let mut server = Server::prepare(stores);
        server.set("PUBLIC_URL", "https://scores.example.com");
        let create = ["account", "create", "Root@Example.org", "--role", "admin"];
        let link = printed(&server, &create);
        assert!(link.starts_with("https://scores.example.com/account/reset?token=scbl_"), "{link}");
        let again = server.command(&create);
        assert!(!again.status.success() && said(&again).contains("taken"), "{}", said(&again));
        server.set("ACCOUNTS", "invited");
        server.run().await;
        let reset = |link: &str, new: &str| json!({ "token": link.split_once('=').unwrap().1, "new": new });
        assert_eq!(ask(&server, "password/reset", reset(&link, PASSWORD)).await.0, StatusCode::NO_CONTENT);
        let sign_in = |password: &str| json!({ "login": "root@example.org", "password": password });
        let (status, session) = ask(&server, "sign-in", sign_in(PASSWORD)).await;
        assert_eq!((status, &session["roles"]), (StatusCode::OK, &json!(["admin"])), "{session}");
        // Beside the running server.
        let link = printed(&server, &["account", "reset-link", "ROOT@example.org"]);
        assert_eq!(ask(&server, "password/reset", reset(&link, "another good password")).await.0, StatusCode::NO_CONTENT);
        assert_eq!(ask(&server, "sign-in", sign_in(PASSWORD)).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&server, "sign-in", sign_in("another good password")).await.0, StatusCode::OK);
        let nobody = server.command(&["account", "reset-link", "nobody"]);
        assert!(!nobody.status.success() && said(&nobody).contains("nobody"), "{}", said(&nobody));
    }
}

pub fn printed(server: &Server, words: &[&str]) -> String {
    let output = server.command(words);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_can_never_work_refuses_the_start() {
    for (settings, named) in [
        (&[("ACCOUNTS", "everybody")][..], "ACCOUNTS"),
        (&[("ACCOUNTS", "open"), ("SESSION_SECRET", "short")], "SESSION_SECRET"),
        (
            &[("AUTH_WEBHOOK_URL", "http://mail.example.com"), ("AUTH_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            "AUTH_WEBHOOK_URL",
        ),
        (&[("AUTH_WEBHOOK_URL", "https://mail.example.com")], "AUTH_WEBHOOK_SECRET"),
        (&[("PUBLIC_URL", "scores.example.com")], "PUBLIC_URL"),
        (&[("GUESTS_PER_ADDRESS", "0")], "GUESTS_PER_ADDRESS"),
    ] {
        let mut server = Server::prepare(Stores::default());
        for (name, value) in settings {
            server.set(name, *value);
        }
        let refused = server.command(&["serve"]);
        assert!(!refused.status.success() && said(&refused).contains(named), "{settings:?}: {}", said(&refused));
    }
}

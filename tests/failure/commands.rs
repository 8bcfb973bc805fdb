//! The other commands of the program, and starts that are refused.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    postgres::{execute, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores, said},
};

const TAMPER: &str = "UPDATE entries SET score = score + 1, sort_score = sort_score - 1 WHERE user_id = 'ann'";

async fn shared(redis: &RedisServer) -> (Server, String) {
    let database_url = fresh_database().await;
    let stores = Stores { database_url: Some(database_url.clone()), redis_url: Some(redis.url()) };
    (Server::on(stores).await, database_url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_token_opens_what_its_scope_says() {
    let server = Server::embedded().await;
    let printed = server.command(&["token", "--sub", "reader", "--scope", "leaderboards:read", "--ttl", "1m"]);
    assert!(printed.status.success(), "{}", said(&printed));
    let token = String::from_utf8(printed.stdout).unwrap();
    let post = server.anonymous(Method::POST, "/api/scores").json(&json!({ "actionId": "point", "userId": "ann" }));
    assert_eq!(post.bearer_auth(token.trim()).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let read = server.anonymous(Method::GET, "/api/users/ann/scores").bearer_auth(token.trim());
    assert_ne!(read.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    for words in [["--ttl", "soon"], ["--ttl", "0s"]] {
        let refused = server.command(&[&["token", "--sub", "a", "--scope", "scores:write"][..], &words].concat());
        assert!(!refused.status.success(), "{}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_api_key_is_made_without_a_server() {
    let mut server = Server::prepare(Stores::default());
    let made = server.command(&["key", "create", "--name", "first", "--scope", "keys:admin scores:write"]);
    assert!(made.status.success(), "{}", said(&made));
    let first = String::from_utf8(made.stdout).unwrap();
    server.run().await;
    let list = server.anonymous(Method::GET, "/api/keys").bearer_auth(first.trim()).send().await.unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    let bound = ["key", "create", "--name", "second", "--scope", "keys:admin", "--leaderboard", "main", "--ttl", "1h"];
    let made = server.command_beside(&bound).await;
    let second = String::from_utf8(made.stdout).unwrap();
    let list = server.anonymous(Method::GET, "/api/keys").bearer_auth(second.trim()).send().await.unwrap();
    let list: Value = list.error_for_status().unwrap().json().await.unwrap();
    assert_eq!(list["keys"][0]["leaderboards"], json!(["main"]), "{list}");
    assert!(list["keys"][0]["expiresAt"].is_string(), "{list}");
    for words in
        [["--name", "x", "--scope", "scores:all"], ["--name", "", "--scope", "scores:write"], ["--name", "x", "--scope", ""]]
    {
        let refused = server.command_beside(&[&["key", "create"][..], &words].concat()).await;
        assert!(!refused.status.success() && !said(&refused).contains("scbk_"), "{}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_an_entry_that_was_tampered_with_in_sqlite() {
    use diesel::{Connection, RunQueryDsl};
    let server = Server::embedded().await;
    server.post_point("ann").await;
    server.assert_verified().await;
    let path = server.directory.join("scoreboard.db");
    let mut connection = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    diesel::sql_query(TAMPER).execute(&mut connection).unwrap();
    let found = server.command_beside(&["verify"]).await;
    assert!(!found.status.success() && said(&found).contains("ann"), "{}", said(&found));
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_what_was_altered_in_the_seasons_and_in_the_audit_trail() {
    use diesel::{Connection, RunQueryDsl};
    let server = Server::embedded().await;
    server.post_point("ann").await;
    server.assert_verified().await;
    let path = server.directory.join("scoreboard.db");
    let tampered = |alter: &str, mend: &str, words: &'static [&'static str], told: &'static str| {
        let (alter, mend) = (alter.to_owned(), mend.to_owned());
        let (server, path) = (&server, &path);
        async move {
            let execute = |statement: &str| {
                let mut connection = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                assert!(diesel::sql_query(statement).execute(&mut connection).unwrap() > 0, "{statement}");
            };
            execute(&alter);
            let found = server.command_beside(words).await;
            assert!(!found.status.success() && said(&found).contains(told), "{alter}: {}", said(&found));
            execute(&mend);
            let found = server.command_beside(words).await;
            assert!(found.status.success(), "{mend}: {}", said(&found));
        }
    };
    let ended = "UPDATE seasons SET ends_at = starts_at + 1";
    tampered(ended, "UPDATE seasons SET ends_at = NULL", &["verify"], "season 1").await;
    let audit = &["verify", "--audit"];
    let before = "INSERT INTO audit (seq, at, action, hash) VALUES (0, 0, 'nothing', 'none')";
    tampered(before, "DELETE FROM audit WHERE seq = 0", audit, "entry 0").await;
    let hidden = "UPDATE audit SET action = action || '!' WHERE seq = 1";
    tampered(hidden, "UPDATE audit SET action = rtrim(action, '!') WHERE seq = 1", audit, "entry 1").await;
    tampered(
        "UPDATE audit SET target = NULL WHERE seq = 1",
        "UPDATE audit SET target = 'leaderboard:main' WHERE seq = 1",
        audit,
        "a text in it",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_an_entry_that_was_tampered_with_in_postgres_and_rebuild_does_not_hide_it() {
    let redis = RedisServer::start(&[]);
    let (server, database_url) = shared(&redis).await;
    server.post_point("ann").await;
    server.post_point("bob").await;
    server.assert_verified().await;
    execute(&database_url, TAMPER).await;
    for _ in 0..2 {
        let found = server.command_beside(&["verify"]).await;
        assert!(!found.status.success(), "{}", said(&found));
        assert!(said(&found).contains("ann") && !said(&found).contains("bob"), "{}", said(&found));
        assert!(server.command_beside(&["rebuild"]).await.status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_makes_the_ranking_anew_from_the_ledger() {
    let redis = RedisServer::start(&[]);
    let (mut server, _) = shared(&redis).await;
    let before = server.post_point("ann").await["version"].as_str().unwrap().to_owned();
    server.post_point("bob").await;
    let rebuilt = server.command_beside(&["rebuild", "--leaderboard", "main"]).await;
    assert!(said(&rebuilt).contains("main: 2 entries"), "{}", said(&rebuilt));
    let version = server.get("/api/leaderboard").await["version"].as_str().unwrap().to_owned();
    assert!(version > before, "a new epoch sorts after {before}: {version}");
    assert!(said(&rebuilt).contains(&version), "{}", said(&rebuilt));
    assert!(!server.command_beside(&["rebuild", "--leaderboard", "none"]).await.status.success());

    // Without a server, too: an empty Redis is filled by hand.
    server.kill();
    redis.command("FLUSHALL");
    let missing = server.command_beside(&["verify"]).await;
    assert!(!missing.status.success(), "{}", said(&missing));
    assert!(server.command_beside(&["rebuild"]).await.status.success());
    server.assert_verified().await;
}

/// It builds a ranking of its own, of which the ledger and the server beside it hear nothing.
#[tokio::test(flavor = "multi_thread")]
async fn verify_leaves_a_running_server_alone() {
    let server = Server::embedded().await;
    let epoch_of = |receipt: serde_json::Value| {
        let version = receipt["version"].as_str().unwrap_or_else(|| panic!("no version: {receipt}")).to_owned();
        version.split_once('-').unwrap().0.to_owned()
    };
    let epoch = epoch_of(server.post_point("ann").await);
    server.assert_verified().await;
    // More than one round of whoever deletes announced rows, by which a superseded ranking is noticed.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(epoch_of(server.post_point("ann").await), epoch);
    }
    assert_eq!(server.get("/readyz").await["status"], "ready");
    server.assert_verified().await;
}

/// Whoever forgot to say where the ledger is, is not told that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn verify_needs_a_ledger() {
    let server = Server::prepare(Stores::default());
    let found = server.command_beside(&["verify"]).await;
    assert!(!found.status.success() && said(&found).contains("there is no ledger at"), "{}", said(&found));
    assert!(!server.directory.join("scoreboard.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_prepares_a_database_and_may_be_repeated() {
    let server = Server::prepare(Stores { database_url: Some(fresh_database().await), redis_url: None });
    let first = server.command_beside(&["migrate"]).await;
    assert!(first.status.success() && said(&first).contains("migrated "), "{}", said(&first));
    let second = server.command_beside(&["migrate"]).await;
    assert!(second.status.success() && said(&second).contains("0 migrations run"), "{}", said(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_whether_the_server_is_ready() {
    let mut server = Server::embedded().await;
    let ready = server.command_beside(&["health"]).await;
    assert!(ready.status.success() && said(&ready).contains("ready"), "{}", said(&ready));
    server.kill();
    assert!(!server.command_beside(&["health"]).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_postgres_is_refused_with_a_reason() {
    let redis = RedisServer::prepare(&[]);
    let server = Server::prepare(Stores { database_url: None, redis_url: Some(redis.url()) });
    for words in [&["serve"][..], &["verify"], &["rebuild"], &[]] {
        let refused = server.command_beside(words).await;
        assert!(!refused.status.success(), "{words:?}");
        let reason = said(&refused);
        assert!(reason.contains("REDIS_URL is set but DATABASE_URL is not a postgres:// address"), "{words:?}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_file_is_refused_and_harms_nothing() {
    let server = Server::embedded().await;
    server.post_point("ann").await;
    let refused = server.command_beside(&["serve", "--listen-addr", "127.0.0.1:0"]).await;
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("scoreboard.db"), "names the file: {}", said(&refused));
    assert_eq!(server.post_point("ann").await["newScore"], 2);
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_secret_and_a_taken_port_are_refused() {
    let server = Server::embedded().await;
    let weak = server.command_beside(&["serve", "--listen-addr", "127.0.0.1:0", "--jwt-secret", "short"]).await;
    assert!(!weak.status.success() && said(&weak).contains("32"), "{}", said(&weak));
    let taken = server.command_beside(&["serve"]).await;
    assert!(!taken.status.success() && said(&taken).contains(&server.port.to_string()), "{}", said(&taken));
    let answer: Value = server.get("/api/leaderboard").await;
    assert_eq!(answer["total"], 0);
}

//! Passwords that are changed or forgotten, and the messages about them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::*;
use crate::app::{SystemClock, eventually};

crate::both_backends!(
    a_password_is_changed_by_who_knows_it,
    who_forgot_gets_a_link_once,
    whoever_chose_a_new_password_is_not_kept_waiting_for_the_old_one,
    nobody_is_told_who_has_an_account,
    a_message_is_repeated_until_it_is_taken,
    an_invite_is_sent_as_well,
    a_link_in_a_message_is_good_for_ten_minutes,
);

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "another good password";

/// Whoever passes messages on, and what came.
#[derive(Clone, Default)]
struct Mailbox {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    /// How many more it answers with an error.
    refuses: Arc<Mutex<usize>>,
}

impl Mailbox {
    async fn open() -> (Self, [String; 3]) {
        let mailbox = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let take = async |State(mailbox): State<Self>, headers: HeaderMap, body: Bytes| {
            mailbox.got.lock().unwrap().push((headers, body));
            let mut refuses = mailbox.refuses.lock().unwrap();
            if *refuses > 0 {
                *refuses -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/mail", post(take)).with_state(mailbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let flags = [
            "--accounts=open".to_owned(),
            format!("--auth-webhook-url=http://{address}/mail"),
            format!("--auth-webhook-secret={SECRET}"),
        ];
        (mailbox, flags)
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// The next message, with its signature checked, and its id.
    async fn message(&self, number: usize) -> (Value, String) {
        eventually("a message comes", || async { self.count() > number }).await;
        let (headers, body) = self.got.lock().unwrap()[number].clone();
        Webhook::new(SECRET).unwrap().verify(&body, &headers).expect("it is signed");
        (serde_json::from_slice(&body).unwrap(), headers["webhook-id"].to_str().unwrap().to_owned())
    }
}

async fn app_with_mail(backend: Backend) -> (TestApp, Mailbox) {
    let (mailbox, flags) = Mailbox::open().await;
    let flags = [&flags[0], &flags[1], &flags[2], "--public-url=https://scores.example.com/x"].map(|flag| flag as &str);
    (with(backend, &flags).await, mailbox)
}

async fn a_password_is_changed_by_who_knows_it(backend: Backend) {
    let app = open(backend).await;
    let (ada, phone) = (sign_up(&app, "ada").await, sign_in(&app, "ada", PASSWORD).answers(200).await);
    let change = |current: &str, new: &str| {
        by(&app, &ada, Method::POST, "/api/auth/password").json(&json!({"current": current, "new": new}))
    };
    change("a wrong password", NEW).refused(401).await;
    change(PASSWORD, "short").refused(422).await;
    change(PASSWORD, NEW).responds(204).await;
    assert!(is_accepted(&app, &ada).await && !is_accepted(&app, &phone).await, "all other sessions end");
    refresh(&app, &ada).answers(200).await;
    sign_in(&app, "ada", PASSWORD).refused(401).await;
    sign_in(&app, "ada", NEW).answers(200).await;
    let guest = auth(&app, "guest", json!({})).answers(201).await;
    let none = by(&app, &guest, Method::POST, "/api/auth/password").json(&json!({"current": "", "new": NEW}));
    none.refused(409).await;
}

async fn who_forgot_gets_a_link_once(backend: Backend) {
    let (app, mailbox) = app_with_mail(backend).await;
    let ada = sign_up(&app, "Ada@example.org").await;
    auth(&app, "password/forgot", json!({"login": "ADA@example.org"})).responds(202).await;
    let (message, _) = mailbox.message(0).await;
    assert_eq!((&message["type"], &message["login"]), (&json!("password-reset"), &json!("ada@example.org")));
    let link = message["link"].as_str().unwrap();
    assert!(link.starts_with("https://scores.example.com/x/account/reset?token="), "{link}");
    let token = token_in(&message["link"]);
    let reset = |new: &str| auth(&app, "password/reset", json!({"token": token, "new": new}));
    reset("short").refused(422).await;
    let at_once = futures_util::future::join_all((0..3).map(|_| reset(NEW).send())).await;
    let statuses: Vec<u16> = at_once.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 204).count(), 1, "{statuses:?}");
    reset(NEW).refused(401).await;
    assert!(!is_accepted(&app, &ada).await, "all sessions end");
    sign_in(&app, "ada@example.org", PASSWORD).refused(401).await;
    sign_in(&app, "ada@example.org", NEW).answers(200).await;
}

async fn whoever_chose_a_new_password_is_not_kept_waiting_for_the_old_one(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    for _ in 0..5 {
        sign_in(&app, "ada", "a wrong password").refused(401).await;
    }
    sign_in(&app, "ada", PASSWORD).refused(429).await;
    let link = manager(&app, Method::POST, &format!("/api/accounts/{}/reset-link", ada["userId"].as_str().unwrap()));
    let token = token_in(&link.answers(200).await["link"]);
    let elsewhere = |path: &str, body: Value| auth_from(&app, "203.0.113.7", path, body);
    for _ in 0..5 {
        elsewhere("sign-in", json!({"login": "ada", "password": "a wrong password"})).refused(401).await;
    }
    auth(&app, "password/reset", json!({"token": token, "new": NEW})).responds(204).await;
    sign_in(&app, "ada", NEW).answers(200).await;
    elsewhere("sign-in", json!({"login": "ada", "password": NEW})).refused(429).await;
}

async fn nobody_is_told_who_has_an_account(backend: Backend) {
    let (app, mailbox) = app_with_mail(backend).await;
    sign_up(&app, "ada").await;
    // Many at once are one, whether a message is on its way or not.
    let asked = (0..5).map(|_| auth(&app, "password/forgot", json!({"login": "ada"})).responds(202));
    futures_util::future::join_all(asked).await;
    for login in ["ada", "nobody", "ada"] {
        let begun = Instant::now();
        let answer = auth(&app, "password/forgot", json!({"login": login})).responds(202).await;
        let took = begun.elapsed();
        assert!((Duration::from_millis(390)..Duration::from_secs(2)).contains(&took), "{login}: {took:?}");
        assert_eq!(answer.text().await.unwrap(), "");
        if login == "ada" {
            mailbox.message(0).await;
        }
    }
    sign_up(&app, "bob").await;
    auth(&app, "password/forgot", json!({"login": "bob"})).responds(202).await;
    let (message, _) = mailbox.message(1).await;
    assert_eq!(message["login"], "bob", "there is one link a minute for each, and none for nobody");
    let mute = open(backend).await;
    auth(&mute, "password/forgot", json!({"login": "ada"})).responds(202).await;
}

async fn a_message_is_repeated_until_it_is_taken(backend: Backend) {
    let (app, mailbox) = app_with_mail(backend).await;
    *mailbox.refuses.lock().unwrap() = 2;
    sign_up(&app, "ada").await;
    auth(&app, "password/forgot", json!({"login": "ada"})).responds(202).await;
    let (first, id) = mailbox.message(0).await;
    let (third, same) = mailbox.message(2).await;
    assert_eq!((&first["link"], &id), (&third["link"], &same));
    auth(&app, "password/reset", json!({"token": token_in(&first["link"]), "new": NEW})).responds(204).await;
    sign_in(&app, "ada", NEW).answers(200).await;
    assert_eq!(mailbox.count(), 3);
}

async fn an_invite_is_sent_as_well(backend: Backend) {
    let (app, mailbox) = app_with_mail(backend).await;
    let body = json!({"login": "Mo@example.org", "roles": ["moderator", "player"]});
    let invite = manager(&app, Method::POST, "/api/accounts/invites").json(&body).answers(201).await;
    let (message, _) = mailbox.message(0).await;
    assert_eq!((&message["type"], &message["login"]), (&json!("invite"), &json!("mo@example.org")));
    assert_eq!((&message["link"], &message["expiresAt"]), (&invite["link"], &invite["expiresAt"]));
    let token = token_in(&message["link"]);
    let mo = auth(&app, "sign-up", json!({"login": "mo@example.org", "password": PASSWORD, "invite": token}));
    let mo = mo.answers(201).await;
    assert_eq!(mo["roles"], json!(["player", "moderator"]));
    by(&app, &mo, Method::GET, "/api/moderation/decisions").answers(200).await;
}

async fn a_link_in_a_message_is_good_for_ten_minutes(backend: Backend) {
    let (mut app, mailbox) = app_with_mail(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    sign_up(&app, "ada").await;
    auth(&app, "password/forgot", json!({"login": "ada"})).responds(202).await;
    let token = token_in(&mailbox.message(0).await.0["link"]);
    clock.set(601);
    auth(&app, "password/reset", json!({"token": token, "new": NEW})).refused(401).await;
    sign_in(&app, "ada", PASSWORD).answers(200).await;
}

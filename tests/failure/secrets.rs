//! What is left of secrets in tables, logs and metrics: nothing.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    accounts::{ask, printed, shared, token_of},
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(15);

/// Takes messages, and keeps their bodies.
async fn mailbox() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mail", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut text, mut piece) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = socket.read(&mut piece).await.unwrap_or_default();
                text.extend_from_slice(&piece[..read]);
                let body = String::from_utf8_lossy(&text).split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                match body.and_then(|body| serde_json::from_str(&body).ok()) {
                    Some(body) => break body,
                    None if read == 0 => break Value::Null,
                    None => {}
                }
            };
            keeps.lock().unwrap().push(body);
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        }
    });
    (url, got)
}

/// Every secret that somebody was given or chose, and the bytes in it.
#[derive(Default)]
struct Secrets(BTreeSet<Vec<u8>>);

impl Secrets {
    fn add(&mut self, text: &str) {
        assert!(text.len() >= 10, "{text}");
        self.0.insert(text.as_bytes().to_vec());
        let Some(bytes) = text.get(5..).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok()) else { return };
        // Of a refresh token, the part after session and generation.
        let secret = if text.starts_with("scbr_") { &bytes[20..52] } else { &bytes[..] };
        self.0.insert(secret.to_vec());
        self.0.insert(secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
    }

    fn add_session(&mut self, session: &Value) {
        for field in ["accessToken", "refreshToken", "deviceSecret"] {
            session[field].as_str().into_iter().for_each(|text| self.add(text));
        }
    }

    fn assert_not_in(&self, what: &str, haystack: &[u8]) {
        for secret in &self.0 {
            let found = haystack.windows(secret.len()).position(|window| window == secret);
            let around = found.map(|at| String::from_utf8_lossy(&haystack[at.saturating_sub(80)..at]).into_owned());
            assert!(found.is_none(), "{what} holds {}: {around:?}", String::from_utf8_lossy(secret));
        }
    }
}

/// Everything that the ledger holds.
async fn dump(server: &Server, stores: &Stores) -> Vec<u8> {
    let Some(url) = &stores.database_url else {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&server.directory).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("scoreboard.db") {
                all.extend(std::fs::read(path).unwrap());
            }
        }
        return all;
    };
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    let mut all = String::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in client.query(&format!("SELECT t::text FROM {table} t"), &[]).await.unwrap() {
            all.push_str(&row.get::<_, String>(0));
            all.push('\n');
        }
    }
    all.into_bytes()
}

async fn nothing_holds_a_secret(stores: Stores) {
    let (url, mail) = mailbox().await;
    let mut server = Server::prepare(stores.clone());
    let signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (name, value) in
        [("ACCOUNTS", "open"), ("RUST_LOG", "trace"), ("AUTH_WEBHOOK_URL", &*url), ("AUTH_WEBHOOK_SECRET", signing)]
    {
        server.set(name, value);
    }
    let scope = "accounts:admin";
    let manager = printed(&server, &["token", "--sub", "manager", "--scope", scope]);
    server.run().await;
    let mut secrets = Secrets::default();
    secrets.add(signing);
    let passwords = ["a first good password", "a second good password", "a third good password", "a mistaken password"];
    passwords.iter().for_each(|password| secrets.add(password));
    let [first, second, third, wrong] = passwords;

    let (_, ada) = ask(&server, "sign-up", json!({ "login": "ada", "password": first })).await;
    secrets.add_session(&ada);
    assert_eq!(ask(&server, "sign-in", json!({ "login": "ada", "password": wrong })).await.0, StatusCode::UNAUTHORIZED);
    let (_, next) = ask(&server, "refresh", token_of(&ada)).await;
    secrets.add_session(&next);
    let (_, last) = ask(&server, "refresh", token_of(&next)).await;
    secrets.add_session(&last);
    assert_eq!(ask(&server, "refresh", token_of(&ada)).await.0, StatusCode::UNAUTHORIZED, "which ends the session");
    let (_, guest) = ask(&server, "guest", json!({})).await;
    secrets.add_session(&guest);
    let stream = format!("/api/leaderboard/stream?access_token={}", guest["accessToken"].as_str().unwrap());
    assert_eq!(server.anonymous(Method::GET, &stream).send().await.unwrap().status(), StatusCode::OK);
    let (_, again) = ask(&server, "guest", json!({ "deviceSecret": guest["deviceSecret"] })).await;
    secrets.add_session(&again);
    let (_, ada) = ask(&server, "sign-in", json!({ "login": "ada", "password": first, "cookie": false })).await;
    secrets.add_session(&ada);
    let change = server.anonymous(Method::POST, "/api/auth/password").bearer_auth(ada["accessToken"].as_str().unwrap());
    let changed = change.json(&json!({ "current": first, "new": second })).send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);

    assert_eq!(ask(&server, "password/forgot", json!({ "login": "ada" })).await.0, StatusCode::ACCEPTED);
    let manage = |path: &str, body: Value| server.anonymous(Method::POST, path).bearer_auth(&manager).json(&body);
    let invite: Value = manage("/api/accounts/invites", json!({ "login": "mo" })).send().await.unwrap().json().await.unwrap();
    within(SOON, "both messages are sent", || async { mail.lock().unwrap().len() == 2 }).await;
    let path = format!("/api/accounts/{}/reset-link", ada["userId"].as_str().unwrap());
    let handed: Value = manage(&path, json!({})).send().await.unwrap().json().await.unwrap();
    let mut links: Vec<Value> = mail.lock().unwrap().iter().map(|message| message["link"].clone()).collect();
    links.extend([invite["link"].clone(), handed["link"].clone()]);
    let tokens: Vec<String> = links.iter().map(|link| link.as_str().unwrap().split_once('=').unwrap().1.to_owned()).collect();
    tokens.iter().for_each(|token| secrets.add(token));
    let page = format!("/account/reset?token={}", tokens[3]);
    assert_eq!(server.anonymous(Method::GET, &page).send().await.unwrap().status(), StatusCode::OK);
    // Before they are used, and after.
    secrets.assert_not_in("the ledger", &dump(&server, &stores).await);
    let (status, _) = ask(&server, "password/reset", json!({ "token": tokens[3], "new": third })).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, mo) =
        ask(&server, "sign-up", json!({ "login": "mo", "password": third, "invite": invite_token(&invite) })).await;
    assert_eq!(status, StatusCode::CREATED, "{mo}");
    secrets.add_session(&mo);

    secrets.assert_not_in("the ledger", &dump(&server, &stores).await);
    let metrics = server.anonymous(Method::GET, "/metrics").send().await.unwrap().bytes().await.unwrap();
    secrets.assert_not_in("the metrics", &metrics);
    server.kill();
    let log = server.log();
    assert!(log.contains("/api/auth/sign-in") && log.contains("answered"), "every request is logged");
    secrets.assert_not_in("the log", log.as_bytes());
}

fn invite_token(invite: &Value) -> &str {
    invite["link"].as_str().unwrap().split_once('=').unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_file_holds_a_secret() {
    nothing_holds_a_secret(Stores::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_postgres_holds_a_secret() {
    nothing_holds_a_secret(shared().await).await;
}

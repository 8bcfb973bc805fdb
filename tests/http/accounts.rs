//! Accounts: players, moderators and administrators who sign in to this server itself.

mod administration;
mod asvs;
mod back_off;
mod cookies;
mod erased;
mod guests;
mod instances;
mod pages;
mod providers;
mod recovery;
mod sign_in;
mod tokens;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

pub const PASSWORD: &str = "correct horse battery";

/// A server with accounts for all, behind a proxy on this machine, and with an action `run` by which players submit their own
/// scores to `main`.
pub async fn open(backend: Backend) -> TestApp {
    with(backend, &["--accounts=open"]).await
}

/// The same with these flags.
pub async fn with(backend: Backend, flags: &[&str]) -> TestApp {
    let app = TestApp::spawn_with(backend, &[&["--trusted-proxies=127.0.0.1"], flags].concat()).await;
    let run = json!({"id": "run", "points": 1, "leaderboards": ["main"], "selfService": true});
    app.admin(Method::POST, "/api/actions").json(&run).responds(201).await;
    app
}

/// A request to `/api/auth`.
pub fn auth(app: &TestApp, path: &str, body: Value) -> RequestBuilder {
    app.anonymous(Method::POST, &format!("/api/auth/{path}")).json(&body)
}

/// The same from this client's address.
pub fn auth_from(app: &TestApp, address: &str, path: &str, body: Value) -> RequestBuilder {
    auth(app, path, body).header("X-Forwarded-For", address)
}

pub async fn sign_up(app: &TestApp, login: &str) -> Value {
    auth(app, "sign-up", json!({"login": login, "password": PASSWORD})).answers(201).await
}

pub fn sign_in(app: &TestApp, login: &str, password: &str) -> RequestBuilder {
    auth(app, "sign-in", json!({"login": login, "password": password}))
}

pub fn refresh(app: &TestApp, session: &Value) -> RequestBuilder {
    auth(app, "refresh", json!({"refreshToken": session["refreshToken"]}))
}

/// A request of whoever holds this session.
pub fn by(app: &TestApp, session: &Value, method: Method, path: &str) -> RequestBuilder {
    app.anonymous(method, path).bearer_auth(session["accessToken"].as_str().unwrap())
}

/// Whether the session's access token is accepted; nothing but 200 and 401 is expected.
pub async fn is_accepted(app: &TestApp, session: &Value) -> bool {
    let status = by(app, session, Method::GET, "/api/leaderboards").send().await.unwrap().status().as_u16();
    assert!([200, 401].contains(&status), "{status}");
    status == 200
}

/// A request of whoever manages accounts.
pub fn manager(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    app.with("manager", "accounts:admin", method, path)
}

/// A player's own score; answers the receipt.
pub async fn run(app: &TestApp, session: &Value) -> Value {
    let body = json!({"actionId": "run", "userId": session["userId"]});
    by(app, session, Method::POST, "/api/scores").json(&body).answers(200).await
}

/// The deeds that the audit trail knows, in order.
pub async fn deeds(app: &TestApp) -> Vec<(String, String)> {
    let page = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=1000").answers(200).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    page["entries"].as_array().unwrap().iter().map(|entry| (text(&entry["action"]), text(&entry["target"]))).collect()
}

/// The token in a link.
pub fn token_in(link: &Value) -> String {
    let link = link.as_str().unwrap();
    link.split_once("?token=").unwrap_or_else(|| panic!("{link}")).1.to_owned()
}

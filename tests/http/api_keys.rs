//! API keys: made, shown once, used, limited, rotated and deleted.

mod bounds;
mod ends;
mod management;
mod rotation;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

/// All scopes that the tests hand out.
const EVERYTHING: &str = "keys:admin scores:write scores:self leaderboards:read leaderboards:admin audit:read leaderboards:restricted \
                          moderation:write users:read users:write accounts:admin";

/// A request of somebody who holds everything.
fn owner(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    app.with("owner", EVERYTHING, method, path)
}

/// Makes a key of these scopes, with more settings.
async fn make(app: &TestApp, scopes: &[&str], settings: Value) -> Value {
    let mut body = json!({ "name": "game", "scopes": scopes });
    body.as_object_mut().unwrap().extend(settings.as_object().cloned().unwrap_or_default());
    owner(app, Method::POST, "/api/keys").json(&body).answers(201).await
}

/// A request by a key, as its creation or rotation answered it.
fn by(app: &TestApp, key: &Value, method: Method, path: &str) -> RequestBuilder {
    app.anonymous(method, path).bearer_auth(key["key"].as_str().expect("a key's text"))
}

/// A submission by a key.
fn score(app: &TestApp, key: &Value, action: &str) -> RequestBuilder {
    by(app, key, Method::POST, "/api/scores").json(&json!({ "actionId": action, "userId": "ann", "value": 1 }))
}

fn path(key: &Value) -> String {
    format!("/api/keys/{}", key["id"].as_str().unwrap())
}

/// More instances on the same stores, where there can be any.
async fn others(app: &TestApp, backend: Backend) -> Vec<TestApp> {
    match backend {
        Backend::Embedded => Vec::new(),
        Backend::Shared => vec![app.another().await, app.another().await],
    }
}

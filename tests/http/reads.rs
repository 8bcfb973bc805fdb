//! Reading rankings and histories.

mod caching;
mod entry;
mod friends;
mod history;
mod latest;
mod memory;
mod search;
mod window;

use serde_json::{Value, json};

use crate::{answers::Expect, app::TestApp};

/// Submits 1, 2, 3 … points for `u-01`, `u-02` … in one batch, so that the last one stands first.
async fn fill(app: &TestApp, count: usize) {
    let submissions: Vec<_> =
        (1..=count).map(|number| json!({"actionId": "value", "userId": format!("u-{number:02}"), "value": number})).collect();
    let request = app.game(reqwest::Method::POST, "/api/scores/batch").json(&json!({ "submissions": submissions }));
    let answer = request.answers(200).await;
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["status"] == 200), "{answer}");
}

/// The ranks in a list of entries.
fn ranks(entries: &Value) -> Vec<u64> {
    entries.as_array().unwrap().iter().map(|entry| entry["rank"].as_u64().unwrap()).collect()
}

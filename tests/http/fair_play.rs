//! Fair play: scores that wait for a moderator, what becomes of them, and runs, which prove that a game took its time.

mod beside_decisions;
mod listing;
mod names;
mod racing;
mod rules;
mod runs;
mod silence;
mod verdicts;
mod waiting;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{answers::Expect, app::TestApp, moderation::moderator, streams::text};

const REVIEWS: &str = "/api/moderation/reviews";

/// Makes `watched`, an action of values that feeds these leaderboards, with this review.
async fn watch(app: &TestApp, leaderboards: &[&str], review: Value) {
    let range = json!({ "min": -1_000_000, "max": 1_000_000 });
    let action = json!({ "id": "watched", "leaderboards": leaderboards, "value": range, "review": review });
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
}

/// The same where whatever gives more than 100 is suspicious, on `main`.
async fn watch_above_100(app: &TestApp) {
    watch(app, &["main"], json!({ "above": 100 })).await;
}

async fn submit(app: &TestApp, user: &str, value: i64) -> Value {
    app.submit(json!({ "actionId": "watched", "userId": user, "value": value })).await
}

/// Submits what has to be withheld.
async fn suspicious(app: &TestApp, user: &str, value: i64) -> Value {
    let receipt = submit(app, user, value).await;
    assert_eq!(receipt["review"], "pending", "{receipt}");
    receipt
}

/// Submits what has to count at once.
async fn fair(app: &TestApp, user: &str, value: i64) -> Value {
    let receipt = submit(app, user, value).await;
    assert!(receipt.get("review").is_none() && receipt["version"].is_string(), "{receipt}");
    receipt
}

/// Reviews in this state, newest first, by pages of the default size.
async fn reviews(app: &TestApp, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = moderator(app, Method::GET, &format!("{REVIEWS}?{query}{cursor}")).answers(200).await;
        all.extend(page["reviews"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The only review in this state.
async fn only_review(app: &TestApp, state: &str) -> Value {
    let mut all = reviews(app, &format!("state={state}")).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn verdict(receipt: &Value, verdict: &str) -> Value {
    json!({ "eventId": receipt["eventId"], "verdict": verdict, "reason": format!("to {verdict}") })
}

/// Sends verdicts in one request, and answers their results.
async fn send(app: &TestApp, verdicts: &[Value]) -> Vec<Value> {
    let answer = moderator(app, Method::POST, REVIEWS).json(&json!({ "verdicts": verdicts })).answers(200).await;
    let results = answer["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), verdicts.len(), "{answer}");
    results
}

/// Carries out one verdict and answers it.
async fn judge(app: &TestApp, receipt: &Value, word: &str) -> Value {
    let result = send(app, &[verdict(receipt, word)]).await.remove(0);
    assert_eq!(result["status"], 200, "{result}");
    result["body"].clone()
}

async fn approve(app: &TestApp, receipt: &Value) -> Value {
    judge(app, receipt, "approve").await
}

async fn reject(app: &TestApp, receipt: &Value) -> Value {
    judge(app, receipt, "reject").await
}

/// What users see of themselves.
async fn own(app: &TestApp, user: &str, path: &str) -> Value {
    let and = if path.contains('?') { '&' } else { '?' };
    app.with(user, "scores:self", Method::GET, &format!("{path}{and}projection=own")).answers(200).await
}

/// The events of a list of scores, and why each is withheld.
fn told(history: &Value) -> Vec<(String, Value)> {
    let events = history["scores"].as_array().unwrap().iter();
    events.map(|event| (text(&event["eventId"]), event["withheld"].clone())).collect()
}

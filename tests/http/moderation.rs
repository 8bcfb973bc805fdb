//! Moderation: decisions that hide, ban, correct, rename or erase, what they do to rankings, histories and streams, and what is left of
//! them when they are taken back.

mod adjust;
mod ban;
mod crawl;
mod ended;
mod erase;
mod fold;
mod hide;
mod load;
mod projections;
mod refusals;
mod rename;
mod requests;
mod rights;
mod void;
mod withheld;

use std::fmt::Display;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{TestApp, within},
    seasons::digest,
    sse::{Received, Sse},
    streams::{seq, text},
};

const DECISIONS: &str = "/api/moderation/decisions";

/// A request of whoever moderates.
pub fn moderator(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    app.with("moderator", "moderation:write", method, path)
}

/// A decision of this type with these fields, and with a reason if they hold none.
pub fn decision(kind: &str, mut fields: Value) -> Value {
    fields["type"] = json!(kind);
    if fields.get("reason").is_none() {
        fields["reason"] = json!("a test");
    }
    fields
}

/// Sends decisions in one request and answers their results.
pub async fn send(app: &TestApp, decisions: &[Value]) -> Vec<Value> {
    let answer = moderator(app, Method::POST, DECISIONS).json(&json!({ "decisions": decisions })).answers(200).await;
    let results = answer["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), decisions.len(), "{answer}");
    results
}

/// The fields that a refused decision names, each once and without places in lists.
fn named(result: &Value) -> Vec<&str> {
    let mut named: Vec<_> = broken(&result["body"]).into_iter().map(|field| field.split('[').next().unwrap_or(field)).collect();
    named.dedup();
    named
}

/// The rows of hidden users behind those of a restricted window.
fn hidden_rows(window: &Value) -> Vec<Value> {
    let behind = window["hidden"].as_array().unwrap().clone();
    assert!(behind.iter().all(|row| row["hidden"] == true && row["rank"].is_null()), "{window}");
    behind
}

/// Carries out one decision and answers it.
pub async fn decide(app: &TestApp, kind: &str, fields: Value) -> Value {
    let result = send(app, &[decision(kind, fields)]).await.remove(0);
    assert_eq!(result["status"], 200, "{result}");
    result["body"].clone()
}

/// Hides a user on one leaderboard, or with `None` on all.
pub async fn hide(app: &TestApp, user: &str, leaderboard: Option<&str>) -> Value {
    decide(app, "hide", json!({ "userId": user, "leaderboardId": leaderboard, "until": null })).await
}

/// Voids the events of these receipts.
pub async fn void(app: &TestApp, receipts: &[&Value]) -> Value {
    let ids: Vec<_> = receipts.iter().map(|receipt| &receipt["eventId"]).collect();
    decide(app, "void", json!({ "eventIds": ids })).await
}

/// Takes a decision back, which has to be active, and answers it.
pub async fn take_back(app: &TestApp, decision: &Value) -> Value {
    let path = format!("{DECISIONS}/{}", text(&decision["id"]));
    let taken = moderator(app, Method::DELETE, &path).answers(200).await;
    assert_eq!((&taken["id"], &taken["active"]), (&decision["id"], &json!(false)), "{taken}");
    assert!(taken["endedAt"].is_string(), "{taken}");
    taken
}

/// What a decision did to one entry.
pub fn change<'a>(decision: &'a Value, leaderboard: &str, user: &str) -> &'a Value {
    let mut entries = decision["entries"].as_array().unwrap().iter();
    let found = entries.find(|entry| entry["leaderboardId"] == leaderboard && entry["userId"] == user);
    found.unwrap_or_else(|| panic!("nothing of {user} on {leaderboard}: {decision}"))
}

/// Every public entry of a season, best first.
pub async fn standing(app: &TestApp, id: &str, season: impl Display) -> Vec<Value> {
    let window = app.get(&format!("/api/leaderboards/{id}/entries?limit=1000&season={season}")).await;
    let entries = window["entries"].as_array().unwrap().clone();
    assert_eq!(window["total"], entries.len(), "{window}");
    entries
}

/// An entry, as everybody sees it.
pub async fn entry(app: &TestApp, id: &str, user: &str) -> Value {
    app.get(&format!("/api/leaderboards/{id}/entries/{user}")).await["entry"].clone()
}

/// Whether everybody sees that there is no such entry.
pub async fn is_gone(app: &TestApp, id: &str, user: &str) -> bool {
    let path = format!("/api/leaderboards/{id}/entries/{user}");
    app.anonymous(Method::GET, &path).send().await.unwrap().status() == 404
}

/// What those see who may see what is withheld.
pub async fn restricted(app: &TestApp, path: &str) -> Value {
    let and = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{and}projection=restricted");
    app.with("watcher", "leaderboards:restricted", Method::GET, &path).answers(200).await
}

/// Waits until the archive of a season holds these entries and its digest and total say the same: a minute at the most.
pub async fn archived(app: &TestApp, id: &str, season: i64, expected: &[Value]) {
    let path = format!("/api/leaderboards/{id}/entries?limit=1000&season={season}");
    within(60, "the archive shows the correction", || async { app.get(&path).await["entries"] == json!(expected) }).await;
    within(60, "digest and total follow", || async {
        let season = app.get(&format!("/api/leaderboards/{id}/seasons/{season}")).await;
        season["total"] == expected.len() && season["digest"] == digest(&json!({ "entries": expected }))
    })
    .await;
    assert_eq!(standing(app, id, season).await, expected);
}

/// Entries without those of one user, ranked anew.
fn without(entries: &[Value], user: &str) -> Vec<Value> {
    let mut left: Vec<_> = entries.iter().filter(|entry| entry["userId"] != user).cloned().collect();
    for (entry, rank) in left.iter_mut().zip(1..) {
        entry["rank"] = json!(rank);
    }
    left
}

/// A reader of `view=events` for whom no sequence number may be missing.
pub struct Watcher {
    pub stream: Sse,
    pub version: String,
}

impl Watcher {
    pub async fn open(app: &TestApp, id: &str) -> Self {
        let mut stream = Sse::open(app, &format!("/api/leaderboards/{id}/stream")).await;
        let version = stream.expect("leaderboard").await.id;
        Self { stream, version }
    }

    /// The data of the next event, which has to be of this kind and to follow the one before.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let Received { id, data, .. } = self.stream.expect(kind).await;
        assert_eq!((&data["since"], &data["version"]), (&json!(self.version), &json!(id)), "{data}");
        assert_eq!(seq(&id), seq(&self.version) + 1, "no number is missing: {data}");
        self.version = id;
        data
    }
}

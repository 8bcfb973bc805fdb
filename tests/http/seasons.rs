//! Seasons: how they end, which one a score is of, what is left of those that have ended, and what watchers see of it.

mod archives;
mod boundaries;
mod ending;
mod missed;
mod preview;
mod rules;
mod streams;
mod watching;

use std::{sync::Arc, time::Duration};

use chrono::{SecondsFormat, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    answers::Expect,
    app::{TestApp, eventually, status_and_json},
    streams::text,
};

/// A time so many milliseconds from now, as the server writes it.
pub fn from_now(milliseconds: i64) -> String {
    (Utc::now() + chrono::Duration::milliseconds(milliseconds)).to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn path(id: &str) -> String {
    format!("/api/leaderboards/{id}/seasons")
}

/// Ends the current season of a leaderboard, which has to be this one, and answers the next.
pub async fn end(app: &TestApp, id: &str, ends: i64) -> Value {
    app.admin(Method::POST, &path(id)).json(&json!({ "ends": ends })).answers(201).await
}

/// All seasons, newest first.
pub async fn seasons(app: &TestApp, id: &str) -> Vec<Value> {
    let page = app.get(&format!("{}?limit=1000", path(id))).await;
    assert_eq!(page["nextCursor"], Value::Null);
    page["seasons"].as_array().unwrap().clone()
}

pub async fn season(app: &TestApp, id: &str, which: impl std::fmt::Display) -> Value {
    app.get(&format!("{}/{which}", path(id))).await
}

/// A season that has ended, once its result is known.
pub async fn result(app: &TestApp, id: &str, number: i64) -> Value {
    eventually("the season is final", || async { season(app, id, number).await["state"] == "final" }).await;
    season(app, id, number).await
}

pub async fn patch(app: &TestApp, id: &str, change: Value) -> Value {
    app.admin(Method::PATCH, &format!("/api/leaderboards/{id}")).json(&change).answers(200).await
}

/// Submits a value to the action of the leaderboard's id.
pub async fn post(app: &TestApp, id: &str, user: &str, value: i64) -> Value {
    app.submit(json!({ "actionId": id, "userId": user, "value": value })).await
}

/// Waits until this season is the current one.
pub async fn reaches(app: &TestApp, id: &str, number: i64) {
    eventually("the season is current", || async { app.get(&format!("/api/leaderboards/{id}")).await["season"] == number }).await;
}

/// The digest of a season's standing as the contract writes it: a line for each entry, tabs between rank, user, score and time, a line
/// feed behind.
pub fn digest(window: &Value) -> String {
    let lines = window["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{}\t{}\t{}\t{}\n", entry["rank"], text(&entry["userId"]), entry["score"], text(&entry["at"])));
    Sha256::digest(lines.collect::<String>()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writers that submit a point each, one after the other and as fast as they are answered, until they are told to stop.
pub struct Writers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Vec<Value>>>,
}

impl Writers {
    /// One for each user, on these instances in turn, to the action of this id.
    pub fn start(apps: &[Arc<TestApp>], action: &str, users: &[&str]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let write = |(user, app): (&&str, &Arc<TestApp>)| {
            let (app, stopped) = (Arc::clone(app), stopped.clone());
            let body = json!({ "actionId": action, "userId": user, "value": 1 });
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                while !*stopped.borrow() {
                    let answer = app.game(Method::POST, "/api/scores").json(&body).send().await.unwrap();
                    let (status, receipt) = status_and_json(answer).await;
                    assert_eq!(status, 200, "a boundary refuses nothing: {receipt}");
                    receipts.push(receipt);
                }
                receipts
            })
        };
        Self { stop, tasks: users.iter().zip(apps.iter().cycle()).map(write).collect() }
    }

    /// Their receipts, those of one writer in order.
    pub async fn stop(self) -> Vec<Vec<Value>> {
        self.stop.send(true).unwrap();
        let mut receipts = Vec::new();
        for task in self.tasks {
            receipts.push(task.await.unwrap());
        }
        receipts
    }
}

/// Every score event of a user, newest first.
pub async fn history(app: &TestApp, user: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/api/users/{user}/scores?limit=100{cursor}")).await;
        all.extend(page["scores"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Long enough for everything that is scheduled within a few hundred milliseconds.
pub async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

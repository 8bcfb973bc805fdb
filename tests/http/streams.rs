//! The live streams: what each view shows, how positions resume, how streams begin and end.

mod blocks;
mod definitions;
mod endings;
mod events;
mod latest;
mod lifecycle;
mod resuming;
mod slow;
mod storm;
mod top;
mod user;
mod users;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{TestApp, status_and_json},
    sse::{Received, Sse},
};

/// The table that a client builds from a snapshot and the events after it. Every event is checked against it: that it follows the version
/// held, and that scores and ranks are those at that very version.
pub struct Replay {
    pub version: String,
    rows: BTreeMap<String, (i64, String)>,
}

impl Replay {
    /// Starts from a `leaderboard` event that shows the whole table.
    pub fn of(snapshot: &Received) -> Self {
        assert_eq!(snapshot.event, "leaderboard", "{snapshot:?}");
        assert_eq!(json!(snapshot.id), snapshot.data["version"]);
        let rows = snapshot.data["entries"].as_array().unwrap().iter();
        let rows: BTreeMap<_, _> =
            rows.map(|row| (text(&row["userId"]), (row["score"].as_i64().unwrap(), text(&row["at"])))).collect();
        assert_eq!(json!(rows.len()), snapshot.data["total"], "the whole table");
        Self { version: snapshot.id.clone(), rows }
    }

    /// Takes the next `score-updated`.
    pub fn take(&mut self, event: &Received) {
        assert_eq!(event.event, "score-updated", "{event:?}");
        assert_eq!(event.data["since"], json!(self.version), "follows what was seen last: {event:?}");
        assert_eq!(event.data["version"], json!(event.id));
        let user = text(&event.data["userId"]);
        let score = event.data["score"].as_i64().unwrap();
        let before = self.rows.get(&user).map(|(score, _)| *score);
        assert_eq!(event.data["previousScore"], json!(before), "{event:?}");
        assert_eq!(event.data["previousRank"], json!(before.map(|_| self.rank(&user))), "{event:?}");
        assert_eq!(event.data["delta"], json!(score - before.unwrap_or(0)));
        // A score that adds nothing moves nobody: the time it was reached stays.
        if before != Some(score) {
            self.rows.insert(user.clone(), (score, text(&event.data["at"])));
        }
        assert_eq!(event.data["rank"], json!(self.rank(&user)), "{event:?}");
        assert_eq!(event.data["total"], json!(self.rows.len()), "{event:?}");
        self.version = event.id.clone();
    }

    /// Takes events until this version is reached.
    pub async fn follow_to(&mut self, stream: &mut Sse, version: &str) {
        while self.version != version {
            let event = stream.next().await.expect("the stream goes on");
            self.take(&event);
        }
    }

    /// Whether this user is in the table.
    pub fn has(&self, user: &str) -> bool {
        self.rows.contains_key(user)
    }

    /// The users and their scores, best first.
    pub fn ranked(&self) -> Vec<(String, i64)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|(a, (a_score, a_at)), (b, (b_score, b_at))| (-a_score, a_at, a).cmp(&(-b_score, b_at, b)));
        rows.into_iter().map(|(user, (score, _))| (user.clone(), *score)).collect()
    }

    fn rank(&self, user: &str) -> usize {
        self.ranked().iter().position(|(found, _)| found == user).unwrap() + 1
    }
}

/// The users and their scores in a window, best first.
pub fn scores(window: &Value) -> Vec<(String, i64)> {
    let entries = window["entries"].as_array().unwrap().iter();
    entries.map(|entry| (text(&entry["userId"]), entry["score"].as_i64().unwrap())).collect()
}

/// A JSON string.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The sequence number of a version.
pub fn seq(version: &str) -> u64 {
    version.split_once('-').unwrap().1.parse().unwrap()
}

/// Submits so many points of `count` users in turn as batches of 1000, and answers the last version.
pub async fn post_batches(app: &TestApp, batches: usize, users: usize) -> String {
    let mut version = String::new();
    for _ in 0..batches {
        version = post_batch(app, 1000, users).await;
    }
    version
}

/// Submits points of so many users in turn as one batch, and answers the last version.
pub async fn post_batch(app: &TestApp, count: usize, users: usize) -> String {
    let submissions: Vec<_> =
        (0..count).map(|index| json!({ "actionId": "point", "userId": format!("user-{}", index % users) })).collect();
    let body = json!({ "submissions": submissions });
    let response = app.game(Method::POST, "/api/scores/batch").json(&body).send().await.unwrap();
    let (status, answer) = status_and_json(response).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["status"] == 200), "{answer}");
    text(&results.last().unwrap()["body"]["version"])
}

//! The table of a client that reads `view=events` and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{Row, rows, sorted};
use crate::{
    app::TestApp,
    sse::{Received, Sse},
    streams::{seq, text},
};

/// See the module's documentation.
pub struct Table {
    stream: Sse,
    version: String,
    /// Scores and when they were reached, by user.
    entries: BTreeMap<String, (i64, String)>,
    ascending: bool,
}

impl Table {
    pub async fn open(app: &TestApp, board: &str, ascending: bool) -> Self {
        let stream = Sse::open(app, &format!("/api/leaderboards/{board}/stream?limit=100")).await;
        let mut table = Self { stream, version: String::new(), entries: BTreeMap::new(), ascending };
        let snapshot = table.stream.expect("leaderboard").await;
        table.start_over(&snapshot);
        table
    }

    fn start_over(&mut self, snapshot: &Received) {
        self.entries = rows(&snapshot.data).into_iter().map(|(user, score, at)| (user, (score, at))).collect();
        self.version = snapshot.id.clone();
    }

    /// The rows that the client has, best first.
    pub fn ranked(&self) -> Vec<Row> {
        let rows = self.entries.iter().map(|(user, (score, at))| (user.clone(), *score, at.clone()));
        sorted(rows.collect(), self.ascending)
    }

    fn rank(&self, user: &str) -> Option<usize> {
        self.ranked().iter().position(|(other, ..)| other == user).map(|place| place + 1)
    }

    /// Takes events until this version is reached.
    pub async fn follow_to(&mut self, version: &str) {
        while self.version != version {
            let event = self.stream.next().await.unwrap_or_else(|| panic!("the stream ended before {version}"));
            if event.event == "leaderboard" {
                assert_eq!(event.data["reset"], true, "{event:?}");
                self.start_over(&event);
                continue;
            }
            assert_eq!((&event.data["since"], &event.data["version"]), (&json!(self.version), &json!(event.id)), "{event:?}");
            assert_eq!(seq(&event.id), seq(&self.version) + 1, "no number is missing: {event:?}");
            match &*event.event {
                "score-updated" => self.update(&event.data),
                "score-removed" => self.remove(&event.data),
                "season-ended" | "season-started" => self.entries.clear(),
                _ => panic!("{event:?}"),
            }
            self.version = event.id;
        }
    }

    fn update(&mut self, data: &Value) {
        let user = text(&data["userId"]);
        let before = (json!(self.entries.get(&user).map(|(score, _)| *score)), json!(self.rank(&user)));
        assert_eq!((&data["previousScore"], &data["previousRank"]), (&before.0, &before.1), "{data}");
        assert!(data["actionId"].is_string() || data["cause"].is_string(), "{data}");
        self.entries.insert(user.clone(), (data["score"].as_i64().unwrap(), text(&data["at"])));
        assert_eq!((&data["rank"], &data["total"]), (&json!(self.rank(&user)), &json!(self.entries.len())), "{data}");
    }

    fn remove(&mut self, data: &Value) {
        let user = text(&data["userId"]);
        assert_eq!(data["rank"], json!(self.rank(&user)), "{data}");
        self.entries.remove(&user).unwrap_or_else(|| panic!("nobody to remove: {data}"));
        assert_eq!(data["total"], self.entries.len(), "{data}");
    }
}

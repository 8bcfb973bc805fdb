//! Whatever is submitted, reviewed, hidden, voided, adjusted and taken back, in whatever order: rankings, archives and those who only watch agree
//! with a plain fold of the events that count. A failure prints its seed; `FOLD_SEED` runs it again.

pub mod model;
pub mod watching;

use std::{collections::BTreeMap, sync::Arc};

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use self::{
    model::{BOARDS, Kind, Model},
    watching::Table,
};
use super::{DECISIONS, decide, hide, moderator};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually, within},
    seasons::end,
    streams::{seq, text},
};

crate::both_backends!(whatever_is_decided_rankings_are_the_fold_of_what_counts);

const STEPS: usize = 240;
const BETWEEN_CHECKS: usize = 20;
const USERS: [&str; 6] = ["ann", "bob", "cid", "dot", "eve", "fay"];

/// The servers, and the model that they have to agree with.
struct Play {
    apps: Vec<Arc<TestApp>>,
    random: Rng,
    model: Model,
    /// Active decisions.
    decisions: Vec<String>,
    /// Events that are reviewed.
    reviews: Vec<String>,
    /// The newest version told of each leaderboard.
    versions: BTreeMap<&'static str, String>,
    tables: Vec<Table>,
}

impl Play {
    async fn start(backend: Backend, seed: u64) -> Self {
        let first = TestApp::spawn(backend).await;
        for (id, operator, order) in BOARDS {
            first.make_leaderboard(id, json!({ "operator": operator, "order": order })).await;
        }
        let ids = BOARDS.map(|(id, ..)| id);
        let all = json!({ "id": "all", "leaderboards": ids, "value": { "min": -9, "max": 9 }, "review": { "above": 3 } });
        first.admin(Method::POST, "/api/actions").json(&all).answers(201).await;
        let mut apps = vec![Arc::new(first)];
        if backend == Backend::Shared {
            apps.push(Arc::new(apps[0].another().await));
        }
        let mut tables = Vec::new();
        for app in &apps {
            for (id, _, order) in BOARDS {
                tables.push(Table::open(app, id, order == "asc").await);
            }
        }
        let random = Rng::with_seed(seed);
        let (decisions, reviews) = (Vec::new(), Vec::new());
        Self { apps, random, model: Model::default(), decisions, reviews, versions: BTreeMap::new(), tables }
    }

    fn app(&mut self) -> Arc<TestApp> {
        Arc::clone(&self.apps[self.random.usize(..self.apps.len())])
    }

    fn board(&mut self) -> &'static str {
        BOARDS[self.random.usize(..BOARDS.len())].0
    }

    fn user(&mut self) -> &'static str {
        USERS[self.random.usize(..USERS.len())]
    }

    async fn step(&mut self) {
        match self.random.u8(..100) {
            0..42 => self.submit().await,
            42..52 => self.judge().await,
            52..60 => self.hide().await,
            60..74 => self.void().await,
            74..84 => self.adjust().await,
            84..98 => self.take_back().await,
            _ => self.end_season().await,
        }
    }

    async fn submit(&mut self) {
        let (app, user, value) = (self.app(), self.user(), self.random.i64(-3..6));
        let action = if self.random.bool() { "all" } else { self.board() };
        let receipt = app.submit(json!({ "actionId": action, "userId": user, "value": value })).await;
        let mut parts = Vec::new();
        let withheld = receipt["review"] == "pending";
        assert_eq!(withheld, action == "all" && value > 3, "{receipt}");
        for standing in receipt["standings"].as_array().unwrap() {
            let id = self.saw(&standing["leaderboardId"], &standing["version"]);
            parts.push((id, standing["season"].as_i64().unwrap(), Kind::Points(value)));
            assert_eq!(
                standing["version"].is_null(),
                withheld || self.model.hides(user, id),
                "a receipt has ranks unless its user is hidden, or it is withheld"
            );
        }
        self.model.add(&receipt["eventId"], user, &receipt["at"], parts);
        if withheld {
            let id = text(&receipt["eventId"]);
            self.model.review(&id, true);
            self.reviews.push(id);
        }
        for standing in receipt["standings"].as_array().unwrap() {
            let (id, season) = (&standing["leaderboardId"], standing["season"].as_i64().unwrap());
            let score = self.model.score(id.as_str().unwrap(), season, user);
            assert_eq!(standing["newScore"], json!(score), "{receipt}");
        }
    }

    /// Notes the newest version of a leaderboard, if there is one, and answers the leaderboard.
    fn saw(&mut self, leaderboard: &Value, version: &Value) -> &'static str {
        let (id, ..) = *BOARDS.iter().find(|(id, ..)| leaderboard == id).unwrap();
        if let Some(version) = version.as_str() {
            let newest = self.versions.entry(id).or_insert_with(|| version.to_owned());
            let epoch = |version: &str| version.split_once('-').unwrap().0.to_owned();
            if epoch(version) != epoch(newest) || seq(version) > seq(newest) {
                *newest = version.to_owned();
            }
        }
        id
    }

    /// Checks what a decision says that it did against the model, in which it was done.
    fn check(&mut self, decision: &Value) {
        let entries = decision["entries"].as_array().unwrap();
        for entry in entries {
            let id = self.saw(&entry["leaderboardId"], &Value::Null);
            let season = entry["season"].as_i64().unwrap();
            if season != self.model.season(id) {
                continue;
            }
            self.saw(&entry["leaderboardId"], &entry["version"]);
            if entry["rank"].is_null() {
                continue;
            }
            let table = self.model.table(id, season);
            let place = table.iter().position(|row| entry["userId"] == row.0);
            let place = place.unwrap_or_else(|| panic!("{decision}: {table:?}"));
            assert_eq!(entry["score"], table[place].1, "{decision}: {table:?}");
            // A rank is that at its own version: others may have moved by the same decision afterwards.
            let moved = entries.iter().filter(|other| other["leaderboardId"] == id && other["season"] == season);
            if moved.count() == 1 {
                assert_eq!(entry["rank"], place + 1, "{decision}: {table:?}");
            }
        }
    }

    fn decided(&mut self, decision: &Value) {
        self.decisions.push(text(&decision["id"]));
        self.check(decision);
    }

    /// Approves or rejects one that waits, or turns a verdict.
    async fn judge(&mut self) {
        if self.reviews.is_empty() {
            return;
        }
        let id = self.reviews[self.random.usize(..self.reviews.len())].clone();
        let verdict = if self.random.u8(..3) == 0 { "reject" } else { "approve" };
        let body = json!({ "verdicts": [{ "eventId": id, "verdict": verdict, "reason": "a test" }] });
        let request = moderator(&self.app(), Method::POST, "/api/moderation/reviews").json(&body);
        let answer = request.answers(200).await;
        assert_eq!(answer["results"][0]["status"], 200, "{answer}");
        self.model.review(&id, verdict == "reject");
        self.check(&answer["results"][0]["body"]);
    }

    async fn hide(&mut self) {
        let user = self.user();
        if !self.model.knows(user) {
            return;
        }
        let leaderboard = if self.random.u8(..3) == 0 { None } else { Some(self.board()) };
        let hidden = hide(&self.app(), user, leaderboard).await;
        self.model.hide(&text(&hidden["id"]), user, leaderboard);
        self.decided(&hidden);
    }

    async fn void(&mut self) {
        let known = self.model.events();
        if known.is_empty() {
            return;
        }
        // The newest ones more often than others.
        let newest = known.len().saturating_sub(12);
        let from = if self.random.bool() { newest } else { 0 };
        let mut ids: Vec<_> = (0..self.random.usize(1..4)).map(|_| known[self.random.usize(from..known.len())].clone()).collect();
        ids.sort();
        ids.dedup();
        let voided = decide(&self.app(), "void", json!({ "eventIds": ids })).await;
        self.model.void(&text(&voided["id"]), &ids);
        self.decided(&voided);
    }

    async fn adjust(&mut self) {
        let (user, id, value) = (self.user(), self.board(), self.random.i64(-4..8));
        if !self.model.knows(user) {
            return;
        }
        let (by, kind) = if self.random.bool() { ("points", Kind::Added(value)) } else { ("score", Kind::Set(value)) };
        let mut fields = json!({ "userId": user, "leaderboardId": id });
        fields[by] = json!(value);
        let app = self.app();
        let adjusted = decide(&app, "adjust", fields).await;
        let path = format!("/api/users/{user}/scores?leaderboardId={id}&limit=5");
        let history = super::restricted(&app, &path).await;
        let known = self.model.events();
        let is_new = |event: &&Value| event["actionId"].is_null() && !known.iter().any(|id| event["eventId"] == *id);
        let event = history["scores"].as_array().unwrap().iter().find(is_new);
        let event = event.unwrap_or_else(|| panic!("the adjustment is an event of its own: {history}"));
        let season = self.model.season(id);
        self.model.add(&event["eventId"], user, &event["at"], vec![(id, season, kind)]);
        self.model.adjusted(&text(&adjusted["id"]), &text(&event["eventId"]));
        self.decided(&adjusted);
    }

    async fn take_back(&mut self) {
        if self.decisions.is_empty() {
            return;
        }
        let id = self.decisions.swap_remove(self.random.usize(..self.decisions.len()));
        let taken = moderator(&self.app(), Method::DELETE, &format!("{DECISIONS}/{id}")).answers(200).await;
        self.model.take_back(&id);
        self.check(&taken);
    }

    async fn end_season(&mut self) {
        let id = self.board();
        let season = self.model.season(id);
        end(&self.app(), id, season).await;
        self.model.end(id);
        for app in &self.apps {
            let path = format!("/api/leaderboards/{id}/entries");
            eventually("the new season is current", || async { app.get(&path).await["season"] == season + 1 }).await;
        }
    }

    /// Every instance, and everybody who watches, has the table of the model.
    async fn compare(&mut self) {
        for (index, app) in self.apps.iter().enumerate() {
            for (place, (id, ..)) in BOARDS.into_iter().enumerate() {
                let version = self.versions.get(id).map(|version| format!("&minVersion={version}")).unwrap_or_default();
                let window = app.get(&format!("/api/leaderboards/{id}/entries?limit=100{version}")).await;
                let expected = self.model.table(id, self.model.season(id));
                assert_eq!(model::rows(&window), expected, "{id} on instance {index}");
                assert_eq!(window["total"], expected.len());
                let table = &mut self.tables[index * BOARDS.len() + place];
                table.follow_to(&text(&window["version"])).await;
                assert_eq!(table.ranked(), expected, "whoever watches {id} on instance {index}");
            }
        }
    }

    /// Every archive has the table of the model, within a minute.
    async fn compare_archives(&self) {
        for app in &self.apps {
            for (id, ..) in BOARDS {
                for season in 1..self.model.season(id) {
                    let path = format!("/api/leaderboards/{id}/entries?limit=100&season={season}");
                    let expected = self.model.table(id, season);
                    let same = || async { model::rows(&app.get(&path).await) == expected };
                    within(60, &format!("season {season} of {id} is {expected:?}"), same).await;
                }
            }
        }
    }
}

async fn whatever_is_decided_rankings_are_the_fold_of_what_counts(backend: Backend) {
    let seed = std::env::var("FOLD_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("FOLD_SEED={seed}");
    let mut play = Play::start(backend, seed).await;
    for step in 1..=STEPS {
        play.step().await;
        if step % BETWEEN_CHECKS == 0 {
            println!("step {step}");
            play.compare().await;
        }
    }
    play.compare_archives().await;
    // All taken back: what was played, and nothing else.
    while !play.decisions.is_empty() {
        play.take_back().await;
    }
    play.compare().await;
    play.compare_archives().await;
    // And built anew from the ledger.
    let Play { mut apps, model, tables, .. } = play;
    drop(tables);
    apps.truncate(1);
    let mut app = Arc::into_inner(apps.remove(0)).unwrap();
    app.restart().await;
    for (id, ..) in BOARDS {
        let path = format!("/api/leaderboards/{id}/entries?limit=100");
        eventually("the ranking is back", || async { app.get(&path).await["version"].is_string() }).await;
        assert_eq!(model::rows(&app.get(&path).await), model.table(id, model.season(id)), "{id} built anew");
    }
}

//! What the rankings have to be: a plain fold of the events that count, in the order of acceptance, without those who are hidden.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::streams::text;

/// Leaderboards, with their operators and orders.
pub const BOARDS: [(&str, &str, &str); 3] = [("sums", "sum", "desc"), ("bests", "best", "asc"), ("lasts", "last", "desc")];

/// User, score and when it was reached.
pub type Row = (String, i64, String);

/// What an event does to a score.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A submission, by the leaderboard's operator.
    Points(i64),
    /// Adjustments, whatever the operator.
    Added(i64),
    Set(i64),
}

#[derive(Debug)]
struct Event {
    id: String,
    user: String,
    at: String,
    /// Leaderboard, season and effect.
    parts: Vec<(&'static str, i64, Kind)>,
    /// The decisions that void it.
    voided: BTreeSet<String>,
    /// Whether a review withholds it: it is pending, or rejected.
    in_review: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Model {
    /// In the order of acceptance.
    events: Vec<Event>,
    /// Active hides by decision: user, and leaderboard or all.
    hides: BTreeMap<String, (String, Option<&'static str>)>,
    /// Adjustments by decision: their events.
    adjustments: BTreeMap<String, String>,
    /// How many seasons of each leaderboard have ended.
    ended: BTreeMap<&'static str, i64>,
}

impl Model {
    pub fn add(&mut self, id: &Value, user: &str, at: &Value, parts: Vec<(&'static str, i64, Kind)>) {
        let (id, at) = (text(id), text(at));
        assert!(self.events.last().is_none_or(|last| last.at < at), "time never stands still");
        self.events.push(Event { id, user: user.to_owned(), at, parts, voided: BTreeSet::new(), in_review: false });
    }

    /// What a review says of an event.
    pub fn review(&mut self, id: &str, withheld: bool) {
        self.events.iter_mut().filter(|event| event.id == id).for_each(|event| event.in_review = withheld);
    }

    /// The ids of all events, oldest first.
    pub fn events(&self) -> Vec<String> {
        self.events.iter().map(|event| event.id.clone()).collect()
    }

    pub fn knows(&self, user: &str) -> bool {
        self.events.iter().any(|event| event.user == user)
    }

    /// The current season.
    pub fn season(&self, board: &str) -> i64 {
        1 + self.ended.get(board).copied().unwrap_or(0)
    }

    pub fn end(&mut self, board: &'static str) {
        *self.ended.entry(board).or_default() += 1;
    }

    pub fn hide(&mut self, decision: &str, user: &str, board: Option<&'static str>) {
        self.hides.insert(decision.to_owned(), (user.to_owned(), board));
    }

    pub fn hides(&self, user: &str, board: &str) -> bool {
        self.hides.values().any(|(hidden, on)| hidden == user && on.is_none_or(|on| on == board))
    }

    pub fn void(&mut self, decision: &str, ids: &[String]) {
        for event in self.events.iter_mut().filter(|event| ids.contains(&event.id)) {
            event.voided.insert(decision.to_owned());
        }
    }

    pub fn adjusted(&mut self, decision: &str, event: &str) {
        self.adjustments.insert(decision.to_owned(), event.to_owned());
    }

    /// Takes a decision back. An adjustment is voided by that.
    pub fn take_back(&mut self, decision: &str) {
        self.hides.remove(decision);
        for event in &mut self.events {
            event.voided.remove(decision);
        }
        if let Some(event) = self.adjustments.remove(decision) {
            self.void(decision, &[event]);
        }
    }

    /// A user's score, whether or not anybody sees it, and when it was reached.
    fn fold(&self, board: &str, season: i64, user: &str) -> Option<(i64, &str)> {
        let (_, operator, order) = *BOARDS.iter().find(|(id, ..)| *id == board).unwrap();
        let mut folded: Option<(i64, &str)> = None;
        for event in self.events.iter().filter(|event| event.user == user && event.voided.is_empty() && !event.in_review) {
            for (_, _, kind) in event.parts.iter().filter(|(id, of, _)| *id == board && *of == season) {
                let before = folded.map(|(score, _)| score);
                let score = match (*kind, before) {
                    (Kind::Set(score), _) => score,
                    (Kind::Added(points) | Kind::Points(points), None) => points,
                    (Kind::Added(points), Some(score)) => score + points,
                    (Kind::Points(points), Some(score)) => match (operator, order) {
                        ("sum", _) => score + points,
                        ("best", "asc") => score.min(points),
                        ("best", _) => score.max(points),
                        _ => points,
                    },
                };
                if before != Some(score) {
                    folded = Some((score, &event.at));
                }
            }
        }
        folded
    }

    pub fn score(&self, board: &str, season: i64, user: &str) -> Option<i64> {
        self.fold(board, season, user).map(|(score, _)| score)
    }

    /// The ranking that everybody sees, best first.
    pub fn table(&self, board: &str, season: i64) -> Vec<Row> {
        let users: BTreeSet<_> = self.events.iter().map(|event| &event.user).collect();
        let seen = users.into_iter().filter(|user| !self.hides(user, board));
        let rows = seen.filter_map(|user| self.fold(board, season, user).map(|(score, at)| (user.clone(), score, at.to_owned())));
        sorted(rows.collect(), BOARDS.iter().any(|(id, _, order)| *id == board && *order == "asc"))
    }
}

/// Rows in the order of their ranks: better scores first, then whoever reached theirs first.
pub fn sorted(mut rows: Vec<Row>, ascending: bool) -> Vec<Row> {
    let key = |(user, score, at): &Row| (if ascending { *score } else { -score }, at.clone(), user.clone());
    rows.sort_by_key(key);
    rows
}

/// The rows of a window; their ranks are 1, 2, 3 ….
pub fn rows(window: &Value) -> Vec<Row> {
    let entries = window["entries"].as_array().unwrap();
    let row = |(entry, rank): (&Value, usize)| {
        assert_eq!(entry["rank"], rank, "{window}");
        (text(&entry["userId"]), entry["score"].as_i64().unwrap(), text(&entry["at"]))
    };
    entries.iter().zip(1..).map(row).collect()
}

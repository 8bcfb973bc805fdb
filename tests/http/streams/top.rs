//! `view=top`: the window, and patches where it changed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use super::{post_batch, text};
use crate::{
    app::{Backend, TestApp},
    sse::{Received, Sse},
};

crate::both_backends!(
    patches_reproduce_the_window_at_every_version,
    patches_lead_to_the_window_that_concurrent_writers_leave,
    there_are_at_most_so_many_patches_a_second,
    a_new_name_is_patched,
    each_connection_starts_with_a_fresh_snapshot,
    who_comes_later_sees_the_newest_version_and_total,
);

/// What a browser keeps of the stream.
struct Shown {
    version: Value,
    rows: Vec<Value>,
}

impl Shown {
    fn of(snapshot: &Received) -> Self {
        assert_eq!(snapshot.event, "leaderboard");
        Self { version: snapshot.data["version"].clone(), rows: snapshot.data["entries"].as_array().unwrap().clone() }
    }

    /// `rows.forEach(r => w[r.rank-1]=r); w.length=size`
    fn patch(&mut self, patch: &Received) {
        assert_eq!(patch.event, "leaderboard-patch", "{patch:?}");
        assert_eq!(patch.data["since"], self.version, "follows what was shown last");
        assert_eq!(patch.data["version"], json!(patch.id));
        let changed = patch.data["rows"].as_array().unwrap();
        for row in changed {
            let index = row["rank"].as_u64().unwrap() as usize - 1;
            if index >= self.rows.len() {
                self.rows.resize(index + 1, Value::Null);
            }
            assert_ne!(self.rows[index], *row, "only rows that changed");
            self.rows[index] = row.clone();
        }
        self.rows.resize(patch.data["size"].as_u64().unwrap() as usize, Value::Null);
        assert!(self.rows.iter().all(|row| !row.is_null()), "no holes");
        self.version = patch.data["version"].clone();
    }
}

async fn patches_reproduce_the_window_at_every_version(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=top&limit=4&hz=20").await;
    let mut shown = Shown::of(&stream.expect("leaderboard").await);
    assert!(shown.rows.is_empty());
    let mut silent = 0;
    for round in 0..40_i64 {
        // Newcomers, climbs, falls, and scores far below the window.
        let receipt = app.post_value(&format!("user-{}", round * 5 % 11), (round * 37 % 23) - 6).await;
        let window = app.get(&format!("/api/leaderboard?limit=4&minVersion={}", text(&receipt["version"]))).await;
        if window["entries"] == json!(shown.rows) {
            silent += 1;
            continue;
        }
        let patch = stream.next().await.expect("the stream goes on");
        shown.patch(&patch);
        assert_eq!(shown.version, window["version"]);
        assert_eq!(json!(shown.rows), window["entries"]);
        assert_eq!(patch.data["total"], window["total"]);
    }
    assert!(
        silent > 0,
        "some scores leave the window as it is, and the `since` of the next patch shows that nothing was sent then"
    );
    app.post_value("winner", 1_000).await;
    shown.patch(&stream.expect("leaderboard-patch").await);
    assert_eq!(shown.rows[0]["userId"], "winner");
}

async fn patches_lead_to_the_window_that_concurrent_writers_leave(backend: Backend) {
    let app = Arc::new(TestApp::spawn(backend).await);
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=top&limit=5&hz=20").await;
    let mut shown = Shown::of(&stream.expect("leaderboard").await);
    let writers = (0..8_i64).map(|writer| {
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            for round in 0..20_i64 {
                app.post_value(&format!("user-{}", (writer + round) % 9), (writer * round) % 13 - 3).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let window = app.get("/api/leaderboard?limit=5").await;
    while json!(shown.rows) != window["entries"] {
        shown.patch(&stream.expect("leaderboard-patch").await);
    }
}

async fn there_are_at_most_so_many_patches_a_second(backend: Backend) {
    let app = Arc::new(TestApp::spawn(backend).await);
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=top&hz=4").await;
    let mut shown = Shown::of(&stream.expect("leaderboard").await);
    let begun = Instant::now();
    let writer = tokio::spawn({
        let app = Arc::clone(&app);
        async move {
            let mut posted = 0;
            while begun.elapsed() < Duration::from_secs(2) {
                app.post_score(&format!("user-{}", posted % 4), "goal").await;
                posted += 1;
            }
            posted
        }
    });
    let mut patches = 0;
    while !writer.is_finished() {
        if let Ok(patch) = tokio::time::timeout(Duration::from_millis(50), stream.next()).await {
            shown.patch(&patch.expect("the stream goes on"));
            patches += 1;
        }
    }
    let posted = writer.await.unwrap();
    let most = (begun.elapsed().as_secs_f64() * 4.0).ceil() as i32 + 1;
    assert!(posted > most, "a burst: {posted}");
    assert!((3..=most).contains(&patches), "{patches} patches, at most {most}");
}

async fn a_new_name_is_patched(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    app.post_score("bob", "point").await;
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=top").await;
    let mut shown = Shown::of(&stream.expect("leaderboard").await);
    let rename = app.admin(Method::PUT, "/api/users/bob").json(&json!({ "displayName": "Bobby" }));
    rename.send().await.unwrap().error_for_status().unwrap();
    let patch = stream.expect("leaderboard-patch").await;
    assert_eq!(patch.data["rows"].as_array().unwrap().len(), 1);
    shown.patch(&patch);
    assert_eq!((&shown.rows[1]["userId"], &shown.rows[1]["displayName"]), (&json!("bob"), &json!("Bobby")));
}

async fn each_connection_starts_with_a_fresh_snapshot(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let path = "/api/leaderboard/stream?view=top&hz=20&limit=3";
    let mut first = Sse::open(&app, path).await;
    let empty = first.expect("leaderboard").await;
    let last = post_batch(&app, 12, 6).await;
    let window = app.get("/api/leaderboard?limit=3").await;
    let mut shown = Shown::of(&empty);
    while json!(shown.rows) != window["entries"] {
        shown.patch(&first.expect("leaderboard-patch").await);
    }
    for position in [empty.id.as_str(), last.as_str(), "garbage"] {
        let snapshot = Sse::resume(&app, path, position).await.expect("leaderboard").await;
        assert_eq!(snapshot.data["entries"], window["entries"], "{position}");
    }
}

async fn who_comes_later_sees_the_newest_version_and_total(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let path = "/api/leaderboard/stream?view=top&hz=20&limit=1";
    let mut early = Sse::open(&app, path).await;
    let mut shown_early = Shown::of(&early.expect("leaderboard").await);
    app.post_value("leader", 100).await;
    shown_early.patch(&early.expect("leaderboard-patch").await);
    for user in ["a", "b", "c", "d"] {
        app.post_value(user, 1).await;
    }
    let window = app.get("/api/leaderboard?limit=1").await;

    let mut late = Sse::open(&app, path).await;
    let mut last = late.expect("leaderboard").await;
    let mut shown_late = Shown::of(&last);
    while shown_late.version != window["version"] {
        last = late.expect("leaderboard-patch").await;
        shown_late.patch(&last);
    }
    assert_eq!((&last.data["total"], &json!(shown_late.rows)), (&json!(5), &window["entries"]));

    app.post_value("leader", 1).await;
    let window = app.get("/api/leaderboard?limit=1").await;
    for (stream, mut shown) in [(&mut early, shown_early), (&mut late, shown_late)] {
        while json!(shown.rows) != window["entries"] {
            shown.patch(&stream.expect("leaderboard-patch").await);
        }
    }
}

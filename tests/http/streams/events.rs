//! `view=events`: a snapshot, then every score once and in order.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use super::{Replay, post_batch, scores, seq, text};
use crate::{
    app::{Backend, TestApp},
    sse::Sse,
};

crate::both_backends!(
    under_concurrent_writers_every_event_comes_once_in_order,
    what_changes_nothing_makes_no_event,
    a_snapshot_shows_as_many_entries_as_asked_for,
    a_burst_of_two_full_batches_reaches_a_reader_whole,
    a_snapshot_shows_the_newest_names,
    every_watcher_sees_the_same,
);

async fn under_concurrent_writers_every_event_comes_once_in_order(backend: Backend) {
    const WRITERS: usize = 8;
    const EACH: usize = 30;
    let app = Arc::new(TestApp::spawn(backend).await);
    app.post_value("user-0", 5).await;
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?limit=100").await;
    let mut replay = Replay::of(&stream.expect("leaderboard").await);
    let begun = seq(&replay.version);
    let writers = (0..WRITERS).map(|writer| {
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let mut last = String::new();
            for round in 0..EACH {
                let user = format!("user-{}", (writer * 7 + round * 3) % 12);
                // Small values make ties; there are zeros and losses among them.
                let value = ((writer + round) % 5) as i64 - 1;
                last = text(&app.post_value(&user, value).await["version"]);
            }
            last
        })
    });
    let mut last = String::new();
    for writer in writers.collect::<Vec<_>>() {
        let version = writer.await.unwrap();
        last = if last.is_empty() || seq(&version) > seq(&last) { version } else { last };
    }
    assert!(seq(&last) - begun <= (WRITERS * EACH) as u64);
    let window = app.get("/api/leaderboard?limit=100").await;
    let head = text(&window["version"]);
    assert!(seq(&head) >= seq(&last));
    replay.follow_to(&mut stream, &head).await;
    assert_eq!(replay.ranked(), scores(&window));
}

async fn what_changes_nothing_makes_no_event(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("records", json!({ "operator": "best" })).await;
    let submit = |value: i64| app.submit(json!({ "actionId": "records", "userId": "ann", "value": value }));
    submit(50).await;
    let mut stream = Sse::open(&app, "/api/leaderboards/records/stream").await;
    let mut replay = Replay::of(&stream.expect("leaderboard").await);
    assert_eq!(submit(40).await["applied"], json!(false));
    let receipt = submit(60).await;
    let event = stream.expect("score-updated").await;
    replay.take(&event);
    assert_eq!(event.data["eventId"], receipt["eventId"]);
}

async fn a_snapshot_shows_as_many_entries_as_asked_for(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    post_batch(&app, 30, 15).await;
    for (path, expected) in [("/api/leaderboard/stream", 10), ("/api/leaderboard/stream?limit=3", 3)] {
        let snapshot = Sse::open(&app, path).await.expect("leaderboard").await;
        let window = app.get(&format!("/api/leaderboard?limit={expected}")).await;
        assert_eq!(snapshot.data, window, "the data is the window's");
        assert_eq!(snapshot.data["entries"].as_array().unwrap().len(), expected);
    }
}

/// Two batches may be committed and told as one: more than a client could read in the same moment.
async fn a_burst_of_two_full_batches_reaches_a_reader_whole(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut stream = Sse::open(&app, "/api/leaderboard/stream").await;
    let mut replay = Replay::of(&stream.expect("leaderboard").await);
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 2000 {
            let event = stream.expect("score-updated").await;
            replay.take(&event);
            seen.push(event.id);
        }
        seen
    });
    let posted = tokio::join!(post_batch(&app, 1000, 7), post_batch(&app, 1000, 7));
    let seen = reading.await.unwrap();
    assert_eq!(seen.last(), [posted.0, posted.1].iter().max_by_key(|version| seq(version)));
}

async fn a_snapshot_shows_the_newest_names(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let first = Sse::open(&app, "/api/leaderboard/stream").await.expect("leaderboard").await;
    assert_eq!(first.data["entries"][0]["displayName"], "ann");
    let rename = app.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": "Ann B." }));
    rename.send().await.unwrap().error_for_status().unwrap();
    crate::app::eventually("a new stream shows the new name", || async {
        let snapshot = Sse::open(&app, "/api/leaderboard/stream").await.expect("leaderboard").await;
        snapshot.data["entries"][0]["displayName"] == "Ann B."
    })
    .await;
}

async fn every_watcher_sees_the_same(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = Sse::open(&app, "/api/leaderboard/stream").await;
        stream.expect("leaderboard").await;
        streams.push(stream);
    }
    let last = post_batch(&app, 50, 5).await;
    let mut seen = Vec::new();
    for stream in &mut streams {
        let mut events = Vec::new();
        while events.last().is_none_or(|(id, _)| *id != last) {
            let event = stream.expect("score-updated").await;
            events.push((event.id, event.data));
        }
        seen.push(events);
    }
    assert_eq!(seen[0].len(), 50);
    assert!(seen.iter().all(|events| *events == seen[0]));
}

//! Coming back with a position: continued exactly after it, or told that this cannot be.

use super::{Replay, post_batch, post_batches, scores, seq, text};
use crate::{
    app::{Backend, TestApp},
    sse::{Received, Sse},
};

crate::both_backends!(
    a_position_in_the_header_is_continued_exactly,
    a_position_in_the_query_is_continued_exactly,
    the_header_wins_over_the_query,
    a_position_far_back_is_continued_from_the_history,
    a_position_older_than_the_history_is_reset,
    a_position_of_another_life_is_reset,
    reading_and_then_watching_leaves_no_gap,
    a_connection_cut_off_under_load_loses_nothing,
);

const STREAM: &str = "/api/leaderboard/stream?limit=100";

async fn snapshot(app: &TestApp) -> Received {
    Sse::open(app, STREAM).await.expect("leaderboard").await
}

async fn a_position_in_the_header_is_continued_exactly(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    post_batch(&app, 10, 3).await;
    let mut replay = Replay::of(&snapshot(&app).await);
    let last = post_batch(&app, 40, 5).await;
    let mut stream = Sse::resume(&app, STREAM, &replay.version).await;
    replay.follow_to(&mut stream, &last).await;
    assert_eq!(replay.ranked(), scores(&app.get("/api/leaderboard").await));

    let live = app.post_score("zoe", "goal").await;
    let event = stream.expect("score-updated").await;
    replay.take(&event);
    assert_eq!(event.data["eventId"], live["eventId"]);
}

async fn a_position_in_the_query_is_continued_exactly(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut replay = Replay::of(&snapshot(&app).await);
    let last = post_batch(&app, 20, 5).await;
    let mut stream = Sse::open(&app, &format!("{STREAM}&lastEventId={}", replay.version)).await;
    replay.follow_to(&mut stream, &last).await;
}

async fn the_header_wins_over_the_query(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let old = snapshot(&app).await.id;
    let newer = app.post_score("ann", "goal").await;
    let newest = app.post_score("bob", "goal").await;
    let mut stream = Sse::resume(&app, &format!("{STREAM}&lastEventId={old}"), newer["version"].as_str().unwrap()).await;
    let event = stream.expect("score-updated").await;
    assert_eq!(event.data["eventId"], newest["eventId"]);
}

async fn a_position_far_back_is_continued_from_the_history(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut replay = Replay::of(&snapshot(&app).await);
    let mut second = Replay::of(&snapshot(&app).await);
    let last = post_batches(&app, 6, 4).await;
    assert_eq!(seq(&last) - seq(&replay.version), 6000);
    let mut stream = Sse::resume(&app, STREAM, &replay.version).await;
    let half = format!("{}-{}", last.split_once('-').unwrap().0, seq(&last) - 3000);
    let mut middle = Sse::resume(&app, STREAM, &half).await;
    replay.follow_to(&mut stream, &last).await;
    assert_eq!(replay.ranked(), scores(&app.get("/api/leaderboard").await));
    assert_eq!(seq(&middle.expect("score-updated").await.id), seq(&half) + 1);

    let another = post_batch(&app, 100, 4).await;
    replay.follow_to(&mut stream, &another).await;
    let mut late = Sse::resume(&app, STREAM, &second.version).await;
    second.follow_to(&mut late, &another).await;
}

async fn a_position_older_than_the_history_is_reset(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--stream-history=50"]).await;
    let first = text(&app.post_score("user-0", "point").await["version"]);
    // One by one, because Redis trims its stream by whole nodes of a hundred messages. Nobody watches, so nothing is kept in memory.
    let mut versions = Vec::new();
    for index in 0..300 {
        versions.push(text(&app.post_score(&format!("user-{}", index % 5), "point").await["version"]));
    }
    let mut stream = Sse::resume(&app, STREAM, &versions[versions.len() - 40]).await;
    for version in &versions[versions.len() - 39..] {
        assert_eq!(stream.expect("score-updated").await.id, *version);
    }
    let mut stream = Sse::resume(&app, STREAM, &first).await;
    let event = stream.expect("leaderboard").await;
    assert_eq!(event.data["reset"], true);
    assert_eq!(Some(&event.id), versions.last());
    let mut replay = Replay::of(&event);
    app.post_score("zoe", "goal").await;
    replay.take(&stream.expect("score-updated").await);
}

async fn a_position_of_another_life_is_reset(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let head = text(&app.post_score("ann", "goal").await["version"]);
    let (epoch, seq) = (head.split_once('-').unwrap().0, seq(&head));
    let ahead = format!("{epoch}-{}", seq + 1);
    let far_ahead = format!("{epoch}-999999999999999999");
    for position in ["0-0", "zzzzzzzzzzz-1", "garbage", "A-1", "-", ahead.as_str(), far_ahead.as_str()] {
        let mut stream = Sse::resume(&app, STREAM, position).await;
        let event = stream.expect("leaderboard").await;
        assert_eq!((&event.data["reset"], &event.id), (&serde_json::json!(true), &head), "{position}");
    }
    let mut stream = Sse::resume(&app, STREAM, &ahead).await;
    stream.expect("leaderboard").await;
    let receipt = app.post_score("ann", "point").await;
    assert_eq!(stream.expect("score-updated").await.data["eventId"], receipt["eventId"]);
    assert_eq!(Sse::resume(&app, STREAM, &head).await.expect("score-updated").await.id, ahead, "by now it has come to be");
}

async fn reading_and_then_watching_leaves_no_gap(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    post_batch(&app, 20, 6).await;
    let window = app.get("/api/leaderboard?limit=100").await;
    let last = post_batch(&app, 20, 9).await;
    let id = text(&window["version"]);
    let mut replay = Replay::of(&Received { event: "leaderboard".into(), id: id.clone(), data: window });
    let mut stream = Sse::open(&app, &format!("{STREAM}&lastEventId={id}")).await;
    replay.follow_to(&mut stream, &last).await;
    assert_eq!(replay.ranked(), scores(&app.get("/api/leaderboard").await));
}

async fn a_connection_cut_off_under_load_loses_nothing(backend: Backend) {
    let app = std::sync::Arc::new(TestApp::spawn(backend).await);
    let mut stream = Sse::open(&app, STREAM).await;
    let mut replay = Replay::of(&stream.expect("leaderboard").await);
    let writer = tokio::spawn({
        let app = app.clone();
        async move {
            let mut last = String::new();
            for round in 0..30 {
                last = post_batch(&app, 20, 3 + round % 5).await;
            }
            last
        }
    });
    let mut cuts = 0;
    while !writer.is_finished() {
        for _ in 0..7 {
            let Ok(event) = tokio::time::timeout(std::time::Duration::from_millis(200), stream.next()).await else { break };
            replay.take(&event.expect("the stream goes on"));
        }
        stream = Sse::resume(&app, STREAM, &replay.version).await;
        cuts += 1;
    }
    let last = writer.await.unwrap();
    replay.follow_to(&mut stream, &last).await;
    assert!(cuts > 1);
    assert_eq!(replay.ranked(), scores(&app.get("/api/leaderboard").await));
}

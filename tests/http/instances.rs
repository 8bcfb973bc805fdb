//! Several instances side by side on one Postgres and one Redis, as behind a load balancer without sticky sessions.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    app::{Backend, TestApp, eventually, status_and_json},
    sse::Sse,
    streams::{Replay, post_batch, scores, seq, text},
};

const STREAM: &str = "/api/leaderboard/stream?limit=100";

async fn three() -> [Arc<TestApp>; 3] {
    let first = TestApp::spawn(Backend::Shared).await;
    let (second, third) = (first.another().await, first.another().await);
    [first, second, third].map(Arc::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_posted_to_one_is_seen_on_another() {
    let [a, b, _] = three().await;
    let mut stream = Sse::open(&b, STREAM).await;
    let mut replay = Replay::of(&stream.expect("leaderboard").await);
    let receipt = a.post_score("ann", "goal").await;
    let event = stream.expect("score-updated").await;
    replay.take(&event);
    assert_eq!((&event.data["eventId"], &event.data["version"]), (&receipt["eventId"], &receipt["version"]));
    let path = format!("/api/leaderboard?minVersion={}", text(&receipt["version"]));
    assert_eq!(scores(&b.get(&path).await), [("ann".to_owned(), 10)], "whoever holds a receipt reads their own write anywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_continued_on_another_instance() {
    let [a, b, c] = three().await;
    let mut stream = Sse::open(&a, STREAM).await;
    let mut replay = Replay::of(&stream.expect("leaderboard").await);
    for (poster, next) in [(&a, &b), (&c, &c), (&b, &a)] {
        let last = post_batch(poster, 30, 7).await;
        let mut stream = Sse::resume(next, STREAM, &replay.version).await;
        replay.follow_to(&mut stream, &last).await;
    }
    // At once after the answer, before the other instance may have heard of it.
    for round in 0..20 {
        let (poster, next) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let receipt = poster.post_score("ann", "point").await;
        let mut stream = Sse::resume(next, STREAM, receipt["version"].as_str().unwrap()).await;
        let following = poster.post_score("bob", "point").await;
        let event = stream.next().await.unwrap();
        assert_eq!((event.event.as_str(), &event.data["eventId"]), ("score-updated", &following["eventId"]), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_posts_of_the_same_users_are_one_history_everywhere() {
    const WRITERS: usize = 9;
    const EACH: usize = 25;
    let apps = three().await;
    let mut streams = Vec::new();
    for app in &apps {
        let mut stream = Sse::open(app, STREAM).await;
        let replay = Replay::of(&stream.expect("leaderboard").await);
        streams.push((stream, replay));
    }
    let begun = seq(&streams[0].1.version);
    let writers = (0..WRITERS).map(|writer| {
        let app = Arc::clone(&apps[writer % 3]);
        tokio::spawn(async move {
            let mut receipts = Vec::new();
            for round in 0..EACH {
                receipts.push(app.post_value(&format!("user-{}", (writer + round) % 4), 1 + (round % 3) as i64).await);
            }
            receipts
        })
    });
    let mut receipts = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        receipts.extend(writer.await.unwrap());
    }
    let last = begun + (WRITERS * EACH) as u64;
    let mut histories = Vec::new();
    for (stream, replay) in &mut streams {
        let mut history = Vec::new();
        while seq(&replay.version) < last {
            let event = stream.expect("score-updated").await;
            replay.take(&event);
            history.push((event.id, event.data));
        }
        histories.push(history);
    }
    assert!(histories.iter().all(|history| *history == histories[0]), "the same events in the same order everywhere");
    let mut told: Vec<_> = histories[0].iter().map(|(_, data)| text(&data["eventId"])).collect();
    let mut accepted: Vec<_> = receipts.iter().map(|receipt| text(&receipt["eventId"])).collect();
    told.sort();
    accepted.sort();
    assert_eq!(told, accepted, "each accepted score once");
    for receipt in receipts.iter().filter(|receipt| !receipt["version"].is_null()) {
        let (_, told) = histories[0].iter().find(|(_, data)| data["eventId"] == receipt["eventId"]).unwrap();
        for field in ["version", "rank", "delta", "previousScore"] {
            assert_eq!(receipt[field], told[field], "{field}");
        }
        assert_eq!(receipt["newScore"], told["score"]);
    }
    let mut windows = Vec::new();
    for app in &apps {
        windows.push(app.get("/api/leaderboard?limit=100").await);
    }
    assert!(windows.iter().all(|window| *window == windows[0]));
    assert_eq!(streams[0].1.ranked(), scores(&windows[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_defined_on_one_can_be_used_on_another_at_once() {
    let [a, b, c] = three().await;
    a.make_leaderboard("cup", json!({ "operator": "best" })).await;
    let receipt = b.submit(json!({ "actionId": "cup", "userId": "ann", "value": 7 })).await;
    assert_eq!(receipt["leaderboardId"], "cup");
    assert_eq!(c.get("/api/leaderboards/cup").await["operator"], "best");
    let window = c.get(&format!("/api/leaderboards/cup/entries?minVersion={}", text(&receipt["version"]))).await;
    assert_eq!(scores(&window), [("ann".to_owned(), 7)]);
    let mut stream = Sse::open(&c, "/api/leaderboards/cup/stream").await;
    assert_eq!(stream.expect("leaderboard").await.data["entries"], window["entries"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_closed_on_one_refuses_scores_on_another_at_once() {
    let [a, b, _] = three().await;
    b.post_score("ann", "goal").await;
    let mut stream = Sse::open(&b, STREAM).await;
    stream.expect("leaderboard").await;
    let close = a.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({ "closed": true }));
    close.send().await.unwrap().error_for_status().unwrap();
    let refused = b.game(Method::POST, "/api/scores").json(&json!({ "actionId": "goal", "userId": "ann" }));
    let (status, problem) = status_and_json(refused.send().await.unwrap()).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("urn:scoreboard:problem:closed")));
    assert_eq!(stream.expect("leaderboard-changed").await.data["closed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_to_all_instances_at_once_counts_once() {
    let apps = three().await;
    for round in 0..10 {
        let posts = (0..9).map(|index| {
            let app = Arc::clone(&apps[index % 3]);
            tokio::spawn(async move {
                let post = app.game(Method::POST, "/api/scores").header("idempotency-key", format!("key-{round}"));
                let response = post.json(&json!({ "actionId": "goal", "userId": "ann" })).send().await.unwrap();
                let replayed = response.headers().contains_key("idempotency-replayed");
                (status_and_json(response).await, replayed)
            })
        });
        let mut answers = Vec::new();
        for post in posts.collect::<Vec<_>>() {
            answers.push(post.await.unwrap());
        }
        let ((_, first), _) = &answers[0];
        assert!(answers.iter().all(|((status, body), _)| *status == 200 && body == first), "{answers:?}");
        assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1, "{answers:?}");
    }
    assert_eq!(scores(&apps[0].get("/api/leaderboard").await), [("ann".to_owned(), 100)]);
    let history = apps[1].admin(Method::GET, "/api/users/ann/scores?limit=100").send().await.unwrap();
    assert_eq!(status_and_json(history).await.1["scores"].as_array().unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_on_one_shows_on_another() {
    let [a, b, c] = three().await;
    let before = text(&a.post_score("ann", "goal").await["version"]);
    let mut events = Sse::open(&c, STREAM).await;
    events.expect("leaderboard").await;
    let mut top = Sse::open(&b, "/api/leaderboard/stream?view=top&hz=20").await;
    top.expect("leaderboard").await;
    let rename = a.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": "Ann B." }));
    rename.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(top.expect("leaderboard-patch").await.data["rows"][0]["displayName"], "Ann B.");
    let told = events.expect("user-changed").await;
    assert_eq!((&told.data["displayName"], &told.data["since"]), (&json!("Ann B."), &json!(before)));
    for app in [&a, &b, &c] {
        let mut resumed = Sse::resume(app, STREAM, &before).await;
        assert_eq!(resumed.expect("user-changed").await.data, told.data, "the same on each");
    }
    let receipt = b.post_score("ann", "goal").await;
    let score = events.expect("score-updated").await;
    assert_eq!((&score.data["since"], &score.data["version"]), (&json!(told.id), &receipt["version"]));
    assert_eq!(top.expect("leaderboard-patch").await.data["rows"][0]["displayName"], "Ann B.");
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_counted_over_all_instances() {
    let [a, b, c] = three().await;
    let on_a = Sse::open(&a, STREAM).await;
    let on_b = [Sse::open(&b, STREAM).await, Sse::open(&b, "/api/leaderboard/stream?view=top").await];
    let counted = async |expected: u64| {
        eventually("the watchers are counted", || async {
            let watchers: Value = c.get("/api/leaderboards/main").await["watchers"].clone();
            watchers == json!(expected)
        })
        .await;
    };
    counted(3).await;
    drop(on_b);
    counted(1).await;
    drop(on_a);
    counted(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_on_one_ends_the_streams_on_another() {
    let [a, b, _] = three().await;
    a.post_score("ann", "goal").await;
    let mut stream = Sse::open(&b, STREAM).await;
    stream.expect("leaderboard").await;
    let deletion = a.admin(Method::DELETE, "/api/leaderboards/main").send().await.unwrap();
    assert_eq!(deletion.status(), StatusCode::NO_CONTENT);
    assert_eq!(stream.expect("leaderboard-changed").await.data["deleted"], true);
    assert_eq!(stream.expect("closed").await.data["reason"], "deleted");
    assert!(stream.next().await.is_none());
    eventually("the other instance knows", || async {
        b.anonymous(Method::GET, STREAM).send().await.unwrap().status() == StatusCode::NOT_FOUND
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_stops_leaves_the_others_in_order() {
    let first = TestApp::spawn(Backend::Shared).await;
    let mut second = first.another().await;
    let mut here = Sse::open(&first, STREAM).await;
    let mut there = Sse::open(&second, STREAM).await;
    let mut replay = Replay::of(&here.expect("leaderboard").await);
    let mut moved = Replay::of(&there.expect("leaderboard").await);
    let last = post_batch(&second, 10, 3).await;
    replay.follow_to(&mut here, &last).await;
    moved.follow_to(&mut there, &last).await;
    second.stop().await;
    assert!(there.next().await.is_none());
    let last = post_batch(&first, 10, 3).await;
    let mut there = Sse::resume(&first, STREAM, &moved.version).await;
    replay.follow_to(&mut here, &last).await;
    moved.follow_to(&mut there, &last).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while first.get("/api/leaderboards/main").await["watchers"] != 2 {
        assert!(std::time::Instant::now() < deadline, "the one that stopped did not take its watchers back");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_made_private_on_one_is_watched_by_nobody_unasked_on_another() {
    const ROUNDS: usize = 6;
    let [a, b, _] = three().await;
    for round in 0..ROUNDS {
        let id = format!("board-{round}");
        a.make_leaderboard(&id, json!({})).await;
        let (definition, stream) = (format!("/api/leaderboards/{id}"), format!("/api/leaderboards/{id}/stream"));
        b.get(&definition).await;
        let hide = a.admin(Method::PATCH, &definition).json(&json!({ "visibility": "private" }));
        hide.send().await.unwrap().error_for_status().unwrap();
        // The other instance hears of it at once, but not before the answer is here: some of these may still be let in.
        let opened = b.anonymous(Method::GET, &stream).send().await.unwrap();
        if opened.status() == StatusCode::OK {
            let mut opened = Sse::of(opened);
            while let Some(event) = opened.next().await {
                assert_eq!((&*event.event, &event.data), ("closed", &json!({ "reason": "private" })), "nothing is shown");
            }
        } else {
            assert_eq!(opened.status(), StatusCode::UNAUTHORIZED);
        }
    }
}

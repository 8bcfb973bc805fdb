//! Streams that the server ends for good say why: the token has ended, the leaderboard was made private or deleted.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::text;
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually},
    sse::Sse,
};

crate::both_backends!(
    a_token_that_ends_is_announced_on_private_streams,
    a_token_that_ends_takes_nothing_from_a_public_stream,
    a_leaderboard_made_private_with_a_new_name_is_left_without_a_word_of_it,
    the_share_of_a_leaderboard_made_private_ends_and_the_others_go_on,
    what_was_private_is_not_told_later,
    the_last_share_that_ends_ends_the_stream,
    whoever_comes_after_a_change_of_visibility_meets_the_new_one,
);

const VIEWS: [&str; 3] = ["", "?view=top&hz=20", "?view=user&userId=ann&hz=20"];
/// Longer than a token of one second lasts, with the few seconds that clocks may differ and the tick that tells.
const TOKEN_ENDS: Duration = Duration::from_secs(10);

async fn patch(app: &TestApp, id: &str, change: Value) {
    app.admin(Method::PATCH, &format!("/api/leaderboards/{id}")).json(&change).answers(200).await;
}

async fn spawn(backend: Backend, visibility: &str) -> TestApp {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({ "visibility": visibility })).await;
    app.submit(json!({ "actionId": "cup", "userId": "ann", "value": 5 })).await;
    app
}

fn with_token(path: &str, token: &str) -> String {
    format!("{path}{}access_token={token}", if path.contains('?') { '&' } else { '?' })
}

/// Reads the state that a stream begins with.
async fn read_a_block(stream: &mut Response) {
    let mut read = Vec::new();
    while !read.ends_with(b"\n\n") {
        read.extend_from_slice(&stream.chunk().await.unwrap().expect("a state"));
    }
}

async fn a_token_that_ends_is_announced_on_private_streams(backend: Backend) {
    let app = spawn(backend, "private").await;
    let token = app.token_for("reader", "leaderboards:read", 1);
    let mut paths: Vec<_> = VIEWS.iter().map(|view| format!("/api/leaderboards/cup/stream{view}")).collect();
    paths.push("/api/stream?leaderboards=main,cup".to_owned());
    let mut streams = Vec::new();
    for path in &paths {
        let mut stream = app.anonymous(Method::GET, &with_token(path, &token)).send().await.unwrap();
        read_a_block(&mut stream).await;
        streams.push(tokio::spawn(stream.text()));
    }
    let begun = Instant::now();
    for (stream, path) in streams.into_iter().zip(&paths) {
        // Nothing happens on the leaderboard that could wake them.
        let rest = tokio::time::timeout(TOKEN_ENDS, stream).await.expect("the stream ends by itself").unwrap().unwrap();
        let last = rest.trim_end().rsplit("\n\n").next().unwrap();
        let (said, retry) = last.rsplit_once("\nretry: ").unwrap_or_else(|| panic!("{path}: {rest}"));
        assert_eq!(said, "event: closed\ndata: {\"reason\":\"token-expired\"}", "{path}");
        assert!(retry.parse::<u64>().unwrap() >= 10_000, "time enough to fetch another token: {retry}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "not before the token");
    app.anonymous(Method::GET, &with_token(&paths[0], &token)).refused(401).await;
}

async fn a_token_that_ends_takes_nothing_from_a_public_stream(backend: Backend) {
    let app = spawn(backend, "public").await;
    let token = app.token_for("reader", "leaderboards:read", 1);
    let path = with_token("/api/leaderboards/cup/stream", &token);
    let mut stream = Sse::open(&app, &path).await;
    stream.expect("leaderboard").await;
    app.make_leaderboard("secret", json!({ "visibility": "private" })).await;
    let secret = with_token("/api/leaderboards/secret/stream", &token);
    eventually("the token has ended", || async { app.anonymous(Method::GET, &secret).send().await.unwrap().status() == 401 })
        .await;
    let receipt = app.submit(json!({ "actionId": "cup", "userId": "bob", "value": 7 })).await;
    assert_eq!(stream.expect("score-updated").await.data["eventId"], receipt["eventId"]);
    let mut again = Sse::open(&app, &with_token("/api/leaderboards/cup/stream?view=top", &token)).await;
    again.expect("leaderboard").await;
    patch(&app, "cup", json!({ "visibility": "private" })).await;
    for stream in [&mut stream, &mut again] {
        assert_eq!(stream.expect("closed").await.data, json!({ "reason": "private" }), "a token that has ended is none");
        assert!(stream.next().await.is_none());
    }
}

async fn a_leaderboard_made_private_with_a_new_name_is_left_without_a_word_of_it(backend: Backend) {
    let app = spawn(backend, "public").await;
    let reader = app.token("reader", "leaderboards:read");
    let stranger = app.token("stranger", "scores:write leaderboards:admin");
    let (mut unasked, mut readers) = (Vec::new(), Vec::new());
    for view in VIEWS {
        let path = format!("/api/leaderboards/cup/stream{view}");
        for path in [path.clone(), with_token(&path, &stranger)] {
            let mut stream = app.anonymous(Method::GET, &path).send().await.unwrap();
            read_a_block(&mut stream).await;
            unasked.push((path, stream));
        }
        let mut stream = Sse::open(&app, &with_token(&path, &reader)).await;
        stream.next().await.expect("a state");
        readers.push(stream);
    }
    patch(&app, "cup", json!({ "visibility": "private", "name": "The merger", "description": "with Acme" })).await;
    let receipt = app.submit(json!({ "actionId": "cup", "userId": "Acme", "value": 70 })).await;
    for (path, stream) in unasked {
        let rest = tokio::time::timeout(Duration::from_secs(10), stream.text()).await.expect("the stream ends").unwrap();
        let (said, retry) = rest.trim_end().rsplit_once("\nretry: ").unwrap_or_else(|| panic!("{path}: {rest}"));
        assert_eq!(said, "event: closed\ndata: {\"reason\":\"private\"}", "{path}");
        assert!(retry.parse::<u64>().unwrap() >= 10_000);
    }
    for stream in &mut readers {
        assert_eq!(stream.expect("leaderboard-changed").await.data["name"], "The merger", "whoever may read it stays");
    }
    assert_eq!(readers[0].expect("score-updated").await.data["eventId"], receipt["eventId"]);
    assert_eq!(readers[1].expect("leaderboard-patch").await.data["rows"][0]["userId"], "Acme");
    assert_eq!(readers[2].expect("standing").await.data["entry"]["rank"], 2);
}

async fn the_share_of_a_leaderboard_made_private_ends_and_the_others_go_on(backend: Backend) {
    let app = spawn(backend, "public").await;
    let mut stream = Sse::open(&app, "/api/stream?leaderboards=main,cup&hz=20").await;
    stream.expect("leaderboard").await;
    stream.expect("leaderboard").await;
    patch(&app, "cup", json!({ "visibility": "private", "name": "The merger" })).await;
    let closed = stream.expect("closed").await;
    assert_eq!((closed.id.as_str(), &closed.data), ("", &json!({ "reason": "private", "leaderboardId": "cup" })));
    app.submit(json!({ "actionId": "cup", "userId": "Acme", "value": 70 })).await;
    app.post_score("ann", "goal").await;
    let patch = stream.expect("leaderboard-patch").await;
    assert_eq!(patch.data["leaderboardId"], "main");
    assert!(!patch.data.to_string().contains("Acme"));
    app.anonymous(Method::GET, "/api/stream?leaderboards=main,cup").refused(401).await;
}

async fn the_last_share_that_ends_ends_the_stream(backend: Backend) {
    let app = spawn(backend, "public").await;
    app.make_leaderboard("second", json!({})).await;
    let mut stream = Sse::open(&app, "/api/stream?leaderboards=second,cup&hz=20").await;
    stream.expect("leaderboard").await;
    stream.expect("leaderboard").await;
    app.admin(Method::DELETE, "/api/leaderboards/second").responds(204).await;
    assert_eq!(stream.expect("leaderboard-changed").await.data, json!({ "leaderboardId": "second", "deleted": true }));
    patch(&app, "cup", json!({ "visibility": "private" })).await;
    assert_eq!(stream.expect("closed").await.data, json!({ "reason": "private" }));
    assert!(stream.next().await.is_none());
}

/// The time in which it was private lies within what a client may resume, and its names stay with those who could read them.
async fn what_was_private_is_not_told_later(backend: Backend) {
    let app = spawn(backend, "public").await;
    let path = "/api/leaderboards/cup/stream";
    let before = Sse::open(&app, path).await.expect("leaderboard").await.id;
    patch(&app, "cup", json!({ "visibility": "private", "name": "The merger" })).await;
    let during = app.submit(json!({ "actionId": "cup", "userId": "bob", "value": 7 })).await;
    patch(&app, "cup", json!({ "visibility": "public", "name": "Summer cup" })).await;
    app.submit(json!({ "actionId": "cup", "userId": "cy", "value": 1 })).await;

    let reader = app.token("reader", "leaderboards:read");
    let mut asked = Sse::resume(&app, &with_token(path, &reader), &before).await;
    assert_eq!(asked.expect("leaderboard-changed").await.data["name"], "The merger");

    let mut stream = Sse::resume(&app, path, &before).await;
    let reset = stream.expect("leaderboard").await;
    assert_eq!((&reset.data["reset"], &reset.data["total"]), (&json!(true), &json!(3)));
    let mut later = Sse::resume(&app, path, &text(&during["version"])).await;
    assert_eq!(later.expect("leaderboard-changed").await.data["name"], "Summer cup");
    let receipt = app.submit(json!({ "actionId": "cup", "userId": "bob", "value": 1 })).await;
    for stream in [&mut stream, &mut asked] {
        let mut event = stream.next().await.unwrap();
        while event.data["eventId"] != receipt["eventId"] {
            event = stream.next().await.unwrap();
        }
    }
}

async fn whoever_comes_after_a_change_of_visibility_meets_the_new_one(backend: Backend) {
    let app = spawn(backend, "public").await;
    let reader = app.token("reader", "leaderboards:read");
    // Somebody keeps the leaderboard followed.
    let mut kept = Sse::open(&app, &with_token("/api/leaderboards/cup/stream", &reader)).await;
    kept.expect("leaderboard").await;
    for _ in 0..10 {
        patch(&app, "cup", json!({ "visibility": "private" })).await;
        app.anonymous(Method::GET, "/api/leaderboards/cup/stream").refused(401).await;
        patch(&app, "cup", json!({ "visibility": "public" })).await;
        for view in VIEWS {
            let state = Sse::open(&app, &format!("/api/leaderboards/cup/stream{view}")).await.next().await.unwrap();
            assert_ne!(state.event, "closed", "{view}");
        }
    }
}

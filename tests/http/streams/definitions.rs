//! What watchers see of changes of the leaderboard itself, and several leaderboards in one stream.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Replay, text};
use crate::{
    app::{Backend, TestApp},
    sse::Sse,
};

crate::both_backends!(
    a_changed_definition_is_told_in_every_view,
    a_deleted_leaderboard_ends_its_streams,
    a_leaderboard_made_again_under_the_same_id_starts_from_nothing,
    turning_the_order_round_turns_the_window_round,
    several_leaderboards_share_one_stream_without_ids,
    a_private_leaderboard_is_streamed_to_those_who_may_read_it,
);

const VIEWS: [&str; 3] = ["", "?view=top&hz=20", "?view=user&userId=ann&hz=20"];

async fn patch(app: &TestApp, id: &str, change: Value) -> Value {
    let request = app.admin(Method::PATCH, &format!("/api/leaderboards/{id}")).json(&change);
    request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

async fn delete(app: &TestApp, id: &str) {
    let request = app.admin(Method::DELETE, &format!("/api/leaderboards/{id}"));
    request.send().await.unwrap().error_for_status().unwrap();
}

async fn a_changed_definition_is_told_in_every_view(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let mut streams = Vec::new();
    for view in VIEWS {
        let mut stream = Sse::open(&app, &format!("/api/leaderboard/stream{view}")).await;
        let first = stream.next().await.unwrap();
        streams.push((stream, first));
    }
    let definition = patch(&app, "main", json!({ "name": "Renamed", "closed": true })).await;
    let mut ids = Vec::new();
    for (stream, _) in &mut streams {
        let event = stream.expect("leaderboard-changed").await;
        assert_eq!((&event.data["id"], &event.data["name"]), (&json!("main"), &json!("Renamed")));
        assert_eq!((&event.data["closed"], &event.data["updatedAt"]), (&json!(true), &definition["updatedAt"]));
        ids.push(event.id);
    }
    assert!(ids.iter().all(|id| *id == ids[0] && !id.is_empty()), "{ids:?}");

    patch(&app, "main", json!({ "closed": false })).await;
    let (events, snapshot) = &mut streams[0];
    let thawed = events.expect("leaderboard-changed").await;
    let mut replay = Replay::of(snapshot);
    replay.version = thawed.id;
    app.post_score("ann", "goal").await;
    replay.take(&events.expect("score-updated").await);
}

async fn a_deleted_leaderboard_ends_its_streams(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("doomed", json!({})).await;
    app.submit(json!({ "actionId": "doomed", "userId": "ann", "value": 1 })).await;
    let mut streams = Vec::new();
    for view in VIEWS {
        let mut stream = Sse::open(&app, &format!("/api/leaderboards/doomed/stream{view}")).await;
        let first = stream.next().await.unwrap();
        streams.push((stream, first.id));
    }
    delete(&app, "doomed").await;
    for (stream, _) in &mut streams {
        let event = stream.expect("leaderboard-changed").await;
        assert_eq!(event.data, json!({ "leaderboardId": "doomed", "deleted": true }));
        assert!(!event.id.is_empty());
        let closed = stream.expect("closed").await;
        assert_eq!((&closed.data, closed.id), (&json!({ "reason": "deleted" }), event.id), "it has no id of its own");
        assert!(stream.next().await.is_none(), "the stream ends");
    }
    let again = app.anonymous(Method::GET, "/api/leaderboards/doomed/stream").header("last-event-id", &streams[0].1);
    assert_eq!(again.send().await.unwrap().status(), 404);
}

async fn a_leaderboard_made_again_under_the_same_id_starts_from_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let before = Sse::open(&app, "/api/leaderboard/stream").await.expect("leaderboard").await;
    delete(&app, "main").await;
    let made = app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": "main" }));
    made.send().await.unwrap().error_for_status().unwrap();
    let mut stream = Sse::resume(&app, "/api/leaderboard/stream", &before.id).await;
    let event = stream.expect("leaderboard").await;
    assert_eq!((&event.data["entries"], &event.data["reset"]), (&json!([]), &json!(true)));
}

async fn turning_the_order_round_turns_the_window_round(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("laps", json!({ "operator": "best" })).await;
    let mut top = Sse::open(&app, "/api/leaderboards/laps/stream?view=top&hz=20").await;
    top.expect("leaderboard").await;
    patch(&app, "laps", json!({ "order": "asc" })).await;
    top.expect("leaderboard-changed").await;
    for (user, value) in [("ann", 61), ("bob", 59)] {
        app.submit(json!({ "actionId": "laps", "userId": user, "value": value })).await;
        let patch = top.expect("leaderboard-patch").await;
        assert_eq!((&patch.data["rows"][0]["userId"], &patch.data["rows"][0]["score"]), (&json!(user), &json!(value)));
    }
    let snapshot = Sse::open(&app, "/api/leaderboards/laps/stream").await.expect("leaderboard").await;
    assert_eq!(super::scores(&snapshot.data), [("bob".to_owned(), 59), ("ann".to_owned(), 61)]);
}

async fn several_leaderboards_share_one_stream_without_ids(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("one", json!({})).await;
    app.make_leaderboard("two", json!({})).await;
    let mut stream = Sse::open(&app, "/api/stream?leaderboards=one,two,main&view=top&limit=3&hz=20").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = stream.expect("leaderboard").await;
        assert_eq!(event.id, "", "ids would mean nothing here");
        seen.push(text(&event.data["leaderboardId"]));
    }
    seen.sort();
    assert_eq!(seen, ["main", "one", "two"]);
    for id in ["two", "one", "two"] {
        let receipt = app.submit(json!({ "actionId": id, "userId": "ann", "value": 3 })).await;
        let event = stream.expect("leaderboard-patch").await;
        assert_eq!((event.id.as_str(), &event.data["leaderboardId"]), ("", &json!(id)));
        assert_eq!(event.data["version"], receipt["version"]);
    }
    delete(&app, "one").await;
    let event = stream.expect("leaderboard-changed").await;
    assert_eq!((event.id.as_str(), &event.data["deleted"]), ("", &json!(true)));
    app.submit(json!({ "actionId": "two", "userId": "bob", "value": 9 })).await;
    assert_eq!(stream.expect("leaderboard-patch").await.data["leaderboardId"], "two", "the others go on");
}

async fn a_private_leaderboard_is_streamed_to_those_who_may_read_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({ "visibility": "private" })).await;
    let path = "/api/leaderboards/secret/stream";
    assert_eq!(app.anonymous(Method::GET, path).send().await.unwrap().status(), 401);
    assert_eq!(app.anonymous(Method::GET, "/api/stream?leaderboards=main,secret").send().await.unwrap().status(), 401);
    assert_eq!(app.with("eve", "scores:write", Method::GET, path).send().await.unwrap().status(), 403);
    let token = app.token("reader", "leaderboards:read");
    let mut stream = Sse::open(&app, &format!("{path}?access_token={token}")).await;
    assert_eq!(stream.expect("leaderboard").await.data["leaderboardId"], "secret");
}

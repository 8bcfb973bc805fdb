//! New profiles as streams tell of them.

use reqwest::Method;
use serde_json::{Value, json};

use super::text;
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    sse::{Received, Sse},
};

crate::both_backends!(
    a_new_profile_is_told_on_every_leaderboard_that_the_user_stands_in,
    what_nobody_sees_is_not_told,
    a_stream_is_resumed_across_a_new_profile,
    states_show_a_new_name_and_are_told_of_no_profile,
    nobody_hears_of_profiles_on_a_private_leaderboard,
);

const STREAM: &str = "/api/leaderboard/stream";

async fn put(app: &TestApp, user: &str, profile: Value) {
    app.admin(Method::PUT, &format!("/api/users/{user}")).json(&profile).answers(200).await;
}

/// A stream of this leaderboard, and the version that it begins with.
async fn watch(app: &TestApp, leaderboard: &str) -> (Sse, String) {
    let mut stream = Sse::open(app, &format!("/api/leaderboards/{leaderboard}/stream")).await;
    let version = stream.expect("leaderboard").await.id;
    (stream, version)
}

fn assert_told(event: &Received, leaderboard: &str, since: &str, profile: &Value) {
    assert_eq!(event.event, "user-changed", "{event:?}");
    let mut expected = json!({"leaderboardId": leaderboard, "season": 1, "version": event.id, "since": since});
    expected.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    assert_eq!(event.data, expected);
}

async fn a_new_profile_is_told_on_every_leaderboard_that_the_user_stands_in(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for id in ["cup", "other"] {
        app.make_leaderboard(id, json!({})).await;
    }
    app.post_score("ann", "goal").await;
    app.submit(json!({"actionId": "cup", "userId": "ann", "value": 1})).await;
    let [(mut main, mut in_main), (mut cup, in_cup), (mut other, in_other)] =
        [watch(&app, "main").await, watch(&app, "cup").await, watch(&app, "other").await];
    let profiles = [
        (
            json!({"displayName": "Ada 'the' \"C\" 👑"}),
            json!({"displayName": "Ada 'the' \"C\" 👑", "avatarUrl": null, "country": null}),
        ),
        (json!({"country": "GB"}), json!({"displayName": "ann", "avatarUrl": null, "country": "GB"})),
        (
            json!({"avatarUrl": "https://example.com/a", "country": "GB"}),
            json!({"displayName": "ann", "avatarUrl": "https://example.com/a", "country": "GB"}),
        ),
    ];
    for (index, (profile, mut shown)) in profiles.into_iter().enumerate() {
        put(&app, "ann", profile).await;
        shown["userId"] = json!("ann");
        let event = main.expect("user-changed").await;
        assert_told(&event, "main", &in_main, &shown);
        in_main = event.id;
        if index == 0 {
            assert_told(&cup.expect("user-changed").await, "cup", &in_cup, &shown);
        }
    }
    // Positions go on without a hole, and where the user does not stand nothing was told.
    let receipt = app.post_score("bob", "goal").await;
    let event = main.expect("score-updated").await;
    assert_eq!((&event.data["since"], &event.data["version"]), (&json!(in_main), &receipt["version"]));
    app.submit(json!({"actionId": "other", "userId": "bob", "value": 1})).await;
    assert_eq!(other.expect("score-updated").await.data["since"], json!(in_other));
}

async fn what_nobody_sees_is_not_told(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    put(&app, "ann", json!({"displayName": "Ann"})).await;
    let (mut stream, version) = watch(&app, "main").await;
    put(&app, "ann", json!({"displayName": "Ann"})).await;
    put(&app, "ann", json!({"displayName": "Ann", "metadata": {"team": "blue"}})).await;
    put(&app, "somebody else", json!({"displayName": "Ann"})).await;
    app.post_score("ann", "goal").await;
    assert_eq!(stream.expect("score-updated").await.data["since"], json!(version));
}

async fn a_stream_is_resumed_across_a_new_profile(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let before = text(&app.post_score("ann", "goal").await["version"]);
    put(&app, "ann", json!({"displayName": "Ada"})).await;
    let after = text(&app.post_score("ann", "goal").await["version"]);
    put(&app, "ann", json!({"displayName": "Ada B."})).await;
    for _ in 0..2 {
        let mut stream = Sse::resume(&app, STREAM, &before).await;
        let first = stream.expect("user-changed").await;
        assert_eq!((&first.data["displayName"], &first.data["since"]), (&json!("Ada"), &json!(before)));
        let score = stream.expect("score-updated").await;
        assert_eq!((&score.id, &score.data["since"], &score.data["displayName"]), (&after, &json!(first.id), &json!("Ada")));
        let second = stream.expect("user-changed").await;
        assert_eq!((&second.data["displayName"], &second.data["since"]), (&json!("Ada B."), &json!(after)));
        let mut later = Sse::resume(&app, STREAM, &first.id).await;
        assert_eq!(later.expect("score-updated").await.id, after);
        assert_eq!(later.expect("user-changed").await.id, second.id);
    }
    let head = app.get("/api/leaderboard").await;
    let mut stream = Sse::resume(&app, STREAM, &text(&head["version"])).await;
    app.post_score("bob", "goal").await;
    assert_eq!(stream.expect("score-updated").await.data["since"], head["version"], "the read has the same position");
}

async fn states_show_a_new_name_and_are_told_of_no_profile(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    app.post_score("ann", "goal").await;
    app.submit(json!({"actionId": "cup", "userId": "ann", "value": 1})).await;
    let mut top = Sse::open(&app, "/api/leaderboard/stream?view=top&hz=20").await;
    let mut user = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=ann&hz=20").await;
    let mut several = Sse::open(&app, "/api/stream?leaderboards=main,cup&hz=20").await;
    top.expect("leaderboard").await;
    user.expect("standing").await;
    several.expect("leaderboard").await;
    several.expect("leaderboard").await;
    put(&app, "ann", json!({"displayName": "Ada"})).await;
    assert_eq!(top.expect("leaderboard-patch").await.data["rows"][0]["displayName"], "Ada");
    assert_eq!(user.expect("standing").await.data["entry"]["displayName"], "Ada");
    let mut patched = Vec::new();
    for _ in 0..2 {
        let patch = several.expect("leaderboard-patch").await.data;
        assert_eq!(patch["rows"][0]["displayName"], "Ada");
        patched.push(text(&patch["leaderboardId"]));
    }
    patched.sort();
    assert_eq!(patched, ["cup", "main"]);
}

async fn nobody_hears_of_profiles_on_a_private_leaderboard(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let (mut anybody, _) = watch(&app, "main").await;
    let token = app.token("reader", "leaderboards:read");
    let mut reader = Sse::open(&app, &format!("{STREAM}?access_token={token}")).await;
    reader.expect("leaderboard").await;
    app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({"visibility": "private"})).answers(200).await;
    put(&app, "ann", json!({"displayName": "Ada"})).await;
    assert_eq!(anybody.expect("closed").await.data, json!({"reason": "private"}));
    assert!(anybody.next().await.is_none());
    reader.expect("leaderboard-changed").await;
    assert_eq!(reader.expect("user-changed").await.data["displayName"], "Ada");
}

//! An entry that is taken out, as readers and watchers see it.

use reqwest::Method;
use serde_json::json;

use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually},
    sse::Sse,
};

crate::both_backends!(
    an_entry_that_is_removed_is_gone_everywhere,
    watchers_are_told_of_it,
    a_score_after_it_is_a_first_one,
    only_what_is_there_can_be_removed,
    nobody_hears_of_whom_was_removed,
);

async fn remove(app: &TestApp, user: &str) {
    app.admin(Method::DELETE, &format!("/api/leaderboards/main/entries/{user}")).responds(204).await;
}

async fn three(app: &TestApp) {
    for (user, value) in [("ann", 9), ("bob", 5), ("cid", 1)] {
        app.post_value(user, value).await;
    }
}

async fn an_entry_that_is_removed_is_gone_everywhere(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    three(&app).await;
    let before = app.get("/api/leaderboard").await;
    remove(&app, "ann").await;
    let after = app.get("/api/leaderboard").await;
    assert_ne!(after["version"], before["version"]);
    let users: Vec<_> = after["entries"].as_array().unwrap().iter().filter_map(|entry| entry["userId"].as_str()).collect();
    assert_eq!((after["total"].as_u64(), users), (Some(2), vec!["bob", "cid"]));
    app.anonymous(Method::GET, "/api/leaderboards/main/entries/ann").refused(404).await;
    let bob = app.get("/api/leaderboards/main/entries/bob?around=5").await;
    assert_eq!((&bob["entry"]["rank"], bob["around"].as_array().unwrap().len()), (&json!(1), 2));
    let friends = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&json!({"userIds": ["ann", "cid"]}));
    let friends = friends.answers(200).await;
    assert_eq!(friends["entries"].as_array().unwrap().len(), 1, "{friends}");
    assert_eq!(app.get("/api/leaderboards/main").await["total"], 2);
    assert_eq!(app.get("/api/users/ann/scores").await["scores"], json!([]), "it no longer counts");
    // A ranking that is lost and built anew knows it, too.
    app.restart().await;
    eventually("the ranking is back", || async { app.get("/api/leaderboard").await["version"].is_string() }).await;
    assert_eq!(app.get("/api/leaderboard").await["total"], 2);
    assert_eq!(app.post_value("ann", 3).await["previousScore"], json!(null));
}

async fn watchers_are_told_of_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    let mut events = Sse::open(&app, "/api/leaderboard/stream").await;
    let since = events.expect("leaderboard").await.id;
    let mut top = Sse::open(&app, "/api/leaderboard/stream?view=top&limit=2").await;
    top.expect("leaderboard").await;
    let mut own = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=ann").await;
    assert_eq!(own.expect("standing").await.data["entry"]["rank"], 1);
    let mut third = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=cid&around=0").await;
    assert_eq!(third.expect("standing").await.data["entry"]["rank"], 3);
    remove(&app, "ann").await;
    let told = events.expect("score-removed").await;
    let expected = json!({
        "leaderboardId": "main", "season": 1, "version": told.id, "since": since, "eventId": told.data["eventId"],
        "userId": "ann", "rank": 1, "total": 2, "at": told.data["at"],
    });
    assert_eq!(told.data, expected);
    assert!(told.data["eventId"].is_string() && told.data["at"].is_string());
    let patch = top.expect("leaderboard-patch").await;
    let rows: Vec<_> = patch.data["rows"].as_array().unwrap().iter().filter_map(|row| row["userId"].as_str()).collect();
    assert_eq!((rows, &patch.data["total"], &patch.data["size"]), (vec!["bob", "cid"], &json!(2), &json!(2)));
    assert_eq!(own.expect("standing").await.data["entry"], json!(null));
    assert_eq!(third.expect("standing").await.data["entry"]["rank"], 2);
    // What came before is not told again, and what comes next follows it.
    let next = app.post_value("ann", 2).await;
    let event = events.expect("score-updated").await;
    assert_eq!((&event.data["since"], &event.data["version"]), (&json!(told.id), &next["version"]));
    assert_eq!((&event.data["previousRank"], &event.data["previousScore"]), (&json!(null), &json!(null)));
    let mut resumed = Sse::resume(&app, "/api/leaderboard/stream", &since).await;
    assert_eq!(resumed.expect("score-removed").await.data, expected);
}

async fn a_score_after_it_is_a_first_one(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    remove(&app, "ann").await;
    let receipt = app.post_value("ann", 2).await;
    assert_eq!((&receipt["previousScore"], &receipt["newScore"], &receipt["delta"]), (&json!(null), &json!(2), &json!(2)));
    assert_eq!((&receipt["rank"], &receipt["previousRank"]), (&json!(2), &json!(null)));
    assert_eq!(app.get("/api/leaderboard").await["total"], 3);
}

async fn only_what_is_there_can_be_removed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    remove(&app, "ann").await;
    for path in ["main/entries/ann", "main/entries/nobody", "main/entries/query", "none/entries/bob", "main/entries/%20"] {
        app.admin(Method::DELETE, &format!("/api/leaderboards/{path}")).refused(404).await;
    }
    app.submit(json!({"actionId": "value", "userId": "query", "value": 1})).await;
    remove(&app, "query").await;
    assert_eq!(app.get("/api/leaderboard").await["total"], 2);
}

async fn nobody_hears_of_whom_was_removed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    remove(&app, "ann").await;
    let mut events = Sse::open(&app, "/api/leaderboard/stream").await;
    events.expect("leaderboard").await;
    app.admin(Method::PUT, "/api/users/ann").json(&json!({"displayName": "Ada"})).answers(200).await;
    app.post_value("bob", 1).await;
    events.expect("score-updated").await;
    app.post_value("ann", 1).await;
    assert_eq!(events.expect("score-updated").await.data["displayName"], "Ada", "until the next score");
}

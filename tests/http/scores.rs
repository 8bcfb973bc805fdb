//! Submitting scores.

use serde_json::{Value, json};

use crate::{
    app::{Backend, TestApp},
    sse::Sse,
};

crate::both_backends!(a_receipt_says_what_the_score_changed, a_watcher_sees_each_score_at_its_rank);

async fn a_receipt_says_what_the_score_changed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    app.post_score("bob", "point").await;
    let receipt = app.post_score("bob", "goal").await;
    assert_eq!(receipt["previousScore"], 1);
    assert_eq!(receipt["newScore"], 11);
    assert_eq!(receipt["delta"], 10);
    assert_eq!((&receipt["previousRank"], &receipt["rank"]), (&json!(2), &json!(1)));
    assert_eq!(receipt["standings"][0]["total"], 2);
    let window = app.get(&format!("/api/leaderboard?minVersion={}", receipt["version"].as_str().unwrap())).await;
    assert_eq!(crate::app::users(&window), ["bob", "ann"]);
}

async fn a_watcher_sees_each_score_at_its_rank(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut stream = Sse::open(&app, "/api/leaderboard/stream").await;
    let snapshot = stream.expect("leaderboard").await;
    assert_eq!(snapshot.data["entries"], json!([]));
    let mut since: Value = snapshot.data["version"].clone();
    for (user, action) in [("ann", "point"), ("bob", "goal"), ("ann", "goal")] {
        let receipt = app.post_score(user, action).await;
        let event = stream.expect("score-updated").await;
        assert_eq!(event.id, event.data["version"].as_str().unwrap());
        assert_eq!(event.data["since"], since);
        for field in ["eventId", "version", "rank", "previousRank", "delta", "previousScore"] {
            assert_eq!(event.data[field], receipt[field], "{field}");
        }
        since = event.data["version"].clone();
    }
}

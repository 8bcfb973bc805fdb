//! `view=top&latest=n`: the newest scores beside the window, so that a page needs one stream.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    sse::Sse,
};

crate::both_backends!(
    scores_anywhere_are_told_oldest_first_and_no_more_than_asked_for,
    a_window_alone_tells_of_none,
    corrections_ask_for_the_list_and_new_names_are_told,
    a_number_out_of_range_is_refused,
);

async fn opened(app: &TestApp, query: &str) -> Sse {
    let mut stream = Sse::open(app, &format!("/api/leaderboard/stream?view=top&{query}")).await;
    stream.expect("leaderboard").await;
    stream
}

/// The next news, whatever else is told before it.
async fn news(stream: &mut Sse) -> Value {
    loop {
        let received = stream.next().await.expect("the stream goes on");
        if received.event == "latest-scores" {
            return received.data;
        }
    }
}

async fn scores_anywhere_are_told_oldest_first_and_no_more_than_asked_for(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("first", 500).await;
    let mut stream = opened(&app, "limit=1&hz=1&latest=3").await;
    let mut receipts = Vec::new();
    for user in ["a", "b", "c", "d", "e"] {
        receipts.push(app.post_value(user, 1).await);
    }
    let mut told: Vec<Value> = Vec::new();
    let mut most = 0;
    while told.last().map(|score| &score["eventId"]) != Some(&receipts[4]["eventId"]) {
        let data = news(&mut stream).await;
        assert_eq!((&data["leaderboardId"], &data["season"], &data["refresh"]), (&json!("main"), &json!(1), &json!(false)));
        let scores = data["scores"].as_array().unwrap();
        assert_eq!(scores.last().unwrap()["version"], data["version"]);
        most = most.max(scores.len());
        told.extend(scores.iter().cloned());
    }
    assert!(most <= 3, "{most} at once");
    let order: Vec<_> = told.iter().map(|score| score["userId"].as_str().unwrap()).collect();
    assert!(order.is_sorted() && order.ends_with(&["c", "d", "e"]), "{order:?}");
    assert_eq!(told.last().unwrap()["rank"], receipts[4]["rank"]);
}

async fn a_window_alone_tells_of_none(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut stream = opened(&app, "limit=1&hz=20").await;
    app.post_value("a", 5).await;
    stream.expect("leaderboard-patch").await;
    app.post_value("b", 1).await;
    app.post_value("a", 1).await;
    // Had the score of b been told, it would have come first.
    assert_eq!(stream.expect("leaderboard-patch").await.data["total"], 2);
}

async fn corrections_ask_for_the_list_and_new_names_are_told(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("a", 5).await;
    app.post_value("b", 3).await;
    let mut stream = opened(&app, "limit=5&hz=20&latest=10").await;
    app.admin(Method::PUT, "/api/users/a").json(&json!({ "displayName": "Ann" })).answers(200).await;
    let data = news(&mut stream).await;
    assert_eq!((&data["users"][0]["userId"], &data["users"][0]["displayName"]), (&json!("a"), &json!("Ann")));
    assert_eq!(data["scores"], json!([]));

    let hide = json!({ "decisions": [{ "type": "hide", "userId": "b", "reason": "test" }] });
    app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions").json(&hide).answers(200).await;
    let data = news(&mut stream).await;
    assert_eq!((&data["refresh"], &data["scores"]), (&json!(true), &json!([])));
    let latest = app.get("/api/leaderboards/main/scores").await;
    assert_eq!(latest["scores"].as_array().unwrap().len(), 1, "{latest}");
}

async fn a_number_out_of_range_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for query in ["latest=51", "latest=-1", "latest=x"] {
        let path = format!("/api/leaderboard/stream?view=top&{query}");
        let problem = app.anonymous(Method::GET, &path).answers(422).await;
        assert_eq!(problem["errors"][0]["field"], "latest");
    }
}

//! The rules of an action: what they may be, and who is told.

use reqwest::Method;
use serde_json::{Value, json};

use super::watch;
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
    moderation::moderator,
};

crate::both_backends!(
    rules_are_stored_as_they_are_written,
    rules_that_cannot_be_are_refused,
    only_whoever_needs_it_is_told_where_the_line_is,
    nothing_makes_room_for_a_gain,
);

const WATCHED: &str = "/api/actions/watched";

async fn change(app: &TestApp, change: Value) -> Value {
    app.admin(Method::PATCH, WATCHED).json(&change).answers(200).await
}

async fn rules_are_stored_as_they_are_written(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    let full = json!({ "above": 9000, "below": null, "gain": { "points": 500, "perSeconds": 60 }, "newUserSeconds": 0 });
    watch(&app, &["main"], full.clone()).await;
    let run = json!({ "minSeconds": 20, "maxSeconds": 3600, "pointsPerSecond": 50 });
    assert_eq!(change(&app, json!({ "run": run })).await["run"], run);
    app.restart().await;
    let shown = app.admin(Method::GET, WATCHED).answers(200).await;
    assert_eq!((&shown["review"], &shown["run"]), (&full, &run));
    // What is not named stays.
    assert_eq!(change(&app, json!({ "name": "Watched" })).await["review"], full);
    let partly = change(&app, json!({ "review": { "below": 3.0 }, "run": { "maxSeconds": 5 } })).await;
    assert_eq!(partly["review"], json!({ "above": null, "below": 3, "gain": null, "newUserSeconds": 0 }));
    assert_eq!(partly["run"], json!({ "minSeconds": 0, "maxSeconds": 5, "pointsPerSecond": null }));
    for nothing in [json!({}), json!({ "newUserSeconds": 0 }), json!({ "above": null, "gain": null }), Value::Null] {
        assert_eq!(change(&app, json!({ "review": nothing, "run": null })).await["review"], Value::Null);
    }
    let entries = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=1000").answers(200).await;
    assert!(entries.to_string().contains("\"above\":9000"), "{entries}");
}

async fn rules_that_cannot_be_are_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], Value::Null).await;
    for (rule, field) in [
        (json!({ "review": { "above": 1.5 } }), "review.above"),
        (json!({ "review": { "above": 1e300 } }), "review.above"),
        (json!({ "review": { "above": 1, "below": 2 } }), "review"),
        (json!({ "review": { "over": 1 } }), "review.over"),
        (json!({ "review": [1] }), "review"),
        (json!({ "review": { "gain": { "points": -1, "perSeconds": 60 } } }), "review.gain.points"),
        (json!({ "review": { "gain": { "points": 1 } } }), "review.gain.perSeconds"),
        (json!({ "review": { "gain": { "points": 1, "perSeconds": 86_401 } } }), "review.gain.perSeconds"),
        (json!({ "review": { "newUserSeconds": -1 } }), "review.newUserSeconds"),
        (json!({ "run": {} }), "run.maxSeconds"),
        (json!({ "run": { "maxSeconds": 0 } }), "run.maxSeconds"),
        (json!({ "run": { "maxSeconds": 86_401 } }), "run.maxSeconds"),
        (json!({ "run": { "maxSeconds": 5, "minSeconds": 6 } }), "run"),
        (json!({ "run": { "maxSeconds": 5, "pointsPerSecond": 0 } }), "run.pointsPerSecond"),
    ] {
        let problem = app.admin(Method::PATCH, WATCHED).json(&rule).refused(422).await;
        assert_eq!(broken(&problem), [field], "{rule}: {problem}");
    }
    let shown = app.admin(Method::GET, WATCHED).answers(200).await;
    assert_eq!((&shown["review"], &shown["run"]), (&Value::Null, &Value::Null));
}

async fn only_whoever_needs_it_is_told_where_the_line_is(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "above": 77_777 })).await;
    let run = json!({ "minSeconds": 1, "maxSeconds": 60, "pointsPerSecond": null });
    change(&app, json!({ "run": run })).await;
    for path in [WATCHED, "/api/actions"] {
        let others = "scores:write scores:self leaderboards:read audit:read leaderboards:restricted users:read";
        for request in [app.anonymous(Method::GET, path), app.with("game", others, Method::GET, path)] {
            let shown = request.answers(200).await;
            let text = shown.to_string();
            assert!(text.contains("\"review\":null") && !text.contains("77777"), "nor whether there is a line: {shown}");
            assert!(shown.to_string().contains("maxSeconds"), "players have to know how long a run is: {shown}");
        }
        for request in [app.admin(Method::GET, path), moderator(&app, Method::GET, path)] {
            assert!(request.answers(200).await.to_string().contains("77777"));
        }
    }
}

async fn nothing_makes_room_for_a_gain(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "gain": { "points": 500, "perSeconds": 3600 } })).await;
    let submission = |user: &str, value: i64| json!({ "actionId": "watched", "userId": user, "value": value });
    let mut batch = vec![submission("ann", 500)];
    batch.extend((1..1000).map(|_| submission("ann", 0)));
    app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": batch })).answers(200).await;
    let mut reviews = Vec::new();
    for value in [0, 0, 1, -400, 450] {
        reviews.push(app.submit(submission("ann", value)).await["review"].clone());
    }
    assert_eq!(reviews, [Value::Null, Value::Null, json!("pending"), Value::Null, json!("pending")]);
    // A loss is taken off what came before it, and makes no room for what follows.
    assert_eq!(app.submit(submission("bob", -9000)).await.get("review"), None);
    assert_eq!(app.submit(submission("bob", 501)).await["review"], "pending");
}

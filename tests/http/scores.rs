//! Submitting scores: what a submission makes of its user's entry.

mod clocks;
mod limits;
mod names;
mod users;
mod values;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp, users},
    sse::Sse,
};

crate::both_backends!(
    a_receipt_says_what_the_score_changed,
    a_watcher_sees_each_score_at_its_rank,
    sum_adds_up,
    best_keeps_the_better_score_of_either_order,
    last_keeps_the_latest_score,
    the_order_decides_who_stands_first,
    a_first_score_of_zero_makes_an_entry,
    an_unchanged_score_moves_nobody_and_is_in_the_history,
    among_equal_scores_whoever_reached_it_first_stands_higher,
    an_action_feeds_several_leaderboards,
    a_score_that_would_leave_the_exact_range_changes_nothing,
    metadata_comes_back_in_the_history,
);

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
    assert_eq!(users(&window), ["bob", "ann"]);
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

/// Submits a value and tells (applied, new score, delta).
async fn outcome(app: &TestApp, action: &str, user: &str, value: i64) -> (bool, i64, i64) {
    let receipt = app.submit(json!({"actionId": action, "userId": user, "value": value})).await;
    (receipt["applied"].as_bool().unwrap(), receipt["newScore"].as_i64().unwrap(), receipt["delta"].as_i64().unwrap())
}

async fn sum_adds_up(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("down", json!({"order": "asc", "operator": "sum"})).await;
    for action in ["value", "down"] {
        assert_eq!(outcome(&app, action, "ann", 30).await, (true, 30, 30));
        assert_eq!(outcome(&app, action, "ann", 12).await, (true, 42, 12));
        assert_eq!(outcome(&app, action, "ann", -50).await, (true, -8, -50));
    }
}

async fn best_keeps_the_better_score_of_either_order(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("high", json!({"order": "desc", "operator": "best"})).await;
    app.make_leaderboard("low", json!({"order": "asc", "operator": "best"})).await;
    assert_eq!(outcome(&app, "high", "ann", 10).await, (true, 10, 10));
    assert_eq!(outcome(&app, "high", "ann", 8).await, (false, 10, 0));
    assert_eq!(outcome(&app, "high", "ann", 12).await, (true, 12, 2));
    assert_eq!(outcome(&app, "low", "ann", 10).await, (true, 10, 10));
    assert_eq!(outcome(&app, "low", "ann", 12).await, (false, 10, 0));
    assert_eq!(outcome(&app, "low", "ann", 8).await, (true, 8, -2));
}

async fn last_keeps_the_latest_score(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("high", json!({"order": "desc", "operator": "last"})).await;
    app.make_leaderboard("low", json!({"order": "asc", "operator": "last"})).await;
    for action in ["high", "low"] {
        assert_eq!(outcome(&app, action, "ann", 10).await, (true, 10, 10));
        assert_eq!(outcome(&app, action, "ann", -4).await, (true, -4, -14));
        assert_eq!(outcome(&app, action, "ann", 7).await, (true, 7, 11));
    }
}

async fn the_order_decides_who_stands_first(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for operator in ["sum", "best", "last"] {
        for (order, expected) in [("desc", ["cy", "bob", "ann"]), ("asc", ["ann", "bob", "cy"])] {
            let id = format!("{operator}-{order}");
            app.make_leaderboard(&id, json!({"order": order, "operator": operator})).await;
            for (user, value) in [("bob", 0), ("ann", -5), ("cy", 5)] {
                app.submit(json!({"actionId": id, "userId": user, "value": value})).await;
            }
            let window = app.get(&format!("/api/leaderboards/{id}/entries")).await;
            assert_eq!(users(&window), expected, "{id}");
            let ranks: Vec<_> = window["entries"].as_array().unwrap().iter().map(|entry| entry["rank"].clone()).collect();
            assert_eq!(ranks, [1, 2, 3], "{id}");
        }
    }
}

async fn a_first_score_of_zero_makes_an_entry(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for operator in ["sum", "best", "last"] {
        app.make_leaderboard(operator, json!({"operator": operator})).await;
        let receipt = app.submit(json!({"actionId": operator, "userId": "ann", "value": 0})).await;
        assert_eq!((&receipt["applied"], &receipt["rank"]), (&json!(true), &json!(1)), "{operator}");
        assert_eq!((&receipt["previousScore"], &receipt["previousRank"]), (&Value::Null, &Value::Null), "{operator}");
        let window = app.get(&format!("/api/leaderboards/{operator}/entries")).await;
        assert_eq!((users(&window), &window["entries"][0]["score"]), (vec!["ann"], &json!(0)), "{operator}");
    }
}

async fn an_unchanged_score_moves_nobody_and_is_in_the_history(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (operator, unchanging) in [("sum", 0), ("best", 4), ("last", 5)] {
        app.make_leaderboard(operator, json!({"operator": operator})).await;
        for user in ["ann", "bob"] {
            app.submit(json!({"actionId": operator, "userId": user, "value": 5})).await;
        }
        let path = format!("/api/leaderboards/{operator}/entries");
        let before = app.get(&path).await;
        let receipt = app.submit(json!({"actionId": operator, "userId": "ann", "value": unchanging})).await;
        assert_eq!((&receipt["applied"], &receipt["delta"]), (&json!(false), &json!(0)), "{operator}");
        assert_eq!((&receipt["newScore"], &receipt["rank"]), (&json!(5), &json!(1)), "{operator}");
        assert_eq!(receipt["version"], before["version"], "{operator}");
        assert_eq!(app.get(&path).await, before, "{operator}: score, time, rank and version stay");

        let history = app.get(&format!("/api/users/ann/scores?leaderboardId={operator}")).await;
        assert_eq!(history["scores"][0]["eventId"], receipt["eventId"], "{operator}");
        assert_eq!(history["scores"][0]["applied"], false, "{operator}");
        assert_eq!(history["scores"].as_array().unwrap().len(), 2, "{operator}");
    }
}

async fn among_equal_scores_whoever_reached_it_first_stands_higher(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for order in ["desc", "asc"] {
        app.make_leaderboard(order, json!({"order": order})).await;
        for (user, value) in [("zoe", 3), ("ann", 3), ("mia", 1), ("mia", 2)] {
            app.submit(json!({"actionId": order, "userId": user, "value": value})).await;
        }
        let path = format!("/api/leaderboards/{order}/entries");
        assert_eq!(users(&app.get(&path).await), ["zoe", "ann", "mia"], "{order}");
        // Whoever leaves a score and comes back to it has reached it anew.
        for value in [1, -1] {
            app.submit(json!({"actionId": order, "userId": "zoe", "value": value})).await;
        }
        assert_eq!(users(&app.get(&path).await), ["ann", "mia", "zoe"], "{order}");
    }
}

async fn an_action_feeds_several_leaderboards(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("best", json!({"operator": "best"})).await;
    app.make_leaderboard("low", json!({"operator": "last", "order": "asc"})).await;
    let action = json!({"id": "several", "leaderboards": ["best", "main", "low"], "value": {"min": -100, "max": 100}});
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    app.post_value("bob", 8).await;
    app.submit(json!({"actionId": "several", "userId": "ann", "value": 5})).await;
    let receipt = app.submit(json!({"actionId": "several", "userId": "ann", "value": 4})).await;

    let told = |field: &str| -> Vec<Value> {
        receipt["standings"].as_array().unwrap().iter().map(|standing| standing[field].clone()).collect()
    };
    assert_eq!(told("leaderboardId"), ["best", "main", "low"]);
    assert_eq!(told("applied"), [false, true, true]);
    assert_eq!(told("newScore"), [5, 9, 4]);
    assert_eq!(told("delta"), [0, 4, -1]);
    assert_eq!(told("previousScore"), [5, 5, 5]);
    assert_eq!(told("rank"), [1, 1, 1]);
    assert_eq!(told("previousRank"), [1, 2, 1]);
    assert_eq!(told("total"), [1, 2, 1]);
    for field in ["leaderboardId", "applied", "delta", "newScore", "previousScore", "rank", "previousRank", "version"] {
        assert_eq!(receipt[field], receipt["standings"][0][field], "{field}");
    }
    for (index, id) in ["best", "main", "low"].into_iter().enumerate() {
        let entry = app.get(&format!("/api/leaderboards/{id}/entries/ann")).await;
        assert_eq!(entry["version"], receipt["standings"][index]["version"], "{id}");
        assert_eq!(entry["entry"]["score"], receipt["standings"][index]["newScore"], "{id}");
    }
}

async fn a_score_that_would_leave_the_exact_range_changes_nothing(backend: Backend) {
    const MAX: i64 = (1 << 53) - 1;
    let app = TestApp::spawn(backend).await;
    let action = json!({"id": "any", "leaderboards": ["main"], "value": {"min": -MAX, "max": MAX}});
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    app.submit(json!({"actionId": "any", "userId": "high", "value": MAX})).await;
    app.submit(json!({"actionId": "any", "userId": "low", "value": -MAX})).await;
    let before = app.get("/api/leaderboard").await;
    assert_eq!(before["entries"][0]["score"], MAX, "exact to the last digit");
    assert_eq!(before["entries"][1]["score"], -MAX, "exact to the last digit");

    for (user, value) in [("high", 1), ("high", MAX), ("low", -1), ("low", -MAX)] {
        let body = json!({"actionId": "any", "userId": user, "value": value});
        let problem = app.game(Method::POST, "/api/scores").json(&body).refused(422).await;
        assert_eq!(problem["errors"][0]["code"], "score-range", "{problem}");
    }
    assert_eq!(app.get("/api/leaderboard").await, before);
    assert_eq!(app.get("/api/users/high/scores").await["scores"].as_array().unwrap().len(), 1);

    let receipt = app.submit(json!({"actionId": "any", "userId": "high", "value": -MAX})).await;
    assert_eq!((&receipt["newScore"], &receipt["delta"]), (&json!(0), &json!(-MAX)));
}

async fn metadata_comes_back_in_the_history(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let metadata = json!({"match": "m-9", "nested": {"list": [1, 2.5, null, true]}, "quote": "'; DROP TABLE users; --", "東京": "", "nul": "a\u{0}b"});
    app.submit(json!({"actionId": "goal", "userId": "ann", "metadata": metadata})).await;
    app.submit(json!({"actionId": "goal", "userId": "ann", "metadata": {}})).await;
    app.submit(json!({"actionId": "goal", "userId": "ann", "metadata": null})).await;
    let history = app.get("/api/users/ann/scores").await;
    let told: Vec<_> = history["scores"].as_array().unwrap().iter().map(|event| event["metadata"].clone()).collect();
    assert_eq!(told, [Value::Null, json!({}), metadata]);
}

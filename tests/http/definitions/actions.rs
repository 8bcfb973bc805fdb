//! Making, changing and deleting actions.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_new_action_has_defaults_and_a_location,
    an_action_keeps_every_setting,
    an_action_has_points_or_a_value_range,
    every_broken_setting_is_named,
    an_action_feeds_leaderboards_that_exist,
    a_changed_action_counts_from_then_on,
    a_deleted_action_leaves_its_scores,
    an_unknown_or_taken_action_is_refused,
    an_action_outlives_one_of_its_leaderboards,
);

fn create(app: &TestApp, body: &Value) -> RequestBuilder {
    app.admin(Method::POST, "/api/actions").json(body)
}

fn change(app: &TestApp, id: &str, body: &Value) -> RequestBuilder {
    app.admin(Method::PATCH, &format!("/api/actions/{id}")).json(body)
}

/// What was defined, without times.
fn settings(definition: &Value) -> Value {
    let mut settings = definition.clone();
    for field in ["createdAt", "updatedAt"] {
        assert!(settings.as_object_mut().unwrap().remove(field).is_some(), "{field}: {definition}");
    }
    settings
}

async fn a_new_action_has_defaults_and_a_location(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let response = create(&app, &json!({"id": "assist", "leaderboards": ["main"], "points": 5})).responds(201).await;
    assert_eq!(response.headers()["location"], "/api/actions/assist");
    let made: Value = response.json().await.unwrap();
    let expected = json!({"id": "assist", "name": "assist", "leaderboards": ["main"], "points": 5, "value": null,
        "cooldownSeconds": 0, "limit": null, "selfService": false, "enabled": true, "review": null, "run": null});
    assert_eq!(settings(&made), expected);
    assert_eq!(app.get("/api/actions/assist").await, made);
    let listed = app.get("/api/actions").await;
    let ids: Vec<_> = listed["actions"].as_array().unwrap().iter().map(|action| action["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["assist", "goal", "point", "value"]);
    assert_eq!(listed["actions"][0], made);
}

async fn an_action_keeps_every_setting(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    let body = json!({"id": "coins", "name": "Coins found 🪙", "leaderboards": ["other", "main"], "points": null,
        "value": {"min": -9_007_199_254_740_991_i64, "max": 9_007_199_254_740_991_i64}, "cooldownSeconds": 31_536_000,
        "limit": {"count": 1_000_000, "perSeconds": 31_536_000}, "selfService": true, "enabled": false,
        "review": null, "run": {"minSeconds": 0, "maxSeconds": 86_400, "pointsPerSecond": 9_007_199_254_740_991_i64}});
    let made = create(&app, &body).answers(201).await;
    assert_eq!(settings(&made), body);
    assert_eq!(app.get("/api/actions/coins").await, made);
}

async fn an_action_has_points_or_a_value_range(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for points in [json!({}), json!({"points": 1, "value": {"min": 0, "max": 1}}), json!({"points": null, "value": null})] {
        let mut body = points;
        body["id"] = json!("new");
        body["leaderboards"] = json!(["main"]);
        assert_eq!(broken(&create(&app, &body).refused(422).await), ["points"], "{body}");
    }
    let told = |action: Value| (action["points"].clone(), action["value"].clone());
    let range = json!({"min": 1, "max": 2});
    let changed = change(&app, "goal", &json!({"value": range})).answers(200).await;
    assert_eq!(told(changed), (Value::Null, range.clone()), "the one kind takes the other's place");
    assert_eq!(told(change(&app, "goal", &json!({"points": 0})).answers(200).await), (json!(0), Value::Null));
    assert_eq!(broken(&change(&app, "goal", &json!({"points": null})).refused(422).await), ["points"]);
    assert_eq!(broken(&change(&app, "goal", &json!({"points": 1, "value": range})).refused(422).await), ["points"]);
    let changed = change(&app, "goal", &json!({"points": null, "value": range})).answers(200).await;
    assert_eq!(told(changed), (Value::Null, range));
}

async fn every_broken_setting_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    const PAST_MAX: i64 = 1 << 53;
    let before = app.get("/api/actions/goal").await;
    for (field, value, named) in [
        ("id", json!("Goal"), "id"),
        ("name", json!(""), "name"),
        ("name", json!("x".repeat(129)), "name"),
        ("leaderboards", json!([]), "leaderboards"),
        ("leaderboards", json!(["main", "main"]), "leaderboards"),
        ("leaderboards", json!(["Main"]), "leaderboards"),
        ("leaderboards", json!((0..17).map(|number| format!("l-{number}")).collect::<Vec<_>>()), "leaderboards"),
        ("leaderboards", json!("main"), "leaderboards"),
        ("leaderboards", Value::Null, "leaderboards"),
        ("points", json!(PAST_MAX), "points"),
        ("points", json!(1.5), "points"),
        ("value", json!({"min": 2, "max": 1}), "value"),
        ("value", json!({"min": 2}), "value.max"),
        ("value", json!({"min": 0, "max": PAST_MAX}), "value.max"),
        ("value", json!({"min": 0, "max": 1, "step": 1}), "value.step"),
        ("value", json!([0, 1]), "value"),
        ("limit", json!([5, 60]), "limit"),
        ("cooldownSeconds", json!(-1), "cooldownSeconds"),
        ("cooldownSeconds", json!(31_536_001), "cooldownSeconds"),
        ("limit", json!({"count": 0, "perSeconds": 1}), "limit.count"),
        ("limit", json!({"count": 1, "perSeconds": 0}), "limit.perSeconds"),
        ("limit", json!({"count": 1}), "limit.perSeconds"),
        ("selfService", json!(1), "selfService"),
        ("enabled", Value::Null, "enabled"),
        ("cost", json!(1), "cost"),
    ] {
        let mut body = json!({"id": "new", "leaderboards": ["main"], "points": 1});
        if field == "value" {
            body.as_object_mut().unwrap().remove("points");
        }
        body[field] = value.clone();
        assert_eq!(broken(&create(&app, &body).refused(422).await), [named], "{body}");
        let body = json!({field: value});
        assert_eq!(broken(&change(&app, "goal", &body).refused(422).await), [named], "{body}");
    }
    assert_eq!(broken(&create(&app, &json!({"leaderboards": ["main"], "points": 1})).refused(422).await), ["id"]);
    assert_eq!(broken(&create(&app, &json!({"id": "new", "points": 1})).refused(422).await), ["leaderboards"]);
    app.anonymous(Method::GET, "/api/actions/new").refused(404).await;
    assert_eq!(app.get("/api/actions/goal").await, before);
}

async fn an_action_feeds_leaderboards_that_exist(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"id": "new", "leaderboards": ["main", "nothing"], "points": 1});
    let problem = create(&app, &body).refused(422).await;
    assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["leaderboards[1]"], &json!("unknown")));
    let problem = change(&app, "goal", &json!({"leaderboards": ["nothing"]})).refused(422).await;
    assert_eq!(broken(&problem), ["leaderboards[0]"]);
    assert_eq!(app.get("/api/actions/goal").await["leaderboards"], json!(["main"]));
}

async fn a_changed_action_counts_from_then_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    app.post_score("ann", "goal").await;
    let before = app.get("/api/actions/goal").await;
    let changed = change(&app, "goal", &json!({"points": 3, "leaderboards": ["other", "main"]})).answers(200).await;
    assert!(changed["updatedAt"].as_str() > before["updatedAt"].as_str());
    assert_eq!((&changed["name"], &changed["createdAt"]), (&before["name"], &before["createdAt"]));
    let receipt = app.post_score("ann", "goal").await;
    assert_eq!((&receipt["leaderboardId"], &receipt["newScore"]), (&json!("other"), &json!(3)));
    assert_eq!(receipt["standings"][1]["newScore"], 13);
    assert_eq!(broken(&change(&app, "goal", &json!({"id": "other"})).refused(422).await), ["id"]);
}

async fn a_deleted_action_leaves_its_scores(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    app.admin(Method::DELETE, "/api/actions/goal").responds(204).await;
    app.anonymous(Method::GET, "/api/actions/goal").refused(404).await;
    app.admin(Method::DELETE, "/api/actions/goal").refused(404).await;
    assert_eq!(app.get("/api/leaderboard").await["entries"][0]["score"], 10);
    assert_eq!(app.get("/api/users/ann/scores").await["scores"][0]["actionId"], "goal");
    create(&app, &json!({"id": "goal", "leaderboards": ["main"], "points": 2})).answers(201).await;
    assert_eq!(app.post_score("ann", "goal").await["newScore"], 12);
}

async fn an_unknown_or_taken_action_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let before = app.get("/api/actions/goal").await;
    create(&app, &json!({"id": "goal", "leaderboards": ["main"], "points": 99})).refused(409).await;
    assert_eq!(app.get("/api/actions/goal").await, before);
    for id in ["nothing", "No%20Such", "%00", "%FF"] {
        app.anonymous(Method::GET, &format!("/api/actions/{id}")).refused(404).await;
        change(&app, id, &json!({"points": 1})).refused(404).await;
        app.admin(Method::DELETE, &format!("/api/actions/{id}")).refused(404).await;
    }
}

async fn an_action_outlives_one_of_its_leaderboards(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    create(&app, &json!({"id": "both", "leaderboards": ["other", "main"], "points": 1})).answers(201).await;
    app.admin(Method::DELETE, "/api/leaderboards/other").responds(204).await;
    let receipt = app.post_score("ann", "both").await;
    assert_eq!((&receipt["leaderboardId"], receipt["standings"].as_array().unwrap().len()), (&json!("main"), 1));
    create_leaderboard(&app, "other").await;
    let receipt = app.post_score("ann", "both").await;
    assert_eq!((&receipt["leaderboardId"], &receipt["newScore"]), (&json!("other"), &json!(1)));
}

async fn create_leaderboard(app: &TestApp, id: &str) {
    app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": id })).answers(201).await;
}

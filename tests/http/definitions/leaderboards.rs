//! Making, changing and deleting leaderboards.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_new_leaderboard_has_defaults_and_a_location,
    a_leaderboard_keeps_every_setting,
    a_taken_id_is_refused,
    an_id_is_a_short_lower_case_name,
    every_broken_setting_is_named,
    only_the_named_settings_change,
    closed_is_still_understood_by_its_first_name,
    order_and_operator_change_until_there_are_scores,
    an_unknown_leaderboard_is_not_found,
    a_leaderboard_made_again_starts_from_nothing,
    leaderboards_are_listed_by_id_with_their_totals,
    the_first_start_makes_the_default_leaderboard,
);

fn create(app: &TestApp, body: &Value) -> RequestBuilder {
    app.admin(Method::POST, "/api/leaderboards").json(body)
}

fn change(app: &TestApp, id: &str, body: &Value) -> RequestBuilder {
    app.admin(Method::PATCH, &format!("/api/leaderboards/{id}")).json(body)
}

/// What was defined, without times and numbers.
fn settings(definition: &Value) -> Value {
    let mut settings = definition.clone();
    for field in ["createdAt", "updatedAt", "season", "seasonStartsAt", "nextReset", "total", "watchers"] {
        assert!(settings.as_object_mut().unwrap().remove(field).is_some(), "{field}: {definition}");
    }
    settings
}

async fn a_new_leaderboard_has_defaults_and_a_location(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let response = create(&app, &json!({"id": "laps"})).responds(201).await;
    assert_eq!(response.headers()["location"], "/api/leaderboards/laps");
    let made: Value = response.json().await.unwrap();
    let expected = json!({"id": "laps", "name": "laps", "description": "", "order": "desc", "operator": "sum", "unit": "points",
        "visibility": "public", "bounds": null, "resetSchedule": null, "timezone": "UTC", "closed": false});
    assert_eq!(settings(&made), expected);
    assert_eq!((&made["season"], &made["total"], &made["watchers"]), (&json!(1), &json!(0), &json!(0)));
    assert_eq!(made["createdAt"], made["updatedAt"]);
    assert_eq!(app.get("/api/leaderboards/laps").await, made);
    assert_eq!(app.get("/api/leaderboards/laps/entries").await["entries"], json!([]));
}

async fn a_leaderboard_keeps_every_setting(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"id": "0.a_b-c", "name": "Fastest lap 🏁", "description": "First line\n\tSecond 'line'; --", "order": "asc",
        "operator": "best", "unit": "ms", "visibility": "private", "bounds": {"min": -5, "max": 600_000, "onExceed": "clamp"},
        "resetSchedule": {"every": "P2W", "from": "2026-11-23T00:00:00"}, "timezone": "Europe/London", "closed": true});
    let made = create(&app, &body).answers(201).await;
    assert_eq!(settings(&made), body);
    assert_eq!(app.admin(Method::GET, "/api/leaderboards/0.a_b-c").answers(200).await, made);
}

async fn a_taken_id_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let before = app.get("/api/leaderboards/main").await;
    create(&app, &json!({"id": "main", "order": "asc"})).refused(409).await;
    assert_eq!(app.get("/api/leaderboards/main").await, before);
    let at_once = (0..8).map(|_| create(&app, &json!({"id": "race"})).send());
    let statuses = futures_util::future::join_all(at_once).await.into_iter().map(|answer| answer.unwrap().status().as_u16());
    let mut statuses: Vec<_> = statuses.collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

async fn an_id_is_a_short_lower_case_name(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
    for id in ["", "-a", ".a", "_a", "Main", "a b", "a/b", "é", "a\n", &too_long] {
        assert_eq!(broken(&create(&app, &json!({"id": id})).refused(422).await), ["id"], "{id:?}");
    }
    assert_eq!(broken(&create(&app, &json!({"name": "No id"})).refused(422).await), ["id"]);
    for id in ["0", "a.b_c-d", &longest] {
        create(&app, &json!({"id": id})).answers(201).await;
    }
}

async fn every_broken_setting_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let broken_settings = [
        ("name", json!("")),
        ("name", json!(" ")),
        ("name", json!("a\u{0}b")),
        ("name", json!("x".repeat(129))),
        ("name", Value::Null),
        ("description", json!("x".repeat(1025))),
        ("description", json!("a\u{0}b")),
        ("description", json!("a\u{1b}[31m")),
        ("order", json!("up")),
        ("operator", json!("max")),
        ("unit", json!("")),
        ("unit", json!("x".repeat(33))),
        ("visibility", json!("secret")),
        ("resetSchedule", json!("daily")),
        ("timezone", json!("Europe/Atlantis")),
        ("timezone", json!("")),
        ("closed", json!("yes")),
        ("closed", Value::Null),
        ("colour", json!("red")),
        ("season", json!(2)),
    ];
    let before = app.get("/api/leaderboards/main").await;
    for (field, value) in &broken_settings {
        let mut body = json!({"id": "new"});
        body[field] = value.clone();
        assert_eq!(broken(&create(&app, &body).refused(422).await), [*field], "{body}");
        let body = json!({*field: value});
        assert_eq!(broken(&change(&app, "main", &body).refused(422).await), [*field], "{body}");
    }
    let several = json!({"id": "NEW", "name": "", "unit": "", "timezone": "Mars"});
    assert_eq!(broken(&create(&app, &several).refused(422).await).len(), 4);
    app.anonymous(Method::GET, "/api/leaderboards/new").refused(404).await;
    assert_eq!(app.get("/api/leaderboards/main").await, before);
}

async fn only_the_named_settings_change(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let before = app.get("/api/leaderboards/main").await;
    let changed = change(&app, "main", &json!({"name": "Finals", "timezone": "Asia/Tokyo"})).answers(200).await;
    let mut expected = settings(&before);
    expected["name"] = json!("Finals");
    expected["timezone"] = json!("Asia/Tokyo");
    assert_eq!(settings(&changed), expected);
    assert_eq!((&changed["createdAt"], &changed["total"]), (&before["createdAt"], &json!(1)));
    assert!(changed["updatedAt"].as_str() > before["updatedAt"].as_str());
    assert_eq!(app.get("/api/leaderboards/main").await, changed);
    let unchanged = change(&app, "main", &json!({})).answers(200).await;
    assert_eq!(settings(&unchanged), expected);
    assert_eq!(broken(&change(&app, "main", &json!({"id": "other"})).refused(422).await), ["id"]);
}

async fn order_and_operator_change_until_there_are_scores(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("laps", json!({})).await;
    let changed = change(&app, "laps", &json!({"order": "asc", "operator": "best"})).answers(200).await;
    assert_eq!((&changed["order"], &changed["operator"]), (&json!("asc"), &json!("best")));
    for (user, value) in [("ann", 9), ("bob", 5)] {
        app.submit(json!({"actionId": "laps", "userId": user, "value": value})).await;
    }
    let window = app.get("/api/leaderboards/laps/entries").await;
    assert_eq!(crate::app::users(&window), ["bob", "ann"], "the order that holds is the changed one");

    change(&app, "laps", &json!({"order": "desc"})).refused(409).await;
    change(&app, "laps", &json!({"operator": "sum", "name": "Not this either"})).refused(409).await;
    let after = app.get("/api/leaderboards/laps").await;
    assert_eq!((&after["order"], &after["operator"], &after["name"]), (&json!("asc"), &json!("best"), &json!("laps")));
    change(&app, "laps", &json!({"order": "asc", "operator": "best", "name": "Laps"})).answers(200).await;
}

async fn an_unknown_leaderboard_is_not_found(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for id in ["nothing", "No%20Such", "%00", "%FF", "..%2Fmain"] {
        let path = format!("/api/leaderboards/{id}");
        app.anonymous(Method::GET, &path).refused(404).await;
        app.anonymous(Method::GET, &format!("{path}/entries")).refused(404).await;
        app.anonymous(Method::GET, &format!("{path}/entries/ann")).refused(404).await;
        app.anonymous(Method::GET, &format!("{path}/stream")).refused(404).await;
        app.anonymous(Method::POST, &format!("{path}/entries/query")).json(&json!({"userIds": ["ann"]})).refused(404).await;
        change(&app, id, &json!({})).refused(404).await;
        app.admin(Method::DELETE, &path).refused(404).await;
    }
}

async fn a_leaderboard_made_again_starts_from_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("laps", json!({"order": "desc"})).await;
    app.submit(json!({"actionId": "laps", "userId": "ann", "value": 5})).await;
    app.admin(Method::DELETE, "/api/leaderboards/laps").responds(204).await;
    app.anonymous(Method::GET, "/api/leaderboards/laps").refused(404).await;
    app.anonymous(Method::GET, "/api/leaderboards/laps/entries/ann").refused(404).await;
    app.admin(Method::DELETE, "/api/leaderboards/laps").refused(404).await;
    let body = json!({"actionId": "laps", "userId": "ann", "value": 5});
    let problem = app.game(Method::POST, "/api/scores").json(&body).refused(422).await;
    assert_eq!(broken(&problem), ["actionId"], "its action feeds nothing: {problem}");

    create(&app, &json!({"id": "laps", "order": "asc", "operator": "last"})).answers(201).await;
    let window = app.get("/api/leaderboards/laps/entries").await;
    assert_eq!((&window["season"], &window["total"], &window["entries"]), (&json!(1), &json!(0), &json!([])));
    app.anonymous(Method::GET, "/api/leaderboards/laps/entries/ann").refused(404).await;
    assert_eq!(app.get("/api/users/ann/scores?leaderboardId=laps").await["scores"], json!([]));
    let receipt = app.submit(json!({"actionId": "laps", "userId": "ann", "value": 7})).await;
    assert_eq!((&receipt["previousScore"], &receipt["newScore"]), (&Value::Null, &json!(7)));
    assert_eq!((&receipt["previousRank"], &receipt["rank"]), (&Value::Null, &json!(1)));
}

async fn leaderboards_are_listed_by_id_with_their_totals(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for id in ["zebra", "0-first", "laps"] {
        create(&app, &json!({"id": id})).answers(201).await;
    }
    app.post_score("ann", "goal").await;
    let listed = app.get("/api/leaderboards").await;
    let told: Vec<_> = listed["leaderboards"].as_array().unwrap().iter().map(|each| (&each["id"], &each["total"])).collect();
    let expected = [("0-first", 0), ("laps", 0), ("main", 1), ("zebra", 0)].map(|(id, total)| (json!(id), json!(total)));
    assert_eq!(told, expected.iter().map(|(id, total)| (id, total)).collect::<Vec<_>>());
    assert_eq!(listed["leaderboards"][2], app.get("/api/leaderboards/main").await);
}

async fn the_first_start_makes_the_default_leaderboard(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    assert_eq!(app.get("/api/leaderboards/main").await["name"], "main");
    app.admin(Method::DELETE, "/api/leaderboards/main").responds(204).await;
    app.make_leaderboard("other", json!({})).await;
    app.restart().await;
    app.anonymous(Method::GET, "/api/leaderboard").refused(404).await;
    assert_eq!(app.get("/api/leaderboards/other").await["id"], "other", "what was deleted on purpose stays deleted");
}

async fn closed_is_still_understood_by_its_first_name(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let patch = |body: Value| app.admin(Method::PATCH, "/api/leaderboards/main").json(&body);
    let closed = patch(json!({"frozen": true})).answers(200).await;
    assert_eq!((&closed["closed"], &closed["frozen"]), (&json!(true), &Value::Null));
    assert_eq!(patch(json!({"frozen": false})).answers(200).await["closed"], false);
    patch(json!({"frozen": true, "closed": false})).refused(422).await;
    assert_eq!(create(&app, &json!({"id": "cup", "frozen": true})).answers(201).await["closed"], true);
}

//! What may stand in a submission, and what refusing it leaves behind: nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    an_absent_value_is_not_zero,
    a_value_stays_within_the_action_s_range,
    an_action_of_fixed_points_takes_no_value,
    a_value_is_a_whole_number,
    every_broken_field_is_named,
    metadata_is_an_object_of_two_kibibytes,
    an_unknown_action_is_named,
    a_refused_submission_makes_no_user,
    a_first_submission_makes_the_user,
);

async fn refuse(app: &TestApp, body: Value) -> Value {
    app.game(Method::POST, "/api/scores").json(&body).refused(422).await
}

async fn assert_untouched(app: &TestApp) {
    let window = app.get("/api/leaderboard").await;
    assert_eq!((&window["total"], &window["entries"]), (&json!(0), &json!([])));
}

async fn an_absent_value_is_not_zero(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for body in [json!({"actionId": "value", "userId": "ann"}), json!({"actionId": "value", "userId": "ann", "value": null})] {
        let problem = refuse(&app, body).await;
        assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["value"], &json!("required")));
    }
    assert_untouched(&app).await;
}

async fn a_value_stays_within_the_action_s_range(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for value in [-1_000_001, 1_000_001] {
        let problem = refuse(&app, json!({"actionId": "value", "userId": "ann", "value": value})).await;
        assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["value"], &json!("range")));
    }
    assert_untouched(&app).await;
    app.post_value("ann", 1_000_000).await;
    app.post_value("bob", -1_000_000).await;
}

async fn an_action_of_fixed_points_takes_no_value(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for value in [0, 10] {
        let problem = refuse(&app, json!({"actionId": "goal", "userId": "ann", "value": value})).await;
        assert_eq!(broken(&problem), ["value"]);
    }
    assert_untouched(&app).await;
    app.submit(json!({"actionId": "goal", "userId": "ann", "value": null})).await;
}

async fn a_value_is_a_whole_number(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let values = [
        "1.5",
        "1.0",
        "1e3",
        "\"5\"",
        "true",
        "[1]",
        "{}",
        "9007199254740992",
        "-9007199254740992",
        "9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890",
    ];
    for value in values {
        let body = format!(r#"{{"actionId":"value","userId":"ann","value":{value}}}"#);
        let request = app.game(Method::POST, "/api/scores").header("content-type", "application/json").body(body);
        let problem = request.refused(422).await;
        assert_eq!(broken(&problem), ["value"], "{value}: {problem}");
    }
    assert_untouched(&app).await;
}

async fn every_broken_field_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "No Such", "userId": " ", "value": 1_i64 << 60, "metadata": {"long": "x".repeat(2048)}});
    assert_eq!(broken(&refuse(&app, body).await), ["actionId", "metadata", "userId", "value"]);
    for (body, field) in [
        (json!({"userId": "ann"}), "actionId"),
        (json!({"actionId": "goal"}), "userId"),
        (json!({"actionId": "goal", "userId": null}), "userId"),
        (json!({"actionId": "goal", "userId": 17}), "userId"),
        (json!({"actionId": "goal", "userId": "ann", "points": 9000}), "points"),
        (json!({"actionId": "goal", "userId": "ann", "idempotencyKey": "k"}), "idempotencyKey"),
        (json!({"actionId": "goal", "userId": "ann", "metadata": []}), "metadata"),
        (json!(["goal", "ann"]), "body"),
        (json!(["goal", "ann", null, null, null]), "body"),
        (json!("goal"), "body"),
    ] {
        assert_eq!(broken(&refuse(&app, body.clone()).await), [field], "{body}");
    }
    assert_untouched(&app).await;
}

async fn metadata_is_an_object_of_two_kibibytes(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let of_size = |size: usize| json!({"m": "x".repeat(size - r#"{"m":""}"#.len())});
    app.submit(json!({"actionId": "goal", "userId": "ann", "metadata": of_size(2048)})).await;
    let problem = refuse(&app, json!({"actionId": "goal", "userId": "ann", "metadata": of_size(2049)})).await;
    assert_eq!(broken(&problem), ["metadata"]);
}

async fn an_unknown_action_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let problem = refuse(&app, json!({"actionId": "nothing", "userId": "ann"})).await;
    assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["actionId"], &json!("unknown")));
    assert_untouched(&app).await;
}

async fn a_refused_submission_makes_no_user(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for body in [
        json!({"actionId": "value", "userId": "ann"}),
        json!({"actionId": "value", "userId": "ann", "value": 1_000_001}),
        json!({"actionId": "nothing", "userId": "ann"}),
    ] {
        refuse(&app, body).await;
    }
    app.admin(Method::GET, "/api/users/ann").refused(404).await;
    app.anonymous(Method::GET, "/api/leaderboards/main/entries/ann").refused(404).await;
}

async fn a_first_submission_makes_the_user(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.admin(Method::GET, "/api/users/ann").refused(404).await;
    app.post_score("ann", "goal").await;
    let user = app.admin(Method::GET, "/api/users/ann").answers(200).await;
    assert_eq!((&user["userId"], &user["displayName"]), (&json!("ann"), &Value::Null));
}

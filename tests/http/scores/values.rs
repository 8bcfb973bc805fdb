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
    metadata_that_says_two_things_at_once_is_refused,
    a_whole_number_may_have_a_point_or_an_exponent,
    a_step_that_a_browser_would_round_is_refused,
    metadata_comes_back_as_it_was_sent,
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
        "1e-3",
        "1e30",
        "-1e300",
        "1e400",
        "1e-400",
        "3.00000000000000001",
        "4503599627370497.5",
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
        // Not of the request's id, which is random and may well hold "f64".
        let said = format!("{} {}", problem["detail"], problem["errors"]);
        for word in ["i64", "u64", "f64", "float", "integer"] {
            assert!(!said.contains(word), "{value}: {problem}");
        }
    }
    assert_untouched(&app).await;
}

async fn metadata_that_says_two_things_at_once_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for metadata in [r#"{"b":1,"b":1}"#, r#"{"a":[{"b":1,"b":2}]}"#] {
        let body = format!(r#"{{"actionId":"goal","userId":"ann","metadata":{metadata}}}"#);
        let request = app.game(Method::POST, "/api/scores").header("content-type", "application/json").body(body);
        let problem = request.refused(422).await;
        assert!(broken(&problem)[0].starts_with("metadata"), "{problem}");
        assert_eq!(problem["errors"][0]["message"], r#"the name "b" is there more than once"#);
    }
    let body = r#"{"actionId":"goal","userId":"ann","metadata":{"a":[1e400]}}"#;
    let request = app.game(Method::POST, "/api/scores").header("content-type", "application/json").body(body);
    let problem = request.refused(422).await;
    assert!(broken(&problem)[0].starts_with("metadata"), "{problem}");
    assert_untouched(&app).await;
}

async fn a_whole_number_may_have_a_point_or_an_exponent(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let post = |key: &'static str, value: &str| {
        let request = app.game(Method::POST, "/api/scores").header("content-type", "application/json");
        let request = request.header("Idempotency-Key", key);
        request.body(format!(r#"{{"actionId":"value","userId":"ann","value":{value}}}"#))
    };
    let mut score = 0;
    for (key, value) in [("a", "3"), ("b", "3.0"), ("c", "3e0"), ("d", "0.3E+1"), ("e", "30e-1")] {
        score += 3;
        assert_eq!(post(key, value).answers(200).await["newScore"], score, "{value}");
        // However it is spelled, it is the same submission.
        let replayed = post(key, "3.0").responds(200).await;
        assert_eq!(replayed.headers()["idempotency-replayed"], "true", "{value}");
    }
    post("a", "4").refused(422).await;
    let item =
        r#"{"submissions":[{"actionId":"value","userId":"bob","value":5.0},{"actionId":"value","userId":"bob","value":5.5}]}"#;
    let batch = app.game(Method::POST, "/api/scores/batch").header("content-type", "application/json").body(item);
    let results = batch.answers(200).await;
    assert_eq!((&results["results"][0]["body"]["newScore"], &results["results"][1]["status"]), (&json!(5), &json!(422)));

    let action = r#"{"id":"whole","leaderboards":["main"],"value":{"min":-1e1,"max":10.0},"cooldownSeconds":0.0,"limit":{"count":2e0,"perSeconds":60.0}}"#;
    let create = app.admin(Method::POST, "/api/actions").header("content-type", "application/json").body(action);
    let action = create.answers(201).await;
    assert_eq!((&action["value"], &action["cooldownSeconds"]), (&json!({"min": -10, "max": 10}), &json!(0)));
    assert_eq!(action["limit"], json!({"count": 2, "perSeconds": 60}));
    for (field, change) in [
        ("points", r#"{"points":1.5}"#),
        ("cooldownSeconds", r#"{"cooldownSeconds":1e30}"#),
        ("limit.count", r#"{"limit":{"count":1.5,"perSeconds":60}}"#),
        ("value.max", r#"{"value":{"min":1,"max":1e30}}"#),
    ] {
        let patch = app.admin(Method::PATCH, "/api/actions/whole").header("content-type", "application/json").body(change);
        let problem = patch.refused(422).await;
        assert_eq!(broken(&problem), [field], "{problem}");
        assert!(!problem["errors"].to_string().contains("64"), "{problem}");
    }
    for limit in ["2.0", "2e0", "2"] {
        app.get(&format!("/api/leaderboard?limit={limit}")).await;
    }
    let problem = app.anonymous(Method::GET, "/api/leaderboard?limit=2.5").refused(422).await;
    assert!(problem["detail"].as_str().unwrap().contains("a whole number between 1 and 1000"), "{problem}");
}

async fn a_step_that_a_browser_would_round_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    const MOST: i64 = (1 << 53) - 1;
    let leaderboard = json!({"id": "latest", "operator": "last"});
    app.admin(Method::POST, "/api/leaderboards").json(&leaderboard).answers(201).await;
    let action = json!({"id": "latest", "leaderboards": ["latest"], "value": {"min": -MOST, "max": MOST}});
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    let of = |value: i64| json!({"actionId": "latest", "userId": "ann", "value": value});
    assert_eq!(app.submit(of(-MOST)).await["delta"], -MOST);
    for value in [MOST, 1] {
        let problem = refuse(&app, of(value)).await;
        assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["value"], &json!("score-range")), "{value}");
    }
    assert_eq!(app.submit(of(0)).await["delta"], MOST);
    assert_eq!(app.submit(of(MOST)).await["delta"], MOST);
}

async fn metadata_comes_back_as_it_was_sent(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let numbers = [
        "121.48886955472557",
        "0.1",
        "-0.0",
        "5e-324",
        "1.7976931348623157e308",
        "2.2250738585072014e-308",
        "3.0",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "0.30000000000000004",
        "1e23",
        "123456789012345678901234567890",
    ];
    let random = (0..60).map(|_| (fastrand::f64() - 0.5) * 10_f64.powi(fastrand::i32(-20..20)));
    let texts: Vec<_> =
        numbers.iter().map(|&number| number.to_owned()).chain(random.map(|number| format!("{number:?}"))).collect();
    let metadata = format!("{{\"numbers\":[{}]}}", texts.join(","));
    let body = format!(r#"{{"actionId":"goal","userId":"ann","metadata":{metadata}}}"#);
    let post = app.game(Method::POST, "/api/scores").header("content-type", "application/json").body(body);
    post.answers(200).await;
    let profile = format!(r#"{{"displayName":"Ann","metadata":{metadata}}}"#);
    let put = app.admin(Method::PUT, "/api/users/ann").header("content-type", "application/json").body(profile);
    put.answers(200).await;

    let history = app.admin(Method::GET, "/api/users/ann/scores").responds(200).await.text().await.unwrap();
    let user = app.admin(Method::GET, "/api/users/ann").responds(200).await.text().await.unwrap();
    for answer in [history, user] {
        let came = answer.split("\"numbers\":[").nth(1).unwrap().split(']').next().unwrap();
        for (sent, came) in texts.iter().zip(came.split(',')) {
            let bits = |text: &str| text.parse::<f64>().unwrap().to_bits();
            assert_eq!(bits(came), bits(sent), "{sent} came back as {came}");
        }
        assert!(came.contains("9007199254740993,18446744073709551615,-9223372036854775808"), "{came}");
    }
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

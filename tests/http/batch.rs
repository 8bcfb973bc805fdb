//! Submitting many scores at once.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, users},
};

crate::both_backends!(
    results_come_in_the_order_of_the_submissions,
    one_bad_item_does_not_spoil_the_others,
    a_result_says_that_its_key_was_used_before,
    a_batch_holds_one_to_a_thousand_submissions,
    a_thousand_submissions_of_one_user_all_count,
    a_body_that_is_too_large_is_refused_whole,
    a_batch_that_is_no_batch_is_refused_whole,
);

fn batch(app: &TestApp, submissions: &[Value]) -> RequestBuilder {
    app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": submissions }))
}

fn value(user: &str, value: i64) -> Value {
    json!({"actionId": "value", "userId": user, "value": value})
}

/// One field of each result.
fn told<'a>(answer: &'a Value, pointer: &str) -> Vec<&'a Value> {
    answer["results"].as_array().unwrap().iter().map(|result| result.pointer(pointer).unwrap_or(&Value::Null)).collect()
}

async fn results_come_in_the_order_of_the_submissions(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let submissions = [value("zoe", 5), value("ann", 5), value("bob", 9), value("zoe", 4), value("ann", 0)];
    let answer = batch(&app, &submissions).answers(200).await;
    assert_eq!(told(&answer, "/status"), [200; 5]);
    assert_eq!(told(&answer, "/body/userId"), ["zoe", "ann", "bob", "zoe", "ann"]);
    assert_eq!(told(&answer, "/body/newScore"), [5, 5, 9, 9, 5]);
    assert_eq!(told(&answer, "/body/rank"), [1, 2, 1, 2, 3]);
    assert_eq!(told(&answer, "/body/applied"), [true, true, true, true, false]);
    let window = app.get("/api/leaderboard").await;
    assert_eq!(users(&window), ["bob", "zoe", "ann"], "within a batch, too, whoever comes first stands higher");
    assert_eq!(told(&answer, "/body/version")[3], &window["version"]);
}

async fn one_bad_item_does_not_spoil_the_others(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let submissions = [
        value("ann", 1),
        json!({"actionId": "value", "userId": "ann"}),
        json!({"actionId": "nothing", "userId": "ann"}),
        json!({"actionId": "goal", "userId": ""}),
        json!({"actionId": "goal", "userId": "ann", "extra": 1}),
        json!(17),
        json!(null),
        json!(["goal", "ann", null, null, null]),
        json!({"actionId": "value", "userId": "ann", "value": 1.5}),
        value("ann", 2),
    ];
    let response = batch(&app, &submissions).responds(200).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(told(&answer, "/status"), [200, 422, 422, 422, 422, 422, 422, 422, 422, 200]);
    let fields: Vec<_> = answer["results"].as_array().unwrap()[1..9].iter().map(|result| broken(&result["body"])[0]).collect();
    assert_eq!(fields, ["value", "actionId", "userId", "extra", "body", "body", "body", "value"]);
    for problem in &told(&answer, "/body")[1..9] {
        assert_eq!((&problem["status"], &problem["requestId"]), (&json!(422), &json!(id)), "{problem}");
    }
    assert_eq!(app.get("/api/leaderboard").await["entries"][0]["score"], 3);
}

async fn a_result_says_that_its_key_was_used_before(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let keyed = |key: &str| json!({"actionId": "goal", "userId": "ann", "idempotencyKey": key});
    let first = batch(&app, &[keyed("k-1")]).answers(200).await;
    assert_eq!(first["results"][0].get("replayed"), None);
    let again = batch(&app, &[keyed("k-2"), keyed("k-1")]).answers(200).await;
    assert_eq!(again["results"][0].get("replayed"), None);
    assert_eq!(again["results"][1]["replayed"], true);
    assert_eq!(again["results"][1]["body"], first["results"][0]["body"]);
}

async fn a_batch_holds_one_to_a_thousand_submissions(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    assert_eq!(broken(&batch(&app, &[]).refused(422).await), ["submissions"]);
    let submissions: Vec<_> = (0..1001).map(|number| value(&format!("u-{number:04}"), number)).collect();
    assert_eq!(broken(&batch(&app, &submissions).refused(422).await), ["submissions"]);
    assert_eq!(app.get("/api/leaderboard").await["total"], 0, "refused as a whole");
    let answer = batch(&app, &submissions[..1000]).answers(200).await;
    assert_eq!(told(&answer, "/status"), vec![&json!(200); 1000]);
    let window = app.get("/api/leaderboard?limit=1").await;
    assert_eq!((&window["total"], &window["entries"][0]["userId"]), (&json!(1000), &json!("u-0999")));
}

async fn a_thousand_submissions_of_one_user_all_count(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let submissions = vec![json!({"actionId": "point", "userId": "ann"}); 1000];
    let answer = batch(&app, &submissions).answers(200).await;
    let scores: Vec<_> = told(&answer, "/body/newScore").into_iter().map(|score| score.as_i64().unwrap()).collect();
    assert_eq!(scores, (1..=1000).collect::<Vec<_>>());
    let window = app.get("/api/leaderboard").await;
    assert_eq!((&window["total"], &window["entries"][0]["score"]), (&json!(1), &json!(1000)));
}

async fn a_body_that_is_too_large_is_refused_whole(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let raw = |path: &str, body: String| app.game(Method::POST, path).header("content-type", "application/json").body(body);
    let padded = |body: &str, size: usize| format!("{body}{}", " ".repeat(size - body.len()));
    let single = r#"{"actionId":"goal","userId":"ann"}"#;
    raw("/api/scores", padded(single, 65_536)).answers(200).await;
    raw("/api/scores", padded(single, 65_537)).refused(413).await;
    let many = format!(r#"{{"submissions":[{single}]}}"#);
    raw("/api/scores/batch", padded(&many, 1_048_576)).answers(200).await;
    raw("/api/scores/batch", padded(&many, 1_048_577)).refused(413).await;
    assert_eq!(app.get("/api/leaderboard").await["entries"][0]["score"], 20);
}

async fn a_batch_that_is_no_batch_is_refused_whole(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (body, field) in [
        (json!({}), "submissions"),
        (json!({"submissions": null}), "submissions"),
        (json!({"submissions": {"actionId": "goal", "userId": "ann"}}), "submissions"),
        (json!({"submissions": [{"actionId": "goal", "userId": "ann"}], "atomic": true}), "atomic"),
        (json!([{"actionId": "goal", "userId": "ann"}]), "body"),
        (json!([[{"actionId": "goal", "userId": "ann"}]]), "body"),
    ] {
        let problem = app.game(Method::POST, "/api/scores/batch").json(&body).refused(422).await;
        assert_eq!(broken(&problem), [field], "{body}");
    }
    let cut = app.game(Method::POST, "/api/scores/batch").header("content-type", "application/json");
    cut.body(r#"{"submissions":[{"actionId":"goal","userId":"ann"},"#).refused(400).await;
    assert_eq!(app.get("/api/leaderboard").await["total"], 0);
}

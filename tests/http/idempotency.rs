//! A repeat with the same key counts once, wherever and however often it comes.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_repeat_is_answered_with_the_very_same_body,
    a_key_with_another_body_is_refused,
    keys_belong_to_the_token_s_subject,
    fifty_repeats_at_once_count_once,
    a_refused_submission_does_not_use_its_key_up,
    a_key_is_visible_ascii,
    two_keys_for_one_request_are_refused,
    a_repeat_after_a_restart_is_recognised,
    a_repeat_is_answered_even_where_a_new_submission_would_be_refused,
    a_batch_keeps_a_key_for_each_item,
    a_batch_and_a_single_submission_share_their_keys,
    a_batch_refuses_the_header_that_would_not_protect_it,
);

fn keyed(app: &TestApp, key: &str, body: &Value) -> RequestBuilder {
    app.game(Method::POST, "/api/scores").header("Idempotency-Key", key).json(body)
}

fn is_replayed(response: &Response) -> bool {
    response.headers().get("idempotency-replayed").is_some_and(|value| value == "true")
}

/// The first answer as text; it must not be a repeat's.
async fn first(app: &TestApp, key: &str, body: &Value) -> String {
    let response = keyed(app, key, body).responds(200).await;
    assert!(!response.headers().contains_key("idempotency-replayed"));
    response.text().await.unwrap()
}

/// A repeat's answer as text.
async fn repeat(app: &TestApp, key: &str, body: &Value) -> String {
    let response = keyed(app, key, body).responds(200).await;
    assert!(is_replayed(&response), "{response:?}");
    response.text().await.unwrap()
}

async fn score(app: &TestApp, user: &str) -> Value {
    app.get(&format!("/api/leaderboards/main/entries/{user}")).await["entry"]["score"].clone()
}

fn goal(user: &str) -> Value {
    json!({"actionId": "goal", "userId": user})
}

async fn a_repeat_is_answered_with_the_very_same_body(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "value", "userId": "ann", "value": 7, "metadata": {"a": 1, "b": [2]}});
    let answer = first(&app, "key-1", &body).await;
    // What happens in between must not shine through.
    app.post_score("bob", "goal").await;
    assert_eq!(repeat(&app, "key-1", &body).await, answer);
    let reordered = r#"{ "metadata": {"b": [2], "a": 1}, "value": 7, "userId": "ann", "actionId": "value" }"#;
    let request = app.game(Method::POST, "/api/scores").header("idempotency-key", "key-1");
    let response = request.header("content-type", "application/json").body(reordered).responds(200).await;
    assert!(is_replayed(&response), "spelling and order of the fields say nothing");
    assert_eq!(response.text().await.unwrap(), answer);
    assert_eq!(score(&app, "ann").await, 7);
}

async fn a_key_with_another_body_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "value", "userId": "ann", "value": 7});
    let answer = first(&app, "key-1", &body).await;
    for other in [
        json!({"actionId": "value", "userId": "ann", "value": 8}),
        json!({"actionId": "value", "userId": "bob", "value": 7}),
        json!({"actionId": "value", "userId": "ann", "value": 7, "metadata": {}}),
        goal("ann"),
    ] {
        let problem = keyed(&app, "key-1", &other).refused(422).await;
        assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["Idempotency-Key"], &json!("reused")), "{other}");
    }
    assert_eq!(repeat(&app, "key-1", &body).await, answer, "the key still stands for the first body");
    assert_eq!(app.get("/api/leaderboard").await["total"], 1);
}

async fn keys_belong_to_the_token_s_subject(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    first(&app, "key-1", &goal("ann")).await;
    let other = app.with("game-2", "scores:write", Method::POST, "/api/scores").header("Idempotency-Key", "key-1");
    let response = other.json(&goal("ann")).responds(200).await;
    assert!(!is_replayed(&response), "another subject's key is another key");
    assert_eq!(score(&app, "ann").await, 20);
    first(&app, "KEY-1", &goal("ann")).await;
    assert_eq!(score(&app, "ann").await, 30, "keys are told apart by case");
}

async fn fifty_repeats_at_once_count_once(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let answers = futures_util::future::join_all((0..50).map(|_| keyed(&app, "key-1", &goal("ann")).responds(200))).await;
    let originals = answers.iter().filter(|answer| !is_replayed(answer)).count();
    assert_eq!(originals, 1);
    let bodies = futures_util::future::join_all(answers.into_iter().map(Response::text)).await;
    let bodies: std::collections::HashSet<_> = bodies.into_iter().map(Result::unwrap).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(score(&app, "ann").await, 10);
    assert_eq!(app.get("/api/users/ann/scores").await["scores"].as_array().unwrap().len(), 1);
}

async fn a_refused_submission_does_not_use_its_key_up(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let late = json!({"actionId": "late", "userId": "ann"});
    keyed(&app, "key-1", &late).refused(422).await;
    let action = json!({"id": "late", "leaderboards": ["main"], "points": 1, "cooldownSeconds": 3600});
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    first(&app, "key-1", &late).await;
    keyed(&app, "key-2", &late).refused(429).await;
    app.admin(Method::PATCH, "/api/actions/late").json(&json!({"cooldownSeconds": 0})).answers(200).await;
    first(&app, "key-2", &late).await;
    assert_eq!(score(&app, "ann").await, 2);
}

async fn a_key_is_visible_ascii(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let (longest, too_long) = ("k".repeat(128), "k".repeat(129));
    for key in ["", "two words", "clé", "tab\there", &too_long] {
        let problem = keyed(&app, key, &goal("ann")).refused(422).await;
        assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["Idempotency-Key"], &json!("format")), "{key:?}");
    }
    app.anonymous(Method::GET, "/api/leaderboards/main/entries/ann").refused(404).await;
    for key in ["0", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", &longest] {
        first(&app, key, &goal("ann")).await;
        repeat(&app, key, &goal("ann")).await;
    }
    assert_eq!(score(&app, "ann").await, 30);
}

async fn a_repeat_after_a_restart_is_recognised(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    let answer = first(&app, "key-1", &goal("ann")).await;
    app.restart().await;
    assert_eq!(repeat(&app, "key-1", &goal("ann")).await, answer);
    assert_eq!(score(&app, "ann").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_to_another_instance_is_recognised() {
    let app = TestApp::spawn(Backend::Shared).await;
    let other = app.another().await;
    let answer = first(&app, "key-1", &goal("ann")).await;
    assert_eq!(repeat(&other, "key-1", &goal("ann")).await, answer);
    let body = goal("bob");
    let both = (0..40).map(|turn| keyed(if turn % 2 == 0 { &app } else { &other }, "key-2", &body).responds(200));
    let answers = futures_util::future::join_all(both).await;
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    let bodies = futures_util::future::join_all(answers.into_iter().map(Response::text)).await;
    assert!(bodies.windows(2).all(|pair| pair[0].as_ref().unwrap() == pair[1].as_ref().unwrap()), "{bodies:?}");
    assert_eq!(score(&app, "bob").await, 10);
}

async fn a_repeat_is_answered_even_where_a_new_submission_would_be_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let answer = first(&app, "key-1", &goal("ann")).await;
    app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({"closed": true})).answers(200).await;
    assert_eq!(repeat(&app, "key-1", &goal("ann")).await, answer, "closed");
    app.admin(Method::PATCH, "/api/actions/goal").json(&json!({"enabled": false})).answers(200).await;
    assert_eq!(repeat(&app, "key-1", &goal("ann")).await, answer, "disabled");
    app.admin(Method::DELETE, "/api/actions/goal").responds(204).await;
    assert_eq!(repeat(&app, "key-1", &goal("ann")).await, answer, "deleted");
}

async fn a_batch_keeps_a_key_for_each_item(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let batch = json!({"submissions": [
        {"actionId": "goal", "userId": "ann", "idempotencyKey": "a"},
        {"actionId": "goal", "userId": "ann", "idempotencyKey": "a"},
        {"actionId": "point", "userId": "ann", "idempotencyKey": "a"},
        {"actionId": "goal", "userId": "ann", "idempotencyKey": "b"},
        {"actionId": "goal", "userId": "ann", "idempotencyKey": "not a key"},
    ]});
    let send = || app.game(Method::POST, "/api/scores/batch").json(&batch).answers(200);
    let answer = send().await;
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 422, 200, 422]);
    assert_eq!(results[0]["body"], results[1]["body"], "a duplicate in one batch has the first one's answer");
    assert_eq!(results[1]["replayed"], true);
    assert_eq!(broken(&results[4]["body"]), ["idempotencyKey"]);
    assert_eq!(score(&app, "ann").await, 20);
    let again = send().await;
    for index in [0, 1, 3] {
        assert_eq!(again["results"][index]["body"], answer["results"][index]["body"]);
        assert_eq!(again["results"][index]["replayed"], true);
    }
    assert_eq!(score(&app, "ann").await, 20);
}

async fn a_batch_and_a_single_submission_share_their_keys(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let batch = json!({"submissions": [{"actionId": "goal", "userId": "ann", "idempotencyKey": "key-1"}]});
    let answer = app.game(Method::POST, "/api/scores/batch").json(&batch).answers(200).await;
    let replayed = repeat(&app, "key-1", &goal("ann")).await;
    assert_eq!(serde_json::from_str::<Value>(&replayed).unwrap(), answer["results"][0]["body"]);
    assert_eq!(score(&app, "ann").await, 10);
}

async fn a_batch_refuses_the_header_that_would_not_protect_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let batch = json!({"submissions": [goal("ann")]});
    let request = app.game(Method::POST, "/api/scores/batch").header("Idempotency-Key", "key-1").json(&batch);
    assert_eq!(broken(&request.refused(422).await), ["Idempotency-Key"]);
    assert_eq!(app.get("/api/leaderboard").await["total"], 0);
}

async fn two_keys_for_one_request_are_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "goal", "userId": "ann"});
    for second in ["key-1", "key-2", ""] {
        let problem = keyed(&app, "key-1", &body).header("Idempotency-Key", second).refused(400).await;
        assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
    }
    assert_eq!(keyed(&app, "key-1", &body).answers(200).await["newScore"], 10, "nothing was counted before");
}

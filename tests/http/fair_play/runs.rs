//! Runs: a score counts once, for whoever began the run, and only if the game took its time.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access::keys::KeyPair,
    answers::{Expect, broken, problem},
    app::{Backend, SystemClock, TestApp},
    moderation::entry,
    seasons::history,
    streams::text,
};

crate::both_backends!(
    a_run_has_to_take_its_time,
    a_run_that_took_too_long_is_over,
    a_run_brings_no_more_than_its_time_allows,
    an_action_of_runs_needs_a_run_from_everybody,
    a_token_is_of_one_user_and_one_action,
    a_repeat_gets_the_same_receipt_also_when_the_time_is_over,
    only_acceptance_uses_a_token_up,
    a_run_brings_no_other_key,
    runs_can_be_submitted_in_batches,
    runs_begin_where_there_are_any,
    every_instance_accepts_a_token,
    a_run_may_be_withheld,
    without_a_secret_there_are_no_runs,
);

pub const RUNS: &str = "/api/runs";
const SCORES: &str = "/api/scores";

/// Makes `race`, an action of runs that players submit themselves.
pub async fn make_race(app: &TestApp, run: Value) {
    let range = json!({ "min": -1_000_000, "max": 1_000_000 });
    let action = json!({ "id": "race", "leaderboards": ["main"], "value": range, "selfService": true, "run": run });
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
}

/// Begins a run, and answers its token.
pub async fn begin(app: &TestApp, user: &str) -> String {
    let begun = app.with(user, "scores:self", Method::POST, RUNS).json(&json!({ "actionId": "race" })).answers(201).await;
    text(&begun["runToken"])
}

pub fn body(user: &str, value: i64, token: &str) -> Value {
    json!({ "actionId": "race", "userId": user, "value": value, "runToken": token })
}

/// A player's submission of the run.
pub fn end(app: &TestApp, user: &str, value: i64, token: &str) -> reqwest::RequestBuilder {
    app.with(user, "scores:self", Method::POST, SCORES).json(&body(user, value, token))
}

/// Sends what has to be refused, by this type of problem about this field.
async fn refused(request: reqwest::RequestBuilder, status: u16, code: &str) {
    let problem = request.refused(status).await;
    assert_eq!(problem["type"], format!("urn:scoreboard:problem:{code}"), "{problem}");
    assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["runToken"], &json!(code)), "{problem}");
}

/// A server whose clock can be set, with this run.
async fn timed(backend: Backend, run: Value) -> (TestApp, SystemClock) {
    let mut app = TestApp::spawn(backend).await;
    make_race(&app, run).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    (app, clock)
}

async fn a_run_has_to_take_its_time(backend: Backend) {
    let (app, clock) = timed(backend, json!({ "minSeconds": 20, "maxSeconds": 3600 })).await;
    let begun = app.with("ann", "scores:self", Method::POST, RUNS).json(&json!({ "actionId": "race" })).responds(201).await;
    assert_eq!(begun.headers()["cache-control"], "no-store");
    let begun: Value = begun.json().await.unwrap();
    let token = text(&begun["runToken"]);
    assert!(token.len() < 100, "{token}");
    let left =
        chrono::DateTime::parse_from_rfc3339(&text(&begun["expiresAt"])).unwrap().timestamp() - chrono::Utc::now().timestamp();
    assert!((3598..=3601).contains(&left), "{begun}");
    refused(end(&app, "ann", 5, &token), 422, "run-too-short").await;
    clock.set(18);
    refused(end(&app, "ann", 5, &token), 422, "run-too-short").await;
    clock.set(20);
    assert_eq!(end(&app, "ann", 5, &token).answers(200).await["newScore"], 5);
}

async fn a_run_that_took_too_long_is_over(backend: Backend) {
    let (app, clock) = timed(backend, json!({ "maxSeconds": 60 })).await;
    let [early, late] = [begin(&app, "ann").await, begin(&app, "ann").await];
    // Real time goes on as well, slowly where much else is tested.
    clock.set(10);
    end(&app, "ann", 5, &early).answers(200).await;
    clock.set(61);
    refused(end(&app, "ann", 5, &late), 422, "run-expired").await;
    // A computer whose clock is set back makes nobody younger.
    clock.set(0);
    refused(end(&app, "ann", 5, &late), 422, "run-expired").await;
    assert_eq!(history(&app, "ann").await.len(), 1);
}

async fn a_run_brings_no_more_than_its_time_allows(backend: Backend) {
    let (app, clock) = timed(backend, json!({ "maxSeconds": 3600, "pointsPerSecond": 50 })).await;
    let token = begin(&app, "ann").await;
    clock.set(10);
    refused(end(&app, "ann", 700, &token), 422, "run-too-fast").await;
    assert_eq!(end(&app, "ann", 500, &token).answers(200).await["newScore"], 500);
}

async fn an_action_of_runs_needs_a_run_from_everybody(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    let without = json!({ "actionId": "race", "userId": "ann", "value": 5 });
    for scope in ["scores:write", "scores:self"] {
        refused(app.with("ann", scope, Method::POST, SCORES).json(&without), 422, "run-required").await;
    }
    // A backend submits what the player hands it.
    let token = begin(&app, "ann").await;
    assert_eq!(app.submit(body("ann", 5, &token)).await["newScore"], 5);
}

async fn a_token_is_of_one_user_and_one_action(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    let token = begin(&app, "ann").await;
    refused(end(&app, "bob", 5, &token), 422, "run-invalid").await;
    let mut other = body("ann", 5, &token);
    other["actionId"] = json!("value");
    refused(app.game(Method::POST, SCORES).json(&other), 422, "run-invalid").await;
    let (begun, rest) = token.split_at(30);
    let forged = format!("{begun}{}{}", if rest.starts_with('A') { 'B' } else { 'A' }, &rest[1..]);
    for bad in [&forged, &token[..40], "", "x", &format!("{token}AAAA"), "é", &token.to_uppercase()] {
        refused(end(&app, "ann", 5, bad), 422, "run-invalid").await;
    }
    assert_eq!(history(&app, "ann").await.len(), 0);
    end(&app, "ann", 5, &token).answers(200).await;
}

async fn a_repeat_gets_the_same_receipt_also_when_the_time_is_over(backend: Backend) {
    let (mut app, clock) = timed(backend, json!({ "maxSeconds": 60 })).await;
    let token = begin(&app, "ann").await;
    let receipt = end(&app, "ann", 5, &token).responds(200).await;
    assert!(!receipt.headers().contains_key("idempotency-replayed"));
    let receipt = receipt.text().await.unwrap();
    clock.set(3600);
    for restarted in [false, true] {
        if restarted {
            app.restart().await;
        }
        let again = end(&app, "ann", 5, &token).responds(200).await;
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert_eq!(again.text().await.unwrap(), receipt);
        let of_backend = app.game(Method::POST, SCORES).json(&body("ann", 5, &token)).responds(200).await;
        assert_eq!(of_backend.text().await.unwrap(), receipt, "whoever brings it");
        refused(end(&app, "ann", 6, &token), 409, "run-used").await;
    }
    assert_eq!(history(&app, "ann").await.len(), 1);
    // Not even where the action has no runs any more.
    app.admin(Method::PATCH, "/api/actions/race").json(&json!({ "run": null })).answers(200).await;
    refused(end(&app, "ann", 6, &token), 409, "run-used").await;
    let token = {
        app.admin(Method::PATCH, "/api/actions/race").json(&json!({ "run": { "maxSeconds": 60 } })).answers(200).await;
        begin(&app, "ann").await
    };
    app.admin(Method::PATCH, "/api/actions/race").json(&json!({ "run": null })).answers(200).await;
    clock.set(3600 + 86_500);
    refused(end(&app, "ann", 5, &token), 422, "run-expired").await;
}

async fn only_acceptance_uses_a_token_up(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 600, "pointsPerSecond": 1_000_000 })).await;
    let token = begin(&app, "ann").await;
    end(&app, "ann", 2_000_000, &token).refused(422).await;
    let patch = async |path: &str, change: Value| {
        app.admin(Method::PATCH, path).json(&change).answers(200).await;
    };
    patch("/api/leaderboards/main", json!({ "closed": true })).await;
    end(&app, "ann", 5, &token).refused(409).await;
    patch("/api/leaderboards/main", json!({ "closed": false })).await;
    patch("/api/actions/race", json!({ "enabled": false })).await;
    end(&app, "ann", 5, &token).refused(409).await;
    patch("/api/actions/race", json!({ "enabled": true })).await;
    assert_eq!(end(&app, "ann", 6, &token).answers(200).await["newScore"], 6, "another body than those that were refused");
}

async fn a_run_brings_no_other_key(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    let token = begin(&app, "ann").await;
    let problem = end(&app, "ann", 5, &token).header("Idempotency-Key", "k").refused(422).await;
    assert_eq!(broken(&problem), ["runToken"]);
    let mut item = body("ann", 5, &token);
    item["idempotencyKey"] = json!("k");
    let batch = json!({ "submissions": [item] });
    let answer = app.game(Method::POST, "/api/scores/batch").json(&batch).answers(200).await;
    assert_eq!(answer["results"][0]["status"], 422, "{answer}");
    end(&app, "ann", 5, &token).answers(200).await;
}

async fn runs_can_be_submitted_in_batches(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    let [one, other] = [begin(&app, "ann").await, begin(&app, "bob").await];
    let items = [body("ann", 5, &one), body("bob", 7, &other), body("ann", 5, &one), body("ann", 6, &one), body("bob", 5, &one)];
    let answer = app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": items })).answers(200).await;
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 409, 422], "{answer}");
    assert_eq!((&results[2]["replayed"], &results[2]["body"]), (&json!(true), &results[0]["body"]));
    assert_eq!(results[3]["body"]["type"], "urn:scoreboard:problem:run-used");
    assert_eq!(results[4]["body"]["type"], "urn:scoreboard:problem:run-invalid");
}

async fn runs_begin_where_there_are_any(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    app.make_leaderboard("secret", json!({ "visibility": "private" })).await;
    app.admin(Method::PATCH, "/api/actions/secret").json(&json!({ "run": { "maxSeconds": 60 } })).answers(200).await;
    let start = |action: &str| app.with("ann", "scores:self", Method::POST, RUNS).json(&json!({ "actionId": action }));
    let problem = start("goal").refused(422).await;
    assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["actionId"], &json!("no-run")));
    let [unknown, private] = [start("nowhere").refused(422).await, start("secret").refused(422).await];
    assert_eq!(
        (&private["errors"], &private["detail"]),
        (&unknown["errors"], &unknown["detail"]),
        "it is not told what is private"
    );
    app.game(Method::POST, RUNS).json(&json!({ "actionId": "race" })).refused(403).await;
    app.admin(Method::PATCH, "/api/actions/race").json(&json!({ "enabled": false })).answers(200).await;
    start("race").refused(409).await;
}

async fn every_instance_accepts_a_token(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    let [one, other] = [begin(&app, "ann").await, begin(&app, "ann").await];
    app.restart().await;
    end(&app, "ann", 5, &one).answers(200).await;
    if backend == Backend::Shared {
        let instance = app.another().await;
        end(&instance, "ann", 5, &other).answers(200).await;
        refused(end(&instance, "ann", 9, &one), 409, "run-used").await;
    }
}

async fn a_run_may_be_withheld(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    app.admin(Method::PATCH, "/api/actions/race").json(&json!({ "review": { "above": 100 } })).answers(200).await;
    let token = begin(&app, "ann").await;
    let receipt = end(&app, "ann", 500, &token).answers(200).await;
    assert_eq!(receipt["review"], "pending");
    assert_eq!(end(&app, "ann", 500, &token).answers(200).await, receipt);
    refused(end(&app, "ann", 5, &token), 409, "run-used").await;
    super::approve(&app, &receipt).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 500);
}

async fn without_a_secret_there_are_no_runs(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    make_race(&app, json!({ "maxSeconds": 60 })).await;
    let token = begin(&app, "ann").await;
    let pair = KeyPair::make(&["-algorithm", "ed25519"]);
    let key = EncodingKey::from_ed_pem(&pair.private).unwrap();
    let bearer = |scope: &str| {
        let claims = json!({ "sub": "ann", "scope": scope, "exp": chrono::Utc::now().timestamp() + 3600 });
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap()
    };
    app.settings.tokens.jwt_secret = None;
    app.settings.tokens.jwt_public_key_file = Some(pair.path("public.pem").into());
    app.restart().await;
    let with = |scope: &str, method: Method, path: &str| app.anonymous(method, path).bearer_auth(bearer(scope));
    let begun = with("scores:self", Method::POST, RUNS).json(&json!({ "actionId": "race" })).responds(409).await;
    assert_eq!(problem(begun).await["type"], "urn:scoreboard:problem:runs-unavailable");
    let ended = with("scores:self", Method::POST, SCORES).json(&body("ann", 5, &token)).refused(409).await;
    assert_eq!(ended["type"], "urn:scoreboard:problem:runs-unavailable");
    let action = json!({ "id": "lap", "leaderboards": ["main"], "points": 1, "run": { "maxSeconds": 60 } });
    let refused = with("leaderboards:admin", Method::POST, "/api/actions").json(&action).refused(422).await;
    assert!(broken(&refused) == ["run"] && refused["detail"].as_str().unwrap().contains("SESSION_SECRET"), "{refused}");
    let change = with("leaderboards:admin", Method::PATCH, "/api/actions/goal").json(&json!({ "run": { "maxSeconds": 60 } }));
    assert_eq!(broken(&change.refused(422).await), ["run"]);
    // With a secret of its own it goes on, whatever tokens are checked with.
    app.settings.tokens.session_secret = Some("a secret of more than thirty-two bytes".into());
    app.restart().await;
    let with = |scope: &str, path: &str| app.anonymous(Method::POST, path).bearer_auth(bearer(scope));
    let begun = with("scores:self", RUNS).json(&json!({ "actionId": "race" })).answers(201).await;
    with("scores:self", SCORES).json(&body("ann", 5, &text(&begun["runToken"]))).answers(200).await;
}

//! The window, and reading one's own write.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{fill, ranks};
use crate::{
    answers::{Expect, broken, problem, retry_after},
    app::{Backend, TestApp, users},
};

crate::both_backends!(
    a_window_shows_the_ranks_asked_for,
    a_window_past_the_end_is_empty_and_knows_the_total,
    a_parameter_that_is_no_fitting_number_is_named,
    every_entry_says_when_its_score_was_reached,
    the_short_path_is_the_default_leaderboard,
    another_leaderboard_can_be_the_default,
    whoever_holds_a_receipt_reads_their_own_write,
    a_version_that_is_not_reached_is_waited_for_and_then_refused,
    an_older_version_is_answered_at_once,
    a_malformed_version_is_refused,
    pages_of_a_window_join_without_a_gap,
);

async fn a_window_shows_the_ranks_asked_for(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 12).await;
    let window = app.get("/api/leaderboard").await;
    assert_eq!((ranks(&window["entries"]), &window["total"]), ((1..=10).collect(), &json!(12)));
    assert_eq!((users(&window)[0], &window["entries"][0]["score"]), ("u-12", &json!(12)));
    assert_eq!((&window["leaderboardId"], &window["season"]), (&json!("main"), &json!(1)));
    for (query, expected) in [
        ("limit=3", 1..=3),
        ("limit=1000", 1..=12),
        ("limit=1&fromRank=12", 12..=12),
        ("fromRank=9", 9..=12),
        ("limit=4&fromRank=5", 5..=8),
    ] {
        let window = app.get(&format!("/api/leaderboard?{query}")).await;
        assert_eq!(ranks(&window["entries"]), expected.collect::<Vec<_>>(), "{query}");
        assert_eq!(window["total"], 12, "{query}");
    }
}

async fn a_window_past_the_end_is_empty_and_knows_the_total(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 3).await;
    for from in ["4", "5000", "9007199254740991"] {
        let window = app.get(&format!("/api/leaderboard?fromRank={from}&limit=1000")).await;
        assert_eq!((&window["entries"], &window["total"]), (&json!([]), &json!(3)), "{from}");
    }
}

async fn a_parameter_that_is_no_fitting_number_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for value in ["0", "-1", "1001", "1.5", "ten", "", "0x10", "%201", "99999999999999999999", "1;DROP"] {
        let request = app.anonymous(Method::GET, &format!("/api/leaderboard?limit={value}"));
        assert_eq!(broken(&request.refused(422).await), ["limit"], "{value}");
    }
    for value in ["0", "-1", "9007199254740992", "first", ""] {
        let request = app.anonymous(Method::GET, &format!("/api/leaderboards/main/entries?fromRank={value}"));
        assert_eq!(broken(&request.refused(422).await), ["fromRank"], "{value}");
    }
    let request = app.anonymous(Method::GET, "/api/leaderboard?limit=0&fromRank=0&minVersion=x");
    let problem = request.refused(422).await;
    assert_eq!(broken(&problem), ["limit", "fromRank", "minVersion"]);
    let detail = problem["detail"].as_str().unwrap();
    assert!(["limit: ", "; fromRank: ", "; minVersion: "].iter().all(|field| detail.contains(field)), "{problem}");
    // Nobody can know which one counts.
    let request = app.anonymous(Method::GET, "/api/leaderboard?limit=2&limit=3");
    assert_eq!(broken(&request.refused(422).await), ["limit"]);
    app.get("/api/leaderboard?limit=2&limit=2").await;
}

async fn every_entry_says_when_its_score_was_reached(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipt = app.post_score("ann", "goal").await;
    let entry = app.get("/api/leaderboard").await["entries"][0].clone();
    let expected = json!({"rank": 1, "userId": "ann", "displayName": "ann", "score": 10, "at": receipt["at"]});
    assert_eq!(entry, expected);
    let at = receipt["at"].as_str().unwrap();
    let parsed = chrono::DateTime::parse_from_rfc3339(at).unwrap();
    assert!((chrono::Utc::now() - parsed.to_utc()).num_seconds().abs() < 60, "{at}");
    assert_eq!((at.len(), &at[26..]), (27, "Z"), "microseconds, UTC: {at}");
}

async fn the_short_path_is_the_default_leaderboard(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 5).await;
    let short = app.get("/api/leaderboard?limit=2&fromRank=3").await;
    assert_eq!(short, app.get("/api/leaderboards/main/entries?limit=2&fromRank=3").await);
    assert_eq!(ranks(&short["entries"]), [3, 4]);
}

async fn another_leaderboard_can_be_the_default(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--rate-limit-burst=100"]).await;
    app.make_leaderboard("cup", json!({})).await;
    app.submit(json!({"actionId": "cup", "userId": "ann", "value": 1})).await;
    let mut other = app;
    other.stop().await;
    other.settings.storage.default_leaderboard = "cup".into();
    other.restart().await;
    assert_eq!(other.get("/api/leaderboard").await["leaderboardId"], "cup");
}

async fn whoever_holds_a_receipt_reads_their_own_write(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for turn in 1..=20 {
        let receipt = app.post_score("ann", "point").await;
        let version = receipt["version"].as_str().unwrap();
        let window = app.get(&format!("/api/leaderboard?minVersion={version}")).await;
        assert_eq!((&window["version"], &window["entries"][0]["score"]), (&json!(version), &json!(turn)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_shows_what_a_receipt_promises() {
    let app = TestApp::spawn(Backend::Shared).await;
    let other = app.another().await;
    for turn in 1..=20 {
        let receipt = app.post_score("ann", "point").await;
        let window = other.get(&format!("/api/leaderboard?minVersion={}", receipt["version"].as_str().unwrap())).await;
        assert_eq!(window["entries"][0]["score"], turn);
    }
}

async fn a_version_that_is_not_reached_is_waited_for_and_then_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipt = app.post_score("ann", "goal").await;
    let (epoch, seq) = receipt["version"].as_str().unwrap().split_once('-').unwrap();
    let next = format!("{epoch}-{}", seq.parse::<u64>().unwrap() + 1);
    let started = Instant::now();
    let response = app.anonymous(Method::GET, &format!("/api/leaderboard?minVersion={next}")).responds(503).await;
    let waited = started.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    assert!(retry_after(&response) >= 1);
    problem(response).await;

    let path = format!("/api/leaderboard?minVersion={next}");
    let (window, receipt) = tokio::join!(app.get(&path), app.post_score("bob", "goal"));
    assert_eq!(receipt["version"], next);
    assert_eq!(users(&window), ["ann", "bob"], "what was waited for came");
}

async fn an_older_version_is_answered_at_once(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let old = app.post_score("ann", "goal").await["version"].as_str().unwrap().to_owned();
    let new = app.post_score("ann", "goal").await["version"].clone();
    let window = app.get(&format!("/api/leaderboard?minVersion={old}")).await;
    assert_eq!((&window["version"], &window["entries"][0]["score"]), (&new, &json!(20)));
    // What an earlier epoch knew, this one has loaded.
    let window = app.get("/api/leaderboard?minVersion=00000000000-999999").await;
    assert_eq!(window["version"], new);
}

async fn a_malformed_version_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for version in ["x", "-", "1-", "-1", "A-1", "a-1-2", "a-1%20", "a-99999999999999999999", "a+b-1", "%00-1"] {
        let request = app.anonymous(Method::GET, &format!("/api/leaderboard?minVersion={version}"));
        assert_eq!(broken(&request.refused(422).await), ["minVersion"], "{version}");
    }
}

async fn pages_of_a_window_join_without_a_gap(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    // Many ties: their order has to be the same on every page.
    let submissions: Vec<_> =
        (0..60).map(|number| json!({"actionId": "value", "userId": format!("u-{number:02}"), "value": number % 3})).collect();
    app.game(Method::POST, "/api/scores/batch").json(&json!({"submissions": submissions})).answers(200).await;
    let whole = app.get("/api/leaderboard?limit=60").await;
    let mut joined = Vec::new();
    for from in (1..=60).step_by(7) {
        let page = app.get(&format!("/api/leaderboard?limit=7&fromRank={from}")).await;
        joined.extend(page["entries"].as_array().unwrap().clone());
    }
    assert_eq!(json!(joined), whole["entries"]);
    let expected: Vec<_> = [2, 1, 0].into_iter().flat_map(|rest| (0..60).filter(move |number| number % 3 == rest)).collect();
    let expected: Vec<_> = expected.into_iter().map(|number| format!("u-{number:02}")).collect();
    assert_eq!(users(&whole), expected);
}

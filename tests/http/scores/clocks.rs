//! What a computer's clock does to scores when somebody sets it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, retry_after},
    app::{Backend, SystemClock, TestApp},
};

crate::both_backends!(
    a_cooldown_lasts_no_longer_when_the_clock_is_set_back,
    who_came_first_stays_first_when_the_clock_is_set_back,
    a_cooldown_of_a_clock_that_was_ahead_lasts_no_longer,
);

async fn app_by_clock(backend: Backend) -> (TestApp, SystemClock) {
    let (mut app, clock) = (TestApp::spawn(backend).await, SystemClock::default());
    app.restart_by(&clock).await;
    (app, clock)
}

async fn make_cooldown(app: &TestApp, seconds: u64) {
    let action = json!({"id": "slow", "leaderboards": ["main"], "points": 1, "cooldownSeconds": seconds});
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
}

/// How long the user is asked to wait, in seconds.
async fn wait_of(app: &TestApp, user: &str) -> u64 {
    let body = json!({"actionId": "slow", "userId": user});
    let response = app.game(Method::POST, "/api/scores").json(&body).send().await.unwrap();
    if response.status() == 200 { 0 } else { retry_after(&response) }
}

async fn a_cooldown_lasts_no_longer_when_the_clock_is_set_back(backend: Backend) {
    let (mut app, clock) = app_by_clock(backend).await;
    make_cooldown(&app, 2).await;
    let begun = Instant::now();
    assert_eq!(wait_of(&app, "ann").await, 0);
    clock.set(-3600);
    assert!((1..=2).contains(&wait_of(&app, "ann").await));
    app.restart().await;
    assert!(wait_of(&app, "ann").await <= 2);
    while wait_of(&app, "ann").await != 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the cooldown never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}

async fn who_came_first_stays_first_when_the_clock_is_set_back(backend: Backend) {
    let (mut app, clock) = app_by_clock(backend).await;
    let first = app.post_score("first", "goal").await;
    clock.set(-3600);
    let second = app.post_score("second", "goal").await;
    app.restart().await;
    let third = app.post_score("third", "goal").await;
    let times: Vec<&str> = [&first, &second, &third].iter().map(|receipt| receipt["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let window: Value = app.get("/api/leaderboard").await;
    let users: Vec<&str> = window["entries"].as_array().unwrap().iter().map(|row| row["userId"].as_str().unwrap()).collect();
    assert_eq!(users, ["first", "second", "third"]);
    let history: Value = app.get("/api/users/third/scores").await;
    assert_eq!(history["scores"][0]["eventId"], third["eventId"]);
}

async fn a_cooldown_of_a_clock_that_was_ahead_lasts_no_longer(backend: Backend) {
    let (mut app, clock) = app_by_clock(backend).await;
    make_cooldown(&app, 60).await;
    clock.set(86_400);
    assert_eq!(wait_of(&app, "ann").await, 0);
    clock.set(0);
    assert!(wait_of(&app, "ann").await <= 60);
    app.restart().await;
    assert!((1..=60).contains(&wait_of(&app, "ann").await));
    assert_eq!(wait_of(&app, "bob").await, 0);
}

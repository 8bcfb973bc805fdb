//! Sessions on several instances beside each other.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::sse::Sse;

async fn three() -> [TestApp; 3] {
    let first = open(Backend::Shared).await;
    let (second, third) = (first.another().await, first.another().await);
    [first, second, third]
}

/// How long after this moment the session's access token is still accepted.
async fn accepted_until(app: &TestApp, session: &Value, since: Instant) -> Duration {
    loop {
        if !is_accepted(app, session).await {
            return since.elapsed();
        }
        assert!(since.elapsed() < Duration::from_secs(5), "it is accepted for good");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_on_one_has_ended_on_all_after_two_seconds() {
    let [a, b, c] = three().await;
    let fresh = async |login: &str| {
        let session = sign_up(&a, login).await;
        for app in [&a, &b, &c] {
            assert!(is_accepted(app, &session).await);
        }
        session
    };
    let path = |session: &Value| format!("/api/accounts/{}", session["userId"].as_str().unwrap());
    let out = fresh("out").await;
    auth(&a, "sign-out", json!({"refreshToken": out["refreshToken"]})).responds(204).await;
    let mut slowest = accepted_until(&b, &out, Instant::now()).await;
    let disabled = fresh("disabled").await;
    manager(&b, Method::PATCH, &path(&disabled)).json(&json!({"disabled": true})).responds(200).await;
    slowest = slowest.max(accepted_until(&c, &disabled, Instant::now()).await);
    let other = fresh("other").await;
    manager(&c, Method::PATCH, &path(&other)).json(&json!({"roles": ["moderator"]})).responds(200).await;
    slowest = slowest.max(accepted_until(&a, &other, Instant::now()).await);
    let deleted = fresh("deleted").await;
    manager(&a, Method::DELETE, &path(&deleted)).responds(204).await;
    slowest = slowest.max(accepted_until(&b, &deleted, Instant::now()).await);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_shown_to_three_has_one_successor() {
    let apps = three().await;
    let mut session = sign_up(&apps[0], "ada").await;
    for round in 0..10 {
        let all = futures_util::future::join_all((0..9).map(|number| refresh(&apps[number % 3], &session).answers(200))).await;
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "round {round}: {all:?}");
        session = all[0].clone();
    }
    assert!(is_accepted(&apps[2], &session).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_guests_are_counted_once_for_all() {
    let apps = three().await;
    sign_up(&apps[0], "ada").await;
    for number in 0..5 {
        sign_in(&apps[number % 3], "ada", "a wrong password").refused(401).await;
    }
    for app in &apps {
        sign_in(app, "ada", PASSWORD).refused(429).await;
    }
    let guests = (0..30).map(|number| auth_from(&apps[number % 3], "203.0.113.5", "guest", json!({})).send());
    let statuses = futures_util::future::join_all(guests).await.into_iter().map(|answer| answer.unwrap().status().as_u16());
    let statuses: Vec<u16> = statuses.collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 20, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_an_ended_session_close() {
    let [a, b, _] = three().await;
    a.make_leaderboard("secret", json!({"visibility": "private"})).await;
    let invite = manager(&a, Method::POST, "/api/accounts/invites").json(&json!({"roles": ["moderator"]})).answers(201).await;
    let body = json!({"login": "mo", "password": PASSWORD, "invite": token_in(&invite["link"])});
    let mo = auth(&a, "sign-up", body).answers(201).await;
    let path = format!("/api/leaderboards/secret/stream?access_token={}", mo["accessToken"].as_str().unwrap());
    let mut stream = Sse::open(&b, &path).await;
    stream.expect("leaderboard").await;
    let since = Instant::now();
    auth(&a, "sign-out", json!({"refreshToken": mo["refreshToken"]})).responds(204).await;
    assert_eq!(stream.expect("closed").await.data, json!({"reason": "ended"}));
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

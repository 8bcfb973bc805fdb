//! Whoever fails to sign in waits, and nobody can make another wait.

use reqwest::Response;
use serde_json::json;

use super::*;
use crate::{answers::retry_after, app::SystemClock};

crate::both_backends!(
    each_failure_from_the_fifth_on_waits_longer,
    one_address_cannot_try_many_logins,
    nobody_locks_another_out,
    many_guesses_at_once_are_few,
    a_wrong_present_password_counts_as_well,
);

async fn attempt(app: &TestApp, address: &str, login: &str, password: &str) -> Response {
    auth_from(app, address, "sign-in", json!({"login": login, "password": password})).send().await.unwrap()
}

async fn fails(app: &TestApp, address: &str, login: &str) -> u16 {
    attempt(app, address, login, "a wrong password").await.status().as_u16()
}

const HERE: &str = "203.0.113.1";

async fn each_failure_from_the_fifth_on_waits_longer(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    sign_up(&app, "ada").await;
    let mut now = 0;
    for login in ["ada", "nobody"] {
        for _ in 0..4 {
            assert_eq!(fails(&app, HERE, login).await, 401);
        }
        for minutes in [1, 5, 15, 60, 60] {
            assert_eq!(fails(&app, HERE, login).await, 401);
            let refused = attempt(&app, HERE, login, PASSWORD).await;
            assert_eq!(refused.status(), 429, "also with the right password");
            let wait = retry_after(&refused) as i64;
            assert!((minutes * 60 - 20..=minutes * 60).contains(&wait), "{wait} s, not {minutes} min");
            now += minutes * 60 + 1;
            clock.set(now);
        }
    }
    assert_eq!(attempt(&app, HERE, "ada", PASSWORD).await.status(), 200);
    for _ in 0..4 {
        assert_eq!(fails(&app, HERE, "ada").await, 401, "a success clears what was counted");
    }
    assert_eq!(attempt(&app, HERE, "ada", PASSWORD).await.status(), 200);
}

async fn one_address_cannot_try_many_logins(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    sign_up(&app, "ada").await;
    for number in 0..30 {
        let address = format!("2001:db8::{number}");
        assert_eq!(fails(&app, &address, &format!("nobody-{number}")).await, 401, "{number}");
        if number == 15 {
            assert_eq!(attempt(&app, "2001:db8::ffff", "ada", PASSWORD).await.status(), 200, "which clears nothing here");
        }
    }
    let refused = attempt(&app, "2001:db8::1:1", "ada", PASSWORD).await;
    assert_eq!(refused.status(), 429);
    assert!((40..=60).contains(&retry_after(&refused)));
    assert_eq!(attempt(&app, "2001:db8:0:1::1", "ada", PASSWORD).await.status(), 200);
    clock.set(61);
    assert_eq!(attempt(&app, "2001:db8::1:1", "ada", PASSWORD).await.status(), 200);
    assert_eq!(fails(&app, "2001:db8::2", "nobody").await, 401);
    assert!(retry_after(&attempt(&app, "2001:db8::3", "ada", PASSWORD).await) > 240);
}

async fn nobody_locks_another_out(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    sign_up(&app, "ada").await;
    assert_eq!(attempt(&app, HERE, "ada", PASSWORD).await.status(), 200);
    for number in 0..30 {
        assert_eq!(fails(&app, &format!("198.51.100.{number}"), "ada").await, 401, "{number}");
    }
    assert_eq!(attempt(&app, HERE, "ada", PASSWORD).await.status(), 200, "at an address that is known, there is no wait");
    assert_eq!(fails(&app, HERE, "ada").await, 401);
    assert_eq!(attempt(&app, HERE, "ada", PASSWORD).await.status(), 200);
    let elsewhere = attempt(&app, "192.0.2.1", "ada", PASSWORD).await;
    assert_eq!((elsewhere.status().as_u16(), retry_after(&elsewhere) <= 60), (429, true));
    assert_eq!(fails(&app, "198.51.100.200", "ada").await, 429);
    clock.set(61);
    assert_eq!(attempt(&app, "192.0.2.1", "ada", PASSWORD).await.status(), 200, "however the others go on");
}

async fn many_guesses_at_once_are_few(backend: Backend) {
    let app = open(backend).await;
    sign_up(&app, "ada").await;
    let guesses = (0..40).map(|_| fails(&app, HERE, "ada"));
    let guesses = futures_util::future::join_all(guesses).await;
    let told = guesses.iter().filter(|&&status| status == 401).count();
    assert!((1..=5).contains(&told), "{told} of {guesses:?}");
    assert!(guesses.iter().all(|status| [401, 429, 503].contains(status)), "{guesses:?}");
}

async fn a_wrong_present_password_counts_as_well(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    let change = |current: &str| {
        let body = json!({"current": current, "new": "another good password"});
        by(&app, &ada, reqwest::Method::POST, "/api/auth/password").json(&body)
    };
    for _ in 0..5 {
        change("a wrong password").refused(401).await;
    }
    change(PASSWORD).refused(429).await;
}

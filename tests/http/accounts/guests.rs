//! Guests: a device is all that they have, until they link a login.

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::{answers::retry_after, app::SystemClock};

crate::both_backends!(
    a_device_is_enough_to_play,
    who_links_a_login_stays_the_same_user,
    nothing_is_merged,
    guests_of_one_address_are_counted,
    an_account_is_known_since_it_was_made,
    a_device_that_keeps_on_asking_is_out_with_a_new_password,
);

async fn a_device_is_enough_to_play(backend: Backend) {
    let app = open(backend).await;
    let guest = auth(&app, "guest", json!({})).answers(201).await;
    run(&app, &guest).await;
    let again = auth(&app, "guest", json!({"deviceSecret": guest["deviceSecret"]})).answers(200).await;
    assert_eq!((&again["userId"], again.get("deviceSecret")), (&guest["userId"], None));
    assert_eq!(run(&app, &again).await["newScore"], 2);
    let other = auth(&app, "guest", json!({})).answers(201).await;
    assert_ne!(other["userId"], guest["userId"]);
    for bad in ["", "scbd_x", other["refreshToken"].as_str().unwrap()] {
        auth(&app, "guest", json!({"deviceSecret": bad})).refused(401).await;
    }
}

async fn who_links_a_login_stays_the_same_user(backend: Backend) {
    let app = open(backend).await;
    let guest = auth(&app, "guest", json!({})).answers(201).await;
    app.post_score("rival", "point").await;
    run(&app, &guest).await;
    run(&app, &guest).await;
    let before = app.get("/api/leaderboard").await;
    let login = json!({"login": "Ada", "password": PASSWORD});
    let linked = by(&app, &guest, Method::POST, "/api/auth/link").json(&login).answers(200).await;
    assert_eq!(linked["userId"], guest["userId"]);
    assert_eq!(app.get("/api/leaderboard").await, before, "scores and ranks are the same, byte by byte");
    let ada = sign_in(&app, "ada", PASSWORD).answers(200).await;
    assert_eq!(ada["userId"], guest["userId"]);
    assert_eq!(run(&app, &ada).await["newScore"], 3);
    let device = auth(&app, "guest", json!({"deviceSecret": guest["deviceSecret"]})).answers(200).await;
    assert_eq!(device["userId"], guest["userId"], "the device goes on");
    by(&app, &guest, Method::POST, "/api/auth/link").json(&json!({"login": "bob", "password": PASSWORD})).refused(409).await;
}

async fn nothing_is_merged(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    let guest = auth(&app, "guest", json!({})).answers(201).await;
    run(&app, &ada).await;
    run(&app, &guest).await;
    let before = app.get("/api/leaderboard").await;
    let link = |login: &str, password: &str| {
        by(&app, &guest, Method::POST, "/api/auth/link").json(&json!({"login": login, "password": password}))
    };
    let taken = link("ADA", PASSWORD).refused(409).await;
    assert_eq!(taken["type"], "urn:scoreboard:problem:identity-taken");
    assert_eq!(app.get("/api/leaderboard").await, before);
    link("bob", "short").refused(422).await;
    auth(&app, "link", json!({"login": "bob", "password": PASSWORD})).refused(401).await;
    app.game(Method::POST, "/api/auth/link").json(&json!({"login": "bob", "password": PASSWORD})).refused(403).await;
    let others = futures_util::future::join_all((0..4).map(|_| auth(&app, "guest", json!({})).answers(201))).await;
    let racing = others
        .iter()
        .map(|other| by(&app, other, Method::POST, "/api/auth/link").json(&json!({"login": "bob", "password": PASSWORD})).send());
    let racing = futures_util::future::join_all(racing).await;
    let mut statuses: Vec<u16> = racing.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
}

async fn guests_of_one_address_are_counted(backend: Backend) {
    let mut app = with(backend, &["--accounts=open", "--guests-per-address=3"]).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    let arrive = |address: &str| auth_from(&app, address, "guest", json!({}));
    let at_once = futures_util::future::join_all((0..8).map(|_| arrive("2001:db8::1").send())).await;
    let mut statuses: Vec<u16> = at_once.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 201, 429, 429, 429, 429, 429]);
    let refused = arrive("2001:db8::2:3").responds(429).await;
    assert!((3_500..=3_600).contains(&retry_after(&refused)), "an hour after the first: {}", retry_after(&refused));
    arrive("2001:db8:0:1::1").answers(201).await;
    arrive("203.0.113.7").answers(201).await;
    clock.set(3_610);
    arrive("2001:db8::1").answers(201).await;
}

async fn an_account_is_known_since_it_was_made(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    app.admin(Method::PATCH, "/api/actions/run").json(&json!({ "review": { "newUserSeconds": 60 } })).answers(200).await;
    let early = auth(&app, "guest", json!({})).answers(201).await;
    clock.set(61);
    let late = auth(&app, "guest", json!({})).answers(201).await;
    assert_eq!(run(&app, &early).await.get("review"), None, "its first score, and known for a minute");
    assert_eq!(run(&app, &late).await["review"], "pending");
}

/// Somebody has copied the device's secret, and its owner chooses a new password because of that.
async fn a_device_that_keeps_on_asking_is_out_with_a_new_password(backend: Backend) {
    let app = open(backend).await;
    for round in 0..5 {
        let guest = auth(&app, "guest", json!({})).answers(201).await;
        let login = json!({"login": format!("ada-{round}"), "password": PASSWORD});
        by(&app, &guest, Method::POST, "/api/auth/link").json(&login).answers(200).await;
        let path = format!("/api/accounts/{}/reset-link", guest["userId"].as_str().unwrap());
        let link = manager(&app, Method::POST, &path).answers(200).await;
        let keep_on = async || {
            let mut opened = Vec::new();
            loop {
                let again = auth(&app, "guest", json!({"deviceSecret": guest["deviceSecret"]})).send().await.unwrap();
                if again.status() == 401 {
                    return opened;
                }
                assert_eq!(again.status(), 200);
                opened.push(again.json::<Value>().await.unwrap());
            }
        };
        let reset = auth(&app, "password/reset", json!({"token": token_in(&link["link"]), "new": "another good password"}));
        let (mut opened, others, more, ()) =
            tokio::join!(keep_on(), keep_on(), keep_on(), async { drop(reset.responds(204).await) });
        opened.extend(others.into_iter().chain(more));
        for session in &opened {
            refresh(&app, session).refused(401).await;
        }
    }
}

//! Refresh tokens: each use gives a successor, a repeat gets the same one, and an older one ends the session.

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::app::SystemClock;

crate::both_backends!(
    a_repeat_gets_the_very_same_answer,
    many_at_once_get_one_successor,
    an_older_token_ends_the_session,
    a_repeat_that_comes_late_ends_the_session,
    a_token_that_was_not_made_here_ends_nothing,
    a_session_ends_when_nobody_uses_it,
    an_access_token_is_good_for_ten_minutes,
    who_signs_out_is_out,
    everybody_sees_and_ends_their_own_sessions,
    an_account_has_fifty_sessions_at_most,
);

async fn a_repeat_gets_the_very_same_answer(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    let first = sign_up(&app, "ada").await;
    let second = refresh(&app, &first).answers(200).await;
    assert_eq!((&second["userId"], &second["sessionId"]), (&first["userId"], &first["sessionId"]));
    assert_ne!(second["refreshToken"], first["refreshToken"]);
    clock.set(29);
    assert_eq!(refresh(&app, &first).answers(200).await, second, "the answer was lost");
    // Whoever repeats may find the successor used by another tab meanwhile.
    app.restart().await;
    let third = refresh(&app, &second).answers(200).await;
    assert_eq!(refresh(&app, &second).answers(200).await, third);
    assert!(is_accepted(&app, &third).await);
}

async fn many_at_once_get_one_successor(backend: Backend) {
    let app = open(backend).await;
    let mut session = sign_up(&app, "ada").await;
    for _ in 0..5 {
        let all = futures_util::future::join_all((0..12).map(|_| refresh(&app, &session).answers(200))).await;
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        session = all[0].clone();
    }
}

async fn an_older_token_ends_the_session(backend: Backend) {
    let app = open(backend).await;
    let first = sign_up(&app, "ada").await;
    let other = sign_in(&app, "ada", PASSWORD).answers(200).await;
    let second = refresh(&app, &first).answers(200).await;
    let third = refresh(&app, &second).answers(200).await;
    refresh(&app, &first).refused(401).await;
    for session in [&second, &third] {
        refresh(&app, session).refused(401).await;
        assert!(!is_accepted(&app, session).await);
    }
    assert!(is_accepted(&app, &other).await, "the other session goes on");
    refresh(&app, &other).answers(200).await;
    let target = format!("account:{}", first["userId"].as_str().unwrap());
    let reused = deeds(&app).await.into_iter().filter(|deed| deed.0 == "session.reuse").collect::<Vec<_>>();
    assert_eq!(reused, [("session.reuse".to_owned(), target)]);
}

async fn a_repeat_that_comes_late_ends_the_session(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    let first = sign_up(&app, "ada").await;
    let second = refresh(&app, &first).answers(200).await;
    clock.set(32);
    refresh(&app, &first).refused(401).await;
    refresh(&app, &second).refused(401).await;
}

async fn a_token_that_was_not_made_here_ends_nothing(backend: Backend) {
    let app = open(backend).await;
    let session = sign_up(&app, "ada").await;
    let token = session["refreshToken"].as_str().unwrap();
    let altered = format!("{}{}", &token[..token.len() - 8], "AAAAAAAA");
    for bad in ["", "scbr_", "x", &altered, session["accessToken"].as_str().unwrap()] {
        auth(&app, "refresh", json!({"refreshToken": bad})).refused(401).await;
    }
    auth(&app, "refresh", json!({"refreshToken": 5})).refused(422).await;
    auth(&app, "refresh", json!({})).refused(422).await;
    refresh(&app, &session).answers(200).await;
}

async fn a_session_ends_when_nobody_uses_it(backend: Backend) {
    const DAY: i64 = 86_400;
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    let idle = sign_up(&app, "ada").await;
    let mut used = sign_in(&app, "ada", PASSWORD).answers(200).await;
    for day in (29..=174).step_by(29) {
        clock.set(day * DAY);
        used = refresh(&app, &used).answers(200).await;
    }
    refresh(&app, &idle).refused(401).await;
    clock.set(179 * DAY);
    used = refresh(&app, &used).answers(200).await;
    clock.set(180 * DAY + 60);
    refresh(&app, &used).refused(401).await;
}

async fn an_access_token_is_good_for_ten_minutes(backend: Backend) {
    let mut app = open(backend).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    let session = sign_up(&app, "ada").await;
    clock.set(590);
    assert!(is_accepted(&app, &session).await);
    clock.set(601);
    assert!(!is_accepted(&app, &session).await);
    assert!(is_accepted(&app, &refresh(&app, &session).answers(200).await).await);
}

async fn who_signs_out_is_out(backend: Backend) {
    let app = open(backend).await;
    let [one, two, three] =
        [sign_up(&app, "ada").await, sign_in(&app, "ada", PASSWORD).answers(200).await, sign_up(&app, "bob").await];
    let out = |session: &Value, everywhere: bool| {
        auth(&app, "sign-out", json!({"refreshToken": session["refreshToken"], "everywhere": everywhere}))
    };
    out(&one, false).responds(204).await;
    out(&one, false).responds(204).await;
    assert!(!is_accepted(&app, &one).await && is_accepted(&app, &two).await);
    refresh(&app, &one).refused(401).await;
    let four = sign_in(&app, "ada", PASSWORD).answers(200).await;
    out(&four, true).responds(204).await;
    assert!(!is_accepted(&app, &two).await && !is_accepted(&app, &four).await && is_accepted(&app, &three).await);
    auth(&app, "sign-out", json!({"refreshToken": "scbr_x"})).refused(401).await;
}

async fn everybody_sees_and_ends_their_own_sessions(backend: Backend) {
    let app = open(backend).await;
    let (ada, bob) = (sign_up(&app, "ada").await, sign_up(&app, "bob").await);
    let phone = sign_in(&app, "ada", PASSWORD).header("User-Agent", "phone/1").answers(200).await;
    let list = by(&app, &ada, Method::GET, "/api/auth/sessions").answers(200).await;
    let list = list["sessions"].as_array().unwrap();
    let ids: Vec<_> = list.iter().map(|session| &session["id"]).collect();
    assert_eq!(ids, [&phone["sessionId"], &ada["sessionId"]], "the newest first");
    assert_eq!((&list[0]["userAgent"], list[0].as_object().unwrap().len()), (&json!("phone/1"), 4));
    let end =
        |session: &Value, id: &Value| by(&app, session, Method::DELETE, &format!("/api/auth/sessions/{}", id.as_str().unwrap()));
    end(&bob, &phone["sessionId"]).refused(404).await;
    end(&ada, &json!("nonsense")).refused(404).await;
    end(&ada, &phone["sessionId"]).responds(204).await;
    assert!(!is_accepted(&app, &phone).await && is_accepted(&app, &ada).await);
    app.anonymous(Method::GET, "/api/auth/sessions").refused(401).await;
}

async fn an_account_has_fifty_sessions_at_most(backend: Backend) {
    let app = open(backend).await;
    let guest = auth(&app, "guest", json!({})).answers(201).await;
    for _ in 0..50 {
        auth(&app, "guest", json!({"deviceSecret": guest["deviceSecret"]})).answers(200).await;
    }
    refresh(&app, &guest).refused(401).await;
    let newest = auth(&app, "guest", json!({"deviceSecret": guest["deviceSecret"]})).answers(200).await;
    let list = by(&app, &newest, Method::GET, "/api/auth/sessions").answers(200).await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 50);
}

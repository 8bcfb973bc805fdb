//! Signing up and in.

use std::time::{Duration, Instant};

use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use super::*;
use crate::answers::broken;

crate::both_backends!(
    who_signs_up_plays_and_nothing_else,
    an_unknown_login_is_like_a_wrong_password,
    logins_ignore_case_and_are_taken_once,
    passwords_have_to_be_long_and_rare,
    a_name_is_shown_in_rankings,
    without_accounts_there_is_nothing_of_them,
    each_setting_offers_its_own,
    access_tokens_are_made_here_alone,
    passwords_never_keep_scores_waiting,
);

async fn who_signs_up_plays_and_nothing_else(backend: Backend) {
    let app = open(backend).await;
    let session = sign_up(&app, "ada").await;
    for field in ["userId", "sessionId", "accessToken", "expiresAt", "refreshToken", "refreshExpiresAt"] {
        assert!(session[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {session}");
    }
    assert_eq!((&session["roles"], session.as_object().unwrap().len()), (&json!(["player"]), 7), "{session}");
    assert_eq!(run(&app, &session).await["rank"], 1);
    let other = json!({"actionId": "run", "userId": "somebody"});
    by(&app, &session, Method::POST, "/api/scores").json(&other).refused(403).await;
    by(&app, &session, Method::POST, "/api/leaderboards").json(&json!({"id": "x", "name": "X"})).refused(403).await;
    by(&app, &session, Method::GET, "/api/accounts").refused(403).await;
    let again = sign_in(&app, "ada", PASSWORD).answers(200).await;
    assert_eq!((&again["userId"], again["sessionId"] == session["sessionId"]), (&session["userId"], false));
    assert_eq!(run(&app, &again).await["newScore"], 2);
}

async fn an_unknown_login_is_like_a_wrong_password(backend: Backend) {
    let app = open(backend).await;
    sign_up(&app, "ada").await;
    let mut answers = Vec::new();
    // The least that each of them took: other tests make some of them longer. From 30 failures on an unknown address has to wait.
    let mut least = [Duration::MAX; 2];
    for round in 0..28 {
        for (which, login) in ["ada", "nobody"].into_iter().enumerate() {
            let begun = Instant::now();
            let body = json!({"login": login, "password": "a wrong password"});
            let mut problem = auth_from(&app, &format!("203.0.113.{round}"), "sign-in", body).refused(401).await;
            least[which] = least[which].min(begun.elapsed());
            problem["requestId"] = Value::Null;
            answers.push(problem);
        }
        if round > 6 && least[0] < least[1] * 2 && least[1] < least[0] * 2 {
            break;
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    let [known, unknown] = least;
    assert!(known < unknown * 2 && unknown < known * 2, "{known:?} and {unknown:?}");
}

async fn logins_ignore_case_and_are_taken_once(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "Ada@Example.org").await;
    let again = sign_in(&app, "ADA@example.ORG", PASSWORD).answers(200).await;
    assert_eq!(again["userId"], ada["userId"]);
    let taken = auth(&app, "sign-up", json!({"login": "aDA@example.org", "password": PASSWORD})).refused(409).await;
    assert_eq!(taken["type"], "urn:scoreboard:problem:login-taken");
    let all = (0..8).map(|_| auth(&app, "sign-up", json!({"login": "Zoë", "password": PASSWORD})).send());
    let statuses = futures_util::future::join_all(all).await.into_iter().map(|answer| answer.unwrap().status().as_u16());
    let statuses: Vec<u16> = statuses.collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 409, 503].contains(status)), "{statuses:?}");
    for bad in ["", "a b", "a\tb", &"x".repeat(129)] {
        let problem = auth(&app, "sign-up", json!({"login": bad, "password": PASSWORD})).refused(422).await;
        assert_eq!(broken(&problem), ["login"], "{bad:?}");
    }
}

async fn passwords_have_to_be_long_and_rare(backend: Backend) {
    let app = open(backend).await;
    let long = "x".repeat(129);
    for bad in ["", "123456789", "1234567890", "Qwertyuiop", "ada@example.org", &long] {
        let problem = auth(&app, "sign-up", json!({"login": "Ada@example.org", "password": bad})).refused(422).await;
        assert_eq!(broken(&problem), ["password"], "{bad:?}");
        assert!(bad.is_empty() || !problem.to_string().contains(bad) || bad == "ada@example.org", "{problem}");
    }
    for (login, good) in [("a", "          "), ("b", "  leading two"), ("c", "пароль пароль"), ("d", &long[..128])] {
        auth(&app, "sign-up", json!({"login": login, "password": good})).answers(201).await;
        sign_in(&app, login, good).answers(200).await;
        let other = format!(" {good}");
        sign_in(&app, login, &other).refused(401).await;
    }
}

async fn a_name_is_shown_in_rankings(backend: Backend) {
    let app = open(backend).await;
    let named = json!({"login": "ada", "password": PASSWORD, "displayName": "Ada L."});
    let ada = auth(&app, "sign-up", named).answers(201).await;
    run(&app, &ada).await;
    assert_eq!(app.get("/api/leaderboard").await["entries"][0]["displayName"], "Ada L.");
    let nameless = json!({"login": "bob", "password": PASSWORD, "displayName": ""});
    auth(&app, "sign-up", nameless).refused(422).await;
}

async fn without_accounts_there_is_nothing_of_them(backend: Backend) {
    let app = with(backend, &[]).await;
    for path in ["sign-up", "sign-in", "guest", "link", "refresh", "sign-out", "password", "password/forgot", "password/reset"] {
        auth(&app, path, json!({})).refused(404).await;
    }
    app.anonymous(Method::GET, "/api/auth/sessions").refused(404).await;
    for path in ["/api/accounts", "/api/accounts/p-1", "/account/reset", "/account/invite"] {
        manager(&app, Method::GET, path).refused(404).await;
    }
    manager(&app, Method::POST, "/api/accounts/invites").json(&json!({})).refused(404).await;
}

async fn each_setting_offers_its_own(backend: Backend) {
    let guests = with(backend, &["--accounts=guests"]).await;
    let guest = auth(&guests, "guest", json!({})).answers(201).await;
    refresh(&guests, &guest).answers(200).await;
    auth(&guests, "sign-up", json!({"login": "ada", "password": PASSWORD})).refused(404).await;
    sign_in(&guests, "ada", PASSWORD).refused(404).await;
    by(&guests, &guest, Method::POST, "/api/auth/link").json(&json!({"login": "ada", "password": PASSWORD})).refused(404).await;

    let invited = with(backend, &["--accounts=invited"]).await;
    auth(&invited, "guest", json!({})).refused(404).await;
    auth(&invited, "sign-up", json!({"login": "ada", "password": PASSWORD})).refused(403).await;
    let invite = manager(&invited, Method::POST, "/api/accounts/invites").json(&json!({"login": "Ada"})).answers(201).await;
    let token = token_in(&invite["link"]);
    let accept = |login: &str| auth(&invited, "sign-up", json!({"login": login, "password": PASSWORD, "invite": token}));
    accept("eve").refused(403).await;
    accept("ADA").answers(201).await;
    accept("ada").refused(403).await;
    accept("eve").refused(403).await;
}

async fn access_tokens_are_made_here_alone(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    let token = ada["accessToken"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let secret = app.settings.tokens.jwt_secret.clone().unwrap();
    // Whoever makes this server's tokens still cannot make a session.
    let header = Header { typ: Some("session+jwt".into()), ..Header::default() };
    let later = chrono::Utc::now().timestamp() + 3600;
    let claims =
        json!({"sub": ada["userId"], "sid": ada["sessionId"], "roles": "admin", "scope": "scores:self", "iat": 0, "exp": later});
    let key = EncodingKey::from_secret(secret.as_bytes());
    let forged = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let ask = |token: String| app.anonymous(Method::GET, "/api/leaderboards").bearer_auth(token);
    ask(forged).refused(401).await;
    let plain = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    ask(plain.clone()).responds(200).await;
    // Neither signature fits the other header.
    let [plain_header, _, plain_signature] = plain.split('.').collect::<Vec<_>>()[..] else { panic!("{plain}") };
    ask(format!("{plain_header}.{}.{}", parts[1], parts[2])).refused(401).await;
    ask(format!("{}.{}.{plain_signature}", parts[0], parts[1])).refused(401).await;
    ask(format!("{}.{}.", parts[0], parts[1])).refused(401).await;
    // A token is no session: it has none to list.
    app.with("game", "accounts:admin", Method::GET, "/api/auth/sessions").refused(403).await;
    ask(token.to_owned()).responds(200).await;
}

async fn passwords_never_keep_scores_waiting(backend: Backend) {
    let app = std::sync::Arc::new(open(backend).await);
    sign_up(&app, "ada").await;
    let flood = (0..100).map(|number| {
        let app = std::sync::Arc::clone(&app);
        tokio::spawn(async move {
            let body = json!({"login": format!("nobody-{number}"), "password": "a wrong password"});
            auth_from(&app, &format!("198.51.100.{number}"), "sign-in", body).send().await.unwrap().status().as_u16()
        })
    });
    let flood: Vec<_> = flood.collect();
    let mut slowest = Duration::ZERO;
    while !flood.iter().all(tokio::task::JoinHandle::is_finished) {
        let begun = Instant::now();
        app.post_score("ann", "point").await;
        slowest = slowest.max(begun.elapsed());
    }
    let statuses: Vec<u16> = futures_util::future::join_all(flood).await.into_iter().map(Result::unwrap).collect();
    assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "the queue is bounded: {statuses:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

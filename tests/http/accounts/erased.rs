//! Whoever has an account is erased with it, and nothing that was under way brings the user back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::*;

crate::both_backends!(
    nothing_that_is_under_way_brings_a_user_back,
    whoever_sends_without_a_pause_can_be_ended,
    whoever_has_an_account_alone_is_a_user_for_moderators,
    moderators_erase_no_administrators,
);

async fn decide(app: &TestApp, decision: Value) -> Value {
    let request = app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions");
    request.json(&json!({ "decisions": [decision] })).answers(200).await["results"][0].clone()
}

async fn nothing_that_is_under_way_brings_a_user_back(backend: Backend) {
    let app = open(backend).await;
    let another = if backend == Backend::Shared { Some(app.another().await) } else { None };
    for round in 0..4 {
        let guest = auth(&app, "guest", json!({})).answers(201).await;
        let user = guest["userId"].as_str().unwrap();
        if round % 2 == 0 {
            run(&app, &guest).await;
        }
        let erased = AtomicBool::new(false);
        let keep_on = async |number: usize| {
            let instance = another.as_ref().filter(|_| number % 2 == 1).unwrap_or(&app);
            let mut refused = 0;
            // Well beyond the time in which every instance has learned of the end.
            while refused < 20 {
                let name = json!({ "displayName": format!("Old {number}") });
                let request = match number % 3 {
                    0 => by(instance, &guest, Method::PATCH, &format!("/api/users/{user}")).json(&name),
                    _ => by(instance, &guest, Method::POST, "/api/scores").json(&json!({"actionId": "run", "userId": user})),
                };
                let done = erased.load(Ordering::Acquire);
                match request.send().await.unwrap().status().as_u16() {
                    200 => assert!(!done, "it went on after the erasure"),
                    status => {
                        assert!(done || [401, 503].contains(&status), "{status}");
                        refused += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let erase = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let done = decide(&app, json!({ "type": "erase", "userId": user, "scores": "keep", "reason": "asked for" })).await;
            assert_eq!(done["status"], 200, "{done}");
            erased.store(true, Ordering::Release);
        };
        tokio::join!(join_all((0..6).map(keep_on)), erase);
        app.admin(Method::GET, &format!("/api/users/{user}")).refused(404).await;
        let text = app.get("/api/leaderboards/main/entries?limit=100").await.to_string();
        assert!(!text.contains(user) && !text.contains("Old "), "{text}");
    }
}

async fn whoever_sends_without_a_pause_can_be_ended(backend: Backend) {
    let app = open(backend).await;
    for end in ["disable", "delete", "erase"] {
        let guest = auth(&app, "guest", json!({})).answers(201).await;
        let user = guest["userId"].as_str().unwrap();
        let over = AtomicBool::new(false);
        let keep_on = async |number: usize| {
            while !over.load(Ordering::Acquire) {
                let name = json!({ "displayName": format!("Name {}", uuid::Uuid::new_v4()) });
                let request = match number % 3 {
                    0 => by(&app, &guest, Method::POST, "/api/scores").json(&json!({"actionId": "run", "userId": user})),
                    _ => by(&app, &guest, Method::PATCH, &format!("/api/users/{user}")).json(&name),
                };
                request.send().await.unwrap();
            }
        };
        let end_it = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let begun = tokio::time::Instant::now();
            let account = format!("/api/accounts/{user}");
            match end {
                "disable" => drop(manager(&app, Method::PATCH, &account).json(&json!({ "disabled": true })).answers(200).await),
                "delete" => drop(manager(&app, Method::DELETE, &account).responds(204).await),
                _ => {
                    let erasure = json!({ "type": "erase", "userId": user, "scores": "keep", "reason": "asked for" });
                    assert_eq!(decide(&app, erasure).await["status"], 200);
                }
            }
            // Others may send as well meanwhile.
            app.post_score("other", "point").await;
            let took = begun.elapsed();
            over.store(true, Ordering::Release);
            assert!(took < Duration::from_secs(3), "{end} took {took:?}");
        };
        tokio::join!(join_all((0..6).map(keep_on)), end_it);
        assert!(!is_accepted(&app, &guest).await, "{end}");
    }
}

async fn whoever_has_an_account_alone_is_a_user_for_moderators(backend: Backend) {
    let app = open(backend).await;
    let [ada, bob] = [sign_up(&app, "ada").await, sign_up(&app, "bob").await];
    let banned = decide(&app, json!({ "type": "ban", "userId": bob["userId"], "reason": "again" })).await;
    assert_eq!(banned["status"], 200, "{banned}");
    let body = json!({"actionId": "run", "userId": bob["userId"]});
    by(&app, &bob, Method::POST, "/api/scores").json(&body).refused(403).await;
    let erased = decide(&app, json!({ "type": "erase", "userId": ada["userId"], "scores": "keep", "reason": "asked for" })).await;
    assert_eq!(erased["status"], 200, "{erased}");
    sign_in(&app, "ada", PASSWORD).refused(401).await;
    manager(&app, Method::GET, &format!("/api/accounts/{}", ada["userId"].as_str().unwrap())).refused(404).await;
    let nobody = decide(&app, json!({ "type": "ban", "userId": "nobody", "reason": "who" })).await;
    assert_eq!(nobody["status"], 422, "{nobody}");
}

async fn moderators_erase_no_administrators(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    let user = ada["userId"].as_str().unwrap();
    let erasure = json!({ "decisions": [{ "type": "erase", "userId": user, "scores": "keep", "reason": "asked for" }] });
    let erase = |scope: &str| app.with("mod", scope, Method::POST, "/api/moderation/decisions").json(&erasure);
    for role in ["moderator", "admin"] {
        let roles = json!({ "roles": ["player", role] });
        manager(&app, Method::PATCH, &format!("/api/accounts/{user}")).json(&roles).answers(200).await;
        erase("moderation:write").refused(403).await;
    }
    sign_in(&app, "ada", PASSWORD).answers(200).await;
    assert_eq!(erase("moderation:write accounts:admin").answers(200).await["results"][0]["status"], 200);
    sign_in(&app, "ada", PASSWORD).refused(401).await;
}

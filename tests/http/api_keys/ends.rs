//! A key that was deleted, changed or has expired allows nothing any more, on any instance.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{by, make, others, owner, path, score};
use crate::{
    answers::Expect,
    app::{Backend, SystemClock, TestApp, within},
    sse::Sse,
};

crate::both_backends!(
    a_deleted_key_commits_nothing_from_that_instant_on,
    a_deleted_key_reads_nothing_two_seconds_later_on_any_instance,
    streams_of_a_deleted_key_are_closed_and_others_go_on,
    streams_that_a_changed_key_may_not_see_are_closed_and_others_go_on,
    an_expired_key_is_refused,
    a_changed_key_is_judged_by_its_present_scopes,
    a_deleted_key_makes_no_other_key,
    a_narrowed_key_changes_nothing_by_what_it_had,
);

async fn a_deleted_key_commits_nothing_from_that_instant_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let instances: Vec<_> = [&app].into_iter().chain(&others).collect();
    let key = make(&app, &["scores:write"], json!({})).await;
    for instance in &instances {
        score(instance, &key, "value").answers(200).await;
    }
    // From the moment that the deletion is answered, on every instance; whoever is let in by what is known there is judged by the commit.
    owner(instances[instances.len() - 1], Method::DELETE, &path(&key)).responds(204).await;
    for instance in &instances {
        let refused = score(instance, &key, "value").refused(401).await;
        assert!(refused["detail"].as_str().unwrap().contains("API key"), "{refused}");
    }
    assert_eq!(app.get("/api/leaderboards/main/entries/ann").await["entry"]["score"], instances.len());
}

async fn a_deleted_key_reads_nothing_two_seconds_later_on_any_instance(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let instances: Vec<_> = [&app].into_iter().chain(&others).collect();
    app.make_leaderboard("cup", json!({ "visibility": "private" })).await;
    let key = make(&app, &["leaderboards:read"], json!({})).await;
    let read = |instance: &TestApp| by(instance, &key, Method::GET, "/api/leaderboards/cup/entries");
    for instance in &instances {
        read(instance).answers(200).await;
    }
    owner(&app, Method::DELETE, &path(&key)).responds(204).await;
    let deleted = Instant::now();
    for instance in &instances {
        within(2, "the key is refused", || async { read(instance).send().await.unwrap().status() == 401 }).await;
    }
    assert!(deleted.elapsed() < Duration::from_secs(2));
}

async fn streams_of_a_deleted_key_are_closed_and_others_go_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let another = others.first().unwrap_or(&app);
    app.make_leaderboard("cup", json!({ "visibility": "private" })).await;
    let [ended, kept] =
        [make(&app, &["leaderboards:read"], json!({})).await, make(&app, &["leaderboards:read"], json!({})).await];
    let open = async |instance, key, path: &str| {
        let mut stream = Sse::of(by(instance, key, Method::GET, path).responds(200).await);
        stream.expect("leaderboard").await;
        stream
    };
    let mut streams = Vec::new();
    for instance in [&app, another] {
        for path in ["/api/leaderboards/cup/stream", "/api/leaderboards/cup/stream?view=top", "/api/leaderboard/stream"] {
            streams.push(open(instance, &ended, path).await);
        }
    }
    let mut other = open(another, &kept, "/api/leaderboards/cup/stream").await;
    owner(&app, Method::DELETE, &path(&ended)).responds(204).await;
    let deleted = Instant::now();
    for stream in &mut streams {
        assert_eq!(stream.expect("closed").await.data, json!({ "reason": "ended" }));
        assert!(stream.next().await.is_none());
    }
    assert!(deleted.elapsed() < Duration::from_secs(2), "{:?}", deleted.elapsed());
    app.submit(json!({ "actionId": "cup", "userId": "ann", "value": 5 })).await;
    other.expect("score-updated").await;
}

async fn streams_that_a_changed_key_may_not_see_are_closed_and_others_go_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let another = others.first().unwrap_or(&app);
    for id in ["cup", "vault"] {
        app.make_leaderboard(id, json!({ "visibility": "private" })).await;
    }
    let key = make(&app, &["leaderboards:read"], json!({})).await;
    let open = async |path: &str| {
        let mut stream = Sse::of(by(another, &key, Method::GET, path).responds(200).await);
        stream.expect("leaderboard").await;
        stream
    };
    let ends = async |stream: &mut Sse| {
        let begun = Instant::now();
        assert_eq!(stream.expect("closed").await.data, json!({ "reason": "ended" }));
        assert!(stream.next().await.is_none() && begun.elapsed() < Duration::from_secs(2));
    };
    let change = async |change: serde_json::Value| owner(&app, Method::PATCH, &path(&key)).json(&change).answers(200).await;
    let [mut cup, mut both] = [open("/api/leaderboards/cup/stream").await, open("/api/stream?leaderboards=cup,main").await];
    both.expect("leaderboard").await;
    let [mut vault, mut main] = [open("/api/leaderboards/vault/stream").await, open("/api/leaderboard/stream").await];
    change(json!({ "leaderboards": ["vault", "main"] })).await;
    ends(&mut cup).await;
    ends(&mut both).await;
    app.submit(json!({ "actionId": "vault", "userId": "ann", "value": 5 })).await;
    vault.expect("score-updated").await;
    // The same key as it is by now, beside what it was.
    let mut again = open("/api/leaderboards/vault/stream?view=top").await;
    change(json!({ "scopes": ["scores:write"] })).await;
    ends(&mut vault).await;
    ends(&mut again).await;
    app.post_value("ann", 7).await;
    main.expect("score-updated").await;
    // It is open to everybody, and its watcher has no right of its own any more.
    app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({ "visibility": "private" })).answers(200).await;
    assert_eq!(main.expect("closed").await.data, json!({ "reason": "private" }));
}

async fn an_expired_key_is_refused(backend: Backend) {
    let (mut app, clock) = (TestApp::spawn(backend).await, SystemClock::default());
    app.restart_by(&clock).await;
    let soon = (chrono::Utc::now() + Duration::from_secs(60)).to_rfc3339();
    let key = make(&app, &["scores:write"], json!({ "expiresAt": soon })).await;
    score(&app, &key, "value").answers(200).await;
    clock.set(61);
    let refused = score(&app, &key, "value").refused(401).await;
    assert!(refused["detail"].as_str().unwrap().contains("expired"), "{refused}");
    let later = (chrono::Utc::now() + Duration::from_secs(3600)).to_rfc3339();
    owner(&app, Method::PATCH, &path(&key)).json(&json!({ "expiresAt": later })).answers(200).await;
    // PostgreSQL judges by its own clock, which is a minute behind.
    score(&app, &key, "value").answers(200).await;
}

async fn a_changed_key_is_judged_by_its_present_scopes(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let another = others.first().unwrap_or(&app);
    let key = make(&app, &["scores:write", "leaderboards:read"], json!({})).await;
    score(another, &key, "value").answers(200).await;
    owner(&app, Method::PATCH, &path(&key)).json(&json!({ "scopes": ["leaderboards:read"] })).answers(200).await;
    score(another, &key, "value").refused(403).await;
    app.make_leaderboard("other", json!({})).await;
    let change = json!({ "scopes": ["scores:write"], "leaderboards": ["other"] });
    owner(&app, Method::PATCH, &path(&key)).json(&change).answers(200).await;
    score(another, &key, "value").refused(403).await;
    within(2, "the key has its new scope", || async { score(another, &key, "other").send().await.unwrap().status() == 200 })
        .await;
}

async fn a_deleted_key_makes_no_other_key(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let another = others.first().unwrap_or(&app);
    let key = make(&app, &["keys:admin", "scores:write"], json!({})).await;
    by(another, &key, Method::GET, "/api/keys").answers(200).await;
    owner(&app, Method::DELETE, &path(&key)).responds(204).await;
    let body = json!({ "name": "heir", "scopes": ["scores:write"] });
    by(another, &key, Method::POST, "/api/keys").json(&body).refused(401).await;
}

async fn a_narrowed_key_changes_nothing_by_what_it_had(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    let others = others(&app, backend).await;
    let another = others.first().unwrap_or(&app);
    for (narrowed, body) in [
        (json!({ "scopes": ["scores:write"] }), json!({ "scopes": ["scores:write"] })),
        (json!({ "scopes": ["keys:admin"] }), json!({ "scopes": ["leaderboards:admin"] })),
        (json!({ "leaderboards": ["main"] }), json!({ "scopes": ["leaderboards:admin"] })),
        (json!({ "leaderboards": ["main"] }), json!({ "scopes": ["keys:admin"], "leaderboards": ["other"] })),
    ] {
        let key = make(&app, &["keys:admin", "leaderboards:admin", "scores:write"], json!({})).await;
        by(another, &key, Method::GET, "/api/keys").answers(200).await;
        owner(&app, Method::PATCH, &path(&key)).json(&narrowed).answers(200).await;
        let mut heir = body.clone();
        heir["name"] = json!("heir");
        by(another, &key, Method::POST, "/api/keys").json(&heir).refused(403).await;
        by(another, &key, Method::PATCH, "/api/leaderboards/other").json(&json!({ "name": "x" })).refused(403).await;
    }
}

//! A rotation without a single refusal: during the overlap either secret is good, everywhere.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{make, others, owner, path, score};
use crate::{
    answers::Expect,
    app::{Backend, SystemClock, TestApp},
};

crate::both_backends!(
    every_request_of_a_rotation_succeeds_with_either_secret,
    the_secret_before_is_good_for_the_overlap_alone,
    the_next_rotation_ends_the_overlap,
);

async fn rotate(app: &TestApp, key: &Value, overlap: i64) -> Value {
    let rotated = owner(app, Method::POST, &format!("{}/rotate", path(key))).json(&json!({ "overlapSeconds": overlap }));
    rotated.answers(200).await
}

async fn every_request_of_a_rotation_succeeds_with_either_secret(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let others = others(&app, backend).await;
    let mut old = make(&app, &["scores:write"], json!({})).await;
    for _ in 0..3 {
        let new = rotate(&app, &old, 3600).await;
        assert_eq!((&new["id"], &new["createdAt"]), (&old["id"], &old["createdAt"]));
        assert_ne!(new["key"], old["key"]);
        let instances = others.iter().chain([&app]);
        let requests = instances.flat_map(|instance| [&new, &old].map(|key| score(instance, key, "value").answers(200)));
        futures_util::future::join_all(requests).await;
        old = new;
    }
}

async fn the_secret_before_is_good_for_the_overlap_alone(backend: Backend) {
    let (mut app, clock) = (TestApp::spawn(backend).await, SystemClock::default());
    app.restart_by(&clock).await;
    let old = make(&app, &["scores:write"], json!({})).await;
    let new = rotate(&app, &old, 100).await;
    score(&app, &old, "value").answers(200).await;
    clock.set(101);
    score(&app, &old, "value").refused(401).await;
    score(&app, &new, "value").answers(200).await;
    let newest = rotate(&app, &new, 0).await;
    score(&app, &new, "value").refused(401).await;
    score(&app, &newest, "value").answers(200).await;
}

async fn the_next_rotation_ends_the_overlap(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let first = make(&app, &["scores:write"], json!({})).await;
    let second = rotate(&app, &first, 86_400).await;
    let third = rotate(&app, &second, 86_400).await;
    score(&app, &first, "value").refused(401).await;
    for key in [&second, &third] {
        score(&app, key, "value").answers(200).await;
    }
    // The overlap is at most thirty days.
    let refused = owner(&app, Method::POST, &format!("{}/rotate", path(&first)));
    refused.json(&json!({ "overlapSeconds": Duration::from_secs(31 * 86_400).as_secs() })).refused(422).await;
}

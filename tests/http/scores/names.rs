//! A name that comes with a score counts for who has none yet, and changes nobody else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, eventually},
    sse::Sse,
};

crate::both_backends!(
    a_score_names_a_newcomer,
    a_name_with_a_score_changes_nobody_who_has_one,
    who_is_named_late_is_named_everywhere,
    the_first_of_a_batch_names,
    who_is_named_late_in_a_batch_is_named_everywhere,
    a_moderators_name_stays,
    a_name_is_part_of_what_a_key_stands_for,
    a_name_follows_the_rules_of_names,
);

fn named(user: &str, name: &str) -> Value {
    json!({ "actionId": "value", "userId": user, "value": 5, "displayName": name })
}

async fn name_of(app: &TestApp, user: &str) -> Value {
    let entry = app.get(&format!("/api/leaderboards/main/entries/{user}")).await;
    entry["entry"]["displayName"].clone()
}

async fn a_score_names_a_newcomer(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut events = Sse::open(&app, "/api/leaderboard/stream").await;
    events.expect("leaderboard").await;
    app.submit(named("u-1", "Ada")).await;
    let told = events.expect("score-updated").await.data;
    assert_eq!((&told["displayName"], &told["score"]), (&json!("Ada"), &json!(5)));
    assert_eq!(name_of(&app, "u-1").await, "Ada");
    let user = app.admin(Method::GET, "/api/users/u-1").answers(200).await;
    assert_eq!(user["displayName"], "Ada");
}

async fn a_name_with_a_score_changes_nobody_who_has_one(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.submit(named("u-1", "Ada")).await;
    app.submit(named("u-1", "Eve")).await;
    assert_eq!(name_of(&app, "u-1").await, "Ada");
    app.admin(Method::PUT, "/api/users/u-2").json(&json!({ "displayName": "Bob" })).answers(200).await;
    app.submit(named("u-2", "Eve")).await;
    assert_eq!(name_of(&app, "u-2").await, "Bob");
    assert_eq!(app.admin(Method::GET, "/api/users/u-2").answers(200).await["displayName"], "Bob");
}

async fn who_is_named_late_is_named_everywhere(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    app.submit(json!({ "actionId": "cup", "userId": "u-1", "value": 5 })).await;
    app.admin(Method::PATCH, "/api/users/u-1").json(&json!({ "country": "GB" })).answers(200).await;
    let mut events = Sse::open(&app, "/api/leaderboards/cup/stream").await;
    assert_eq!(events.expect("leaderboard").await.data["entries"][0]["displayName"], "u-1");
    app.submit(named("u-1", "Ada")).await;
    let told = events.expect("user-changed").await.data;
    assert_eq!((&told["displayName"], &told["country"]), (&json!("Ada"), &json!("GB")));
    let entry = || async { app.get("/api/leaderboards/cup/entries/u-1").await["entry"].clone() };
    eventually("the other ranking has the name", || async { entry().await["displayName"] == "Ada" }).await;
    assert_eq!(entry().await["country"], "GB");
}

async fn the_first_of_a_batch_names(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let items = [
        named("u-1", "Ada"),
        named("u-1", "Eve"),
        named("u-2", "Bob"),
        json!({ "actionId": "value", "userId": "u-3", "value": 1 }),
    ];
    let batch = app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": items })).answers(200).await;
    assert!(batch["results"].as_array().unwrap().iter().all(|result| result["status"] == 200), "{batch}");
    for (user, name) in [("u-1", "Ada"), ("u-2", "Bob"), ("u-3", "u-3")] {
        assert_eq!(name_of(&app, user).await, name);
    }
    let racing =
        (0..20).map(|number| app.game(Method::POST, "/api/scores").json(&named("u-9", &format!("N{number}"))).answers(200));
    futures_util::future::join_all(racing).await;
    let profile = app.admin(Method::GET, "/api/users/u-9").answers(200).await["displayName"].clone();
    assert_eq!(name_of(&app, "u-9").await, profile);
}

async fn who_is_named_late_in_a_batch_is_named_everywhere(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let items = [json!({ "actionId": "cup", "userId": "u-1", "value": 5 }), named("u-1", "Ada")];
    let batch = app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": items })).answers(200).await;
    assert!(batch["results"].as_array().unwrap().iter().all(|result| result["status"] == 200), "{batch}");
    assert_eq!(name_of(&app, "u-1").await, "Ada");
    eventually("the ranking of the first submission has the name", || async {
        app.get("/api/leaderboards/cup/entries/u-1").await["entry"]["displayName"] == "Ada"
    })
    .await;
}

async fn a_moderators_name_stays(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.submit(named("u-1", "Rude")).await;
    let rename = json!({ "decisions": [{ "type": "rename", "userId": "u-1", "displayName": null, "reason": "rude" }] });
    let decided = app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions").json(&rename).answers(200).await;
    assert_eq!(decided["results"][0]["status"], 200, "{decided}");
    app.submit(named("u-1", "Rude again")).await;
    assert_eq!(name_of(&app, "u-1").await, "u-1");
    let own = app.with("u-1", "scores:self", Method::PATCH, "/api/users/u-1").json(&json!({ "displayName": "Rude again" }));
    own.refused(409).await;
}

async fn a_name_is_part_of_what_a_key_stands_for(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let submit = |body: &Value| app.game(Method::POST, "/api/scores").header("Idempotency-Key", "k").json(body);
    let first = submit(&named("u-1", "Ada")).answers(200).await;
    assert_eq!(submit(&named("u-1", "Ada")).answers(200).await, first);
    submit(&named("u-1", "Eve")).refused(422).await;
}

async fn a_name_follows_the_rules_of_names(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for bad in ["", "\u{200b}", "a\nb", &"x".repeat(65)] {
        let refused = app.game(Method::POST, "/api/scores").json(&named("u-1", bad)).refused(422).await;
        assert_eq!(broken(&refused), ["displayName"], "{bad:?}");
    }
    app.game(Method::GET, "/api/leaderboards/main/entries/u-1").refused(404).await;
}

//! A name that a moderator sets is locked until the decision is taken back.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Watcher, decide, decision, entry, named, send, standing, take_back};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    seasons::{end, result},
};

crate::both_backends!(
    a_new_name_is_shown_everywhere,
    a_name_that_was_set_is_locked,
    a_user_can_be_left_without_a_name,
    the_name_from_before_is_back,
    a_name_that_cannot_be_shown_is_refused,
);

const LOCKED: &str = "urn:scoreboard:problem:name-locked";

async fn spawn_named(backend: Backend, name: &str) -> TestApp {
    let app = TestApp::spawn(backend).await;
    app.post_value("ann", 5).await;
    app.post_value("bob", 3).await;
    put(&app, json!({ "displayName": name, "country": "GB" })).answers(200).await;
    app
}

fn put(app: &TestApp, profile: Value) -> reqwest::RequestBuilder {
    app.admin(Method::PUT, "/api/users/ann").json(&profile)
}

async fn rename(app: &TestApp, name: Value) -> Value {
    decide(app, "rename", json!({ "userId": "ann", "displayName": name })).await
}

async fn profile(app: &TestApp) -> Value {
    app.admin(Method::GET, "/api/users/ann").answers(200).await
}

async fn a_new_name_is_shown_everywhere(backend: Backend) {
    let app = spawn_named(backend, "Rude Word").await;
    end(&app, "main", 1).await;
    result(&app, "main", 1).await;
    app.post_value("ann", 2).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let before = profile(&app).await;
    let renamed = rename(&app, json!("Ann")).await;
    let told = (&renamed["type"], &renamed["displayName"], &renamed["userId"]);
    assert_eq!(told, (&json!("rename"), &json!("Ann"), &json!("ann")));
    let event = watcher.expect("user-changed").await;
    assert_eq!((&event["userId"], &event["displayName"], &event["country"]), (&json!("ann"), &json!("Ann"), &json!("GB")));
    let ann = entry(&app, "main", "ann").await;
    assert_eq!((&ann["displayName"], &ann["score"], &ann["rank"]), (&json!("Ann"), &json!(2), &json!(1)));
    let after = profile(&app).await;
    assert_eq!((&after["displayName"], &after["country"]), (&json!("Ann"), &before["country"]));
    for season in ["1", "current"] {
        assert_eq!(standing(&app, "main", season).await[0]["displayName"], "Ann", "season {season}");
        let latest = app.get(&format!("/api/leaderboards/main/scores?season={season}")).await;
        assert!(!latest.to_string().contains("Rude Word"), "{latest}");
    }
    let receipt = app.post_value("ann", 1).await;
    let event = watcher.expect("score-updated").await;
    assert_eq!((&event["eventId"], &event["displayName"]), (&receipt["eventId"], &json!("Ann")));
}

async fn a_name_that_was_set_is_locked(backend: Backend) {
    let app = spawn_named(backend, "Rude Word").await;
    rename(&app, json!("Ann")).await;
    for other in [json!({ "displayName": "Rude Word" }), json!({ "displayName": "ann" }), json!({ "displayName": null })] {
        let problem = put(&app, other.clone()).refused(409).await;
        assert_eq!(problem["type"], LOCKED, "{other}");
    }
    assert_eq!(profile(&app).await["displayName"], "Ann");
    assert_eq!(profile(&app).await["country"], "GB", "a refused profile changes nothing");
    let same = put(&app, json!({ "displayName": "Ann", "country": "FR" })).answers(200).await;
    assert_eq!((&same["displayName"], &same["country"]), (&json!("Ann"), &json!("FR")));
    app.admin(Method::PUT, "/api/users/bob").json(&json!({ "displayName": "Bob" })).answers(200).await;
}

async fn a_user_can_be_left_without_a_name(backend: Backend) {
    let app = spawn_named(backend, "Rude Word").await;
    let renamed = rename(&app, Value::Null).await;
    assert_eq!(renamed["displayName"], Value::Null);
    assert_eq!(profile(&app).await["displayName"], Value::Null);
    assert_eq!(entry(&app, "main", "ann").await["displayName"], "ann");
    assert_eq!(put(&app, json!({ "displayName": "Rude Word" })).refused(409).await["type"], LOCKED);
}

async fn the_name_from_before_is_back(backend: Backend) {
    let mut app = spawn_named(backend, "Annie").await;
    let before = standing(&app, "main", "current").await;
    let renamed = rename(&app, json!("Somebody")).await;
    app.restart().await;
    assert_eq!(put(&app, json!({ "displayName": "Annie" })).refused(409).await["type"], LOCKED);
    take_back(&app, &renamed).await;
    assert_eq!(profile(&app).await["displayName"], "Annie");
    assert_eq!(standing(&app, "main", "current").await, before);
    let free = put(&app, json!({ "displayName": "Anna" })).answers(200).await;
    assert_eq!(free["displayName"], "Anna");
}

async fn a_name_that_cannot_be_shown_is_refused(backend: Backend) {
    let app = spawn_named(backend, "Annie").await;
    let names = [json!(""), json!(" "), json!("a\u{0}b"), json!("\u{200b}"), json!("x".repeat(129)), json!(7)];
    let decisions: Vec<_> =
        names.iter().map(|name| decision("rename", json!({ "userId": "ann", "displayName": name }))).collect();
    for (result, name) in send(&app, &decisions).await.iter().zip(&names) {
        assert_eq!((&result["status"], named(result)), (&json!(422), vec!["displayName"]), "{name}");
    }
    assert_eq!(profile(&app).await["displayName"], "Annie");
    put(&app, json!({ "displayName": "Anna" })).answers(200).await;
}

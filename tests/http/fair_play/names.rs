//! A score that waits for a moderator brings a name like any other, which is given with the approval and known to nobody before.

use reqwest::Method;
use serde_json::{Value, json};

use super::{approve, fair, only_review, reject, watch_above_100};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually, within},
    moderation::{self, Watcher, decide, decision, entry, moderator, take_back},
    streams::text,
};

crate::both_backends!(
    what_is_approved_names_its_user,
    nobody_who_has_a_name_is_named_by_an_approval,
    what_names_the_erased_is_forgotten_and_nothing_else,
    what_an_erased_user_was_to_be_called_is_forgotten,
);

/// Submits what has to be withheld, with a name.
async fn named(app: &TestApp, user: &str, name: &str) -> Value {
    let receipt = app.submit(json!({ "actionId": "watched", "userId": user, "value": 200, "displayName": name })).await;
    assert_eq!(receipt["review"], "pending", "{receipt}");
    receipt
}

async fn what_is_approved_names_its_user(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    app.make_leaderboard("other", json!({})).await;
    let action = json!({ "id": "plain", "leaderboards": ["other"], "points": 1 });
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    app.submit(json!({ "actionId": "plain", "userId": "bob" })).await;
    let (new, known) = (named(&app, "ann", "Ann").await, named(&app, "bob", "Bob").await);
    assert_eq!(only_review_of(&app, "ann").await["displayName"], "Ann");
    app.admin(Method::GET, "/api/users/ann").refused(404).await;
    assert_eq!(app.get("/api/leaderboards/main/search?name=ann").await["entries"], json!([]));

    let (mut main, mut other) = (Watcher::open(&app, "main").await, Watcher::open(&app, "other").await);
    approve(&app, &new).await;
    let event = main.expect("score-updated").await;
    assert_eq!((&event["userId"], &event["displayName"], &event["score"]), (&json!("ann"), &json!("Ann"), &json!(200)));
    approve(&app, &known).await;
    assert_eq!(main.expect("score-updated").await["displayName"], "Bob");
    assert_eq!(other.expect("user-changed").await["displayName"], "Bob", "where there was an entry already");
    for (leaderboard, user, name) in [("main", "ann", "Ann"), ("main", "bob", "Bob"), ("other", "bob", "Bob")] {
        assert_eq!(entry(&app, leaderboard, user).await["displayName"], name, "{leaderboard} {user}");
    }
    assert_eq!(app.admin(Method::GET, "/api/users/ann").answers(200).await["displayName"], "Ann");
    assert_eq!(app.get("/api/leaderboards/main/search?name=an").await["entries"][0]["displayName"], "Ann");
}

async fn only_review_of(app: &TestApp, user: &str) -> Value {
    let mut reviews = super::reviews(app, "state=pending").await;
    reviews.retain(|review| review["userId"] == user);
    assert_eq!(reviews.len(), 1, "{reviews:?}");
    reviews.remove(0)
}

async fn nobody_who_has_a_name_is_named_by_an_approval(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = [named(&app, "ann", "First").await, named(&app, "ann", "Second").await];
    reject(&app, &withheld[0]).await;
    assert_eq!(only_review(&app, "rejected").await["displayName"], "First");
    approve(&app, &withheld[1]).await;
    approve(&app, &withheld[0]).await;
    assert_eq!(entry(&app, "main", "ann").await["displayName"], "Second", "the first one that was approved");

    // A moderator took the name away, and nobody gives one.
    fair(&app, "eve", 1).await;
    let withheld = named(&app, "eve", "Bad word").await;
    let renamed = decide(&app, "rename", json!({ "userId": "eve", "displayName": null })).await;
    approve(&app, &withheld).await;
    assert_eq!(entry(&app, "main", "eve").await["displayName"], "eve");
    take_back(&app, &renamed).await;
    assert_eq!(entry(&app, "main", "eve").await["displayName"], "eve");
}

async fn what_an_erased_user_was_to_be_called_is_forgotten(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = named(&app, "ann", "Ann").await;
    let others = [named(&app, "ann", "Annie").await, named(&app, "ann", "Anna").await];
    for (other, reason) in others.iter().zip(["nobody is called Annie here", "nor Anna"]) {
        let mut why = super::verdict(other, "reject");
        why["reason"] = json!(reason);
        super::send(&app, &[why]).await;
    }
    app.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": "Annika" })).answers(200).await;
    let mut hide = decision("hide", json!({ "userId": "bob" }));
    hide["reason"] = json!("Ann again, or Annika");
    app.submit(json!({ "actionId": "watched", "userId": "bob", "value": 1 })).await;
    moderation::send(&app, &[hide]).await;
    let erased = decide(&app, "erase", json!({ "userId": "ann", "scores": "keep" })).await;
    assert_eq!(only_review(&app, "pending").await["displayName"], Value::Null);
    for review in super::reviews(&app, "state=rejected").await {
        assert_eq!((&review["reason"], &review["displayName"]), (&json!("erased"), &Value::Null));
    }
    let decisions = moderator(&app, Method::GET, "/api/moderation/decisions?userId=bob").answers(200).await;
    assert_eq!(decisions["decisions"][0]["reason"], "erased", "{decisions}");
    approve(&app, &withheld).await;
    let pseudonym = text(&erased["userId"]);
    eventually("the ranking is built anew", || async {
        app.get("/api/leaderboards/main/entries").await["entries"][0]["displayName"] == json!(pseudonym)
    })
    .await;
}

/// Former names go as well, a little later; a name that nobody was ever shown takes no word from what was said of others, and what was
/// answered before is not carried out again.
async fn what_names_the_erased_is_forgotten_and_nothing_else(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    for user in ["ann", "bob", "cid"] {
        fair(&app, user, 1).await;
    }
    app.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": "Annabella" })).answers(200).await;
    decide(&app, "rename", json!({ "userId": "ann", "displayName": "Nan" })).await;
    named(&app, "ann", "cheating").await;
    let because = |kind: &str, user: &str, reason: &str| {
        let mut made = decision(kind, json!({ "userId": user }));
        made["reason"] = json!(reason);
        made
    };
    let both = [because("hide", "bob", "cheating in the final"), because("hide", "cid", "is Annabella again")];
    moderation::send(&app, &both).await;
    // Under a key: an approval that was turned since.
    let doubtful = super::suspicious(&app, "bob", 200).await;
    let mut vouched = super::verdict(&doubtful, "approve");
    vouched["reason"] = json!("vouched for by ann");
    let approval = || {
        let request = moderator(&app, Method::POST, super::REVIEWS).header("Idempotency-Key", "k");
        request.json(&json!({ "verdicts": [vouched.clone()] }))
    };
    approval().answers(200).await;
    reject(&app, &doubtful).await;

    let mut erase = decision("erase", json!({ "userId": "ann", "scores": "keep" }));
    erase["reason"] = json!("asked for by Annabella");
    moderation::send(&app, &[erase]).await;
    let reasons = async || {
        let decisions = moderator(&app, Method::GET, "/api/moderation/decisions?limit=3").answers(200).await;
        let decisions = decisions["decisions"].as_array().unwrap().clone();
        decisions.iter().map(|decision| text(&decision["reason"])).collect::<Vec<_>>()
    };
    assert_eq!(reasons().await[0], "erased");
    within(60, "former names go", || async { reasons().await == ["erased", "erased", "cheating in the final"] }).await;
    within(10, "answers go", || async { approval().send().await.unwrap().status() == 409 }).await;
    assert_eq!(approval().refused(409).await["type"], "urn:scoreboard:problem:erased");
    let mut review = super::reviews(&app, "state=rejected").await;
    review.retain(|review| review["userId"] == "bob");
    assert_eq!(review.len(), 1, "the verdict is not turned again: {review:?}");
    let audit = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=100").answers(200).await.to_string();
    assert!(!audit.contains("Annabella") && audit.contains("cheating in the final"), "{audit}");
}

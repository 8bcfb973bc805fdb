//! Reviews beside what moderators decide about the same scores and users: each withholds for itself.

use reqwest::Method;
use serde_json::{Value, json};

use super::{approve, fair, only_review, own, reject, reviews, suspicious, told, watch, watch_above_100};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually},
    moderation::{Watcher, decide, entry, hide, is_gone, moderator, restricted, send, take_back, void},
    streams::text,
};

crate::both_backends!(
    what_is_voided_stays_so_whatever_the_verdict,
    a_hidden_user_is_approved_in_silence,
    a_user_who_is_only_in_review_can_be_banned,
    what_was_there_before_a_removal_does_not_come_back,
    an_erased_user_is_judged_under_the_pseudonym,
    nothing_of_an_erased_user_waits_if_scores_go_as_well,
    a_renamed_user_is_told_of_by_the_new_name,
);

async fn what_is_voided_stays_so_whatever_the_verdict(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    fair(&app, "ann", 5).await;
    let withheld = suspicious(&app, "ann", 200).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let voided = void(&app, &[&withheld]).await;
    assert_eq!(voided["entries"], json!([]));
    assert_eq!(told(&restricted(&app, "/api/users/ann/scores").await)[0].1, "voided");
    assert_eq!(approve(&app, &withheld).await["entries"], json!([]));
    assert_eq!(entry(&app, "main", "ann").await["score"], 5);
    take_back(&app, &voided).await;
    let event = watcher.expect("score-updated").await;
    assert_eq!((&event["cause"], &event["score"]), (&json!("restore"), &json!(205)));
    // The other way round.
    let voided = void(&app, &[&withheld]).await;
    assert_eq!(reject(&app, &withheld).await["entries"], json!([]));
    take_back(&app, &voided).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 5);
    assert_eq!(told(&restricted(&app, "/api/users/ann/scores").await)[0].1, "rejected");
}

async fn a_hidden_user_is_approved_in_silence(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    fair(&app, "ann", 5).await;
    let [known, newcomer] = [suspicious(&app, "ann", 200).await, suspicious(&app, "new", 300).await];
    let hidden = [hide(&app, "ann", None).await, hide(&app, "new", Some("main")).await];
    let mut watcher = Watcher::open(&app, "main").await;
    for receipt in [&known, &newcomer] {
        let judged = approve(&app, receipt).await;
        assert_eq!((&judged["entries"][0]["rank"], &judged["entries"][0]["version"]), (&Value::Null, &Value::Null), "{judged}");
    }
    assert!(is_gone(&app, "main", "new").await && is_gone(&app, "main", "ann").await);
    for decision in &hidden {
        take_back(&app, decision).await;
    }
    for (user, score) in [("ann", 205), ("new", 300)] {
        let event = watcher.expect("score-updated").await;
        assert_eq!((&event["userId"], &event["score"], &event["cause"]), (&json!(user), &json!(score), &json!("unhide")));
    }
}

async fn a_user_who_is_only_in_review_can_be_banned(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = suspicious(&app, "ann", 200).await;
    let banned = decide(&app, "ban", json!({ "userId": "ann", "leaderboardId": null, "until": null, "hide": false })).await;
    let body = json!({ "actionId": "watched", "userId": "ann", "value": 1 });
    app.game(Method::POST, "/api/scores").json(&body).refused(403).await;
    approve(&app, &withheld).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 200, "a ban is of scores to come");
    take_back(&app, &banned).await;
    assert_eq!(fair(&app, "ann", 1).await["newScore"], 201);
}

async fn what_was_there_before_a_removal_does_not_come_back(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    fair(&app, "ann", 5).await;
    let withheld = suspicious(&app, "ann", 200).await;
    app.admin(Method::DELETE, "/api/leaderboards/main/entries/ann").responds(204).await;
    assert_eq!(approve(&app, &withheld).await["entries"], json!([]));
    assert!(is_gone(&app, "main", "ann").await);
    let later = suspicious(&app, "ann", 300).await;
    approve(&app, &later).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 300);
}

async fn an_erased_user_is_judged_under_the_pseudonym(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    fair(&app, "ann", 5).await;
    let [one, other] = [suspicious(&app, "ann", 200).await, suspicious(&app, "ann", 300).await];
    let mut why = super::verdict(&other, "reject");
    why["reason"] = json!("ann again");
    super::send(&app, &[why]).await;
    let erased = decide(&app, "erase", json!({ "userId": "ann", "scores": "keep" })).await;
    let pseudonym = text(&erased["userId"]);
    let review = only_review(&app, "pending").await;
    assert_eq!(review["userId"], json!(pseudonym));
    assert_eq!(only_review(&app, "rejected").await["reason"], "erased");
    let all = [reviews(&app, "").await, reviews(&app, "state=rejected").await];
    assert!(!json!(all).to_string().contains("\"ann"), "{all:?}");
    approve(&app, &one).await;
    eventually("the ranking is built anew", || async { app.get("/api/leaderboards/main/entries").await["version"].is_string() })
        .await;
    assert_eq!(entry(&app, "main", &pseudonym).await["score"], 205);
    // The same id later is somebody else, of whom nothing waits.
    let entry = app.with("ann", "scores:self", Method::GET, "/api/leaderboards/main/entries/ann?projection=own");
    entry.refused(404).await;
}

async fn nothing_of_an_erased_user_waits_if_scores_go_as_well(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "above": 100 })).await;
    let withheld = suspicious(&app, "ann", 200).await;
    let erased = decide(&app, "erase", json!({ "userId": "ann", "scores": "remove" })).await;
    let pseudonym = text(&erased["userId"]);
    assert_eq!(reviews(&app, "").await, [] as [Value; 0]);
    assert_eq!(only_review(&app, "rejected").await["userId"], json!(pseudonym));
    assert_eq!(approve(&app, &withheld).await["entries"], json!([]));
    assert!(is_gone(&app, "main", &pseudonym).await);
}

async fn a_renamed_user_is_told_of_by_the_new_name(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = suspicious(&app, "ann", 200).await;
    let renamed = super::super::moderation::decision("rename", json!({ "userId": "ann", "displayName": "Ann" }));
    assert_eq!(send(&app, &[renamed]).await[0]["status"], 200);
    let mut watcher = Watcher::open(&app, "main").await;
    approve(&app, &withheld).await;
    assert_eq!(watcher.expect("score-updated").await["displayName"], "Ann");
    assert_eq!(own(&app, "ann", "/api/leaderboards/main/entries/ann").await["entry"]["displayName"], "Ann");
    moderator(&app, Method::GET, super::REVIEWS).answers(200).await;
}

//! Seasons that have ended are corrected as well: their archives, versions and digests follow.

use std::{collections::HashMap, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Watcher, archived, change, decide, entry, standing, take_back, void, without};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    seasons::{digest, end, post, result, season},
    streams::text,
};

crate::both_backends!(
    a_voided_score_of_an_ended_season_leaves_its_archive,
    whoever_has_no_score_left_is_in_no_archive,
    an_adjustment_of_an_ended_season_lies_in_it,
    an_archive_says_the_same_under_the_same_version,
    a_score_may_count_in_an_ended_and_in_a_current_season,
);

/// A leaderboard `cup` for the best, with a first season that has ended and is final; answers the receipts of its scores.
async fn ended(backend: Backend) -> (TestApp, Vec<Value>) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({ "operator": "best" })).await;
    let mut receipts = Vec::new();
    for (user, value) in [("ann", 4), ("ann", 9), ("bob", 6), ("cid", 4), ("ann", 5)] {
        receipts.push(post(&app, "cup", user, value).await);
    }
    end(&app, "cup", 1).await;
    result(&app, "cup", 1).await;
    (app, receipts)
}

async fn a_voided_score_of_an_ended_season_leaves_its_archive(backend: Backend) {
    let (app, receipts) = ended(backend).await;
    let (before, first) = (standing(&app, "cup", 1).await, season(&app, "cup", 1).await);
    post(&app, "cup", "ann", 1).await;
    let mut watcher = Watcher::open(&app, "cup").await;
    let voided = void(&app, &[&receipts[1]]).await;
    let told = change(&voided, "cup", "ann");
    assert_eq!((&told["season"], &told["previousScore"], &told["score"]), (&json!(1), &json!(9), &json!(5)));
    let revised = season(&app, "cup", 1).await;
    assert_ne!(revised["version"], first["version"], "at once");
    assert!(text(&revised["revisedAt"]) > text(&first["finalizedAt"]), "{revised}");
    let mut expected = before.clone();
    expected.swap(0, 1);
    (expected[0]["rank"], expected[1]["rank"]) = (json!(1), json!(2));
    (expected[1]["score"], expected[1]["at"]) = (json!(5), receipts[4]["at"].clone());
    archived(&app, "cup", 1, &expected).await;
    let path = "/api/leaderboards/cup/entries/ann?season=1&around=1";
    assert_eq!(app.get(path).await["around"], json!(expected));
    let friends = app.anonymous(Method::POST, "/api/leaderboards/cup/entries/query?season=1");
    let friends = friends.json(&json!({ "userIds": ["ann"] })).answers(200).await;
    assert_eq!((&friends["entries"][0]["rank"], &friends["entries"][0]["score"]), (&json!(2), &json!(5)));
    // The current season is another one, and those who watch it hear nothing.
    assert_eq!(entry(&app, "cup", "ann").await["score"], 1);
    let next = post(&app, "cup", "bob", 2).await;
    assert_eq!(watcher.expect("score-updated").await["eventId"], next["eventId"]);

    take_back(&app, &voided).await;
    archived(&app, "cup", 1, &before).await;
    let again = season(&app, "cup", 1).await;
    assert_eq!((&again["digest"], &again["total"]), (&first["digest"], &first["total"]));
    assert!(again["version"] != revised["version"] && again["version"] != first["version"], "a version for each change");
}

async fn whoever_has_no_score_left_is_in_no_archive(backend: Backend) {
    let (app, receipts) = ended(backend).await;
    let before = standing(&app, "cup", 1).await;
    let voided = void(&app, &[&receipts[0], &receipts[1], &receipts[4]]).await;
    archived(&app, "cup", 1, &without(&before, "ann")).await;
    app.anonymous(Method::GET, "/api/leaderboards/cup/entries/ann?season=1").refused(404).await;
    let latest = app.get("/api/leaderboards/cup/scores?season=1&limit=100").await;
    assert!(latest["scores"].as_array().unwrap().iter().all(|score| score["userId"] != "ann"), "{latest}");
    let everybody = void(&app, &[&receipts[2], &receipts[3]]).await;
    archived(&app, "cup", 1, &[]).await;
    take_back(&app, &everybody).await;
    take_back(&app, &voided).await;
    archived(&app, "cup", 1, &before).await;
}

async fn an_adjustment_of_an_ended_season_lies_in_it(backend: Backend) {
    let (app, _) = ended(backend).await;
    let before = standing(&app, "cup", 1).await;
    let fields = json!({ "userId": "cid", "leaderboardId": "cup", "season": 1, "score": 100 });
    let adjusted = decide(&app, "adjust", fields).await;
    assert_eq!((&change(&adjusted, "cup", "cid")["season"], &change(&adjusted, "cup", "cid")["score"]), (&json!(1), &json!(100)));
    let event = app.get("/api/users/cid/scores?leaderboardId=cup&season=1").await["scores"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["actionId"].is_null())
        .unwrap_or_else(|| panic!("the adjustment is in the history"))
        .clone();
    let of = season(&app, "cup", 1).await;
    assert!(text(&of["startsAt"]) <= text(&event["at"]) && text(&event["at"]) < text(&of["endsAt"]), "{event} in {of}");
    let cid = before.iter().find(|entry| entry["userId"] == "cid").unwrap();
    let mut expected = [&[cid.clone()][..], &without(&before, "cid")].concat();
    (expected[0]["score"], expected[0]["at"]) = (json!(100), event["at"].clone());
    (0..3).for_each(|place| expected[place]["rank"] = json!(place + 1));
    archived(&app, "cup", 1, &expected).await;
    assert_eq!(standing(&app, "cup", "current").await, Vec::<Value>::new());
    take_back(&app, &adjusted).await;
    archived(&app, "cup", 1, &before).await;
}

async fn an_archive_says_the_same_under_the_same_version(backend: Backend) {
    let (app, receipts) = ended(backend).await;
    let mut seen: HashMap<String, Value> = HashMap::new();
    let voided = void(&app, &[&receipts[1]]).await;
    for round in 0..2 {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let window = app.get("/api/leaderboards/cup/entries?season=1&limit=1000").await;
            let same = seen.entry(text(&window["version"])).or_insert_with(|| window.clone());
            assert_eq!(*same, window, "for the same version, everybody gets the same");
            let of = season(&app, "cup", 1).await;
            if of["version"] == window["version"] && of["digest"] == digest(&window) && of["total"] == window["total"] {
                break;
            }
            assert!(Instant::now() < end, "the digest follows within a minute: {of}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if round == 0 {
            take_back(&app, &voided).await;
        }
    }
    assert!(seen.len() >= 2, "each change has a version: {seen:?}");
}

async fn a_score_may_count_in_an_ended_and_in_a_current_season(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let both = json!({ "id": "both", "leaderboards": ["main", "cup"], "points": 3 });
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let receipt = app.post_score("ann", "both").await;
    app.post_score("bob", "both").await;
    end(&app, "cup", 1).await;
    result(&app, "cup", 1).await;
    let before = standing(&app, "cup", 1).await;
    let voided = void(&app, &[&receipt]).await;
    assert_eq!(standing(&app, "main", "current").await, without(&before, "ann"));
    archived(&app, "cup", 1, &without(&before, "ann")).await;
    take_back(&app, &voided).await;
    assert_eq!(standing(&app, "main", "current").await, before);
    archived(&app, "cup", 1, &before).await;
}

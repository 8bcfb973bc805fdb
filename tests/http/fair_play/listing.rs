//! What moderators are shown of suspicious scores.

use reqwest::Method;
use serde_json::{Value, json};

use super::{REVIEWS, approve, fair, only_review, reject, reviews, suspicious, told, watch, watch_above_100};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
    moderation::{change, decide, entry, moderator},
    streams::text,
};

crate::both_backends!(
    a_review_says_what_was_tripped_and_what_would_be,
    reviews_are_listed_by_state_and_leaderboard,
    pages_hold_each_once,
    what_would_be_is_what_comes_of_it,
    what_is_asked_for_has_to_be_there,
);

async fn a_review_says_what_was_tripped_and_what_would_be(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("best", json!({ "operator": "best" })).await;
    let rule = json!({ "above": 100, "gain": { "points": 150, "perSeconds": 600 }, "newUserSeconds": 600 });
    watch(&app, &["main", "best"], Value::Null).await;
    for value in 0..12 {
        fair(&app, "ann", value).await;
    }
    app.post_value("bob", 300).await;
    app.admin(Method::PATCH, "/api/actions/watched").json(&json!({ "review": rule })).answers(200).await;
    let body = json!({ "actionId": "watched", "userId": "ann", "value": 200, "metadata": { "level": 3 } });
    let receipt = app.submit(body).await;
    assert_eq!(receipt["review"], "pending");
    let review = only_review(&app, "pending").await;
    assert_eq!(
        (&review["eventId"], &review["userId"], &review["state"]),
        (&receipt["eventId"], &json!("ann"), &json!("pending"))
    );
    let tripped: Vec<_> =
        review["tripped"].as_array().unwrap().iter().map(|trip| (text(&trip["rule"]), &trip["limit"])).collect();
    let expected = [("above", 100), ("gain", 150), ("newUserSeconds", 600)];
    assert_eq!(
        tripped,
        expected
            .map(|(rule, limit)| (rule.to_owned(), json!(limit)))
            .iter()
            .map(|(rule, limit)| (rule.clone(), limit))
            .collect::<Vec<_>>()
    );
    assert_eq!(review["tripped"][0]["found"], 200);
    for nothing in ["reason", "subject", "judgedAt"] {
        assert_eq!(review[nothing], Value::Null);
    }
    let event = &review["event"];
    assert_eq!((&event["value"], &event["metadata"], &event["at"]), (&json!(200), &json!({ "level": 3 }), &receipt["at"]));
    assert_eq!((&event["counts"], &event["withheld"]), (&json!(false), &json!("review")));
    let recent = told(&json!({ "scores": review["recent"] }));
    assert_eq!((recent.len(), &recent[0].0), (10, &text(&receipt["eventId"])));
    let standings = json!([
        { "leaderboardId": "main", "season": 1, "score": 66, "wouldBeScore": 266, "wouldBeRank": 2 },
        { "leaderboardId": "best", "season": 1, "score": 11, "wouldBeScore": 200, "wouldBeRank": 1 },
    ]);
    assert_eq!(review["standings"], standings);
}

async fn reviews_are_listed_by_state_and_leaderboard(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    watch(&app, &["main", "cup"], json!({ "above": 100 })).await;
    let both = suspicious(&app, "ann", 200).await;
    app.admin(Method::PATCH, "/api/actions/watched").json(&json!({ "leaderboards": ["cup"] })).answers(200).await;
    let of_cup = suspicious(&app, "bob", 200).await;
    let ids =
        async |query: &str| -> Vec<String> { reviews(&app, query).await.iter().map(|review| text(&review["eventId"])).collect() };
    let [both_id, cup_id] = [&both, &of_cup].map(|receipt| text(&receipt["eventId"]));
    assert_eq!(ids("").await, [&*cup_id, &both_id], "pending ones, newest first");
    assert_eq!(ids("leaderboardId=main").await, [&*both_id]);
    assert_eq!(ids("leaderboardId=cup").await, [&*cup_id, &both_id]);
    approve(&app, &both).await;
    reject(&app, &of_cup).await;
    assert_eq!(ids("").await, [] as [&str; 0]);
    assert_eq!(ids("state=approved").await, [&*both_id]);
    assert_eq!(ids("state=approved&leaderboardId=main").await, [&*both_id]);
    assert_eq!(ids("state=rejected&leaderboardId=cup").await, [&*cup_id]);
    assert_eq!(ids("state=rejected&leaderboardId=main").await, [] as [&str; 0]);
    // What is left of a leaderboard that is deleted concerns the others.
    app.admin(Method::DELETE, "/api/leaderboards/main").responds(204).await;
    assert_eq!(ids("state=approved").await, [&*both_id]);
    assert_eq!(only_review(&app, "approved").await["standings"].as_array().unwrap().len(), 1);
}

async fn pages_hold_each_once(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let mut expected = Vec::new();
    for number in 0..7 {
        expected.insert(0, suspicious(&app, &format!("u-{}", number % 3), 101 + number).await["eventId"].clone());
    }
    for filter in ["", "&leaderboardId=main"] {
        for limit in [1, 2, 3, 7, 50] {
            let listed: Vec<_> =
                reviews(&app, &format!("limit={limit}{filter}")).await.iter().map(|review| review["eventId"].clone()).collect();
            assert_eq!(listed, expected, "by {limit}{filter}");
        }
    }
}

async fn what_would_be_is_what_comes_of_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let bounds = json!({ "min": 0, "max": 250, "onExceed": "clamp" });
    app.make_leaderboard("sums", json!({ "bounds": bounds })).await;
    app.make_leaderboard("lasts", json!({ "operator": "last" })).await;
    app.make_leaderboard("bests", json!({ "operator": "best", "order": "asc" })).await;
    watch(&app, &["sums", "lasts", "bests"], json!({ "above": 100, "below": 0 })).await;
    for (user, value) in [("bob", 90), ("ann", 60), ("cid", 7)] {
        fair(&app, user, value).await;
    }
    let withheld = [suspicious(&app, "ann", 180).await, suspicious(&app, "ann", -3).await, suspicious(&app, "dot", 101).await];
    fair(&app, "ann", 40).await;
    for receipt in &withheld {
        let foreseen = reviews(&app, "").await;
        let foreseen = foreseen.iter().find(|review| review["eventId"] == receipt["eventId"]).unwrap();
        approve(&app, receipt).await;
        for standing in foreseen["standings"].as_array().unwrap() {
            let entry = entry(&app, &text(&standing["leaderboardId"]), &text(&foreseen["userId"])).await;
            let said = (&standing["wouldBeScore"], &standing["wouldBeRank"]);
            assert_eq!(said, (&entry["score"], &entry["rank"]), "{foreseen}");
        }
    }
    let decided = decide(&app, "hide", json!({ "userId": "dot", "leaderboardId": null, "until": null })).await;
    assert_eq!(change(&decided, "sums", "dot")["score"], Value::Null);
    suspicious(&app, "dot", 102).await;
    let hidden = only_review(&app, "pending").await;
    assert_eq!((&hidden["standings"][0]["wouldBeScore"], &hidden["standings"][0]["wouldBeRank"]), (&json!(203), &Value::Null));
}

async fn what_is_asked_for_has_to_be_there(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let get = |query: &str| moderator(&app, Method::GET, &format!("{REVIEWS}?{query}"));
    get("leaderboardId=nowhere").refused(404).await;
    for (query, field) in [
        ("state=open", "state"),
        ("leaderboardId=A", "leaderboardId"),
        ("limit=0", "limit"),
        ("limit=51", "limit"),
        ("cursor=x", "cursor"),
    ] {
        assert_eq!(broken(&get(query).refused(422).await), [field]);
    }
    assert_eq!(get("").answers(200).await, json!({ "reviews": [], "nextCursor": null }));
}

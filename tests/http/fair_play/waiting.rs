//! What trips a review is accepted, and withheld.

use reqwest::Method;
use serde_json::{Value, json};

use super::{approve, fair, own, submit, suspicious, told, watch, watch_above_100};
use crate::{
    answers::Expect,
    app::{Backend, SystemClock, TestApp, status_and_json},
    moderation::{entry, is_gone, restricted},
};

crate::both_backends!(
    a_receipt_says_that_a_moderator_has_to_see_it,
    it_is_withheld_on_all_leaderboards,
    limits_themselves_are_fair,
    gains_are_added_up_over_their_time,
    whoever_is_new_waits,
    it_counts_for_cooldowns_and_limits,
    a_repeat_gets_the_same_receipt_whatever_the_verdict,
    a_batch_withholds_one_and_not_the_others,
    users_see_their_own_that_wait,
    fixed_points_are_watched_as_well,
);

const PLACE: &str = "/api/leaderboards/main/entries/ann";

/// Checks a receipt that was withheld, of a user with this score.
fn assert_withheld(receipt: &Value, score: Value) {
    assert_eq!(receipt["review"], "pending", "{receipt}");
    let standings = receipt["standings"].as_array().unwrap();
    for place in standings.iter().chain([receipt]) {
        assert_eq!((&place["applied"], &place["delta"]), (&json!(false), &json!(0)), "{receipt}");
        assert_eq!((&place["newScore"], &place["previousScore"]), (&score, &score), "{receipt}");
        for nothing in ["rank", "previousRank", "version"] {
            assert_eq!(place[nothing], Value::Null, "{nothing}: {receipt}");
        }
    }
    assert!(standings.iter().all(|standing| standing["total"].is_null()), "{receipt}");
}

async fn a_receipt_says_that_a_moderator_has_to_see_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    assert_withheld(&suspicious(&app, "ann", 101).await, Value::Null);
    assert!(is_gone(&app, "main", "ann").await);
    let counted = fair(&app, "ann", 100).await;
    assert_eq!((&counted["previousScore"], &counted["newScore"]), (&Value::Null, &json!(100)));
    assert_withheld(&suspicious(&app, "ann", 900).await, json!(100));
    assert_eq!(fair(&app, "ann", 1).await["newScore"], 101);
}

async fn it_is_withheld_on_all_leaderboards(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("best", json!({ "operator": "best" })).await;
    watch(&app, &["best", "main"], json!({ "above": 100 })).await;
    fair(&app, "ann", 60).await;
    let receipt = suspicious(&app, "ann", 200).await;
    assert_withheld(&receipt, json!(60));
    assert_eq!(receipt["standings"].as_array().unwrap().len(), 2);
    for board in ["main", "best"] {
        assert_eq!(entry(&app, board, "ann").await["score"], 60);
    }
}

async fn limits_themselves_are_fair(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "above": 10, "below": -10 })).await;
    for value in [10, -10, 0] {
        fair(&app, "ann", value).await;
    }
    for value in [11, -11] {
        suspicious(&app, "ann", value).await;
    }
}

async fn gains_are_added_up_over_their_time(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "gain": { "points": 100, "perSeconds": 60 } })).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    fair(&app, "ann", 60).await;
    fair(&app, "ann", 40).await;
    fair(&app, "bob", 100).await;
    suspicious(&app, "ann", 1).await;
    // What is taken away makes no gain.
    fair(&app, "ann", -30).await;
    fair(&app, "ann", 5).await;
    // What waits is part of it.
    suspicious(&app, "ann", 25).await;
    clock.set(61);
    fair(&app, "ann", 100).await;
    suspicious(&app, "ann", 1).await;
    let batch = json!({ "submissions": [
        { "actionId": "watched", "userId": "cid", "value": 70 }, { "actionId": "watched", "userId": "cid", "value": 70 },
    ] });
    let answer = app.game(Method::POST, "/api/scores/batch").json(&batch).answers(200).await;
    let [first, second] = [0, 1].map(|index| answer["results"][index]["body"]["review"].clone());
    assert_eq!((first, second), (Value::Null, json!("pending")), "one sees what is before it in the batch");
}

async fn whoever_is_new_waits(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "newUserSeconds": 60 })).await;
    app.post_value("old", 1).await;
    let clock = SystemClock::default();
    app.restart_by(&clock).await;
    clock.set(50);
    suspicious(&app, "ann", 1).await;
    suspicious(&app, "old", 1).await;
    clock.set(61);
    fair(&app, "old", 1).await;
    suspicious(&app, "ann", 1).await;
    // Known since the first of them, though it is withheld.
    clock.set(111);
    fair(&app, "ann", 1).await;
}

async fn it_counts_for_cooldowns_and_limits(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "above": 100 })).await;
    let change = async |change: Value| {
        app.admin(Method::PATCH, "/api/actions/watched").json(&change).answers(200).await;
    };
    let again = async |user: &str| {
        let body = json!({ "actionId": "watched", "userId": user, "value": 1 });
        app.game(Method::POST, "/api/scores").json(&body).send().await.unwrap().status()
    };
    change(json!({ "cooldownSeconds": 3600 })).await;
    suspicious(&app, "ann", 200).await;
    assert_eq!(again("ann").await, 429);
    change(json!({ "cooldownSeconds": 0, "limit": { "count": 2, "perSeconds": 3600 } })).await;
    suspicious(&app, "bob", 200).await;
    suspicious(&app, "bob", 200).await;
    assert_eq!(again("bob").await, 429);
}

async fn a_repeat_gets_the_same_receipt_whatever_the_verdict(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let body = json!({ "actionId": "watched", "userId": "ann", "value": 500 });
    let send = async |app: &TestApp| {
        let answer = app.game(Method::POST, "/api/scores").header("Idempotency-Key", "k").json(&body).responds(200).await;
        let replayed = answer.headers().contains_key("idempotency-replayed");
        (replayed, answer.text().await.unwrap())
    };
    let (replayed, first) = send(&app).await;
    assert!(!replayed && first.contains(r#""review":"pending""#), "{first}");
    assert_eq!(send(&app).await, (true, first.clone()));
    approve(&app, &serde_json::from_str(&first).unwrap()).await;
    assert_eq!(send(&app).await, (true, first.clone()));
    app.restart().await;
    assert_eq!(send(&app).await, (true, first));
    assert_eq!(entry(&app, "main", "ann").await["score"], 500);
}

async fn a_batch_withholds_one_and_not_the_others(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let item = |value: i64| json!({ "actionId": "watched", "userId": "ann", "value": value });
    let batch = json!({ "submissions": [item(5), item(500), item(6)] });
    let answer = app.game(Method::POST, "/api/scores/batch").json(&batch).send().await.unwrap();
    let (_, answer) = status_and_json(answer).await;
    assert_withheld(&answer["results"][1]["body"], json!(5));
    let last = &answer["results"][2]["body"];
    assert_eq!((&last["previousScore"], &last["newScore"], &last["rank"]), (&json!(5), &json!(11), &json!(1)));
}

async fn users_see_their_own_that_wait(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    app.with("ann", "scores:self", Method::GET, &format!("{PLACE}?projection=own")).refused(404).await;
    let first = suspicious(&app, "ann", 200).await;
    let place = own(&app, "ann", PLACE).await;
    assert_eq!((&place["entry"], &place["percentile"], &place["around"]), (&Value::Null, &Value::Null, &json!([])), "{place}");
    assert_eq!((&place["leaderboardId"], &place["season"]), (&json!("main"), &json!(1)));
    let waits = json!({ "eventId": first["eventId"], "actionId": "watched", "value": 200, "points": 200, "at": first["at"] });
    assert_eq!(place["pending"], json!([waits]));
    fair(&app, "ann", 3).await;
    let second = suspicious(&app, "ann", 300).await;
    let place = own(&app, "ann", &format!("{PLACE}?around=1")).await;
    assert_eq!((&place["entry"]["score"], &place["entry"]["rank"]), (&json!(3), &json!(1)));
    assert_eq!(place["around"].as_array().unwrap().len(), 1);
    let shown: Vec<_> = place["pending"].as_array().unwrap().iter().map(|score| &score["eventId"]).collect();
    assert_eq!(shown, [&second["eventId"], &first["eventId"]]);
    let history = own(&app, "ann", "/api/users/ann/scores").await;
    assert_eq!(told(&history).iter().filter(|(_, withheld)| withheld == "review").count(), 2, "{history}");
    // What a review withholds is not for whoever sees what is hidden, beside an entry.
    assert!(restricted(&app, PLACE).await.get("pending").is_none());
    approve(&app, &first).await;
    let place = own(&app, "ann", PLACE).await;
    assert_eq!((&place["entry"]["score"], place["pending"].as_array().unwrap().len()), (&json!(203), 1));
}

async fn fixed_points_are_watched_as_well(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let gain = json!({ "gain": { "points": 20, "perSeconds": 600 } });
    let action = json!({ "id": "watched", "leaderboards": ["main"], "points": 10, "review": gain });
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    let post = async || app.submit(json!({ "actionId": "watched", "userId": "ann" })).await;
    for score in [10, 20] {
        assert_eq!(post().await["newScore"], score);
    }
    let withheld = post().await;
    assert_withheld(&withheld, json!(20));
    assert_eq!(own(&app, "ann", PLACE).await["pending"][0]["points"], 10);
    approve(&app, &withheld).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 30);
    let action = app.admin(Method::PATCH, "/api/actions/watched").json(&json!({ "review": null })).answers(200).await;
    assert_eq!(action["review"], Value::Null);
    let body = json!({ "actionId": "watched", "userId": "ann" });
    assert_eq!(app.submit(body).await["newScore"], 40);
    assert_eq!(submit_is_plain(&app).await["newScore"], 50);
}

async fn submit_is_plain(app: &TestApp) -> Value {
    let change = json!({ "points": null, "value": { "min": 0, "max": 50 } });
    app.admin(Method::PATCH, "/api/actions/watched").json(&change).answers(200).await;
    submit(app, "ann", 10).await
}

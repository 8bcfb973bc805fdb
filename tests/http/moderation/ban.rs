//! Who is banned submits nothing, and is hidden unless the decision says otherwise.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{change, decide, entry, hide, is_gone, restricted, standing, take_back, without};
use crate::{
    answers::{Expect, problem},
    app::{Backend, TestApp, users, within},
    seasons::{from_now, post},
};

crate::both_backends!(
    a_banned_user_submits_nothing,
    the_end_of_a_ban_is_told,
    a_submission_is_refused_whole_if_one_leaderboard_bans_the_user,
    a_ban_hides_unless_it_says_otherwise,
    a_ban_that_is_taken_back_leaves_nothing,
    a_ban_that_ends_by_time_is_over_within_five_seconds,
    a_score_from_before_a_ban_still_has_its_receipt,
    a_ban_holds_from_its_answer_on,
);

const BANNED: &str = "urn:scoreboard:problem:banned";

async fn ban(app: &TestApp, user: &str, leaderboard: Option<&str>) -> Value {
    decide(app, "ban", json!({ "userId": user, "leaderboardId": leaderboard, "until": null })).await
}

/// The problem of a submission that is refused because of a ban.
async fn refused(app: &TestApp, user: &str, action: &str) -> Value {
    let body = json!({ "actionId": action, "userId": user, "value": 3 });
    let problem = app.game(Method::POST, "/api/scores").json(&body).refused(403).await;
    assert_eq!(problem["type"], BANNED, "{problem}");
    problem
}

async fn a_banned_user_submits_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let action = json!({ "id": "self", "leaderboards": ["main"], "points": 1, "selfService": true });
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    for user in ["ann", "bob"] {
        app.post_value(user, 5).await;
    }
    let banned = ban(&app, "ann", None).await;
    assert_eq!((&banned["type"], &banned["hide"], &banned["active"]), (&json!("ban"), &json!(true), &json!(true)));
    for action in ["value", "cup"] {
        assert_eq!(refused(&app, "ann", action).await["until"], Value::Null);
    }
    let own = app.with("ann", "scores:self", Method::POST, "/api/scores").json(&json!({ "actionId": "self", "userId": "ann" }));
    assert_eq!(own.refused(403).await["type"], BANNED);
    let batch = json!({ "submissions": [
        { "actionId": "value", "userId": "bob", "value": 1 },
        { "actionId": "value", "userId": "ann", "value": 1 },
        { "actionId": "value", "userId": "bob", "value": 1 },
    ] });
    let answer = app.game(Method::POST, "/api/scores/batch").json(&batch).answers(200).await;
    let statuses: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [200, 403, 200]);
    let refusal = &answer["results"][1]["body"];
    assert_eq!((&refusal["type"], &refusal["until"]), (&json!(BANNED), &Value::Null));
    assert_eq!(entry(&app, "main", "bob").await["score"], 7);
    let history = restricted(&app, "/api/users/ann/scores").await;
    assert_eq!(history["scores"].as_array().unwrap().len(), 1, "nothing of it is kept: {history}");
}

async fn the_end_of_a_ban_is_told(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("ann", 5).await;
    let until = from_now(3_600_000 * 24 * 40);
    let banned = decide(&app, "ban", json!({ "userId": "ann", "leaderboardId": "main", "until": until })).await;
    assert_eq!(banned["until"], json!(until));
    let problem = refused(&app, "ann", "value").await;
    assert_eq!(problem["until"], json!(until));
    assert!(problem["detail"].as_str().unwrap().contains(&until[..10]), "the detail names the end: {problem}");
}

async fn a_submission_is_refused_whole_if_one_leaderboard_bans_the_user(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    for (id, leaderboards) in [("both", ["main", "cup"]), ("turned", ["cup", "main"])] {
        let action = json!({ "id": id, "leaderboards": leaderboards, "value": { "min": 0, "max": 100 } });
        app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    }
    app.post_value("ann", 5).await;
    post(&app, "cup", "ann", 5).await;
    ban(&app, "ann", Some("cup")).await;
    for action in ["both", "turned", "cup"] {
        refused(&app, "ann", action).await;
    }
    assert_eq!(entry(&app, "main", "ann").await["score"], 5);
    assert!(is_gone(&app, "cup", "ann").await);
    assert_eq!(app.post_value("ann", 1).await["newScore"], 6, "elsewhere they may play");
    app.submit(json!({ "actionId": "both", "userId": "bob", "value": 3 })).await;
}

async fn a_ban_hides_unless_it_says_otherwise(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 9), ("bob", 5), ("cid", 1)] {
        app.post_value(user, value).await;
    }
    let before = standing(&app, "main", "current").await;
    let seen = json!({ "userId": "ann", "leaderboardId": "main", "until": null, "hide": false });
    let banned = decide(&app, "ban", seen).await;
    assert_eq!(banned["hide"], false);
    assert_eq!(standing(&app, "main", "current").await, before);
    refused(&app, "ann", "value").await;
    let unseen = json!({ "userId": "bob", "leaderboardId": "main", "until": null, "hide": true });
    let banned = decide(&app, "ban", unseen).await;
    let told = change(&banned, "main", "bob");
    assert_eq!((&told["previousScore"], &told["previousRank"]), (&json!(5), &json!(2)));
    assert_eq!((&told["score"], &told["rank"]), (&Value::Null, &Value::Null));
    assert_eq!(standing(&app, "main", "current").await, without(&before, "bob"));
    assert_eq!(app.get("/api/users/bob/scores").await["scores"], json!([]));
}

async fn a_ban_that_is_taken_back_leaves_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 9), ("bob", 9), ("cid", 1)] {
        app.post_value(user, value).await;
    }
    let before = standing(&app, "main", "current").await;
    let banned = ban(&app, "ann", None).await;
    let hidden = hide(&app, "ann", Some("main")).await;
    refused(&app, "ann", "value").await;
    take_back(&app, &banned).await;
    assert!(is_gone(&app, "main", "ann").await, "still hidden by the other decision");
    take_back(&app, &hidden).await;
    assert_eq!(standing(&app, "main", "current").await, before);
    assert_eq!(app.post_value("ann", 1).await["rank"], 1);
}

async fn a_ban_that_ends_by_time_is_over_within_five_seconds(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 9), ("bob", 5)] {
        app.post_value(user, value).await;
    }
    let begun = Instant::now();
    let fields = json!({ "userId": "ann", "leaderboardId": "main", "until": from_now(1500) });
    decide(&app, "ban", fields).await;
    refused(&app, "ann", "value").await;
    assert_eq!(users(&app.get("/api/leaderboard").await), ["bob"]);
    let body = json!({ "actionId": "value", "userId": "ann", "value": 1 });
    let accepted = async || app.game(Method::POST, "/api/scores").json(&body).send().await.unwrap().status() == 200;
    within(7, "the ban is over", accepted).await;
    assert!(begun.elapsed().as_millis() > 1400, "not before its time");
    let back = || async { users(&app.get("/api/leaderboard").await) == ["ann", "bob"] };
    within(7, "the user is back in the ranking", back).await;
    assert!(begun.elapsed().as_millis() < 6600, "within five seconds of its end");
    assert_eq!(entry(&app, "main", "ann").await["score"], 10);
}

async fn a_score_from_before_a_ban_still_has_its_receipt(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({ "actionId": "value", "userId": "ann", "value": 5 });
    let keyed = |key: &str| app.game(Method::POST, "/api/scores").header("Idempotency-Key", key).json(&body);
    let receipt = keyed("k-1").responds(200).await.text().await.unwrap();
    let banned = ban(&app, "ann", None).await;
    let repeat = keyed("k-1").responds(200).await;
    assert_eq!(repeat.headers()["idempotency-replayed"], "true");
    assert_eq!(repeat.text().await.unwrap(), receipt);
    assert_eq!(problem(keyed("k-2").responds(403).await).await["type"], BANNED);
    take_back(&app, &banned).await;
    assert_eq!(keyed("k-2").answers(200).await["newScore"], 10, "a refusal uses no key up");
}

/// Judged in the commit: whatever is sent after the answer is refused, on whichever instance, and what was accepted came before it.
async fn a_ban_holds_from_its_answer_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let other = if backend == Backend::Shared { Some(app.another().await) } else { None };
    let other = other.as_ref().unwrap_or(&app);
    for round in 0..5 {
        let user = format!("user-{round}");
        for app in [&app, other] {
            app.post_value(&user, 1).await;
        }
        let body = json!({ "actionId": "value", "userId": user, "value": 1 });
        let write = async || {
            let mut accepted = 0;
            loop {
                let answer = other.game(Method::POST, "/api/scores").json(&body).send().await.unwrap();
                match answer.status().as_u16() {
                    200 => accepted += 1,
                    status => break (accepted, status),
                }
            }
        };
        let (banned, (accepted, status)) = tokio::join!(ban(&app, &user, None), write());
        assert_eq!(status, 403);
        for app in [other, &app] {
            refused(app, &user, "value").await;
        }
        take_back(&app, &banned).await;
        let path = format!("/api/users/{user}/scores?limit=100&projection=restricted");
        let history = app.with("watcher", "leaderboards:restricted", Method::GET, &path).answers(200).await;
        let kept = history["scores"].as_array().unwrap().len();
        assert_eq!(kept, (2 + accepted).min(100), "what was accepted is kept, and nothing else");
        let last = app.post_value(&user, 1).await;
        assert_eq!(last["newScore"], 3 + accepted, "all of them count");
    }
}

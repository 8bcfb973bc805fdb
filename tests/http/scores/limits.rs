//! When an action may not be submitted: too soon, closed, disabled, not by oneself.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken, retry_after},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_cooldown_holds_per_user_and_action,
    an_action_made_anew_forgets_the_cooldown_of_the_old_one,
    a_limit_allows_so_many_and_no_more,
    a_closed_leaderboard_takes_no_scores,
    a_disabled_action_takes_no_scores,
    a_player_submits_only_own_scores_by_self_service_actions,
);

fn submission(app: &TestApp, action: &str, user: &str) -> RequestBuilder {
    app.game(Method::POST, "/api/scores").json(&json!({"actionId": action, "userId": user}))
}

async fn make_action(app: &TestApp, id: &str, settings: Value) {
    let mut action = settings;
    action["id"] = json!(id);
    action["leaderboards"] = json!(["main"]);
    action["points"] = json!(10);
    app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
}

async fn a_cooldown_holds_per_user_and_action(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_action(&app, "slow", json!({"cooldownSeconds": 3600})).await;
    make_action(&app, "slow-too", json!({"cooldownSeconds": 3600})).await;
    submission(&app, "slow", "ann").answers(200).await;
    let response = submission(&app, "slow", "ann").responds(429).await;
    assert!((3500..=3600).contains(&retry_after(&response)), "{response:?}");
    crate::answers::problem(response).await;
    submission(&app, "slow", "bob").answers(200).await;
    submission(&app, "slow-too", "ann").answers(200).await;
    let entry = app.get("/api/leaderboards/main/entries/ann").await;
    assert_eq!(entry["entry"]["score"], 20, "what was refused counts nothing");

    make_action(&app, "quick", json!({"cooldownSeconds": 1})).await;
    submission(&app, "quick", "ann").answers(200).await;
    let response = submission(&app, "quick", "ann").responds(429).await;
    assert_eq!(retry_after(&response), 1);
    crate::app::eventually("the cooldown is over", || async {
        submission(&app, "quick", "ann").send().await.unwrap().status() == 200
    })
    .await;
}

async fn an_action_made_anew_forgets_the_cooldown_of_the_old_one(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_action(&app, "slow", json!({"cooldownSeconds": 3600})).await;
    submission(&app, "slow", "ann").answers(200).await;
    app.admin(Method::DELETE, "/api/actions/slow").responds(204).await;
    make_action(&app, "slow", json!({"cooldownSeconds": 3600})).await;
    submission(&app, "slow", "ann").answers(200).await;
    submission(&app, "slow", "ann").responds(429).await;
}

async fn a_limit_allows_so_many_and_no_more(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_action(&app, "rare", json!({"limit": {"count": 3, "perSeconds": 600}})).await;
    for _ in 0..3 {
        submission(&app, "rare", "ann").answers(200).await;
    }
    let response = submission(&app, "rare", "ann").responds(429).await;
    assert!((500..=600).contains(&retry_after(&response)), "{response:?}");
    submission(&app, "rare", "bob").answers(200).await;
    let submissions: Vec<_> = (0..5).map(|_| json!({"actionId": "rare", "userId": "cy"})).collect();
    let batch = app.game(Method::POST, "/api/scores/batch").json(&json!({"submissions": submissions})).answers(200).await;
    let statuses: Vec<_> = batch["results"].as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    // At the same moment the limit holds as well.
    let at_once = (0..10).map(|_| submission(&app, "rare", "dee").send());
    let answers = futures_util::future::join_all(at_once).await;
    assert_eq!(answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count(), 3);
}

async fn a_closed_leaderboard_takes_no_scores(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    let both = json!({"id": "both", "leaderboards": ["main", "other"], "points": 1});
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    app.post_score("ann", "goal").await;
    let closed = app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({"closed": true})).answers(200).await;
    assert_eq!(closed["closed"], true);
    submission(&app, "goal", "ann").refused(409).await;
    submission(&app, "both", "ann").refused(409).await;
    let total = app.get("/api/leaderboards/other/entries").await["total"].clone();
    assert_eq!(total, 0, "an action with one closed leaderboard feeds none");
    assert_eq!(app.get("/api/leaderboard").await["entries"][0]["score"], 10, "it is read all the same");
    app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({"closed": false})).answers(200).await;
    submission(&app, "both", "ann").answers(200).await;
}

async fn a_disabled_action_takes_no_scores(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.admin(Method::PATCH, "/api/actions/goal").json(&json!({"enabled": false})).answers(200).await;
    submission(&app, "goal", "ann").refused(409).await;
    assert_eq!(app.get("/api/leaderboard").await["total"], 0);
    app.admin(Method::PATCH, "/api/actions/goal").json(&json!({"enabled": true})).answers(200).await;
    submission(&app, "goal", "ann").answers(200).await;
    app.admin(Method::DELETE, "/api/actions/goal").responds(204).await;
    let problem = submission(&app, "goal", "ann").refused(422).await;
    assert_eq!(broken(&problem), ["actionId"]);
}

async fn a_player_submits_only_own_scores_by_self_service_actions(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    make_action(&app, "tap", json!({"selfService": true})).await;
    let player = |scope: &str, action: &str, user: &str| {
        let body = json!({"actionId": action, "userId": user});
        app.with("ann", scope, Method::POST, "/api/scores").json(&body)
    };
    player("scores:self", "tap", "ann").answers(200).await;
    player("scores:self", "tap", "bob").refused(403).await;
    player("scores:self", "goal", "ann").refused(403).await;
    // What feeds private leaderboards alone is not told apart from what is not there.
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    let messages = [player("scores:self", "secret", "ann"), player("scores:self", "nothing", "ann")];
    let [hidden, unknown] =
        futures_util::future::join_all(messages.map(|request| request.refused(422))).await.try_into().unwrap();
    assert_eq!(hidden["errors"], unknown["errors"]);
    player("scores:self scores:write", "goal", "bob").answers(200).await;
    player("leaderboards:admin leaderboards:read", "tap", "ann").refused(403).await;

    let items = json!({"submissions": [
        {"actionId": "tap", "userId": "bob"}, {"actionId": "goal", "userId": "ann"}, {"actionId": "tap", "userId": "ann"},
    ]});
    let batch = app.with("ann", "scores:self", Method::POST, "/api/scores/batch").json(&items).answers(200).await;
    let statuses: Vec<_> = batch["results"].as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [403, 403, 200]);
    let scores = app.get("/api/leaderboard").await["entries"].clone();
    assert_eq!((&scores[0]["score"], &scores[1]["score"]), (&json!(20), &json!(10)));
}

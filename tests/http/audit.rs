//! The audit trail over HTTP: one entry for each successful management call, and for no other.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

crate::both_backends!(
    each_management_call_has_one_entry,
    only_those_with_its_scope_read_it,
    it_is_read_page_by_page,
    its_head_is_among_the_metrics,
);

fn auditor(app: &TestApp, path: &str) -> reqwest::RequestBuilder {
    app.with("auditor", "audit:read", Method::GET, path)
}

async fn trail(app: &TestApp) -> Vec<Value> {
    auditor(app, "/api/audit?limit=1000").answers(200).await["entries"].as_array().unwrap().clone()
}

async fn each_management_call_has_one_entry(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let before = trail(&app).await.len();
    let boards = "/api/leaderboards";
    app.admin(Method::POST, boards)
        .header("X-Request-Id", "make-cup")
        .json(&json!({"id": "cup", "name": "Cup"}))
        .responds(201)
        .await;
    app.admin(Method::POST, boards).json(&json!({"id": "cup", "name": "Cup"})).refused(409).await;
    app.admin(Method::PATCH, "/api/leaderboards/cup").json(&json!({"name": "Grand Cup"})).responds(200).await;
    app.admin(Method::PATCH, "/api/leaderboards/cup").json(&json!({"name": ""})).refused(422).await;
    app.game(Method::PATCH, "/api/leaderboards/cup").json(&json!({"name": "Mine"})).refused(403).await;
    app.post_value("ann", 5).await;
    app.admin(Method::PUT, "/api/users/ann").json(&json!({"displayName": "Ann"})).responds(200).await;
    app.admin(Method::DELETE, "/api/leaderboards/main/entries/ann").responds(204).await;
    app.admin(Method::DELETE, "/api/leaderboards/main/entries/ann").refused(404).await;
    let end =
        || app.admin(Method::POST, "/api/leaderboards/main/seasons").header("Idempotency-Key", "k").json(&json!({"ends": 1}));
    end().responds(201).await;
    end().responds(201).await;
    app.admin(Method::PATCH, "/api/leaderboards/main/seasons/1").json(&json!({"name": "One"})).responds(200).await;
    app.admin(Method::PATCH, "/api/leaderboards/main/seasons/1").json(&json!({})).responds(200).await;
    app.admin(Method::DELETE, "/api/leaderboards/cup").responds(204).await;

    let trail = trail(&app).await;
    let said: Vec<_> =
        trail[before..].iter().map(|entry| (entry["action"].as_str().unwrap(), entry["target"].as_str().unwrap())).collect();
    let expected = [
        ("leaderboard.create", "leaderboard:cup"),
        ("leaderboard.update", "leaderboard:cup"),
        ("user.replace", "user:ann"),
        ("entry.remove", "leaderboard:main/season:1/entry:ann"),
        ("season.end", "leaderboard:main/season:1"),
        ("season.rename", "leaderboard:main/season:1"),
        ("season.rename", "leaderboard:main/season:1"),
        ("leaderboard.delete", "leaderboard:cup"),
    ];
    assert_eq!(said, expected, "a repeat under a key is no second one");
    let first = &trail[before];
    assert_eq!((&first["subject"], &first["requestId"], &first["reason"]), (&json!("admin"), &json!("make-cup"), &Value::Null));
    assert_eq!(trail[before + 1]["details"]["name"], json!(["Cup", "Grand Cup"]));
    let numbers: Vec<_> = trail.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=trail.len() as u64).collect::<Vec<_>>());
}

async fn only_those_with_its_scope_read_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.anonymous(Method::GET, "/api/audit").refused(401).await;
    app.admin(Method::GET, "/api/audit").refused(403).await;
    auditor(&app, "/api/audit").answers(200).await;
    auditor(&app, "/api/audit?limit=0").refused(422).await;
    auditor(&app, "/api/audit?after=-1").refused(422).await;
    let read = app.with("auditor", "audit:read", Method::POST, "/api/leaderboards").json(&json!({"id": "x", "name": "X"}));
    read.refused(403).await;
}

async fn it_is_read_page_by_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for n in 0..5 {
        app.admin(Method::PUT, &format!("/api/users/user-{n}")).json(&json!({"displayName": "Name"})).responds(200).await;
    }
    let all = trail(&app).await;
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = auditor(&app, &format!("/api/audit?after={after}&limit=3")).answers(200).await;
        assert_eq!(page["head"]["hash"], all.last().unwrap()["hash"]);
        let Some(last) = page["entries"].as_array().unwrap().last() else { break };
        after = last["seq"].as_u64().unwrap();
        pages.extend(page["entries"].as_array().unwrap().clone());
    }
    assert_eq!(pages, all);
    for after in ["-1", "9007199254740992", "9223372036854775808", "1e300", "two"] {
        let problem = auditor(&app, &format!("/api/audit?after={after}")).refused(422).await;
        assert_eq!(problem["errors"][0]["field"], "after", "{after}");
    }
}

async fn its_head_is_among_the_metrics(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let head = auditor(&app, "/api/audit").answers(200).await["head"].clone();
    let metrics = app.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line = format!("scoreboard_audit_head{{hash={}}} {}", head["hash"], head["seq"]);
    assert!(metrics.contains(&line), "{line}");
}

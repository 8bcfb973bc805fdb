//! Who may decide, and what is on record of it.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{DECISIONS, decide, decision, hide, moderator, send, standing, take_back};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    streams::text,
};

crate::both_backends!(
    only_those_with_its_scope_moderate,
    its_scope_alone_allows_nothing_else,
    each_decision_has_one_entry_in_the_audit_trail,
    what_is_refused_or_only_tried_has_none,
);

const OTHERS: [&str; 6] =
    ["scores:write", "scores:self", "leaderboards:read", "leaderboards:admin", "leaderboards:restricted", "audit:read"];

async fn two(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 9), ("bob", 5)] {
        app.post_value(user, value).await;
    }
    app
}

async fn trail(app: &TestApp) -> Vec<Value> {
    let request = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=1000");
    request.answers(200).await["entries"].as_array().unwrap().clone()
}

async fn only_those_with_its_scope_moderate(backend: Backend) {
    let app = two(backend).await;
    let decided = hide(&app, "bob", None).await;
    let before = standing(&app, "main", "current").await;
    let one = format!("{DECISIONS}/{}", text(&decided["id"]));
    let none = format!("{DECISIONS}/01890000-0000-7000-8000-000000000000");
    let body = json!({ "decisions": [decision("hide", json!({ "userId": "ann", "leaderboardId": null, "until": null }))] });
    let calls = [(Method::POST, DECISIONS), (Method::GET, DECISIONS), (Method::DELETE, &*one), (Method::DELETE, &*none)];
    for (method, path) in calls {
        let ask = |request: RequestBuilder| if method == Method::POST { request.json(&body) } else { request };
        ask(app.anonymous(method.clone(), path)).refused(401).await;
        for scope in OTHERS {
            // Also about oneself.
            ask(app.with("ann", scope, method.clone(), path)).refused(403).await;
        }
        ask(app.with("ann", &OTHERS.join(" "), method.clone(), path)).refused(403).await;
    }
    // Whoever may not call it learns nothing of what would be wrong with the call.
    app.with("ann", "leaderboards:admin", Method::POST, DECISIONS).json(&json!({})).refused(403).await;
    app.with("ann", "leaderboards:admin", Method::GET, &format!("{DECISIONS}?limit=0")).refused(403).await;
    assert_eq!(standing(&app, "main", "current").await, before);
    assert_eq!(moderator(&app, Method::GET, DECISIONS).answers(200).await["decisions"].as_array().unwrap().len(), 1);
}

async fn its_scope_alone_allows_nothing_else(backend: Backend) {
    let app = two(backend).await;
    hide(&app, "ann", None).await;
    moderator(&app, Method::GET, "/api/audit").refused(403).await;
    moderator(&app, Method::PATCH, "/api/leaderboards/main").json(&json!({ "name": "Mine" })).refused(403).await;
    moderator(&app, Method::DELETE, "/api/leaderboards/main/entries/bob").refused(403).await;
    moderator(&app, Method::POST, "/api/scores").json(&json!({ "actionId": "goal", "userId": "bob" })).refused(403).await;
    moderator(&app, Method::GET, "/api/users/ann").refused(403).await;
    for path in ["/api/leaderboards/main/entries", "/api/leaderboards/main/entries/ann", "/api/users/ann/scores"] {
        moderator(&app, Method::GET, &format!("{path}?projection=restricted")).refused(403).await;
    }
}

async fn each_decision_has_one_entry_in_the_audit_trail(backend: Backend) {
    let app = two(backend).await;
    let receipt = app.post_value("bob", 2).await;
    let before = trail(&app).await.len();
    let mut made = Vec::new();
    for (kind, mut fields) in [
        ("hide", json!({ "userId": "ann", "leaderboardId": null, "until": null })),
        ("ban", json!({ "userId": "ann", "leaderboardId": "main", "until": null })),
        ("void", json!({ "eventIds": [receipt["eventId"]] })),
        ("adjust", json!({ "userId": "bob", "leaderboardId": "main", "points": 3 })),
        ("rename", json!({ "userId": "bob", "displayName": "Bob" })),
    ] {
        fields["reason"] = json!(format!("because of {kind}"));
        made.push((kind, decide(&app, kind, fields).await));
    }
    let after = trail(&app).await;
    assert_eq!(after.len(), before + made.len(), "{after:?}");
    let is_target = |entry: &Value, decision: &Value| {
        let user = decision["userId"].as_str().map(|user| json!(format!("user:{user}")));
        entry["target"] == json!(format!("decision:{}", text(&decision["id"]))) || Some(&entry["target"]) == user.as_ref()
    };
    for (entry, (kind, decision)) in after[before..].iter().zip(&made) {
        assert_eq!(entry["action"], format!("decision.{kind}"));
        assert_eq!((&entry["subject"], &entry["reason"]), (&json!("moderator"), &decision["reason"]), "{entry}");
        assert!(is_target(entry, decision), "{entry} of {decision}");
        assert!(entry["requestId"].is_string(), "{entry}");
    }
    for (_, decision) in &made {
        take_back(&app, decision).await;
    }
    let last = trail(&app).await;
    assert_eq!(last.len(), after.len() + made.len());
    for (entry, (_, decision)) in last[after.len()..].iter().zip(&made) {
        assert_eq!((&entry["action"], &entry["subject"]), (&json!("decision.take-back"), &json!("moderator")));
        assert!(is_target(entry, decision), "{entry} of {decision}");
    }
    let several: Vec<_> = ["ann", "nobody", "bob"]
        .map(|user| decision("hide", json!({ "userId": user, "leaderboardId": "main", "until": null })))
        .into();
    for replayed in [false, true] {
        let body = json!({ "decisions": several });
        let answer = moderator(&app, Method::POST, DECISIONS).header("Idempotency-Key", "k-1").json(&body).responds(200).await;
        assert_eq!(answer.headers().contains_key("idempotency-replayed"), replayed);
        assert_eq!(trail(&app).await.len(), last.len() + 2, "one for each that was carried out, once");
    }
}

async fn what_is_refused_or_only_tried_has_none(backend: Backend) {
    let app = two(backend).await;
    let before = trail(&app).await;
    for user in ["nobody", " "] {
        let refused = send(&app, &[decision("hide", json!({ "userId": user, "leaderboardId": null, "until": null }))]).await;
        assert_eq!(refused[0]["status"], 422);
    }
    let good = decision("hide", json!({ "userId": "ann", "leaderboardId": null, "until": null }));
    let tried = json!({ "decisions": [good], "dryRun": true });
    moderator(&app, Method::POST, DECISIONS).json(&tried).answers(200).await;
    moderator(&app, Method::POST, DECISIONS).json(&json!({ "decisions": [] })).refused(422).await;
    moderator(&app, Method::DELETE, &format!("{DECISIONS}/01890000-0000-7000-8000-000000000000")).refused(404).await;
    app.admin(Method::POST, DECISIONS).json(&json!({ "decisions": [good] })).refused(403).await;
    assert_eq!(trail(&app).await, before);
}

//! Decisions that are refused, and which field is to blame.

use reqwest::Method;
use serde_json::{Value, json};

use super::{DECISIONS, decide, decision, is_gone, moderator, named, send, standing};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
    seasons::from_now,
};

crate::both_backends!(each_broken_field_of_a_decision_is_named, a_request_without_decisions_is_refused_whole);

/// Decisions, each with what is wrong with it.
fn broken_decisions(known: &Value) -> Vec<(Value, &'static str)> {
    let hide = |change: Value| with(json!({ "type": "hide", "userId": "ann", "leaderboardId": "main", "until": null }), change);
    let ban = |change: Value| with(json!({ "type": "ban", "userId": "ann", "leaderboardId": "main", "until": null }), change);
    let range = |change: Value| with(json!({ "type": "void", "userId": "ann", "leaderboardId": "main" }), change);
    let adjust = |change: Value| with(json!({ "type": "adjust", "userId": "ann", "leaderboardId": "main", "points": 1 }), change);
    let void = |ids: Value| json!({ "type": "void", "reason": "a test", "eventIds": ids });
    let many = vec![known.clone(); 1001];
    let mut cases = vec![
        (hide(json!({ "type": null })), "type"),
        (hide(json!({ "type": "explode" })), "type"),
        (hide(json!({ "type": 7 })), "type"),
        (hide(json!({ "userId": null })), "userId"),
        (hide(json!({ "userId": "nobody" })), "userId"),
        (hide(json!({ "userId": " " })), "userId"),
        (hide(json!({ "userId": 7 })), "userId"),
        (hide(json!({ "leaderboardId": "nothing" })), "leaderboardId"),
        (hide(json!({ "leaderboardId": "No Such" })), "leaderboardId"),
        (hide(json!({ "leaderboardId": 7 })), "leaderboardId"),
        (hide(json!({ "until": "soon" })), "until"),
        (hide(json!({ "until": 7 })), "until"),
        (hide(json!({ "until": from_now(-1000) })), "until"),
        (ban(json!({ "until": "2020-01-01T00:00:00Z" })), "until"),
        (ban(json!({ "hide": "yes" })), "hide"),
        (ban(json!({ "userId": "nobody" })), "userId"),
        (void(json!([])), "eventIds"),
        (void(json!(many)), "eventIds"),
        (void(json!(known)), "eventIds"),
        (void(json!(["x"])), "eventIds"),
        (void(json!([known, 7])), "eventIds"),
        (void(json!(["01890000-0000-7000-8000-000000000000"])), "eventIds"),
        (range(json!({ "leaderboardId": null })), "leaderboardId"),
        (range(json!({ "userId": "nobody" })), "userId"),
        (range(json!({ "from": "then" })), "from"),
        (range(json!({ "to": "now" })), "to"),
        (adjust(json!({ "points": 1.5 })), "points"),
        (adjust(json!({ "points": "1" })), "points"),
        (adjust(json!({ "points": null, "score": 1_i64 << 53 })), "score"),
        (adjust(json!({ "points": null, "score": "x" })), "score"),
        (adjust(json!({ "leaderboardId": null })), "leaderboardId"),
        (adjust(json!({ "season": 2 })), "season"),
        (adjust(json!({ "season": 0 })), "season"),
        (adjust(json!({ "season": "first" })), "season"),
        (with(json!({ "type": "rename", "userId": "nobody", "displayName": "Ann" }), json!({})), "userId"),
        (with(json!({ "type": "rename", "userId": "ann", "displayName": "" }), json!({})), "displayName"),
        (with(json!({ "type": "erase", "userId": "nobody", "scores": "keep" }), json!({})), "userId"),
        (with(json!({ "type": "erase", "userId": "ann", "scores": "some" }), json!({})), "scores"),
        (with(json!({ "type": "erase", "userId": "ann" }), json!({})), "scores"),
    ];
    let reasons = [Value::Null, json!(""), json!(" "), json!("x".repeat(501)), json!(7)];
    cases.extend(reasons.into_iter().map(|reason| (hide(json!({ "reason": reason })), "reason")));
    cases
}

/// A decision with other fields; those that become null are left out.
fn with(decision: Value, change: Value) -> Value {
    let mut fields = decision.as_object().unwrap().clone();
    fields.insert("reason".into(), json!("a test"));
    for (field, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(fields.remove(field)),
            value => drop(fields.insert(field.clone(), value.clone())),
        }
    }
    Value::Object(fields)
}

async fn each_broken_field_of_a_decision_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for user in ["ann", "bob"] {
        app.post_value(user, 5).await;
    }
    let known = app.post_value("bob", 1).await["eventId"].clone();
    let before = standing(&app, "main", "current").await;
    let cases = broken_decisions(&known);
    for (sent, field) in &cases {
        let result = send(&app, std::slice::from_ref(sent)).await.remove(0);
        assert_eq!((&result["status"], &result["body"]["status"]), (&json!(422), &json!(422)), "{field}: {sent} {result}");
        assert_eq!(named(&result), [*field], "{sent}");
    }
    for sent in [json!(17), json!(null), json!([]), json!("hide"), with(json!({ "type": "void" }), json!({}))] {
        assert_eq!(send(&app, std::slice::from_ref(&sent)).await[0]["status"], 422, "{sent}");
    }
    let both = json!({ "userId": "ann", "leaderboardId": "main", "points": 1, "score": 1 });
    let neither = json!({ "userId": "ann", "leaderboardId": "main" });
    let turned = json!({ "userId": "ann", "leaderboardId": "main", "from": from_now(1000), "to": from_now(-1000) });
    for (kind, fields) in [("adjust", both), ("adjust", neither), ("void", turned)] {
        assert_eq!(send(&app, &[decision(kind, fields.clone())]).await[0]["status"], 422, "{fields}");
    }
    assert_eq!(standing(&app, "main", "current").await, before);
    assert_eq!(
        moderator(&app, Method::GET, DECISIONS).answers(200).await["decisions"],
        json!([]),
        "what is refused is no decision"
    );
    let longest = with(json!({ "type": "hide", "userId": "ann" }), json!({ "reason": "x".repeat(500) }));
    assert_eq!(send(&app, &[longest]).await[0]["status"], 200);
    assert!(is_gone(&app, "main", "ann").await);
}

async fn a_request_without_decisions_is_refused_whole(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for user in ["ann", "bob"] {
        app.post_value(user, 5).await;
    }
    let good = decision("hide", json!({ "userId": "ann", "leaderboardId": null, "until": null }));
    for (body, field) in [
        (json!({}), "decisions"),
        (json!({ "decisions": [] }), "decisions"),
        (json!({ "decisions": null }), "decisions"),
        (json!({ "decisions": good }), "decisions"),
        (json!({ "decisions": [good], "dryRun": "yes" }), "dryRun"),
    ] {
        let problem = moderator(&app, Method::POST, DECISIONS).json(&body).refused(422).await;
        assert_eq!(broken(&problem), [field], "{body}");
    }
    for body in [json!([good]), json!("hide"), json!(null)] {
        moderator(&app, Method::POST, DECISIONS).json(&body).refused(422).await;
    }
    moderator(&app, Method::POST, DECISIONS).header("content-type", "application/json").body("{").refused(400).await;
    moderator(&app, Method::POST, DECISIONS).body("decisions").refused(415).await;
    assert!(!is_gone(&app, "main", "ann").await);
    decide(&app, "hide", json!({ "userId": "ann", "leaderboardId": null })).await;
    assert!(is_gone(&app, "main", "ann").await);
}

//! A key that is bound to leaderboards does more than everybody may on these alone.

use reqwest::Method;
use serde_json::{Value, json};

use super::{by, make, owner};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    sse::Sse,
};

crate::both_backends!(
    an_action_is_allowed_if_all_its_leaderboards_are,
    private_leaderboards_beyond_the_bound_are_closed_and_public_ones_open,
    only_what_is_within_the_bound_is_managed,
    a_history_shows_what_is_public_or_within_the_bound,
    moderators_with_a_bound_decide_within_it,
    a_stream_of_several_leaderboards_needs_all_of_them,
    accounts_are_not_managed_by_a_bound_key,
);

const ALL: [&str; 7] = [
    "scores:write",
    "leaderboards:read",
    "leaderboards:admin",
    "audit:read",
    "leaderboards:restricted",
    "moderation:write",
    "users:read",
];

/// The private leaderboards `mine` and `other`, the public one `open`, and a key that is bound to `mine`.
async fn spawn(backend: Backend) -> (TestApp, Value) {
    let app = TestApp::spawn(backend).await;
    for id in ["mine", "other"] {
        app.make_leaderboard(id, json!({ "visibility": "private" })).await;
    }
    app.make_leaderboard("open", json!({})).await;
    let both = json!({ "id": "both", "leaderboards": ["mine", "other"], "value": { "min": 0, "max": 10 } });
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let key = make(&app, &ALL, json!({ "leaderboards": ["mine"] })).await;
    (app, key)
}

async fn an_action_is_allowed_if_all_its_leaderboards_are(backend: Backend) {
    let (app, key) = spawn(backend).await;
    let score = |action: &str| {
        by(&app, &key, Method::POST, "/api/scores").json(&json!({ "actionId": action, "userId": "ann", "value": 1 }))
    };
    score("mine").answers(200).await;
    for action in ["both", "other", "open"] {
        let refused = score(action).refused(403).await;
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("bound") && !detail.contains("other ") && !detail.ends_with("other"), "{refused}");
    }
    let items = ["mine", "other"].map(|action| json!({ "actionId": action, "userId": "ann", "value": 1 }));
    let batch = by(&app, &key, Method::POST, "/api/scores/batch").json(&json!({ "submissions": items })).answers(200).await;
    let statuses: Vec<_> = batch["results"].as_array().unwrap().iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 403]);
}

async fn private_leaderboards_beyond_the_bound_are_closed_and_public_ones_open(backend: Backend) {
    let (app, key) = spawn(backend).await;
    for user in ["mine", "other", "open"] {
        app.submit(json!({ "actionId": user, "userId": "ann", "value": 5 })).await;
    }
    for rest in ["", "/entries", "/entries/ann", "/scores", "/seasons", "/stream?view=top"] {
        for (id, status) in [("mine", 200), ("open", 200), ("other", 403)] {
            by(&app, &key, Method::GET, &format!("/api/leaderboards/{id}{rest}")).responds(status).await;
        }
    }
    let restricted = "/entries?projection=restricted";
    by(&app, &key, Method::GET, &format!("/api/leaderboards/mine{restricted}")).answers(200).await;
    for id in ["open", "other"] {
        by(&app, &key, Method::GET, &format!("/api/leaderboards/{id}{restricted}")).refused(403).await;
    }
    let listed = by(&app, &key, Method::GET, "/api/leaderboards").answers(200).await;
    let ids: Vec<_> = listed["leaderboards"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["main", "mine", "open"]);
    let both = by(&app, &key, Method::GET, "/api/actions/both").answers(200).await;
    assert_eq!(both["leaderboards"], json!(["mine"]));
    by(&app, &key, Method::GET, "/api/actions/other").refused(404).await;
    by(&app, &key, Method::GET, "/api/audit").refused(403).await;
}

async fn only_what_is_within_the_bound_is_managed(backend: Backend) {
    let (app, key) = spawn(backend).await;
    for (id, status) in [("mine", 200), ("other", 403), ("open", 403)] {
        by(&app, &key, Method::PATCH, &format!("/api/leaderboards/{id}")).json(&json!({ "name": "new" })).responds(status).await;
        let renamed = by(&app, &key, Method::PATCH, &format!("/api/leaderboards/{id}/seasons/1")).json(&json!({ "name": "new" }));
        renamed.responds(status).await;
    }
    by(&app, &key, Method::POST, "/api/leaderboards").json(&json!({ "id": "more" })).refused(403).await;
    by(&app, &key, Method::DELETE, "/api/leaderboards/other").refused(403).await;
    by(&app, &key, Method::DELETE, "/api/leaderboards/other/entries/ann").refused(403).await;
    by(&app, &key, Method::POST, "/api/leaderboards/other/seasons").json(&json!({ "ends": 1 })).refused(403).await;

    by(&app, &key, Method::PATCH, "/api/actions/mine").json(&json!({ "name": "new" })).answers(200).await;
    for (action, change) in [("both", json!({ "enabled": false })), ("mine", json!({ "leaderboards": ["mine", "open"] }))] {
        by(&app, &key, Method::PATCH, &format!("/api/actions/{action}")).json(&change).refused(403).await;
    }
    let action = |id: &str, leaderboards: Value| json!({ "id": id, "points": 1, "leaderboards": leaderboards });
    by(&app, &key, Method::POST, "/api/actions").json(&action("a", json!(["mine"]))).answers(201).await;
    by(&app, &key, Method::POST, "/api/actions").json(&action("b", json!(["mine", "open"]))).refused(403).await;
    for method in [Method::PATCH, Method::DELETE] {
        // What the key may not see, it is not told of either.
        let refused = by(&app, &key, method.clone(), "/api/actions/both").json(&json!({})).refused(403).await;
        assert!(!refused["detail"].as_str().unwrap().contains("other "), "{refused}");
        by(&app, &key, method, "/api/actions/other").json(&json!({})).refused(404).await;
    }
    by(&app, &key, Method::DELETE, "/api/actions/a").responds(204).await;
}

async fn a_history_shows_what_is_public_or_within_the_bound(backend: Backend) {
    let (app, key) = spawn(backend).await;
    for action in ["mine", "other", "open", "both", "mine"] {
        app.submit(json!({ "actionId": action, "userId": "ann", "value": 5, "metadata": { "of": action } })).await;
    }
    let shown = async |query: &str| {
        let page = by(&app, &key, Method::GET, &format!("/api/users/ann/scores?{query}")).answers(200).await;
        page["scores"].as_array().unwrap().iter().map(|score| score["actionId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown("limit=10").await, ["mine", "both", "open", "mine"]);
    assert_eq!(shown("leaderboardId=mine").await, ["mine", "both", "mine"]);
    let all = by(&app, &key, Method::GET, "/api/users/ann/scores").answers(200).await.to_string();
    assert!(!all.contains("other"), "{all}");
    by(&app, &key, Method::GET, "/api/users/ann/scores?leaderboardId=other").refused(403).await;
    by(&app, &key, Method::GET, "/api/users/ann/scores?projection=restricted").refused(403).await;
}

async fn moderators_with_a_bound_decide_within_it(backend: Backend) {
    let (app, key) = spawn(backend).await;
    let score = app.submit(json!({ "actionId": "other", "userId": "ann", "value": 5 })).await;
    let decide =
        |decision: Value| by(&app, &key, Method::POST, "/api/moderation/decisions").json(&json!({ "decisions": [decision] }));
    let hide = |leaderboard: Value| json!({ "type": "hide", "userId": "ann", "leaderboardId": leaderboard, "reason": "why" });
    for beyond in [
        hide(json!(null)),
        hide(json!("other")),
        json!({ "type": "void", "eventIds": [score["eventId"]], "reason": "why" }),
        json!({ "type": "erase", "userId": "ann", "scores": "keep", "reason": "why" }),
        json!({ "type": "rename", "userId": "ann", "displayName": "x", "reason": "why" }),
    ] {
        decide(beyond).refused(403).await;
    }
    let made = decide(hide(json!("mine"))).answers(200).await;
    assert_eq!(made["results"][0]["status"], 200, "{made}");
    let all = json!({ "decisions": [hide(json!("other"))] });
    let other = owner(&app, Method::POST, "/api/moderation/decisions").json(&all).answers(200).await;
    let id = |made: &Value| format!("/api/moderation/decisions/{}", made["results"][0]["body"]["id"].as_str().unwrap());
    let refused = by(&app, &key, Method::DELETE, &id(&other)).refused(403).await;
    assert!(!refused["detail"].as_str().unwrap().contains("other "), "nor which: {refused}");
    by(&app, &key, Method::DELETE, &id(&made)).answers(200).await;
    by(&app, &key, Method::GET, "/api/moderation/decisions").refused(403).await;
    by(&app, &key, Method::GET, "/api/moderation/reviews").refused(403).await;
    let verdicts = json!({ "verdicts": [{ "eventId": score["eventId"], "verdict": "reject", "reason": "why" }] });
    by(&app, &key, Method::POST, "/api/moderation/reviews").json(&verdicts).refused(403).await;
}

async fn a_stream_of_several_leaderboards_needs_all_of_them(backend: Backend) {
    let (app, key) = spawn(backend).await;
    by(&app, &key, Method::GET, "/api/stream?leaderboards=mine,other").refused(403).await;
    let response = by(&app, &key, Method::GET, "/api/stream?leaderboards=mine,open&hz=20").responds(200).await;
    let mut stream = Sse::of(response);
    stream.expect("leaderboard").await;
    stream.expect("leaderboard").await;
    app.admin(Method::PATCH, "/api/leaderboards/open").json(&json!({ "visibility": "private" })).answers(200).await;
    let closed = stream.expect("closed").await;
    assert_eq!(closed.data, json!({ "reason": "private", "leaderboardId": "open" }), "the key does not open this one");
    app.submit(json!({ "actionId": "mine", "userId": "ann", "value": 5 })).await;
    stream.expect("leaderboard-patch").await;
}

/// Or it could make an administrator, who is bound to nothing.
async fn accounts_are_not_managed_by_a_bound_key(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--accounts=open"]).await;
    let key = make(&app, &["accounts:admin"], json!({ "leaderboards": ["main"] })).await;
    let refused = by(&app, &key, Method::POST, "/api/accounts/invites").json(&json!({ "roles": ["admin"] })).refused(403).await;
    assert!(refused["detail"].as_str().unwrap().contains("bound"), "{refused}");
    by(&app, &key, Method::GET, "/api/accounts").refused(403).await;
    let whole = make(&app, &["accounts:admin"], json!({})).await;
    by(&app, &whole, Method::GET, "/api/accounts").answers(200).await;
}

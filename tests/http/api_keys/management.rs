//! Who makes which keys, and what is shown of them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{by, make, others, owner, path, score};
use crate::{
    answers::{Expect, broken, retry_after},
    app::{Backend, TestApp, within},
};

crate::both_backends!(
    a_key_is_shown_once_and_accepted_from_then_on,
    nobody_hands_out_what_they_have_not_got,
    a_bound_key_makes_only_keys_that_are_bound_within_its_own,
    lists_are_paged_and_hold_no_secret,
    invalid_settings_are_named,
    a_mistyped_key_is_told_from_an_unknown_one,
    nobody_poses_as_a_key_by_a_token,
    when_a_key_was_last_used_is_told_to_the_minute,
    a_key_may_have_a_limit_of_its_own,
    every_change_of_a_key_is_audited_without_its_secret,
    idempotency_keys_live_on_after_a_rotation,
);

async fn a_key_is_shown_once_and_accepted_from_then_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({})).await;
    let (id, text) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let parts: Vec<_> = text.split('_').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [4, 10, 43, 6], "{text}");
    assert_eq!((parts[0], parts[1]), ("scbk", id));
    assert_eq!(key["hint"], format!("scbk_{}…", &id[..4]));
    assert_eq!(score(&app, &key, "value").answers(200).await["newScore"], 1);
    for (other, expected) in others(&app, backend).await.iter().zip(2..) {
        assert_eq!(score(other, &key, "value").answers(200).await["newScore"], expected, "on every instance at once");
    }

    let mut shown = owner(&app, Method::GET, &path(&key)).answers(200).await;
    let mut made = key.clone();
    assert!(made.as_object_mut().unwrap().remove("key").is_some());
    made["lastUsedAt"] = shown["lastUsedAt"].take();
    shown["lastUsedAt"] = made["lastUsedAt"].clone();
    assert_eq!(shown, made);
    let response =
        owner(&app, Method::POST, "/api/keys").json(&json!({ "name": "x", "scopes": ["scores:write"] })).responds(201).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    owner(&app, Method::GET, &location).answers(200).await;
    owner(&app, Method::GET, "/api/keys/0000000000").refused(404).await;
}

async fn nobody_hands_out_what_they_have_not_got(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let weak = |method, path: &str| app.with("clerk", "keys:admin scores:write", method, path);
    let asked = |scopes: &[&str]| json!({ "name": "x", "scopes": scopes });
    let refused = weak(Method::POST, "/api/keys").json(&asked(&["scores:write", "moderation:write"])).refused(403).await;
    assert!(refused["detail"].as_str().unwrap().contains("moderation:write"), "{refused}");
    weak(Method::POST, "/api/keys").json(&asked(&["scores:write"])).answers(201).await;
    app.admin(Method::POST, "/api/keys").json(&asked(&["leaderboards:read"])).refused(403).await;

    let strong = make(&app, &["moderation:write"], json!({})).await;
    weak(Method::PATCH, &path(&strong)).json(&json!({ "name": "mine" })).refused(403).await;
    weak(Method::POST, &format!("{}/rotate", path(&strong))).json(&json!({})).refused(403).await;
    let own = weak(Method::POST, "/api/keys").json(&asked(&["scores:write"])).answers(201).await;
    weak(Method::PATCH, &path(&own)).json(&json!({ "scopes": ["moderation:write"] })).refused(403).await;
    assert_eq!(owner(&app, Method::GET, &path(&own)).answers(200).await["scopes"], json!(["scores:write"]));
    // Taking away needs no scope of one's own.
    weak(Method::DELETE, &path(&strong)).responds(204).await;
}

async fn a_bound_key_makes_only_keys_that_are_bound_within_its_own(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for id in ["one", "two", "three"] {
        app.make_leaderboard(id, json!({})).await;
    }
    let free = make(&app, &["scores:write"], json!({})).await;
    let bound = make(&app, &["keys:admin", "scores:write"], json!({ "leaderboards": ["one", "two"] })).await;
    let asked = |leaderboards: Value| json!({ "name": "x", "scopes": ["scores:write"], "leaderboards": leaderboards });
    for beyond in [json!(null), json!(["three"]), json!(["one", "three"])] {
        by(&app, &bound, Method::POST, "/api/keys").json(&asked(beyond)).refused(403).await;
    }
    let within = by(&app, &bound, Method::POST, "/api/keys").json(&asked(json!(["two"]))).answers(201).await;
    by(&app, &bound, Method::PATCH, &path(&within)).json(&json!({ "leaderboards": null })).refused(403).await;
    let listed = by(&app, &bound, Method::GET, "/api/keys?limit=1").answers(200).await;
    assert!(listed["nextCursor"].is_string(), "{listed}");
    let listed = by(&app, &bound, Method::GET, "/api/keys").answers(200).await;
    let mut ids: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [bound["id"].as_str().unwrap(), within["id"].as_str().unwrap()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for method in [Method::GET, Method::DELETE] {
        by(&app, &bound, method, &path(&free)).refused(404).await;
    }
}

async fn lists_are_paged_and_hold_no_secret(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let (mut made, mut listed, mut cursor) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..5 {
        made.push(make(&app, &["scores:write"], json!({})).await);
    }
    loop {
        let page = owner(&app, Method::GET, &format!("/api/keys?limit=2{cursor}")).answers(200).await;
        for key in made.iter().map(|key| key["key"].as_str().unwrap()) {
            assert!(!page.to_string().contains(key.split('_').nth(2).unwrap()), "{page}");
        }
        listed.extend(page["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut ids: Vec<_> = made.iter().map(|key| key["id"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    assert_eq!(listed, ids);
    owner(&app, Method::GET, "/api/keys?cursor=nonsense").refused(422).await;
    owner(&app, Method::GET, "/api/keys?limit=0").refused(422).await;
}

async fn invalid_settings_are_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let good = json!({ "name": "x", "scopes": ["scores:write"] });
    for (field, value, named) in [
        ("name", json!(""), "name"),
        ("name", json!("\u{200b}"), "name"),
        ("scopes", json!([]), "scopes"),
        ("scopes", json!(["scores:write", "scores:all"]), "scopes[1]"),
        ("leaderboards", json!([]), "leaderboards"),
        ("leaderboards", json!(["nowhere"]), "leaderboards[0]"),
        ("leaderboards", json!(["main", "main"]), "leaderboards"),
        ("expiresAt", json!("2020-01-01T00:00:00Z"), "expiresAt"),
        ("expiresAt", json!("tomorrow"), "expiresAt"),
        ("rateLimit", json!({ "perSecond": 0, "burst": 1 }), "rateLimit.perSecond"),
        ("rateLimit", json!({ "perSecond": 1 }), "rateLimit.burst"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = owner(&app, Method::POST, "/api/keys").json(&body).refused(422).await;
        assert_eq!(broken(&refused), [named], "{body}: {refused}");
    }
    for lacking in ["name", "scopes"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(lacking);
        assert_eq!(broken(&owner(&app, Method::POST, "/api/keys").json(&body).refused(422).await), [lacking]);
    }
    let key = make(&app, &["scores:write"], json!({})).await;
    for overlap in [json!(-1), json!(30 * 86_400 + 1)] {
        let refused = owner(&app, Method::POST, &format!("{}/rotate", path(&key))).json(&json!({ "overlapSeconds": overlap }));
        assert_eq!(broken(&refused.refused(422).await), ["overlapSeconds"]);
    }
}

async fn a_mistyped_key_is_told_from_an_unknown_one(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({})).await;
    let text = key["key"].as_str().unwrap();
    let detail = async |bearer: &str| {
        let refused = app.anonymous(Method::GET, "/api/leaderboard").bearer_auth(bearer).refused(401).await;
        refused["detail"].as_str().unwrap().to_owned()
    };
    let swapped = if text.ends_with('0') { '1' } else { '0' };
    assert!(detail(&format!("{}{swapped}", &text[..text.len() - 1])).await.contains("checksum"));
    let mistyped = text.replacen("scbk_", "scbk_Z", 1);
    assert!(detail(&mistyped).await.contains("not complete"));
    let other_secret: String = text.chars().rev().skip(7).take(43).collect();
    let mistyped = format!("{}_{other_secret}_{}", &text[..15], &text[60..]);
    assert!(detail(&mistyped).await.contains("checksum"), "{mistyped}");
    owner(&app, Method::DELETE, &path(&key)).responds(204).await;
    assert!(detail(text).await.contains("no such API key"));
}

async fn nobody_poses_as_a_key_by_a_token(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({})).await;
    let subject = format!("key:{}", key["id"].as_str().unwrap());
    let claims = json!({ "sub": subject, "scope": "scores:write", "exp": 4_000_000_000_u64 });
    let secret = jsonwebtoken::EncodingKey::from_secret(app.settings.tokens.jwt_secret.as_deref().unwrap().as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).unwrap();
    let refused = app.anonymous(Method::GET, "/api/leaderboard").bearer_auth(token).refused(401).await;
    assert!(refused["detail"].as_str().unwrap().contains("sub"), "{refused}");
}

async fn when_a_key_was_last_used_is_told_to_the_minute(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({})).await;
    assert_eq!(owner(&app, Method::GET, &path(&key)).answers(200).await["lastUsedAt"], Value::Null);
    let before = chrono::Utc::now() - Duration::from_secs(60);
    score(&app, &key, "value").answers(200).await;
    let told = || async { owner(&app, Method::GET, &path(&key)).answers(200).await["lastUsedAt"].clone() };
    within(30, "it is told when the key was used", || async { told().await.is_string() }).await;
    let at: chrono::DateTime<chrono::Utc> = told().await.as_str().unwrap().parse().unwrap();
    assert!(before <= at && at <= chrono::Utc::now(), "{at}");
}

async fn a_key_may_have_a_limit_of_its_own(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({ "rateLimit": { "perSecond": 1, "burst": 2 } })).await;
    let other = make(&app, &["scores:write"], json!({})).await;
    let mut refused = None;
    for _ in 0..10 {
        let response = score(&app, &key, "value").send().await.unwrap();
        if response.status() == 429 {
            refused = Some(response);
            break;
        }
    }
    assert!((1..=2).contains(&retry_after(&refused.expect("a limit of two at once"))));
    score(&app, &other, "value").answers(200).await;
    owner(&app, Method::PATCH, &path(&key)).json(&json!({ "rateLimit": null })).answers(200).await;
    for _ in 0..10 {
        score(&app, &key, "value").answers(200).await;
    }
}

async fn every_change_of_a_key_is_audited_without_its_secret(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({})).await;
    owner(&app, Method::PATCH, &path(&key)).json(&json!({ "name": "renamed" })).answers(200).await;
    let rotated = owner(&app, Method::POST, &format!("{}/rotate", path(&key))).json(&json!({})).answers(200).await;
    owner(&app, Method::DELETE, &path(&key)).responds(204).await;
    let audit = owner(&app, Method::GET, "/api/audit?limit=1000").answers(200).await;
    let target = format!("key:{}", key["id"].as_str().unwrap());
    let about = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["target"] == target.as_str());
    let actions: Vec<_> = about.clone().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["key.create", "key.update", "key.rotate", "key.delete"]);
    assert!(about.clone().all(|entry| entry["subject"] == "owner"));
    for shown in [&key, &rotated] {
        let secret = shown["key"].as_str().unwrap().split('_').nth(2).unwrap();
        assert!(!audit.to_string().contains(secret));
    }
}

async fn idempotency_keys_live_on_after_a_rotation(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let key = make(&app, &["scores:write"], json!({})).await;
    let first = score(&app, &key, "value").header("Idempotency-Key", "k").answers(200).await;
    let rotated = owner(&app, Method::POST, &format!("{}/rotate", path(&key))).json(&json!({})).answers(200).await;
    let again = score(&app, &rotated, "value").header("Idempotency-Key", "k").responds(200).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
}

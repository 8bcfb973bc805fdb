//! Profiles: who writes them, and where they show.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, eventually},
    sse::Sse,
};

crate::both_backends!(
    rows_of_every_read_carry_what_the_user_has,
    rows_of_every_stream_carry_what_the_user_has,
    a_patch_changes_what_it_names,
    a_player_writes_and_reads_their_own_profile_alone,
    whoever_manages_some_leaderboards_writes_no_profile,
    a_rebuilt_ranking_still_has_pictures,
);

const PICTURE: &str = "https://cdn.example.com/a:b.png?c=d";

async fn spawn(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 30), ("bob", 20), ("cid", 10)] {
        app.post_value(user, value).await;
    }
    patch(&app, "ann", json!({ "avatarUrl": PICTURE, "country": "GB" })).await;
    patch(&app, "bob", json!({ "displayName": "Bob: the\u{301} 2nd", "country": "CZ" })).await;
    app
}

async fn patch(app: &TestApp, user: &str, change: Value) -> Value {
    app.with("studio", "users:write", Method::PATCH, &format!("/api/users/{user}")).json(&change).answers(200).await
}

/// The rows that ann, bob and cid have to have.
fn check(rows: &Value) {
    let rows = rows.as_array().unwrap();
    let of = |user: &str| rows.iter().find(|row| row["userId"] == user).unwrap_or_else(|| panic!("{user} in {rows:?}"));
    assert_eq!(
        (&of("ann")["avatarUrl"], &of("ann")["country"], &of("ann")["displayName"]),
        (&json!(PICTURE), &json!("GB"), &json!("ann"))
    );
    assert_eq!((&of("bob")["avatarUrl"], &of("bob")["country"]), (&Value::Null, &json!("CZ")));
    assert!(of("bob").get("avatarUrl").is_none() && of("bob")["displayName"] == "Bob: the\u{301} 2nd");
    assert!(of("cid").get("avatarUrl").is_none() && of("cid").get("country").is_none());
}

async fn rows_of_every_read_carry_what_the_user_has(backend: Backend) {
    let app = spawn(backend).await;
    check(&app.get("/api/leaderboard").await["entries"]);
    check(&app.get("/api/leaderboards/main/entries?limit=7").await["entries"]);
    check(&app.get("/api/leaderboards/main/entries/bob?around=1").await["around"]);
    assert_eq!(app.get("/api/leaderboards/main/entries/ann").await["entry"]["country"], "GB");
    let friends = json!({ "userIds": ["ann", "bob", "cid"] });
    let friends = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&friends).answers(200).await;
    check(&friends["entries"]);
    check(&app.get("/api/leaderboards/main/scores").await["scores"]);
    let end = app.admin(Method::POST, "/api/leaderboards/main/seasons").json(&json!({ "ends": 1 }));
    end.answers(201).await;
    check(&app.get("/api/leaderboards/main/entries?season=previous").await["entries"]);
    check(&app.get("/api/leaderboards/main/entries/bob?around=1&season=1").await["around"]);
}

async fn rows_of_every_stream_carry_what_the_user_has(backend: Backend) {
    let app = spawn(backend).await;
    let mut events = Sse::open(&app, "/api/leaderboard/stream").await;
    check(&events.expect("leaderboard").await.data["entries"]);
    let mut top = Sse::open(&app, "/api/leaderboard/stream?view=top&hz=20").await;
    check(&top.expect("leaderboard").await.data["entries"]);
    let mut user = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=bob&around=1&hz=20").await;
    check(&user.expect("standing").await.data["around"]);

    app.post_value("ann", 1).await;
    let told = events.expect("score-updated").await.data;
    assert_eq!((&told["avatarUrl"], &told["country"]), (&json!(PICTURE), &json!("GB")));
    top.expect("leaderboard-patch").await;
    patch(&app, "cid", json!({ "country": "FR" })).await;
    let told = events.expect("user-changed").await.data;
    assert_eq!((&told["userId"], &told["country"], &told["avatarUrl"]), (&json!("cid"), &json!("FR"), &Value::Null));
    let changed = top.expect("leaderboard-patch").await.data;
    assert_eq!(changed["rows"][0]["country"], "FR", "{changed}");
    app.post_value("cid", 1).await;
    let told = events.expect("score-updated").await.data;
    assert!(told["country"] == "FR" && told.get("avatarUrl").is_none(), "{told}");
    patch(&app, "cid", json!({ "country": null })).await;
    events.expect("user-changed").await;
    eventually("the country is gone", || async {
        app.get("/api/leaderboards/main/entries/cid").await["entry"].get("country").is_none()
    })
    .await;
}

async fn a_patch_changes_what_it_names(backend: Backend) {
    let app = spawn(backend).await;
    let profile = json!({ "displayName": "Ann", "avatarUrl": PICTURE, "country": "GB", "metadata": { "clan": "x" } });
    app.admin(Method::PUT, "/api/users/ann").json(&profile).answers(200).await;
    let changed = patch(&app, "ann", json!({ "country": null, "displayName": "Anne" })).await;
    assert_eq!(
        (&changed["displayName"], &changed["country"], &changed["avatarUrl"]),
        (&json!("Anne"), &Value::Null, &json!(PICTURE))
    );
    assert_eq!(changed["metadata"], json!({ "clan": "x" }));
    let before = changed["updatedAt"].clone();
    assert_eq!(patch(&app, "ann", json!({})).await["updatedAt"], before, "nothing is changed by nothing");
    assert_eq!(patch(&app, "ann", json!({ "metadata": null })).await["metadata"], Value::Null);
    assert_eq!(patch(&app, "new", json!({ "displayName": "Newcomer" })).await["displayName"], "Newcomer");
    for (field, value) in [
        ("displayName", json!("")),
        ("avatarUrl", json!("javascript:alert(1)")),
        ("avatarUrl", json!("https://e.com/a\0b")),
        ("avatarUrl", json!("https://e.com/a\nb")),
        ("country", json!("gb")),
        ("name", json!("x")),
    ] {
        let refused = app.admin(Method::PATCH, "/api/users/ann").json(&json!({ field: value })).refused(422).await;
        assert_eq!(broken(&refused), [field], "{refused}");
    }
}

async fn a_player_writes_and_reads_their_own_profile_alone(backend: Backend) {
    let app = spawn(backend).await;
    let player = |method, path: &str| app.with("ann", "scores:self", method, path);
    assert_eq!(
        player(Method::PATCH, "/api/users/ann").json(&json!({ "displayName": "Ann" })).answers(200).await["displayName"],
        "Ann"
    );
    assert_eq!(player(Method::GET, "/api/users/ann").answers(200).await["country"], "GB");
    assert_eq!(player(Method::PUT, "/api/users/ann").json(&json!({})).answers(200).await["country"], Value::Null);
    for method in [Method::PATCH, Method::PUT] {
        player(method, "/api/users/bob").json(&json!({ "displayName": "Eve" })).refused(403).await;
    }
    player(Method::GET, "/api/users/bob").refused(403).await;
    app.with("x", "users:read", Method::PATCH, "/api/users/ann").json(&json!({})).refused(403).await;
    app.with("x", "scores:write", Method::GET, "/api/users/x").refused(403).await;
}

async fn whoever_manages_some_leaderboards_writes_no_profile(backend: Backend) {
    let app = spawn(backend).await;
    let everything = "keys:admin leaderboards:admin users:write";
    let key = async |scopes: Value| {
        let body = json!({ "name": "x", "scopes": scopes, "leaderboards": ["main"] });
        let made = app.with("owner", everything, Method::POST, "/api/keys").json(&body).answers(201).await;
        made["key"].as_str().unwrap().to_owned()
    };
    let change = |key: String| app.anonymous(Method::PATCH, "/api/users/ann").bearer_auth(key).json(&json!({ "country": "FR" }));
    change(key(json!(["leaderboards:admin"])).await).refused(403).await;
    change(key(json!(["users:write"])).await).answers(200).await;
}

async fn a_rebuilt_ranking_still_has_pictures(backend: Backend) {
    let mut app = spawn(backend).await;
    app.restart().await;
    check(&app.get("/api/leaderboard").await["entries"]);
}

//! Whoever owns a score may be called anything that people can read.

use reqwest::Method;
use serde_json::json;

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, users},
};

crate::both_backends!(
    a_user_id_of_any_script_works_everywhere,
    similar_user_ids_are_different_users,
    a_user_id_that_nobody_could_read_is_refused,
);

/// A path segment with all but letters and digits percent-encoded.
fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

async fn a_user_id_of_any_script_works_everywhere(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let longest = "🏆".repeat(128);
    let ids = [
        &*longest,
        "\u{202e}reversed\u{202c}",
        "مستخدم",
        "宮本 茂",
        "👩‍👩‍👧‍👦",
        "Robert'); DROP TABLE users; --",
        "\"quoted\" 'twice' `thrice`",
        "back\\slash \\u0000",
        "a/b/../c?d=e&f#g",
        "100%",
        "%2F",
        "a+b c",
        "query",
        "stream",
        "__proto__",
        "${jndi:ldap://x}",
        "{tag}:0:member",
        " padded ",
        "*",
        "\u{feff}bom",
    ];
    for id in ids {
        let receipt = app.post_score(id, "goal").await;
        assert_eq!(receipt["userId"], id);
    }
    assert_eq!(users(&app.get("/api/leaderboard?limit=100").await), ids, "in the order of reaching the score");
    let friends = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&json!({"userIds": ids}));
    assert_eq!(users(&friends.answers(200).await), ids);
    for (id, rank) in ids.into_iter().zip(1..) {
        let answer = app.get(&format!("/api/leaderboards/main/entries/{}?around=1", segment(id))).await;
        assert_eq!((&answer["entry"]["userId"], &answer["entry"]["rank"]), (&json!(id), &json!(rank)));
        let history = app.get(&format!("/api/users/{}/scores", segment(id))).await;
        assert_eq!(history["scores"][0]["userId"], id);
        let user = app.admin(Method::GET, &format!("/api/users/{}", segment(id))).answers(200).await;
        assert_eq!(user["userId"], id);
    }
}

async fn similar_user_ids_are_different_users(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let similar = ["e\u{301}", "\u{e9}", "E\u{301}", "ann", "Ann", "ann ", " ann", "а\u{43d}\u{43d}", "ann\u{200b}", "Ａnn"];
    for id in similar {
        assert_eq!(app.post_score(id, "goal").await["newScore"], 10, "{id:?} is new");
    }
    assert_eq!(users(&app.get("/api/leaderboard?limit=100").await), similar);
}

async fn a_user_id_that_nobody_could_read_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let long = "é".repeat(129);
    for id in ["", " ", "\u{3000}\u{2003}", "a\0b", "a\nb", "\u{7f}", "\u{85}x", "\u{1b}[31m", &long] {
        let body = json!({"actionId": "goal", "userId": id});
        let problem = app.game(Method::POST, "/api/scores").json(&body).refused(422).await;
        assert_eq!(broken(&problem), ["userId"], "{id:?}");
        let path = format!("/api/leaderboards/main/entries/{}", segment(id));
        app.anonymous(Method::GET, &path).refused(404).await;
    }
    // Neither what nobody sees nor what no browser can put into an address is anybody's id or name.
    let hidden = [
        "\u{200b}\u{200b}\u{200b}",
        "\u{2060}",
        "\u{e000}",
        "\u{378}",
        "\u{3164}",
        "\u{fe0f}",
        "\u{2800}",
        " \u{200d} ",
        ".",
        "..",
    ];
    for text in hidden {
        let body = json!({"actionId": "goal", "userId": text});
        let problem = app.game(Method::POST, "/api/scores").json(&body).refused(422).await;
        assert_eq!(broken(&problem), ["userId"], "{text:?}");
        let item = json!({"submissions": [body]});
        let results = app.game(Method::POST, "/api/scores/batch").json(&item).answers(200).await;
        assert_eq!(results["results"][0]["status"], 422, "{text:?}");
        let problem = app.admin(Method::PUT, "/api/users/ann").json(&json!({"displayName": text})).refused(422).await;
        assert_eq!(broken(&problem), ["displayName"], "{text:?}");
        for path in ["/api/leaderboards/main", "/api/actions/goal"] {
            let problem = app.admin(Method::PATCH, path).json(&json!({"name": text})).refused(422).await;
            assert_eq!(broken(&problem), ["name"], "{path} {text:?}");
        }
        if !text.starts_with('.') {
            app.admin(Method::PUT, &format!("/api/users/{}", segment(text))).json(&json!({})).refused(422).await;
        }
    }
    let lone_surrogate = r#"{"actionId":"goal","userId":"\ud800"}"#;
    let request = app.game(Method::POST, "/api/scores").header("content-type", "application/json").body(lone_surrogate);
    assert!(request.send().await.unwrap().status().is_client_error());
    assert_eq!(app.get("/api/leaderboard").await["total"], 0);
}

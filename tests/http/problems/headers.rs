//! Headers that protect browsers, and compression.

use reqwest::Method;
use serde_json::json;

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

crate::both_backends!(
    every_answer_has_the_security_headers,
    the_page_runs_nothing_but_its_own_files,
    json_is_compressed_for_those_who_ask,
    streams_are_never_compressed,
);

async fn every_answer_has_the_security_headers(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let paths = [
        "/",
        "/assets/board.js",
        "/livez",
        "/openapi.yaml",
        "/metrics",
        "/api/leaderboard",
        "/api/leaderboard/stream",
        "/nothing",
    ];
    for path in paths {
        let answer = app.anonymous(Method::GET, path).send().await.unwrap();
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.headers()[name], value, "{path}");
            assert_eq!(answer.headers().get_all(name).iter().count(), 1, "{path}");
        }
        assert!(!answer.headers().contains_key("server"), "{path}");
    }
}

async fn the_page_runs_nothing_but_its_own_files(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for path in ["/", "/boards/main", "/boards/none", "/assets/board.js", "/assets/page.css", "/assets/favicon.svg"] {
        let answer = app.anonymous(Method::GET, path).responds(if path == "/boards/none" { 404 } else { 200 }).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        let directives: Vec<_> = policy.split(';').map(str::trim).collect();
        for directive in
            ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(directives.contains(&directive), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
    }
}

async fn json_is_compressed_for_those_who_ask(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let submissions: Vec<_> = (0..200).map(|number| json!({"actionId": "goal", "userId": format!("u-{number}")})).collect();
    app.game(Method::POST, "/api/scores/batch").json(&json!({"submissions": submissions})).answers(200).await;
    let path = "/api/leaderboard?limit=200";
    let plain = app.anonymous(Method::GET, path).responds(200).await;
    assert!(!plain.headers().contains_key("content-encoding"));
    let (tag, plain) = (plain.headers()["etag"].clone(), plain.bytes().await.unwrap());

    let packed = app.anonymous(Method::GET, path).header("Accept-Encoding", "gzip, br").responds(200).await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["etag"], tag, "a weak tag stands for both");
    let vary =
        packed.headers().get_all("vary").iter().any(|value| value.to_str().unwrap().to_lowercase().contains("accept-encoding"));
    assert!(vary, "{:?}", packed.headers());
    let packed = packed.bytes().await.unwrap();
    assert_eq!(packed[..2], [0x1f, 0x8b]);
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
}

async fn streams_are_never_compressed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for path in ["/api/leaderboard/stream", "/api/leaderboards/main/stream?view=top", "/api/stream?leaderboards=main"] {
        let answer = app.anonymous(Method::GET, path).header("Accept-Encoding", "gzip").responds(200).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream", "{path}");
        assert!(!answer.headers().contains_key("content-encoding"), "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-cache, no-transform", "{path}");
        assert_eq!(answer.headers()["x-accel-buffering"], "no", "{path}");
    }
}

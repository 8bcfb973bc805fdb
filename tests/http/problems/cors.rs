//! Pages of other origins.

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::json;

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_listed_origin_may_call_everything,
    a_listed_origin_reads_refusals_as_well,
    another_origin_gets_nothing,
    every_page_may_read_what_is_public_and_nothing_else,
    pages_that_may_read_what_is_public_can_be_listed,
    an_origin_is_compared_as_an_origin,
    a_listed_origin_may_send_whatever_header_it_likes,
    a_star_lists_every_origin,
);

const ORIGIN: &str = "https://game.example";
const FLAG: [&str; 2] = ["--cors-allowed-origins=https://game.example, https://other.example/", "--public-read-cors=none"];

async fn preflight(app: &TestApp, origin: &str, method: &str) -> Response {
    let request = app.anonymous(Method::OPTIONS, "/api/scores").header("Origin", origin);
    let headers = "authorization,content-type,idempotency-key,last-event-id,if-none-match,x-request-id";
    let request = request.header("Access-Control-Request-Method", method).header("Access-Control-Request-Headers", headers);
    request.send().await.unwrap()
}

/// A header's items, in lower case and sorted.
fn items(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_lowercase());
    let mut items: Vec<_> =
        values.flat_map(|value| value.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>()).collect();
    items.sort();
    items
}

async fn a_listed_origin_may_call_everything(backend: Backend) {
    let app = TestApp::spawn_with(backend, &FLAG).await;
    for origin in [ORIGIN, "https://other.example"] {
        let answer = preflight(&app, origin, "POST").await;
        assert!(answer.status().is_success(), "{answer:?}");
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        assert_eq!(items(answer.headers(), "access-control-allow-methods"), ["delete", "get", "patch", "post", "put"]);
        let allowed = items(answer.headers(), "access-control-allow-headers");
        for header in ["authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id", "x-request-id"] {
            assert!(allowed.iter().any(|allowed| allowed == header), "{header}: {allowed:?}");
        }
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
    for path in ["/api/leaderboard", "/api/leaderboard/stream", "/livez"] {
        let answer = app.anonymous(Method::GET, path).header("Origin", ORIGIN).responds(200).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN, "{path}");
        let exposed = items(answer.headers(), "access-control-expose-headers");
        for header in ["cache-status", "etag", "idempotency-replayed", "location", "retry-after", "x-request-id"] {
            assert!(exposed.iter().any(|exposed| exposed == header), "{header}: {exposed:?}");
        }
        assert!(items(answer.headers(), "vary").contains(&"origin".to_owned()), "{path}");
    }
}

async fn a_listed_origin_reads_refusals_as_well(backend: Backend) {
    let app = TestApp::spawn_with(backend, &FLAG).await;
    let body = json!({"actionId": "nothing", "userId": "ann"});
    for (request, status) in [
        (app.anonymous(Method::GET, "/nothing"), 404),
        (app.anonymous(Method::PUT, "/api/scores"), 405),
        (app.anonymous(Method::POST, "/api/scores").json(&body), 401),
        (app.game(Method::POST, "/api/scores").json(&body), 422),
    ] {
        let answer = request.header("Origin", ORIGIN).responds(status).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN, "{status}");
        let exposed = items(answer.headers(), "access-control-expose-headers");
        assert!(exposed.contains(&"retry-after".to_owned()), "{status}: {exposed:?}");
        assert!(items(answer.headers(), "vary").contains(&"origin".to_owned()), "{status}");
    }
}

async fn another_origin_gets_nothing(backend: Backend) {
    let app = TestApp::spawn_with(backend, &FLAG).await;
    for origin in ["https://evil.example", "http://game.example", "https://game.example.evil.example", "null"] {
        let answer = preflight(&app, origin, "POST").await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}: {answer:?}");
        let answer = app.anonymous(Method::GET, "/api/leaderboard").header("Origin", origin).responds(200).await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}: {answer:?}");
        let refused = app.anonymous(Method::GET, "/nothing").header("Origin", origin).responds(404).await;
        assert!(!refused.headers().contains_key("access-control-allow-origin"), "{origin}: {refused:?}");
    }
}

/// Whether a page of this origin gets to see the answer.
fn shown(answer: &Response, origin: &str) -> bool {
    let allowed = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
    assert!(allowed.is_none_or(|allowed| allowed == origin || allowed == "*"), "{answer:?}");
    allowed.is_some()
}

async fn every_page_may_read_what_is_public_and_nothing_else(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    for path in [
        "/api/leaderboard",
        "/api/leaderboard?limit=5",
        "/api/leaderboards",
        "/api/leaderboards/main/entries/ann",
        "/api/leaderboards/main/stream?view=top",
        "/api/stream?leaderboards=main",
        "/api/actions",
        "/api/users/ann/scores",
    ] {
        let answer = app.anonymous(Method::GET, path).header("Origin", ORIGIN).responds(200).await;
        assert!(shown(&answer, ORIGIN) && items(answer.headers(), "vary").contains(&"origin".to_owned()), "{path}");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
    let friends = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").header("Origin", ORIGIN);
    assert!(shown(&friends.json(&json!({"userIds": ["ann"]})).responds(200).await, ORIGIN));
    let window = app.anonymous(Method::GET, "/api/leaderboard").responds(200).await;
    assert!(items(window.headers(), "vary").contains(&"origin".to_owned()), "what a cache keeps depends on it");

    // With a token it is somebody's own, and nothing but reads is anybody's.
    let token = app.token("reader", "leaderboards:read");
    let with_token = app.anonymous(Method::GET, "/api/leaderboard").header("Origin", ORIGIN).bearer_auth(&token);
    assert!(!shown(&with_token.responds(200).await, ORIGIN));
    for name in ["access_token", "access%5Ftoken"] {
        let path = format!("/api/leaderboard/stream?{name}={token}");
        assert!(!shown(&app.anonymous(Method::GET, &path).header("Origin", ORIGIN).responds(200).await, ORIGIN), "{name}");
    }
    for path in ["/metrics", "/readyz", "/"] {
        assert!(!shown(&app.anonymous(Method::GET, path).header("Origin", ORIGIN).responds(200).await, ORIGIN), "{path}");
    }
    let asks = |path: &'static str, method: &'static str, headers: &'static str| {
        let request = app.anonymous(Method::OPTIONS, path).header("Origin", ORIGIN);
        request.header("Access-Control-Request-Method", method).header("Access-Control-Request-Headers", headers).send()
    };
    for (path, method, headers, may) in [
        ("/api/leaderboard/stream", "GET", "last-event-id", true),
        ("/api/leaderboard", "GET", "if-none-match,traceparent", true),
        ("/api/leaderboards/main/entries/query", "POST", "content-type", true),
        ("/api/leaderboard", "GET", "if-none-match, Authorization", false),
        ("/api/scores", "POST", "content-type", false),
        ("/api/leaderboards/main", "PATCH", "content-type", false),
        ("/api/leaderboards/main", "DELETE", "", false),
        ("/metrics", "GET", "x", false),
    ] {
        assert_eq!(shown(&asks(path, method, headers).await.unwrap(), ORIGIN), may, "{method} {path} {headers}");
    }
    let no_question = app.anonymous(Method::OPTIONS, "/api/leaderboard").header("Origin", ORIGIN);
    no_question.responds(405).await;
}

async fn pages_that_may_read_what_is_public_can_be_listed(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--public-read-cors=https://*.readers.example"]).await;
    for (origin, may) in [("https://a.readers.example", true), ("https://readers.example", false), (ORIGIN, false)] {
        let answer = app.anonymous(Method::GET, "/api/leaderboard").header("Origin", origin).responds(200).await;
        assert_eq!(shown(&answer, origin), may, "{origin}");
    }
}

async fn an_origin_is_compared_as_an_origin(backend: Backend) {
    let list = "--cors-allowed-origins=HTTPS://Game.Example:443,https://*.example.com,http://localhost:3000";
    let app = TestApp::spawn_with(backend, &[list, "--public-read-cors=none"]).await;
    for (origin, may) in [
        ("https://game.example", true),
        ("https://a.example.com", true),
        ("https://a.b.example.com", true),
        ("http://localhost:3000", true),
        ("https://example.com", false),
        ("https://evilexample.com", false),
        ("http://a.example.com", false),
        ("https://a.example.com:8443", false),
        ("http://localhost:3001", false),
    ] {
        assert_eq!(shown(&preflight(&app, origin, "POST").await, origin), may, "{origin}");
        let answer = app.game(Method::GET, "/api/leaderboard").header("Origin", origin).responds(200).await;
        assert_eq!(shown(&answer, origin), may, "{origin}");
    }
}

async fn a_listed_origin_may_send_whatever_header_it_likes(backend: Backend) {
    let app = TestApp::spawn_with(backend, &FLAG).await;
    let headers = "authorization,baggage,content-type,sentry-trace,traceparent,x-datadog-trace-id,x-of-our-own";
    let request = app.anonymous(Method::OPTIONS, "/api/scores").header("Origin", ORIGIN);
    let request = request.header("Access-Control-Request-Method", "POST").header("Access-Control-Request-Headers", headers);
    let answer = request.send().await.unwrap();
    assert!(shown(&answer, ORIGIN));
    let allowed = items(answer.headers(), "access-control-allow-headers");
    assert_eq!(allowed, headers.split(',').collect::<Vec<_>>());
}

async fn a_star_lists_every_origin(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--cors-allowed-origins=*"]).await;
    let any = "https://any.example";
    let answer = app.anonymous(Method::GET, "/nothing").header("Origin", any).responds(404).await;
    assert!(shown(&answer, any));
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    assert!(shown(&preflight(&app, any, "DELETE").await, any));
}

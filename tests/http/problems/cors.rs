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
    no_origin_is_listed_by_default,
    a_star_lists_every_origin,
);

const ORIGIN: &str = "https://game.example";
const FLAG: [&str; 1] = ["--cors-allowed-origins=https://game.example, https://other.example/"];

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

async fn no_origin_is_listed_by_default(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let answer = preflight(&app, ORIGIN, "POST").await;
    assert_eq!(answer.status(), 405);
    for answer in [answer, app.anonymous(Method::GET, "/api/leaderboard").header("Origin", ORIGIN).responds(200).await] {
        assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{answer:?}");
    }
}

async fn a_star_lists_every_origin(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--cors-allowed-origins=*"]).await;
    let answer = app.anonymous(Method::GET, "/nothing").header("Origin", "https://any.example").responds(404).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
}

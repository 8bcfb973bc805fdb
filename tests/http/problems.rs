//! Refusals, whoever they come from, and the headers that every answer has.

mod cors;
mod headers;

use std::net::Ipv4Addr;

use bytes::Bytes;
use hyper::http::Request;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    answers::{Expect, broken, problem},
    app::{Backend, TestApp},
    h2_client::Connection,
};

crate::both_backends!(
    an_unknown_path_is_a_problem,
    a_method_that_is_not_offered_is_told_which_are,
    a_body_that_is_not_json_is_a_problem,
    a_body_that_is_not_declared_as_json_is_a_problem,
    a_body_that_is_compressed_is_a_problem,
    a_body_that_is_too_large_is_a_problem,
    a_problem_is_told_in_plain_words,
    a_path_that_cannot_be_decoded_names_nothing,
    a_request_keeps_its_id,
    a_problem_names_every_broken_field_and_reveals_nothing,
    head_is_get_without_a_body,
    a_head_that_is_too_long_is_refused_and_hurts_nobody,
);

async fn an_unknown_path_is_a_problem(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let paths = [
        "/nothing",
        "/api",
        "/api/",
        "/api/score",
        "/api/scores/",
        "/api//leaderboards",
        "/API/leaderboards",
        "/assets/../secret",
    ];
    for path in paths {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            app.anonymous(method, path).refused(404).await;
        }
    }
}

async fn a_method_that_is_not_offered_is_told_which_are(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (method, path, expected) in [
        (Method::GET, "/api/scores", "POST"),
        (Method::DELETE, "/api/scores/batch", "POST"),
        (Method::PUT, "/api/leaderboards", "GET,HEAD,POST"),
        (Method::POST, "/api/leaderboards/main", "GET,HEAD,PATCH,DELETE"),
        (Method::POST, "/api/leaderboard", "GET,HEAD"),
        (Method::POST, "/api/users/ann", "GET,HEAD,PUT,PATCH"),
        (Method::POST, "/", "GET,HEAD"),
        (Method::OPTIONS, "/livez", "GET,HEAD"),
        (Method::from_bytes(b"PURGE").unwrap(), "/metrics", "GET,HEAD"),
    ] {
        let response = app.anonymous(method.clone(), path).responds(405).await;
        assert_eq!(response.headers()["allow"], expected, "{method} {path}");
        problem(response).await;
    }
}

fn raw(app: &TestApp, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    app.game(Method::POST, path).header("content-type", "application/json").body(body)
}

async fn a_body_that_is_not_json_is_a_problem(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let deep = "[".repeat(60_000);
    let bodies: [&[u8]; 9] = [
        b"",
        b" ",
        b"{",
        b"actionId=goal&userId=ann",
        b"{\"actionId\":\"goal\",}",
        b"{'actionId':'goal'}",
        b"{\"actionId\":\"goal\",\"userId\":\"ann\"} trailing",
        b"{\"actionId\":\"goal\",\"userId\":\"\xff\xfe\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        for path in ["/api/scores", "/api/scores/batch"] {
            raw(&app, path, body.to_vec()).refused(400).await;
        }
    }
    let nested = format!(r#"{{"actionId":"goal","userId":"ann","metadata":{{"deep":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
    raw(&app, "/api/scores", nested).refused(400).await;
    app.post_score("ann", "goal").await;
}

async fn a_body_that_is_not_declared_as_json_is_a_problem(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = r#"{"actionId":"goal","userId":"ann"}"#;
    app.game(Method::POST, "/api/scores").body(body).refused(415).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""] {
        app.game(Method::POST, "/api/scores").header("content-type", kind).body(body).refused(415).await;
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        app.game(Method::POST, "/api/scores").header("content-type", kind).body(body).answers(200).await;
    }
}

async fn a_body_that_is_compressed_is_a_problem(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "goal", "userId": "ann"});
    for coding in ["gzip", "br", "deflate", "aws-chunked", "gzip, identity", "x"] {
        let request = app.game(Method::POST, "/api/scores").header("content-encoding", coding).json(&body);
        let problem = request.refused(415).await;
        assert!(problem["detail"].as_str().unwrap().contains("Content-Encoding"), "{problem}");
    }
    app.game(Method::POST, "/api/scores").header("content-encoding", "identity").json(&body).answers(200).await;
}

async fn a_problem_is_told_in_plain_words(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let message = async |path: &str, body: &str| {
        let request = app.admin(Method::POST, path).header("content-type", "application/json").body(body.to_owned());
        let problem = request.refused(422).await;
        assert_eq!(problem["title"], "Validation failed");
        problem["errors"][0]["message"].as_str().unwrap().to_owned()
    };
    let long = "x".repeat(129);
    for (path, body, said) in [
        ("/api/leaderboards", format!(r#"{{"id":"a","name":"{long}"}}"#), "must be 1 to 128 characters long"),
        ("/api/leaderboards", r#"{"id":"a","name":""}"#.into(), "must be 1 to 128 characters long"),
        ("/api/leaderboards", r#"{"id":"a","name":7}"#.into(), "must be a string"),
        ("/api/leaderboards", r#"{"id":"a","closed":"yes"}"#.into(), "must be true or false"),
        ("/api/leaderboards", r#"{"id":"a","order":"up"}"#.into(), "must be desc or asc"),
        ("/api/leaderboards", r#"{"id":"a","order":{"desc":null}}"#.into(), "must be a string"),
        ("/api/leaderboards", r#"{"id":"a","operator":null}"#.into(), "must be a string"),
        ("/api/leaderboards", r#"{"id":"a","visibility":["public"]}"#.into(), "must be a string"),
        ("/api/leaderboards", r#"{"id":"a","name":"b","name":"c"}"#.into(), "name is there more than once"),
        ("/api/actions", r#"{"id":"a","points":1,"leaderboards":[]}"#.into(), "must have 1 to 16 items"),
        ("/api/actions", r#"{"id":"a","points":1,"leaderboards":"main"}"#.into(), "must be an array"),
        ("/api/actions", r#"{"id":"a","points":1.5,"leaderboards":["main"]}"#.into(), "must be a whole number"),
        ("/api/actions", r#"{"id":"a","limit":3,"leaderboards":["main"]}"#.into(), "must be an object"),
    ] {
        assert_eq!(message(path, &body).await, said, "{body}");
    }
}

async fn a_body_that_is_too_large_is_a_problem(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    raw(&app, "/api/scores", vec![b' '; 65_537]).refused(413).await;
    let friends = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").header("content-type", "application/json");
    friends.body(vec![b' '; 65_537]).refused(413).await;
    // Without a length in front, what comes is counted.
    let chunks = futures_util::stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    raw(&app, "/api/scores", reqwest::Body::wrap_stream(chunks)).refused(413).await;
}

async fn a_path_that_cannot_be_decoded_names_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for path in
        ["/api/leaderboards/%FF", "/api/leaderboards/main/entries/%C3%28", "/api/users/%ED%A0%80/scores", "/api/actions/%80"]
    {
        app.anonymous(Method::GET, path).refused(404).await;
    }
    for path in ["/api/leaderboards/%", "/api/leaderboards/%zz", "/api/leaderboards/%E2%82/entries", "/%00"] {
        app.anonymous(Method::GET, path).refused(404).await;
    }
    app.anonymous(Method::GET, "/api/leaderboard?limit=%FF").refused(422).await;
}

async fn a_request_keeps_its_id(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (path, status) in [("/api/leaderboard", 200), ("/api/leaderboards/nothing", 404), ("/nothing", 404), ("/livez", 200)] {
        let given = app.anonymous(Method::GET, path).header("X-Request-Id", "trace_1.a-B").responds(status).await;
        assert_eq!(given.headers()["x-request-id"], "trace_1.a-B", "{path}");
        let made = app.anonymous(Method::GET, path).responds(status).await;
        assert!(!made.headers()["x-request-id"].is_empty(), "{path}");
    }
    for strange in ["", "two words", "<script>", "{\"a\":1}", &"x".repeat(65)] {
        let response = app.anonymous(Method::GET, "/nothing").header("X-Request-Id", strange).responds(404).await;
        assert_ne!(response.headers()["x-request-id"], strange, "what would spoil a log is replaced");
        problem(response).await;
    }
}

async fn a_problem_names_every_broken_field_and_reveals_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "'; DROP TABLE users; --", "userId": "\u{0}", "value": 1_i64 << 60});
    let problem = app.game(Method::POST, "/api/scores").json(&body).refused(422).await;
    assert_eq!(broken(&problem), ["actionId", "userId", "value"]);
    for error in problem["errors"].as_array().unwrap() {
        assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        assert_eq!(error.as_object().unwrap().len(), 3, "{error}");
    }
    let text = problem.to_string();
    for secret in ["DROP TABLE", "src/", "panicked", "SELECT", "serde", "postgres", "sqlite"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

async fn head_is_get_without_a_body(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (path, status) in
        [("/api/leaderboard", 200), ("/livez", 200), ("/", 200), ("/api/leaderboards/nothing", 404), ("/api/scores", 405)]
    {
        let response = app.anonymous(Method::HEAD, path).responds(status).await;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind.starts_with("application/problem+json"), status >= 400, "{path}: {kind}");
        assert!(response.headers().contains_key("x-request-id"), "{path}");
        assert_eq!(response.text().await.unwrap(), "", "{path}");
    }
    let stream = app.anonymous(Method::HEAD, "/api/leaderboard/stream").responds(200).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
}

async fn a_head_that_is_too_long_is_refused_and_hurts_nobody(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (head, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(70_000)), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: a\r\n".repeat(1_000)), 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n".to_owned(), 400),
        ("GET /\u{7f} HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("not HTTP at all\r\n\r\n".to_owned(), 400),
    ] {
        // The second one is refused behind an answer that goes out as ever.
        for before in ["", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let stream = TcpStream::connect(app.address).await.unwrap();
            let (mut reader, mut writer) = stream.into_split();
            let mut answer = Vec::new();
            let sent = [before, &head].concat();
            let writing = async { writer.write_all(sent.as_bytes()).await.ok() };
            let patience = std::time::Duration::from_secs(10);
            let reading = async { tokio::time::timeout(patience, reader.read_to_end(&mut answer)).await };
            let (_, read) = tokio::join!(writing, reading);
            read.unwrap_or_else(|_| panic!("the connection is closed: {}", &head[..20])).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            let refusal = if before.is_empty() { &answer } else { &answer[answer.rfind("HTTP/1.1 ").unwrap()..] };
            assert!(before.is_empty() || answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(refusal.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
            assert_is_problem(refusal, expected);
        }
    }
    app.get("/livez").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused_over_http_2_as_well() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let mut connection = Connection::open(Ipv4Addr::LOCALHOST, app.address, 64 * 1024).await;
    for (length, expected) in [(15_000, 200), (17_000, 431), (15_000, 200)] {
        let request = Request::get("http://localhost/livez").header("x-long", "a".repeat(length)).body(()).unwrap();
        let (answer, mut body) = connection.send(request).await.unwrap();
        body.send_data(Bytes::new(), true).ok();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), expected);
        if expected == 431 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            let id = answer.headers()["x-request-id"].clone();
            let document = answer.into_body().data().await.unwrap().unwrap();
            let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
            assert_eq!((&document["status"], &document["requestId"]), (&json!(431), &json!(id.to_str().unwrap())), "{document}");
        }
    }
}

/// Whether an answer is a whole problem document, by its bytes.
fn assert_is_problem(answer: &str, status: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {head}"))
    };
    assert_eq!(header("content-type"), "application/problem+json");
    assert_eq!(header("content-length"), body.len().to_string());
    assert_eq!((header("connection"), header("x-content-type-options")), ("close", "nosniff"));
    header("date");
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&document["status"], &document["requestId"]), (&json!(status), &json!(header("x-request-id"))), "{document}");
    for field in ["type", "title", "detail"] {
        assert!(document[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {document}");
    }
}

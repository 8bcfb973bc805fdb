//! Tops that are answered from memory: never older than what was written here or told by another instance, shown to nobody who may not see
//! them, and the same to the byte whichever way they go out.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::fill;
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually, users},
    streams::{scores, text},
};

crate::both_backends!(
    both_ways_out_answer_the_same_bytes,
    a_place_goes_out_alike_both_ways,
    whoever_wrote_reads_it_at_once,
    a_leaderboard_made_private_is_shown_to_nobody_from_then_on,
    a_leaderboard_made_again_starts_from_nothing,
    a_head_request_gets_the_same_headers,
    those_who_ask_too_often_are_refused_here_as_well,
);

const TOP: &str = "/api/leaderboards/main/entries?limit=5";
/// The same to the router, and unknown to the fast_path.
const DISGUISED: &str = "/api/leaderboards/%6Dain/entries?limit=5";

/// Reads until the leaderboard is followed and its answer kept. (The embedded ranking calls itself `memory` as well, so there the time has to do.)
async fn warm(app: &TestApp, path: &str) {
    for _ in 0..3 {
        eventually("the answer is kept", || async {
            app.anonymous(Method::GET, path).responds(200).await.headers()["cache-status"] == "memory; hit"
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What comes over the wire for one request, without the time of day and where it was served from: the answer at hand may have grown old in
/// between.
fn exchange(app: &TestApp, path: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(app.address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", app.address);
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let text: String = answer.into_iter().map(char::from).collect();
    text.split_inclusive('\n').filter(|line| !["date: ", "cache-status: "].iter().any(|name| line.starts_with(name))).collect()
}

async fn both_ways_out_answer_the_same_bytes(backend: Backend) {
    for flags in [&[][..], &["--cors-allowed-origins=https://game.example"]] {
        let app = TestApp::spawn_with(backend, flags).await;
        fill(&app, 8).await;
        warm(&app, TOP).await;
        let tag = app.anonymous(Method::GET, TOP).responds(200).await.headers()["etag"].to_str().unwrap().to_owned();
        let id = "X-Request-Id: the-same\r\n";
        for (headers, begins) in [
            (String::new(), "HTTP/1.1 200"),
            ("Accept-Encoding: gzip, deflate, br\r\n".to_owned(), "HTTP/1.1 200"),
            (format!("If-None-Match: {tag}\r\n"), "HTTP/1.1 304"),
            ("If-None-Match: \"other\", *\r\nAccept-Encoding: gzip\r\n".to_owned(), "HTTP/1.1 304"),
            ("If-None-Match: \"other\"\r\n".to_owned(), "HTTP/1.1 200"),
            ("Origin: https://game.example\r\n".to_owned(), "HTTP/1.1 200"),
            ("Origin: https://elsewhere.example\r\nCookie: a=b\r\n".to_owned(), "HTTP/1.1 200"),
            ("Accept-Encoding: gzip;q=0.5, br;q=0\r\n".to_owned(), "HTTP/1.1 200"),
            ("Authorization: Bearer nonsense\r\n".to_owned(), "HTTP/1.1 401"),
        ] {
            let plain = exchange(&app, TOP, &format!("{id}{headers}"));
            assert!(plain.starts_with(begins), "{headers}{plain}");
            assert_eq!(plain, exchange(&app, DISGUISED, &format!("{id}{headers}")), "{headers}");
        }
        let compressed = app.anonymous(Method::GET, TOP).header("Accept-Encoding", "gzip").responds(200).await;
        assert_eq!(compressed.headers()["content-encoding"], "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*compressed.bytes().await.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, app.anonymous(Method::GET, TOP).responds(200).await.text().await.unwrap());
    }
}

async fn a_place_goes_out_alike_both_ways(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--cors-allowed-origins=https://game.example"]).await;
    fill(&app, 8).await;
    let user = users(&app.get(TOP).await)[2].to_owned();
    let id = "X-Request-Id: the-same\r\n";
    for (rest, begins) in [
        (user.clone(), "HTTP/1.1 200"),
        (format!("{user}?around=2"), "HTTP/1.1 200"),
        (format!("{user}?around=51"), "HTTP/1.1 422"),
        ("nobody?around=2".to_owned(), "HTTP/1.1 404"),
    ] {
        for headers in ["", "Accept-Encoding: gzip\r\n", "Origin: https://game.example\r\n", "If-None-Match: *\r\n"] {
            let ways = ["main", "%6Dain"].map(|leaderboard| format!("/api/leaderboards/{leaderboard}/entries/{rest}"));
            let [plain, disguised] = ways.map(|path| exchange(&app, &path, &format!("{id}{headers}")));
            let not_modified = headers.starts_with("If-None-Match") && begins.ends_with("200");
            assert!(plain.starts_with(if not_modified { "HTTP/1.1 304" } else { begins }), "{rest} {headers}{plain}");
            // In whatever order the headers come.
            let sorted = |text: &str| {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&plain), sorted(&disguised), "{rest} {headers}");
        }
    }
}

async fn whoever_wrote_reads_it_at_once(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 3).await;
    warm(&app, TOP).await;
    for round in 1..=100 {
        let receipt = app.post_value("ann", 100).await;
        let window = app.get(TOP).await;
        assert_eq!(scores(&window)[0], ("ann".to_owned(), 100 * round), "round {round}");
        assert_eq!(window["version"], receipt["version"]);
        if round % 10 == 0 {
            let name = format!("Ann {round}");
            app.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": name })).answers(200).await;
            assert_eq!(app.get(TOP).await["entries"][0]["displayName"], name);
        }
    }
}

async fn a_leaderboard_made_private_is_shown_to_nobody_from_then_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 3).await;
    warm(&app, TOP).await;
    let set = async |visibility: &str| {
        let change = json!({ "visibility": visibility });
        app.admin(Method::PATCH, "/api/leaderboards/main").json(&change).answers(200).await;
    };
    set("private").await;
    for tags in ["\"other\"", "*"] {
        let refused = app.anonymous(Method::GET, TOP).header("If-None-Match", tags).responds(401).await;
        assert!(!refused.headers().contains_key("etag"));
    }
    for _ in 0..5 {
        let reader = app.with("reader", "leaderboards:read", Method::GET, TOP).responds(200).await;
        assert_eq!(reader.headers()["cache-control"], "private, no-cache");
        app.anonymous(Method::GET, TOP).refused(401).await;
        app.with("stranger", "scores:write", Method::GET, TOP).refused(403).await;
    }
    set("public").await;
    let answer = app.anonymous(Method::GET, TOP).responds(200).await;
    assert_eq!(answer.headers()["cache-control"], "no-cache");
}

async fn a_leaderboard_made_again_starts_from_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for round in 0..3 {
        app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": "cup" })).answers(201).await;
        let path = "/api/leaderboards/cup/entries";
        warm(&app, path).await;
        assert_eq!(app.get(path).await["total"], 0);
        let feeding = json!({ "leaderboards": ["cup"] });
        app.admin(Method::PATCH, "/api/actions/goal").json(&feeding).answers(200).await;
        app.post_score(&format!("user-{round}"), "goal").await;
        assert_eq!(users(&app.get(path).await), [format!("user-{round}")]);
        let back = json!({ "leaderboards": ["main"] });
        app.admin(Method::PATCH, "/api/actions/goal").json(&back).answers(200).await;
        app.admin(Method::DELETE, "/api/leaderboards/cup").responds(204).await;
        app.anonymous(Method::GET, path).refused(404).await;
    }
}

async fn a_head_request_gets_the_same_headers(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 3).await;
    warm(&app, TOP).await;
    let get = app.anonymous(Method::GET, TOP).responds(200).await;
    let head = app.anonymous(Method::HEAD, TOP).responds(200).await;
    for name in ["content-length", "content-type", "etag", "cache-control", "vary"] {
        assert_eq!(head.headers()[name], get.headers()[name], "{name}");
    }
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    let known = app.anonymous(Method::HEAD, TOP).header("If-None-Match", get.headers()["etag"].clone());
    known.responds(304).await;
}

async fn those_who_ask_too_often_are_refused_here_as_well(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--rate-limit-per-second=1", "--rate-limit-burst=60"]).await;
    warm(&app, TOP).await;
    let mut granted = 0;
    let refused = loop {
        let answer = app.anonymous(Method::GET, TOP).send().await.unwrap();
        if answer.status() != StatusCode::OK {
            break answer;
        }
        granted += 1;
        assert!(granted <= 80, "more than the bucket holds");
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(granted >= 45, "{granted} of the 60 that the bucket holds: each is charged once");
    crate::answers::problem(refused).await;
    app.anonymous(Method::GET, DISGUISED).refused(429).await;
}

async fn two() -> [Arc<TestApp>; 2] {
    let first = TestApp::spawn(Backend::Shared).await;
    let second = first.another().await;
    [first, second].map(Arc::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_wrote_shows_as_soon_as_the_feed_tells() {
    let [writer, reader] = two().await;
    writer.post_value("ann", 1).await;
    warm(&reader, TOP).await;
    let mut delays = Vec::new();
    for round in 2..=40 {
        writer.post_value("ann", 1).await;
        let answered = Instant::now();
        while scores(&reader.get(TOP).await)[0].1 < round {
            assert!(answered.elapsed() < Duration::from_secs(5), "round {round}");
        }
        delays.push(answered.elapsed());
    }
    delays.sort();
    // An answer that is given up for its age alone would be 125 ms old in the middle.
    assert!(delays[delays.len() / 2] < Duration::from_millis(60), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_receipt_of_another_instance_reads_their_write() {
    let [writer, reader] = two().await;
    writer.post_value("ann", 1).await;
    warm(&reader, TOP).await;
    let mut newest = String::new();
    for round in 2..=40 {
        newest = text(&writer.post_value("ann", 1).await["version"]);
        let window = reader.get(&format!("{TOP}&minVersion={newest}")).await;
        assert_eq!(scores(&window)[0], ("ann".to_owned(), round));
        reader.get(TOP).await;
    }
    let (epoch, seq) = newest.rsplit_once('-').unwrap();
    let future = format!("{TOP}&minVersion={epoch}-{}", seq.parse::<u64>().unwrap() + 1);
    let refused = reader.anonymous(Method::GET, &future).responds(503).await;
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_made_private_elsewhere_is_hidden_as_soon_as_that_is_known() {
    let [admin, reader] = two().await;
    admin.post_value("ann", 1).await;
    warm(&reader, TOP).await;
    let change = json!({ "visibility": "private" });
    admin.admin(Method::PATCH, "/api/leaderboards/main").json(&change).answers(200).await;
    let hidden = Instant::now();
    while reader.anonymous(Method::GET, TOP).send().await.unwrap().status() != StatusCode::UNAUTHORIZED {
        assert!(hidden.elapsed() < Duration::from_secs(2), "definitions are half a second old at the most");
    }
    for _ in 0..5 {
        reader.with("reader", "leaderboards:read", Method::GET, TOP).responds(200).await;
        reader.anonymous(Method::GET, TOP).refused(401).await;
    }
}

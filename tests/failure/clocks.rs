//! The system's clock is set back under the real program, by libfaketime, which stands between it and the clock.

use std::{fs, path::PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::Server;

/// Where Debian's package `libfaketime` puts the library; the directory is named after the architecture.
fn library() -> PathBuf {
    let directories = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    directories.into_iter().find(|path| path.exists()).expect("libfaketime, which `make test` installs")
}

fn set_clock(server: &Server, offset: &str) {
    let file = server.directory.join("clock");
    fs::write(file.with_extension("new"), offset).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
}

async fn post(server: &Server, user: &str, action: &str) -> (StatusCode, Option<u64>, Value) {
    let body = json!({"actionId": action, "userId": user});
    let answer = server.request(Method::POST, "/api/scores").json(&body).send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().parse().unwrap());
    (answer.status(), wait, answer.json().await.unwrap())
}

fn seconds(at: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(at.as_str().unwrap()).unwrap().timestamp()
}

/// Nobody waits longer than the cooldown.
async fn assert_cooling(server: &Server, when: &str) {
    let (status, wait, _) = post(server, "ann", "slow").await;
    assert_eq!(status, 429, "{when}");
    assert!((1..=30).contains(&wait.unwrap()), "{when}: {wait:?} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_harms_nobody() {
    let mut server = Server::prepare(crate::server::Stores::default());
    // Half an hour ahead at first, so that it is seen that the program believes it.
    set_clock(&server, "+1800");
    server.set("LD_PRELOAD", library().to_str().unwrap());
    server.set("FAKETIME_TIMESTAMP_FILE", server.directory.join("clock").to_str().unwrap());
    server.set("FAKETIME_NO_CACHE", "1");
    server.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut server = server.with_actions().await;
    let slow = json!({"id": "slow", "points": 10, "leaderboards": ["main"], "cooldownSeconds": 30});
    server.request(Method::POST, "/api/actions").json(&slow).send().await.unwrap().error_for_status().unwrap();

    let (status, _, first) = post(&server, "ann", "slow").await;
    assert_eq!(status, 200);
    let ahead = seconds(&first["at"]) - chrono::Utc::now().timestamp();
    assert!((1790..=1810).contains(&ahead), "the program's clock is {ahead} s ahead");
    set_clock(&server, "+0");
    assert_cooling(&server, "the clock went back").await;
    let (status, _, second) = post(&server, "bob", "slow").await;
    assert_eq!((status, &second["rank"]), (StatusCode::OK, &json!(2)), "who reached it first stays first");
    assert!(second["at"].as_str() > first["at"].as_str());

    server.kill();
    server.run().await;
    assert_cooling(&server, "and the server was started again").await;
    let (status, _, third) = post(&server, "cy", "slow").await;
    assert_eq!((status, &third["rank"]), (StatusCode::OK, &json!(3)));
    assert!(third["at"].as_str() > second["at"].as_str());
    let ahead = seconds(&third["at"]) - chrono::Utc::now().timestamp();
    assert!((1780..=1810).contains(&ahead), "the server's time runs on: it is {ahead} s ahead");
    server.terminate();
    server.ended(std::time::Duration::from_secs(20)).await.expect("it stops");
    server.assert_verified().await;
}

//! One score's way through the server, as whoever looks for a late one reads it from the log. Here because it takes a process of its own.

use std::time::Duration;

use serde_json::Value;

use crate::{
    events::Watcher,
    server::{Server, Stores, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_score_can_be_followed_from_its_commit_to_a_watchers_socket() {
    let mut server = Server::prepare(Stores::default());
    server.set("RUST_LOG", "scoreboard::services=trace");
    server.set("LOG_FORMAT", "json");
    let server = server.with_actions().await;
    let mut watcher = Watcher::open(&server, "/api/leaderboard/stream").await;
    watcher.next().await;
    let receipt = server.post_point("ann").await;
    watcher.reach(&receipt["version"]).await;
    let (event, at) = (receipt["eventId"].as_str().unwrap(), &receipt["at"]);
    within(Duration::from_secs(10), "every step is in the log, in order", || async {
        let log = server.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut step = |message: &str, field: &str, value: &str| {
            lines.any(|line| line["message"] == message && line[field].to_string().contains(value))
        };
        step("committed", "event", event)
            && step("to be streamed", "event", event)
            && step("written to a watcher's socket", "at", &at.to_string())
            && log.lines().any(|line| line.contains("\"told\"") && line.contains(event))
    })
    .await;
}

//! Tops that are answered from memory while Redis loses all it held, dies, or swallows every packet: what another instance acknowledged shows
//! within moments, whatever became of the feed that should have told of it.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{
    network::Network,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

/// What an answer may be old at the most (a quarter of a second), the time that finding Redis gone takes, and a slow machine.
const BOUND: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(20);

/// Two instances that reach the same Redis on these ports.
async fn two_on(redis: [u16; 2]) -> [Server; 2] {
    let database_url = Some(fresh_database().await);
    let [of_writer, of_reader] =
        redis.map(|port| Stores { database_url: database_url.clone(), redis_url: Some(format!("redis://127.0.0.1:{port}")) });
    let writer = Server::on(of_writer).await;
    let mut reader = Server::prepare(of_reader);
    reader.run().await;
    [writer, reader]
}

async fn read(server: &Server) -> (String, Value) {
    let answer = server.anonymous(Method::GET, "/api/leaderboard").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let source = answer.headers()["cache-status"].to_str().unwrap().to_owned();
    (source, answer.json().await.unwrap())
}

/// The reader follows the leaderboard and answers from memory.
async fn warm(reader: &Server) {
    within(SOON, "answers are kept", || async { read(reader).await.0 == "memory; hit" }).await;
}

fn score_of_ann(window: &Value) -> u64 {
    let entries = window["entries"].as_array().unwrap();
    entries.iter().find(|entry| entry["userId"] == "ann").unwrap()["score"].as_u64().unwrap()
}

/// Submits for `ann` at one and reads at the other until it shows.
async fn write_and_find(writer: &Server, reader: &Server, expected: u64) {
    writer.post_point("ann").await;
    let acknowledged = Instant::now();
    loop {
        let (source, window) = read(reader).await;
        if score_of_ann(&window) == expected {
            return;
        }
        assert!(acknowledged.elapsed() < BOUND, "{expected} does not show: {source} {window}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_shows_no_reader_the_past() {
    let redis = RedisServer::start(&[]);
    let [writer, reader] = two_on([redis.port; 2]).await;
    writer.post_point("ann").await;
    for round in 1..=4 {
        warm(&reader).await;
        let before = read(&reader).await.1;
        assert_eq!(before["entries"][0]["score"], round);
        redis.command("FLUSHALL");
        assert_eq!(read(&reader).await.1["entries"], before["entries"], "nothing is missing meanwhile");
        write_and_find(&writer, &reader, round + 1).await;
        within(SOON, "the ranking is back", || async { !read(&reader).await.1["version"].is_null() }).await;
    }
    reader.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_shows_no_reader_the_past() {
    let mut redis = RedisServer::start(&[]);
    let [writer, reader] = two_on([redis.port; 2]).await;
    writer.post_point("ann").await;
    warm(&reader).await;
    redis.kill();
    for score in 2..=6 {
        write_and_find(&writer, &reader, score).await;
    }
    assert_eq!(read(&reader).await.1["version"], Value::Null, "the ledger knows no versions");
    redis.run();
    within(SOON, "the ranking is back", || async { !read(&reader).await.1["version"].is_null() }).await;
    // Each instance finds Redis back by itself; until the writer has, its scores wait in the outbox.
    within(SOON, "ranks are told again", || async { !writer.post_point("bob").await["rank"].is_null() }).await;
    warm(&reader).await;
    assert_eq!(score_of_ann(&read(&reader).await.1), 6);
    write_and_find(&writer, &reader, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_falls_silent_for_one_instance_shows_its_readers_no_past() {
    let redis = RedisServer::start(&[]);
    let network = Network::before(redis.port).await;
    let [writer, reader] = two_on([redis.port, network.port]).await;
    writer.post_point("ann").await;
    warm(&reader).await;
    network.swallow();
    for score in 2..=6 {
        write_and_find(&writer, &reader, score).await;
    }
    network.mend();
    within(SOON, "the ranking is back", || async { !read(&reader).await.1["version"].is_null() }).await;
    write_and_find(&writer, &reader, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_top_that_does_not_change_leave_redis_alone() {
    const READS: usize = 400;
    let redis = RedisServer::start(&[]);
    let [writer, reader] = two_on([redis.port; 2]).await;
    writer.post_point("ann").await;
    warm(&reader).await;
    redis.command("CONFIG RESETSTAT");
    let begun = Instant::now();
    for _ in 0..READS / 8 {
        let reads = (0..8).map(|_| read(&reader));
        let answers = futures_util::future::join_all(reads).await;
        assert!(answers.iter().all(|(_, window)| window["entries"][0]["score"] == 1));
    }
    let scripts: u64 = redis.command("INFO commandstats").lines().filter_map(calls_of_a_script).sum();
    // Four a second for the readers, and what the two instances ask for themselves.
    let quarters = begun.elapsed().as_millis() as u64 / 250;
    assert!(scripts <= 2 * quarters + 20, "{scripts} for {READS} reads in {quarters} quarters of a second");
    let metrics = reader.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let short = metrics.lines().find_map(|line| line.strip_prefix("scoreboard_reads_past_router_total ")).unwrap();
    assert!(short.parse::<usize>().unwrap() >= READS / 2, "{short} of {READS} went the short way");
}

/// The calls in a line like `cmdstat_evalsha:calls=12,usec=…`.
fn calls_of_a_script(line: &str) -> Option<u64> {
    let (command, rest) = line.split_once(":calls=")?;
    let is_script = ["evalsha", "eval", "fcall"].iter().any(|name| command.ends_with(name));
    is_script.then(|| rest.split(',').next()?.parse().ok())?
}

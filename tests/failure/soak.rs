//! Work that goes on leaves nothing behind in memory. The long version is `load/`'s.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::{
    clients::Clients,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores},
};

/// Everything that may be allocated once has been by then: connections, caches, rings of events.
const WARM_UP: Duration = Duration::from_secs(8);
const WORK: Duration = Duration::from_secs(16);
/// What an allocator may gain and lose by chance.
const NOISE: u64 = 5 << 20;
/// SQLite keeps the pages that it has written, up to 64 MiB a connection. On Postgres nothing may stay.
const PAGES_PER_SCORE: u64 = 800;

/// Streams that are opened, read from and left, and windows that are read, until the time is up.
async fn come_and_go(server: &Server, until: Instant) -> u64 {
    let mut visits = 0;
    while Instant::now() < until {
        for view in ["events", "top", "user&userId=user-1"] {
            let request = server.anonymous(Method::GET, &format!("/api/leaderboard/stream?view={view}"));
            let mut stream = request.send().await.unwrap().error_for_status().unwrap();
            assert!(stream.chunk().await.unwrap().is_some());
        }
        let rank = visits % 400 + 1;
        server.get(&format!("/api/leaderboards/main/entries?limit=5&fromRank={rank}")).await;
        visits += 1;
    }
    visits
}

async fn keeps_its_size(mut server: Server, per_score: u64) {
    // So short a history that it is full when the warm-up is over.
    server.kill();
    server.set("STREAM_HISTORY", "200");
    server.run().await;
    let clients = Clients::start(&server, 4);
    come_and_go(&server, Instant::now() + WARM_UP).await;
    let before = server.memory();
    let visits = come_and_go(&server, Instant::now() + WORK).await;
    let after = server.memory();
    let scores = clients.finish(&server).await.len();
    println!("{scores} scores, {visits} visits in the second part: {} KiB, then {} KiB", before >> 10, after >> 10);
    assert!(
        after < before + NOISE + per_score * scores as u64,
        "{before} bytes, then {after}, after {scores} scores and {visits} visits"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_memory_stays_flat() {
    keeps_its_size(Server::embedded().await, PAGES_PER_SCORE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_stays_flat() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    keeps_its_size(Server::on(stores).await, 0).await;
}

//! A leaderboard is made private on one instance while another one has lost the ledger, but not Redis.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    network::Network,
    postgres::PostgresServer,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(5);

struct Pair {
    here: Server,
    /// The one that is about to lose the ledger.
    there: Server,
    way: Network,
    way_to_redis: Network,
    _stores: (PostgresServer, RedisServer),
}

async fn pair() -> Pair {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let (way, way_to_redis) = (Network::before(postgres.port).await, Network::before(redis.port).await);
    let redis_url = Some(redis.url());
    let here = Server::on(Stores { database_url: Some(postgres.url()), redis_url }).await;
    let redis_url = Some(format!("redis://127.0.0.1:{}", way_to_redis.port));
    let there = here.beside(Stores { database_url: Some(postgres.url_at(way.port)), redis_url }).await;
    here.post_point("ann").await;
    within(SOON, "it is read there", || async { there.get("/api/leaderboard").await["total"] == 1 }).await;
    Pair { here, there, way, way_to_redis, _stores: (postgres, redis) }
}

async fn hide(server: &Server) {
    let hide = server.request(Method::PATCH, "/api/leaderboards/main").json(&json!({ "visibility": "private" }));
    hide.send().await.unwrap().error_for_status().unwrap();
}

async fn status(server: &Server, path: &str) -> StatusCode {
    server.anonymous(Method::GET, path).send().await.unwrap().status()
}

const READS: [&str; 4] = [
    "/api/leaderboard",
    "/api/leaderboards/main/entries?limit=7",
    "/api/leaderboards/main/entries/ann",
    "/api/leaderboards/main",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_private_elsewhere_is_not_shown_without_the_ledger() {
    for swallowed in [false, true] {
        let pair = pair().await;
        if swallowed {
            pair.way.swallow()
        } else {
            pair.way.cut()
        }
        hide(&pair.here).await;
        for path in READS {
            within(SOON, path, || async { status(&pair.there, path).await == StatusCode::UNAUTHORIZED }).await;
        }
        // Whoever may read it anyway still may.
        assert_eq!(pair.there.get("/api/leaderboard").await["total"], 1);
        let listed = pair.there.anonymous(Method::GET, "/api/leaderboards").send().await.unwrap().text().await.unwrap();
        assert!(!listed.contains("main"), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_what_was_made_private_elsewhere_end_without_the_ledger() {
    let pair = pair().await;
    let stream = |path: &str| pair.there.anonymous(Method::GET, path).timeout(Duration::from_secs(20)).send();
    let open = [stream("/api/leaderboard/stream").await.unwrap(), stream("/api/leaderboard/stream?view=top").await.unwrap()];
    pair.way.cut();
    hide(&pair.here).await;
    pair.here.post_point("a-private-score").await;
    for response in open {
        let told = response.text().await.expect("it ends");
        assert!(!told.contains("a-private-score"), "{told}");
    }
}

/// Nobody can change a definition while the ledger is away for all, and Redis says that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_changed_stays_public_without_the_ledger() {
    let pair = pair().await;
    pair.way.cut();
    let until = tokio::time::Instant::now() + Duration::from_secs(6);
    while tokio::time::Instant::now() < until {
        for path in READS {
            assert_eq!(status(&pair.there, path).await, StatusCode::OK, "{path}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// It missed the message, and finds out by the revision that there is something it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_made_private_unheard_is_not_shown() {
    let pair = pair().await;
    pair.way.cut();
    pair.way_to_redis.cut();
    hide(&pair.here).await;
    pair.way_to_redis.lead_to(pair._stores.1.port);
    // What was confirmed just before the ledger was lost counts for two seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    within(SOON, "nothing is shown", || async { status(&pair.there, READS[0]).await != StatusCode::OK }).await;
    let stream = pair.there.anonymous(Method::GET, "/api/leaderboard/stream").send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK, "a browser would never come back");
    let told = stream.text().await.unwrap();
    assert!(told.contains("event: busy"), "{told}");
    pair.way.lead_to(pair._stores.0.port);
    within(Duration::from_secs(20), "it is known to be private", || async {
        status(&pair.there, READS[0]).await == StatusCode::UNAUTHORIZED
    })
    .await;
}

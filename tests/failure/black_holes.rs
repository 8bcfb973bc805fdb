//! Packets vanish between the server and a store. Nobody says so: every call has to end by its time-out, and a breaker has to spare the
//! next ones theirs.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    clients::Clients,
    events::Watcher,
    network::Network,
    postgres::PostgresServer,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

/// The stores, the networks to them, and a server behind those.
struct Site {
    to_postgres: Network,
    to_redis: Network,
    server: Server,
    _stores: (PostgresServer, RedisServer),
}

async fn site() -> Site {
    let (postgres, redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let (to_postgres, to_redis) = (Network::before(postgres.port).await, Network::before(redis.port).await);
    let stores = Stores {
        database_url: Some(postgres.url_at(to_postgres.port)),
        redis_url: Some(format!("redis://127.0.0.1:{}", to_redis.port)),
    };
    Site { server: Server::on(stores).await, to_postgres, to_redis, _stores: (postgres, redis) }
}

/// Submits a point; answers status, `Retry-After` and how long it took.
async fn attempt(server: &Server) -> (StatusCode, Option<u64>, Duration) {
    let begun = Instant::now();
    let body = json!({ "actionId": "point", "userId": "ann" });
    let answer = server.request(Method::POST, "/api/scores").json(&body).send().await.expect("an answer in ten seconds");
    let seconds = answer.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    (answer.status(), seconds, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_behind_a_black_hole_writes_are_refused_in_time_and_the_rest_goes_on() {
    let site = site().await;
    let server = &site.server;
    let mut watcher = Watcher::open(server, "/api/leaderboard/stream").await;
    let clients = Clients::start(server, 4);
    clients.acknowledge(50).await;

    site.to_postgres.swallow();
    clients.fail().await;
    let (status, seconds, _) = attempt(server).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{seconds:?}");
    // From here on nobody waits for a time-out any more.
    for _ in 0..5 {
        let (status, _, took) = attempt(server).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert_eq!(server.served_from().await, "redis; hit");
    assert_eq!(server.get("/api/leaderboards/main/entries/user-0").await["entry"]["userId"], "user-0");
    assert_eq!(Watcher::open(server, "/api/leaderboard/stream?view=top").await.next().await.0, "leaderboard");
    let ready = server.anonymous(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);

    site.to_postgres.mend();
    clients.acknowledge(50).await;
    within(SOON, "the server is ready again", || async {
        server.anonymous(Method::GET, "/readyz").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    clients.finish(server).await;
    server.assert_verified().await;
    watcher.reach(&server.get("/api/leaderboard").await["version"]).await;
    assert_eq!(watcher.resets, 0, "the streams were not even interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_behind_a_black_hole_scores_and_reads_go_on_and_what_arrives_late_does_no_harm() {
    let site = site().await;
    let server = &site.server;
    let mut watcher = Watcher::open(server, "/api/leaderboard/stream").await;
    let clients = Clients::start(server, 4);
    clients.acknowledge(50).await;

    // Long enough that the connections are given up, and too short for that: what was sent on them arrives after all.
    for acknowledged in [300, 20] {
        site.to_redis.swallow();
        clients.acknowledge(acknowledged).await;
        let (status, _, took) = attempt(server).await;
        assert_eq!(status, StatusCode::OK);
        assert!(took < Duration::from_secs(2), "{took:?}");
        let source = server.served_from().await;
        assert!(source == "ledger; fwd=miss" || source == "memory; hit", "{source}");
        let ready = server.anonymous(Method::GET, "/readyz").send().await.unwrap();
        assert_eq!((ready.status(), &ready.json::<Value>().await.unwrap()["status"]), (StatusCode::OK, &json!("degraded")));
        site.to_redis.mend();
        within(SOON, "the ranking is back", || async { server.served_from().await == "redis; hit" }).await;
        clients.rank().await;
    }
    clients.finish(server).await;
    server.assert_verified().await;
    watcher.reach(&server.get("/api/leaderboard").await["version"]).await;
}

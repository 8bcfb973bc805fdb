//! Two instances that reach different Redis for a while, and rankings that lost what was announced to them.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::{
    network::Network,
    postgres::{execute, fresh_database, number},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(30);

async fn stores(database: &str, redis: u16) -> Stores {
    Stores { database_url: Some(database.to_owned()), redis_url: Some(format!("redis://127.0.0.1:{redis}")) }
}

/// Nothing is left in the outbox, and the ranking is the ledger's.
async fn assert_healed(server: &Server, database: &str) {
    within(SOON, "everything is announced", || async { number(database, "SELECT count(*) FROM outbox").await == 0 }).await;
    server.assert_verified().await;
}

/// Reads come from the ranking. Nobody keeps windows that begin further down.
async fn is_believed(server: &Server) -> bool {
    let read = server.request(Method::GET, "/api/leaderboards/main/entries?fromRank=2").send().await.unwrap();
    read.headers()["cache-status"] == "redis; hit"
}

async fn rebuilds_of(server: &Server) -> u64 {
    server.metric("scoreboard_ranking_rebuilds_total").await
}

/// The receipt has a rank, and soon.
async fn assert_ranked(server: &Server, user: &str) {
    let begun = Instant::now();
    let receipt = server.post_point(user).await;
    assert!(!receipt["rank"].is_null(), "{user}: {receipt}");
    assert!(begun.elapsed() < Duration::from_millis(900), "{user}: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_announced_to_a_primary_that_is_none_any_more_is_not_lost() {
    let (primary, database) = (RedisServer::start(&[]), fresh_database().await);
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    let (way_of_a, way_of_b) = (Network::before(primary.port).await, Network::before(primary.port).await);
    let a = Server::on(stores(&database, way_of_a.port).await).await;
    let b = a.beside(stores(&database, way_of_b.port).await).await;
    for user in ["ann", "bob"] {
        assert_ranked(&a, user).await;
    }
    within(SOON, "the replica follows", || async { replica.command("INFO replication").contains("link_status:up") }).await;
    assert_eq!(replica.command("REPLICAOF NO ONE"), "+OK");
    let before = b.get("/api/leaderboard").await["version"].as_str().unwrap().to_owned();
    way_of_b.lead_to(replica.port);
    within(SOON, "b has built the ranking on the promoted one", || async {
        b.get("/api/leaderboard").await["version"].as_str().is_some_and(|version| version > &*before)
    })
    .await;

    // The old primary still takes what a tells it. Not by rebuilding the one or the other is it announced.
    let rebuilds = [rebuilds_of(&a).await, rebuilds_of(&b).await];
    let users: Vec<_> = (0..40).map(|user| format!("user-{user}")).chain(["ann".to_owned()]).collect();
    for user in &users {
        a.post_point(user).await;
    }
    within(SOON, "a no longer believes the old one", || async { a.served_from().await != "redis; hit" }).await;
    let left = || async { number(&database, "SELECT count(*) FROM outbox").await };
    within(SOON, "b has announced what a could not", || async { left().await == 0 }).await;
    assert_eq!([rebuilds_of(&a).await, rebuilds_of(&b).await], rebuilds, "b could get at the rows");
    assert!(is_believed(&b).await);
    let seen = b.get("/api/leaderboards/main/entries?limit=100").await;
    assert_eq!((&seen["total"], &seen["entries"][0]["userId"]), (&42.into(), &"ann".into()));
    way_of_a.lead_to(replica.port);
    within(SOON, "a reads the promoted one", || is_believed(&a)).await;
    assert_healed(&a, &database).await;
    for user in &users[..5] {
        assert_ranked(&a, user).await;
        assert_ranked(&b, user).await;
    }
    assert_healed(&b, &database).await;
}

/// One instance has lost Redis, and goes on committing; the other one has not.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_without_redis_commits_is_announced_by_one_that_has_it() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let way_of_a = Network::before(redis.port).await;
    let a = Server::on(stores(&database, way_of_a.port).await).await;
    let b = a.beside(stores(&database, redis.port).await).await;
    assert_ranked(&a, "ann").await;
    way_of_a.cut();
    for round in 0..3 {
        for user in ["ann", "bob", "cid"] {
            assert!(a.post_point(user).await["rank"].is_null());
        }
        let left = || async { number(&database, "SELECT count(*) FROM outbox").await };
        within(Duration::from_secs(12), "b announces it", || async { left().await == 0 }).await;
        let seen = b.get("/api/leaderboards/main/entries?limit=100").await;
        assert_eq!((&seen["total"], &seen["entries"][0]["score"]), (&3.into(), &(round + 2).into()));
    }
    assert!(is_believed(&b).await);
    way_of_a.lead_to(redis.port);
    within(SOON, "a believes it again", || is_believed(&a)).await;
    assert_ranked(&a, "ann").await;
    assert_healed(&a, &database).await;
}

/// An instance died right after a commit, and whoever claimed its outbox row lets it lie.
#[cfg(debug_assertions)] // A release build has no fail points.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_keeps_scoring_is_not_kept_behind_by_what_a_dead_instance_left() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let mut a = Server::on(stores(&database, redis.port).await).await;
    assert_ranked(&a, "ann").await;
    let b = a.beside(stores(&database, redis.port).await).await;
    a.kill();
    a.set("SCOREBOARD_FAILPOINTS", "batch-committed:abort");
    a.run().await;
    let body = serde_json::json!({ "actionId": "point", "userId": "ann" });
    a.request(Method::POST, "/api/scores").json(&body).send().await.expect_err("it dies");
    execute(&database, "UPDATE outbox SET claimed_until = (extract(epoch FROM now())::bigint + 60) * 1000000").await;
    assert_eq!(number(&database, "SELECT count(*) FROM outbox").await, 1);
    for _ in 0..5 {
        assert_ranked(&b, "ann").await;
    }
    assert_eq!(b.get("/api/leaderboards/main/entries/ann").await["entry"]["score"], 7);
    b.assert_verified().await;
}

/// A rebuild took an epoch and died, when another one had just overtaken it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ranking_whose_epoch_is_not_the_newest_is_rebuilt() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let server = Server::on(stores(&database, redis.port).await).await;
    server.post_point("ann").await;
    for statement in ["UPDATE leaderboards SET epoch = epoch + 5", "UPDATE leaderboards SET epoch = epoch - 5000000"] {
        execute(&database, statement).await;
        let rebuilds = server.metric("scoreboard_ranking_rebuilds_total").await;
        server.post_point("bob").await;
        within(SOON, statement, || async { server.metric("scoreboard_ranking_rebuilds_total").await > rebuilds }).await;
        assert_healed(&server, &database).await;
        within(SOON, "it is believed", || is_believed(&server)).await;
    }
}

/// Hundreds of users whose last change was announced to nobody, and whose outbox rows are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_nothing_in_the_outbox_explains_is_rebuilt_at_once() {
    const USERS: usize = 100;
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let server = Server::on(stores(&database, redis.port).await).await;
    let users: Vec<_> = (0..USERS).map(|user| format!("user-{user}")).collect();
    assert_eq!(redis.command("CONFIG SET maxmemory 1"), "+OK");
    for user in &users {
        server.post_point(user).await;
    }
    execute(&database, "DELETE FROM outbox").await;
    assert_eq!(redis.command("CONFIG SET maxmemory 0"), "+OK");
    within(SOON, "nothing is known to be missing", || is_believed(&server)).await;
    // The first to notice waits for the rebuild, and no longer than a receipt may take.
    let ranked = async |user: &str| !server.post_point(user).await["rank"].is_null();
    within(SOON, "the ranking is made anew", || ranked(&users[0])).await;
    let begun = Instant::now();
    for user in &users {
        assert!(ranked(user).await, "{user}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "only the first have to wait: {:?}", begun.elapsed());
    assert_healed(&server, &database).await;
}

/// Rows that can never be announced, in front of all others.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_stuck_keep_no_others_from_their_turn() {
    let (mut redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let server = Server::on(stores(&database, redis.port).await).await;
    let stuck = "INSERT INTO outbox (created_at, payload) SELECT 0, '{}' FROM generate_series(1, 400)";
    execute(&database, stuck).await;
    redis.kill();
    assert!(server.post_point("ann").await["rank"].is_null());
    redis.run();
    let left = "SELECT count(*) FROM outbox WHERE payload <> '{}'";
    within(SOON, "the row behind them is announced", || async { number(&database, left).await == 0 }).await;
    server.assert_verified().await;
    assert_eq!(number(&database, "SELECT count(*) FROM outbox WHERE attempts > 0").await, 400, "and they wait");
}

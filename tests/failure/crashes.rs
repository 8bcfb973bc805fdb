//! `kill -9` of the server under load: what was acknowledged is there, once.

use crate::{
    clients::Clients,
    events::Watcher,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores},
};

async fn survives_being_killed(mut server: Server) {
    let clients = Clients::start(&server, 8);
    for _ in 0..3 {
        clients.acknowledge(60).await;
        server.kill();
        clients.fail().await;
        server.run().await;
        clients.rank().await;
    }
    clients.finish(&server).await;
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_no_acknowledged_score_is_lost_or_doubled() {
    survives_being_killed(Server::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_no_acknowledged_score_is_lost_or_doubled() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    survives_being_killed(Server::on(stores).await).await;
}

/// What the dead instance committed but did not tell, another one tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_of_another_instance_sees_every_score_of_one_that_is_killed() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    let mut dying = Server::on(stores.clone()).await;
    let mut staying = Server::prepare(stores);
    staying.run().await;
    let mut watcher = Watcher::open(&staying, "/api/leaderboard/stream").await;
    let clients = Clients::start(&dying, 8);
    clients.acknowledge(100).await;
    dying.kill();
    clients.fail().await;
    dying.run().await;
    clients.rank().await;
    clients.finish(&staying).await;
    staying.assert_verified().await;
    watcher.reach(&staying.get("/api/leaderboard").await["version"]).await;
    assert_eq!(watcher.resets, 0);
}

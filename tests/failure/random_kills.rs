//! Servers, Redis and Postgres are killed at random under load: what was acknowledged, by whichever instance, is there, once, and ranked, and so is
//! what moderators decide meanwhile.

use std::time::Duration;

use crate::{
    clients::Clients,
    moderators::Moderated,
    postgres::PostgresServer,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const KILLS: usize = 10;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_no_acknowledged_score_is_lost_or_doubled() {
    let (postgres, mut redis) = (PostgresServer::start(), RedisServer::start(&[]));
    let stores = Stores { database_url: Some(postgres.url()), redis_url: Some(redis.url()) };
    let mut servers = vec![Server::on(stores.clone()).await, Server::prepare(stores.clone()), Server::prepare(stores)];
    for server in &mut servers[1..] {
        server.run().await;
    }
    let users = ["moderated-1", "moderated-2"];
    for user in users {
        servers[0].post_point(user).await;
    }
    let moderated = users.map(|user| Moderated::start(&servers.iter().collect::<Vec<_>>(), user));
    let clients = Clients::start_on(&servers.iter().collect::<Vec<_>>(), 8);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..KILLS {
        clients.acknowledge(random.u64(5..60)).await;
        // Any of them, also several at once, but never all servers: somebody has to take the scores.
        let victims: Vec<_> = (0..servers.len() - 1).filter(|_| random.bool()).collect();
        let (redis_dies, postgres_dies) = (random.u8(..3) == 0, random.u8(..4) == 0);
        for &victim in &victims {
            servers[victim].kill();
        }
        if redis_dies {
            redis.kill();
        }
        if postgres_dies {
            postgres.crash();
            clients.fail().await;
            postgres.run();
        }
        clients.acknowledge(random.u64(1..30)).await;
        for &victim in &victims {
            servers[victim].run().await;
        }
        if redis_dies {
            redis.run();
        }
        servers.rotate_left(1);
    }
    let mut expected = Vec::new();
    for (user, moderated) in users.into_iter().zip(moderated) {
        moderated.some().await;
        expected.push((user, moderated.finish().await.0 + 1));
    }
    clients.rank().await;
    clients.finish(&servers[0]).await;
    for (user, score) in expected {
        within(SOON, "it is seen with all of its score", || async {
            let window = servers[0].get("/api/leaderboards/main/entries?limit=1000").await;
            window["entries"].as_array().unwrap().iter().any(|entry| entry["userId"] == user && entry["score"] == score)
        })
        .await;
    }
    for server in &servers {
        server.assert_verified().await;
    }
}

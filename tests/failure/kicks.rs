//! Watchers that are kicked from instance to instance while scores go on, instances are killed and Redis cuts the subscriptions: each one's table is the
//! ledger's at the end, and nobody was ever reset.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eventsource_stream::{Event, Eventsource};
use fastrand::Rng;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    clients::Clients,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores},
};

const WATCHERS: u64 = 9;
const ROUNDS: usize = 8;
/// Kicks come after so many events at the most.
const STAY: usize = 60;

/// What one watcher knows: users with their scores, at this version.
#[derive(Default)]
struct Table {
    version: Option<String>,
    scores: BTreeMap<String, i64>,
}

impl Table {
    fn take(&mut self, event: &Event) {
        let data: Value = serde_json::from_str(&event.data).unwrap();
        match event.event.as_str() {
            "leaderboard" => {
                assert_eq!(self.version, None, "nobody is reset: {data}");
                self.scores =
                    data["entries"].as_array().unwrap().iter().map(|entry| (text(&entry["userId"]), score(entry))).collect();
            }
            "score-updated" => {
                assert_eq!(data["since"].as_str(), self.version.as_deref(), "no gap and no repeat");
                self.scores.insert(text(&data["userId"]), score(&data));
            }
            _ => return,
        }
        self.version = Some(event.id.clone());
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn score(value: &Value) -> i64 {
    value["score"].as_i64().unwrap()
}

/// Watches here and there until the goal is known and reached.
async fn wander(ports: Arc<[u16]>, mut goal: watch::Receiver<Option<String>>, mut random: Rng) -> (Table, usize) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut table, mut kicks) = (Table::default(), 0);
    loop {
        let port = ports[random.usize(..ports.len())];
        let mut request = client.get(format!("http://127.0.0.1:{port}/api/leaderboard/stream?limit=100"));
        if let Some(version) = &table.version {
            request = request.header("last-event-id", version);
        }
        // The instance may be dead just now.
        let Ok(response) = request.send().await else { continue };
        let mut events = response.bytes_stream().eventsource();
        let mut stay = random.usize(1..STAY);
        while stay > 0 {
            if goal.borrow().is_some() && *goal.borrow() == table.version {
                return (table, kicks);
            }
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => table.take(&event),
                    _ => break,
                },
                _ = goal.changed() => {}
            }
            stay -= 1;
        }
        kicks += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_watcher_ends_with_the_ledgers_table_however_it_was_kicked() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    let writing = Server::on(stores.clone()).await;
    let mut dying = [Server::prepare(stores.clone()), Server::prepare(stores)];
    for server in &mut dying {
        server.run().await;
    }
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let ports: Arc<[u16]> = Arc::new([writing.port, dying[0].port, dying[1].port]);
    let (goal, reached) = watch::channel(None);
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|number| tokio::spawn(wander(Arc::clone(&ports), reached.clone(), Rng::with_seed(seed ^ number))))
        .collect();
    let clients = Clients::start(&writing, 6);
    for _ in 0..ROUNDS {
        clients.acknowledge(random.u64(20..80)).await;
        if random.bool() {
            redis.command("CLIENT KILL TYPE pubsub");
        } else {
            let server = &mut dying[random.usize(..2)];
            server.kill();
            clients.acknowledge(random.u64(20..80)).await;
            server.run().await;
        }
    }
    clients.acknowledge(50).await;
    clients.finish(&writing).await;
    goal.send_replace(Some(text(&writing.get("/api/leaderboard").await["version"])));

    let (client, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = client.query("SELECT user_id, score FROM entries", &[]).await.unwrap();
    let ledger: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut kicks = 0;
    for watcher in watchers {
        let (table, kicked) = tokio::time::timeout(Duration::from_secs(30), watcher).await.expect("the goal is reached").unwrap();
        assert_eq!(table.scores, ledger, "seed {seed}");
        kicks += kicked;
    }
    assert!(kicks > WATCHERS as usize, "they did move: {kicks}");
}

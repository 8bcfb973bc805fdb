//! The ranking and the feed on more than one Redis: a cluster, and a primary with its sentinel.

use std::{sync::Arc, time::Duration};

use scoreboard::repositories::{
    feed::{Feed, FeedMessage},
    ranking_store::{Begun, RankingError, RankingStore, Replaces},
    redis::RedisStore,
};

use super::{
    backends::Backend,
    ranking::{build, change, eventually, finished, fresh_board, next, order_of, ranked, stored},
    redis_server::RedisServer,
};

const HISTORY: u64 = 1000;

async fn connected(backend: &Backend) -> Arc<RedisStore> {
    let store = backend.connect();
    assert!(store.connected_within(Duration::from_secs(20)).await, "connected");
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_spreads_the_boards_and_tells_every_subscriber() {
    let nodes = RedisServer::cluster();
    for node in &nodes {
        eventually("the cluster is complete", || async {
            node.command("CLUSTER INFO").contains("cluster_state:ok").then_some(())
        })
        .await;
        eventually("everybody knows everybody", || async {
            node.command("CLUSTER INFO").contains("cluster_known_nodes:3").then_some(())
        })
        .await;
    }
    let backend = Backend::redis_at(format!("redis-cluster://127.0.0.1:{}", nodes[0].port), HISTORY);
    let (writer, reader) = (connected(&backend).await, connected(&backend).await);
    let mut messages = reader.take_messages().expect("the first to take them");
    let boards: Vec<_> = (0..12).map(|_| fresh_board()).collect();
    for &board in &boards {
        let version = build(&*writer, board, &[stored(&change(board, "b", 1, 1, 1))]).await;
        reader.subscribe(board.pk).await.expect("subscribed");
        ranked(&*writer, &change(board, "a", 1, 2, 2)).await;
        // Each node that the client connects to may be told as a loss, and a message from before the subscription may still be on its
        // way from node to node.
        let told = loop {
            match next(&mut messages).await {
                FeedMessage::Lost | FeedMessage::Reset { .. } => {}
                told => break told,
            }
        };
        assert!(matches!(&told, FeedMessage::Events { pk, epoch, .. } if *pk == board.pk && *epoch == version.epoch), "{told:?}");
        assert_eq!(order_of(&*reader, board).await, ["a", "b"]);
        assert_eq!(reader.history(board.pk, 0, 10).await.expect("a history").events.len(), 1);
        assert_eq!(writer.report_watchers(board.pk, 2).await.expect("noted"), 2);
    }
    let pks: Vec<_> = boards.iter().map(|board| board.pk).collect();
    assert_eq!(reader.watchers(&pks).await.expect("counts"), vec![2; pks.len()]);
    let used = nodes.iter().filter(|node| node.command("DBSIZE") != ":0").count();
    assert!(used > 1, "all boards lie on one node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_sentinel_is_followed_and_the_new_primary_is_not_trusted() {
    let primary = RedisServer::start(&[]);
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    eventually("the replica follows", || async { replica.command("INFO replication").contains("link_status:up").then_some(()) })
        .await;
    let sentinel = RedisServer::sentinel(&primary);
    let url = format!("redis-sentinel://127.0.0.1:{}/0?sentinelServiceName=board", sentinel.port);
    let store = connected(&Backend::redis_at(url, HISTORY)).await;
    let mut messages = store.take_messages().expect("the first to take them");
    let board = fresh_board();
    let before = build(&*store, board, &[]).await;
    store.subscribe(board.pk).await.expect("subscribed");
    eventually("the sentinel knows the replica", || async {
        sentinel.command("INFO sentinel").contains("slaves=1").then_some(())
    })
    .await;
    eventually("the failover begins", || async { (sentinel.command("SENTINEL FAILOVER board") == "+OK").then_some(()) }).await;
    eventually("the replica is the primary", || async {
        replica.command("INFO replication").contains("role:master").then_some(())
    })
    .await;
    eventually("the loss is noticed on the new primary", || async {
        match store.head(board).await {
            Err(RankingError::Unready(_)) => replica.try_command("CLIENT LIST")?.contains("evalsha").then_some(()),
            _ => None,
        }
    })
    .await;
    // Each connection finds the new primary for itself, and the one that writes may do so last.
    let rebuild = eventually("the rebuild begins", || async {
        match store.begin_rebuild(board, Replaces::Any).await {
            Ok(Begun::Yours(rebuild)) => Some(rebuild),
            _ => None,
        }
    })
    .await;
    let after = finished(&*store, rebuild).await;
    assert!(after.epoch > before.epoch);
    while !matches!(next(&mut messages).await, FeedMessage::Lost) {}
    let ready = eventually("the ranking is ready on the new primary", || async { store.head(board).await.ok() }).await;
    assert_eq!(ready.version.map(|version| version.epoch), Some(after.epoch));
}

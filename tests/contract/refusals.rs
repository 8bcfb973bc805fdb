//! A Redis that answers and refuses, crowds of readers, and a Redis that several ledgers share.

use std::{sync::Arc, time::Duration};

use scoreboard::repositories::{
    feed::{AccessChange, Feed, FeedMessage, Readers},
    ranking_store::{RankingError, RankingStore},
    redis::RedisStore,
};

use super::{
    backends::Backend,
    ranking::{assert_unready, build, change, eventually, fresh_board, next, order_of, ranked},
    redis_server::RedisServer,
};

const HISTORY: u64 = 100;

async fn connected(backend: &Backend) -> Arc<RedisStore> {
    let store = backend.connect();
    assert!(store.connected_within(Duration::from_secs(10)).await, "connected");
    store
}

/// What makes a Redis refuse writes, and what makes it take them again.
async fn refuses(server: &RedisServer, refuse: &str, take: &str) {
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let board = fresh_board();
    build(&*store, board, &[]).await;
    ranked(&*store, &change(board, "a", 1, 1, 1)).await;
    store.ping().await.expect("it takes writes");
    assert_eq!(server.command(refuse), "+OK", "{refuse}");
    let refused = store.apply(board, &[change(board, "b", 1, 2, 2)]).await;
    assert!(matches!(refused, Err(RankingError::Refused(_))), "{refuse}: {refused:?}");
    let ping = store.ping().await;
    assert!(matches!(ping, Err(RankingError::Refused(_))), "{refuse}: {ping:?}");
    assert_eq!(order_of(&*store, board).await, ["a"], "{refuse}: reading is possible");
    assert_eq!(server.command(take), "+OK", "{take}");
    ranked(&*store, &change(board, "b", 1, 2, 2)).await;
    store.ping().await.expect("it takes writes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_or_replicas_says_so() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    refuses(&server, "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0").await;
    refuses(&server, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_save_says_so() {
    let server = RedisServer::start(&["--save", "3600 1", "--dir", "/proc"]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let board = fresh_board();
    build(&*store, board, &[]).await;
    server.try_command("BGSAVE");
    eventually("the save fails", || async { matches!(store.ping().await, Err(RankingError::Refused(_))).then_some(()) }).await;
    let refused = store.apply(board, &[change(board, "a", 1, 1, 1)]).await;
    assert!(matches!(refused, Err(RankingError::Refused(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_readers_keeps_no_announcement_waiting() {
    let server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let board = fresh_board();
    let entries: Vec<_> = (0..2_000).map(|u| super::ranking::stored(&change(board, &format!("u{u}"), 1, u, u))).collect();
    build(&*store, board, &entries).await;
    let readers: Vec<_> = (0..1_000)
        .map(|reader| {
            let store = store.clone();
            tokio::spawn(async move {
                while store.window(board, 1, if reader % 2 == 0 { 1_000 } else { 10 }).await != Err(RankingError::Unready(0)) {}
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for revision in 1..=50 {
        let begun = std::time::Instant::now();
        ranked(&*store, &change(board, "writer", revision, revision, revision)).await;
        slowest = slowest.max(begun.elapsed());
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(slowest < Duration::from_millis(400), "an announcement took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_over_to_another_installation_takes_its_subscriptions_along() {
    let server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let mut messages = store.take_messages().expect("the first to take them");
    let board = fresh_board();
    build(&*store, board, &[]).await;
    store.subscribe(board.pk).await.expect("subscribed");
    store.adopt("ffffffff-ffff-4fff-8fff-ffffffffffff").await;
    assert!(matches!(next(&mut messages).await, FeedMessage::Lost));
    assert_unready(&*store, board).await;
    let version = build(&*store, board, &[]).await;
    assert!(matches!(next(&mut messages).await, FeedMessage::Reset { epoch, .. } if epoch == version.epoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_token_of_a_ledger_is_there_at_a_time() {
    let server = RedisServer::start(&[]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let (one, other) = (connected(&backend).await, connected(&backend).await);
    assert_eq!(one.holder().await.expect("an answer"), None);
    let mut messages = one.take_messages().expect("the first to take them");
    assert_eq!(one.hold("a", None).await.expect("an answer"), Some(2), "both heard of it");
    assert_eq!(other.hold("b", None).await.expect("an answer"), None, "somebody was quicker");
    assert_eq!(other.hold("b", Some("a")).await.expect("an answer"), Some(2));
    for _ in 0..2 {
        assert!(matches!(next(&mut messages).await, FeedMessage::Holder));
    }
    assert_eq!(one.holder().await.expect("an answer").as_deref(), Some("b"));
    one.close();
    assert!(matches!(one.head(fresh_board()).await, Err(RankingError::Unreachable(_))));
    assert_eq!(one.holder().await.expect("asked all the same").as_deref(), Some("b"));
    one.open();
    assert_unready(&*one, fresh_board()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_instance_hears_of_definitions_and_of_boards_that_are_behind() {
    let server = RedisServer::start(&[]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let (one, other) = (connected(&backend).await, connected(&backend).await);
    let mut messages = other.take_messages().expect("the first to take them");
    assert_eq!(one.definitions(None).await, Ok(Some(0)));
    let change = AccessChange { pk: 7, readers: Readers::Entitled };
    for (announced, newest) in [((3, None), 3), ((2, None), 3), ((3, Some(change)), 3), ((4, Some(change)), 4)] {
        assert_eq!(one.definitions(Some(announced)).await, Ok(Some(newest)));
    }
    assert_eq!(other.definitions(None).await, Ok(Some(4)));
    for (revision, change) in [(3, None), (3, Some(change)), (4, Some(change))] {
        let message = next(&mut messages).await;
        let expected = matches!(message, FeedMessage::Definitions { revision: r, change: c } if (r, c) == (revision, change));
        assert!(expected, "{message:?}");
    }
    one.report_behind(7, 12).await;
    assert!(matches!(next(&mut messages).await, FeedMessage::Behind { pk: 7, row: 12 }));
}

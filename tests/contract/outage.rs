//! What the ranking and the feed on Redis do when the Redis loses its memory, its connections or its life.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use scoreboard::repositories::{
    feed::{Feed, FeedMessage},
    ranking_store::{RankingError, RankingStore},
    redis::RedisStore,
};

use super::{
    backends::Backend,
    ranking::{
        assert_unready, build, change, definition, eventually, fresh_board, name, next, next_events, order_of, ranked, stored,
        user,
    },
    redis_server::RedisServer,
};

const HISTORY: u64 = 1000;

async fn connected(backend: &Backend) -> Arc<RedisStore> {
    let store = backend.connect();
    assert!(store.connected_within(Duration::from_secs(10)).await, "connected");
    store
}

/// Waits until the store is answered again.
async fn back(store: &RedisStore) {
    eventually("Redis answers again", || async { store.ping().await.ok() }).await;
}

/// The call failed in less than a second, and not because of what was asked.
async fn assert_fails_fast<T: std::fmt::Debug>(call: impl Future<Output = Result<T, RankingError>>) -> Duration {
    let begun = Instant::now();
    let answer = call.await;
    let took = begun.elapsed();
    assert!(matches!(answer, Err(RankingError::Unreachable(_))), "{answer:?}");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_is_noticed_and_a_rebuild_begins_a_greater_epoch() {
    let server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let mut messages = store.take_messages().expect("the first to take them");
    let board = fresh_board();
    let before = build(&*store, board, &[]).await;
    store.subscribe(board.pk).await.expect("subscribed");
    let first = change(board, "a", 1, 1, 1);
    ranked(&*store, &first).await;
    next_events(&mut messages, board, &before).await;
    server.command("FLUSHALL");
    assert_unready(&*store, board).await;
    assert!(matches!(store.history(board.pk, 0, 10).await, Err(RankingError::Unready(_))));
    let after = build(&*store, board, &[stored(&first)]).await;
    assert!(after.epoch > before.epoch, "{before} then {after}");
    assert!(matches!(next(&mut messages).await, FeedMessage::Reset { pk, epoch } if pk == board.pk && epoch == after.epoch));
    assert_eq!(order_of(&*store, board).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_any_one_key_is_noticed() {
    let server = RedisServer::start(&[]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let store = connected(&backend).await;
    for suffix in ["meta", "z", "m", "n"] {
        let board = fresh_board();
        build(&*store, board, &[]).await;
        ranked(&*store, &change(board, "a", 1, 1, 1)).await;
        store.rename(board, &user("a"), &name("A", 1), None).await.expect("renamed");
        store.head(board).await.expect("ready so far");
        assert_eq!(server.command(&format!("DEL {}", backend.key(board.pk, suffix))), ":1", "{suffix}");
        assert_unready(&*store, board).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_stream_is_seen_as_a_gap() {
    let server = RedisServer::start(&[]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let store = connected(&backend).await;
    let board = fresh_board();
    build(&*store, board, &[]).await;
    ranked(&*store, &change(board, "a", 1, 1, 1)).await;
    assert_eq!(server.command(&format!("DEL {}", backend.key(board.pk, "s"))), ":1");
    let history = store.history(board.pk, 0, 10).await.expect("a history");
    assert_eq!((history.head, history.events.len()), (1, 0));
    ranked(&*store, &change(board, "a", 2, 2, 2)).await;
    let history = store.history(board.pk, 0, 10).await.expect("a history");
    assert_eq!(history.events.first().map(|event| event.seq), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_redis_is_not_trusted_even_with_all_its_data() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let store = connected(&backend).await;
    let board = fresh_board();
    let before = build(&*store, board, &[]).await;
    ranked(&*store, &change(board, "a", 1, 1, 1)).await;
    server.kill();
    server.run();
    back(&store).await;
    assert_eq!(server.command(&format!("EXISTS {}", backend.key(board.pk, "meta"))), ":1", "the data came back");
    assert_unready(&*store, board).await;
    assert!(build(&*store, board, &[]).await.epoch > before.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_is_not_trusted() {
    let primary = RedisServer::start(&[]);
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    eventually("the replica follows", || async { replica.command("INFO replication").contains("link_status:up").then_some(()) })
        .await;
    let here = Backend::redis_at(primary.url(), HISTORY);
    let there = here.moved_to(replica.url());
    let store = connected(&here).await;
    let board = fresh_board();
    let before = build(&*store, board, &[]).await;
    ranked(&*store, &change(board, "a", 1, 1, 1)).await;
    let meta = here.key(board.pk, "meta");
    eventually("the replica has the ranking", || async { (replica.command(&format!("HGET {meta} seq")) == "1").then_some(()) })
        .await;
    let promoted = connected(&there).await;
    assert!(matches!(promoted.head(board).await, Err(RankingError::Unready(_))), "a replica may lag");
    assert_eq!(replica.command("REPLICAOF NO ONE"), "+OK");
    assert_unready(&*promoted, board).await;
    assert!(build(&*promoted, board, &[]).await.epoch > before.epoch);
    promoted.head(board).await.expect("ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_subscriber_connection_is_told_as_a_loss_and_the_history_fills_the_gap() {
    let server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let mut messages = store.take_messages().expect("the first to take them");
    let board = fresh_board();
    let version = build(&*store, board, &[]).await;
    store.subscribe(board.pk).await.expect("subscribed");
    let mut revision = 0;
    for _ in 0..5 {
        assert_eq!(server.command("CLIENT KILL TYPE pubsub"), ":1");
        revision += 1;
        ranked(&*store, &change(board, "a", revision, revision, revision)).await;
        loop {
            match next(&mut messages).await {
                FeedMessage::Lost => break,
                FeedMessage::Events { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let history = store.history(board.pk, 0, 100).await.expect("a history");
        assert_eq!(history.events.len() as u64, history.head);
        revision += 1;
        ranked(&*store, &change(board, "a", revision, revision, revision)).await;
        let events = next_events(&mut messages, board, &version).await;
        assert_eq!(events[0].seq, history.head + 1, "what follows the loss is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_calls_fail_fast_and_afterwards_they_recover() {
    let mut server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let mut messages = store.take_messages().expect("the first to take them");
    let board = fresh_board();
    build(&*store, board, &[]).await;
    store.subscribe(board.pk).await.expect("subscribed");
    server.kill();
    let changes = [change(board, "a", 1, 1, 1)];
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        slowest = slowest.max(assert_fails_fast(store.apply(board, &changes)).await);
        slowest = slowest.max(assert_fails_fast(store.window(board, 1, 10)).await);
        slowest = slowest.max(assert_fails_fast(store.ping()).await);
        slowest = slowest.max(assert_fails_fast(store.subscribe(board.pk + 1_000_000)).await);
    }
    println!("the slowest call without Redis took {slowest:?}");
    server.run();
    back(&store).await;
    assert_unready(&*store, board).await;
    loop {
        if matches!(next(&mut messages).await, FeedMessage::Lost) {
            break;
        }
    }
    let version = build(&*store, board, &[]).await;
    assert!(matches!(next(&mut messages).await, FeedMessage::Reset { .. }));
    ranked(&*store, &changes[0]).await;
    assert_eq!(next_events(&mut messages, board, &version).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_frozen_calls_time_out_within_a_second_and_afterwards_they_recover() {
    let server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let mut messages = store.take_messages().expect("the first to take them");
    let board = fresh_board();
    let version = build(&*store, board, &[]).await;
    store.subscribe(board.pk).await.expect("subscribed");
    let changes = [change(board, "a", 1, 1, 1)];
    server.freeze();
    // Far more calls than may be on their way at once: none of them waits for another one's time as well as its own.
    let calls = (0..600).map(|_| assert_fails_fast(store.apply(board, &changes)));
    futures_util::future::join_all(calls).await;
    let deadline = Instant::now() + Duration::from_secs(7);
    while Instant::now() < deadline {
        assert_fails_fast(store.head(board)).await;
    }
    server.thaw();
    back(&store).await;
    // The frozen calls may have been carried out when the server woke up, once; then this one is known.
    let outcomes = store.apply(board, &changes).await.expect("applied");
    assert_eq!(outcomes.len(), 1);
    let head = store.head(board).await.expect("a head");
    assert_eq!(head.version.map(|version| version.seq), Some(1));
    ranked(&*store, &change(board, "a", 2, 2, 2)).await;
    let mut newest = 0;
    while newest < 2 {
        match next(&mut messages).await {
            FeedMessage::Events { epoch, events, .. } if epoch == version.epoch => newest = events.last().map_or(0, |e| e.seq),
            FeedMessage::Lost => newest = store.history(board.pk, 0, 10).await.map_or(newest, |history| history.head),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_starts_before_its_redis_finds_it() {
    let mut server = RedisServer::prepare(&[]);
    let store = Backend::redis_at(server.url(), HISTORY).connect();
    let board = fresh_board();
    assert_fails_fast(store.head(board)).await;
    server.run();
    back(&store).await;
    build(&*store, board, &[]).await;
    eventually("the subscription connection stands too", || async { store.subscribe(board.pk).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_the_scripts_gets_them_again() {
    let server = RedisServer::start(&[]);
    let store = connected(&Backend::redis_at(server.url(), HISTORY)).await;
    let board = fresh_board();
    build(&*store, board, &[]).await;
    assert_eq!(server.command("SCRIPT FLUSH"), "+OK");
    ranked(&*store, &change(board, "a", 1, 1, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_leaderboard_leaves_only_its_tombstone() {
    let server = RedisServer::start(&[]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let store = connected(&backend).await;
    let board = fresh_board();
    build(&*store, board, &[stored(&change(board, "b", 1, 1, 1))]).await;
    ranked(&*store, &change(board, "a", 1, 1, 1)).await;
    store.rename(board, &user("a"), &name("A", 1), None).await.expect("renamed");
    store.report_watchers(board.pk, 3).await.expect("noted");
    store.announce_definition(&definition(board, 2, true)).await.expect("told");
    assert_eq!(server.command("DBSIZE"), ":1");
    let lasts = server.command(&format!("TTL {}", backend.key(board.pk, "x")));
    assert!(lasts.trim_start_matches(':').parse::<u64>().expect("seconds") > 80_000, "{lasts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ends_closes_its_connections() {
    let server = RedisServer::start(&[]);
    let backend = Backend::redis_at(server.url(), HISTORY);
    let clients = || server.command("CLIENT LIST").lines().count();
    let (dropped, closed) = (connected(&backend).await, connected(&backend).await);
    assert_eq!(clients(), 7, "three of each store, and the one that asks");
    drop(dropped);
    closed.shutdown().await;
    eventually("only the one that asks is left", || async { (clients() == 1).then_some(()) }).await;
}

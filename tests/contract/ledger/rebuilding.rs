//! A ranking made anew from the ledger, whatever was forgotten and whatever the clocks say.

use std::{sync::Arc, time::Duration};

use scoreboard::{
    domain::{announcement::DefinitionChange, version::epoch_number},
    repositories::{
        memory::MemoryRanking,
        ranking_store::{Begun, RankingStore, Replaces},
    },
    services::{backlog::Backlog, rebuild::Rebuilder},
};

use super::*;
use crate::contract::ranking::eventually;

on_both_engines![
    an_epoch_is_never_given_out_again_and_none_is_smaller,
    a_ranking_that_forgot_everything_gets_a_greater_epoch_even_where_the_clock_stands_behind,
    every_entry_is_loaded_however_many_pages_they_fill,
    the_rebuild_of_a_deleted_leaderboard_ends_at_once,
    a_deletion_that_the_ledger_knows_nothing_of_does_not_stop_a_rebuild,
    a_ranking_that_proved_wrong_is_replaced_once,
    the_rebuild_of_an_older_season_ends_at_once,
];

fn rebuilder(standings: &Arc<MemoryRanking>, ledger: &Ledger, clock: Clock) -> Arc<Rebuilder> {
    Rebuilder::new(standings.clone(), ledger.clone(), clock, Backlog::new(Arc::default()))
}

async fn an_epoch_is_never_given_out_again_and_none_is_smaller(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let mut given = Vec::new();
    for earliest in [100, 50, 101, 2_000] {
        given.push(ledger.allot_epoch(board, earliest).await.unwrap().unwrap());
    }
    assert_eq!(given, [100, 101, 102, 2_000]);
    let racing = (0..8).map(|_| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.allot_epoch(board, 1).await.unwrap().unwrap() })
    });
    let mut raced: Vec<i64> = futures_util::future::join_all(racing).await.into_iter().map(Result::unwrap).collect();
    raced.sort_unstable();
    assert_eq!(raced, (2_001..=2_008).collect::<Vec<_>>());
    ledger.delete_leaderboard(&slug("main"), NOW).await.unwrap();
    assert_eq!(ledger.allot_epoch(board, 1).await.unwrap(), None);
}

async fn a_ranking_that_forgot_everything_gets_a_greater_epoch_even_where_the_clock_stands_behind(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let first = rebuilder(&MemoryRanking::new(10, Clock::system()), &ledger, Clock::system()).force(board).await.unwrap().1;
    let behind = Clock::from_fn(|| Timestamp(1));
    let second = rebuilder(&MemoryRanking::new(10, Clock::system()), &ledger, behind).force(board).await.unwrap().1;
    assert!(second.epoch > first.epoch, "{first} then {second}");
}

async fn every_entry_is_loaded_however_many_pages_they_fill(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let standings = MemoryRanking::new(10, Clock::system());
    for (entries, more) in [(0, 1), (1, 5_999), (6_000, 6_000), (12_000, 0)] {
        assert_eq!(rebuilder(&standings, &ledger, Clock::system()).force(board).await.unwrap().0, entries);
        assert_eq!(standings.head(board).await.unwrap().total, entries);
        let newcomers: Vec<_> = (entries..entries + more).map(|user| goal(&format!("u{user}"), 1)).collect();
        for batch in newcomers.chunks(1_000) {
            commit(&ledger, batch, &Clock::system()).await.unwrap();
        }
    }
}

/// Whether Redis was told of the deletion or not.
async fn the_rebuild_of_a_deleted_leaderboard_ends_at_once(database: Database) {
    let ledger = database.ledger().await;
    let main = ledger.create_leaderboard(&slug("main"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    ledger.delete_leaderboard(&main.id, NOW).await.unwrap();
    for told in [false, true] {
        let standings = MemoryRanking::new(10, Clock::system());
        if told {
            standings.announce_definition(&DefinitionChange::deleted(&main, 1)).await.unwrap();
        }
        let rebuilder = rebuilder(&standings, &ledger, Clock::system());
        let mut ended = rebuilder.kick(main.board());
        let closed = tokio::time::timeout(Duration::from_secs(2), ended.changed()).await;
        assert!(closed.expect("it ends").is_err(), "told: {told}");
        assert!(standings.head(main.board()).await.is_err(), "nothing was built");
        assert!(rebuilder.force(main.board()).await.is_err(), "nor is it by force");
    }
}

/// The ledger was set back to before the deletion.
async fn a_deletion_that_the_ledger_knows_nothing_of_does_not_stop_a_rebuild(database: Database) {
    let ledger = database.ledger().await;
    let main = ledger.create_leaderboard(&slug("main"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    let standings = MemoryRanking::new(10, Clock::system());
    standings.announce_definition(&DefinitionChange::deleted(&main, 1)).await.unwrap();
    let mut ended = rebuilder(&standings, &ledger, Clock::system()).kick(main.board());
    tokio::time::timeout(Duration::from_secs(5), ended.changed()).await.expect("it ends").unwrap_err();
    assert_eq!(standings.head(main.board()).await.unwrap().total, 0);
}

async fn a_ranking_that_proved_wrong_is_replaced_once(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let standings = MemoryRanking::new(10, Clock::system());
    let rebuilder = rebuilder(&standings, &ledger, Clock::system());
    let wrong = rebuilder.force(board).await.unwrap().1;
    for _ in 0..2 {
        let mut ended = rebuilder.replace(board, wrong.epoch.clone(), "a test");
        tokio::time::timeout(Duration::from_secs(5), ended.changed()).await.expect("it ends").unwrap_err();
    }
    let epochs = ledger.epochs().await.unwrap();
    let present = standings.head(board).await.unwrap().version.unwrap();
    assert!(present.epoch > wrong.epoch);
    assert_eq!(scoreboard::domain::version::epoch_number(&present.epoch), epochs.get(&board.pk).copied(), "and not twice");
}

async fn the_rebuild_of_an_older_season_ends_at_once(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    assert_eq!(ledger.allot_epoch(Board { season: board.season - 1, ..board }, 1).await.unwrap(), None);
}

/// Holds a rebuild up between taking its epoch and reading the first entry, until `meanwhile` is over; answers the epoch that the ranking has
/// in the end, which has to be the ledger's. On PostgreSQL, where several instances rebuild.
async fn held_up(meanwhile: impl AsyncFnOnce(&Ledger, &MemoryRanking, Board, i64)) -> i64 {
    let database = Database::postgres().await;
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let standings = MemoryRanking::new(10, Clock::system());
    let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE entries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut ended = rebuilder(&standings, &ledger, Clock::system()).kick(board);
    let taken = eventually("an epoch is taken", || async { ledger.epoch(board.pk).await.unwrap().filter(|&epoch| epoch > 0) });
    meanwhile(&ledger, &standings, board, taken.await).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    ended.changed().await.expect_err("it has ended");
    let version = standings.head(board).await.unwrap().version.unwrap();
    assert_eq!(ledger.epoch(board.pk).await.unwrap(), epoch_number(&version.epoch));
    epoch_number(&version.epoch).unwrap()
}

/// Else the ledger would take this ranking for one that another has superseded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_takes_a_new_epoch_where_another_one_has_taken_a_later_one() {
    let mut later = 0;
    let epoch = held_up(async |ledger, _, board, taken| {
        later = ledger.allot_epoch(board, taken + 1_000).await.unwrap().unwrap();
    });
    assert!(epoch.await > later);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_was_overtaken_replaces_what_took_its_epoch_before_it() {
    let mut newest = 0;
    let epoch = held_up(async |_, standings, board, taken| {
        newest = taken;
        let begun = standings.begin_rebuild(board, Replaces::Any).await.unwrap();
        let Begun::Yours(earlier) = begun else { panic!("{begun:?}") };
        standings.finish_rebuild(earlier, taken - 1).await.unwrap();
    });
    assert!(epoch.await > newest);
}

//! Setting a ledger up, taking it back, and reaching it at all.

use std::time::{Duration, Instant};

use scoreboard::repositories::ledger::{Ledger, LedgerSettings};

use super::*;
use crate::contract::pooler::Pooler;

on_both_engines![
    migrations_go_up_and_down_and_up,
    instances_that_start_together_migrate_once,
    an_installation_keeps_its_id,
    everything_is_there_after_a_restart,
];

async fn migrations_go_up_and_down_and_up(database: Database) {
    let ledger = database.connect().await;
    assert!(ledger.ping(&Clock::system()).await.is_err(), "not migrated");
    let ran = ledger.migrate().await.unwrap();
    assert!(!ran.is_empty());
    assert_eq!(ledger.migrate().await.unwrap(), Vec::<String>::new());
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, goal("ann", 1)).await);
    let reverted = ledger.revert_migrations().await.unwrap();
    assert_eq!(reverted.len(), ran.len());
    assert_eq!(ledger.migrate().await.unwrap(), ran);
    assert_eq!(ledger.definitions().await.unwrap().leaderboards().count(), 0);
    ledger.ping(&Clock::system()).await.unwrap();
}

async fn instances_that_start_together_migrate_once(database: Database) {
    let (one, other) = (database.connect().await, database.connect().await);
    let (a, b) =
        tokio::join!(tokio::spawn(async move { one.migrate().await }), tokio::spawn(async move { other.migrate().await }));
    let (a, b) = (a.unwrap().unwrap(), b.unwrap().unwrap());
    assert!(a.is_empty() != b.is_empty(), "{a:?} {b:?}");
}

async fn an_installation_keeps_its_id(database: Database) {
    let id = database.ledger().await.installation_id().await.unwrap();
    assert!(id.len() >= 32);
    assert_eq!(database.ledger().await.installation_id().await.unwrap(), id);
}

async fn everything_is_there_after_a_restart(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, goal("ann", 1)).await);
    drop(ledger);
    let again = database.connect().await;
    assert_eq!(again.window(board, 1, 10).await.unwrap().entries[0].score, 1);
    assert_eq!(accepted(commit_one(&again, goal("ann", 1)).await).standings[0].new_score, 2);
}

#[tokio::test]
async fn two_servers_never_share_a_file() {
    let database = Database::sqlite().await;
    let settings = LedgerSettings::new(&database.url);
    let first = Ledger::connect(&settings).await.unwrap();
    first.migrate().await.unwrap();
    let second = Ledger::connect(&settings).await;
    assert!(matches!(second, Err(LedgerError::Unavailable(why)) if why.as_str().contains("another server")));
    let tool = Ledger::connect(&LedgerSettings { exclusive: false, ..settings.clone() }).await.unwrap();
    tool.ping(&Clock::system()).await.unwrap();
    drop(first);
    Ledger::connect(&settings).await.unwrap();
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused() {
    for url in ["mysql://root@localhost/x", "scoreboard.db", "sqlite://", "postgres://u@localhost:port/x"] {
        let refused = Ledger::connect(&LedgerSettings::new(url)).await;
        assert!(matches!(refused, Err(LedgerError::Unusable(_))), "{url}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_reported_soon() {
    let asked = Instant::now();
    let refused = Ledger::connect(&LedgerSettings::new("postgres://postgres@127.0.0.1:1/none")).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))));
    assert!(asked.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_lock_that_somebody_holds_does_not_hold_us_for_ever() {
    let database = Database::postgres().await;
    main_and_goal(&database.ledger().await, Operator::Sum, Order::Desc).await;
    let impatient = format!("{}?options=-c%20statement_timeout%3D300", database.url);
    let ledger = Ledger::connect(&LedgerSettings::new(impatient)).await.unwrap();
    accepted(commit_one(&ledger, goal("ann", 1)).await);
    let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT * FROM entries WHERE user_id = 'ann' FOR UPDATE").await.unwrap();
    let stuck = commit(&ledger, &[goal("ann", 1), goal("bob", 1)], &Clock::system()).await;
    assert!(matches!(stuck, Err(LedgerError::Unavailable(_))), "{stuck:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(accepted(commit_one(&ledger, goal("ann", 1)).await).standings[0].new_score, 2);
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again_at_once() {
    let database = Database::postgres().await;
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for score in 1..=5 {
        let told = accepted(commit_one(&ledger, goal("ann", 1)).await);
        assert_eq!(told.standings[0].new_score, score);
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scoreboard' AND datname = current_database()").await;
    }
}

/// Nothing that the ledger sends rests on what a session keeps beyond its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_no_obstacle() {
    let database = Database::postgres().await;
    let mut url = url::Url::parse(&database.url).unwrap();
    let pooler = Pooler::before(url.port().unwrap()).await;
    url.set_port(Some(pooler.port)).unwrap();
    let settings = LedgerSettings::new(url);
    let starting = (0..4).map(|_| {
        let settings = settings.clone();
        tokio::spawn(async move { Ledger::connect(&settings).await.unwrap().migrate().await.map(|ran| ran.len()) })
    });
    let started = futures_util::future::join_all(starting).await;
    let ran: Vec<_> = started.into_iter().map(|ran| ran.unwrap().expect("one after the other")).collect();
    assert_eq!(ran.iter().filter(|&&ran| ran > 0).count(), 1, "{ran:?}");

    let ledger = Ledger::connect(&settings).await.unwrap();
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for score in 1..=3 {
        assert_eq!(accepted(commit_one(&ledger, goal("ann", 1)).await).standings[0].new_score, score);
    }
    assert_eq!(ledger.window(board, 1, 10).await.unwrap().entries[0].score, 3);
    assert_eq!(claim(&ledger, NOW.plus_seconds(1 << 32), 0, 10).await.unwrap().len(), 3);
    assert_eq!(ledger.lease_job(&["sweep-leaderboard"], NOW, NOW.plus_seconds(60)).await, Ok(None));
}

//! What was committed is told at least once, and not by everybody at once.

use std::collections::HashSet;

use scoreboard::repositories::ledger::Ledger;
use tokio::task::JoinSet;

use super::*;

on_both_engines![
    rows_are_due_oldest_first_once_they_are_old_enough,
    a_claimed_row_comes_back_only_after_a_while,
    a_clock_that_was_wrong_keeps_no_row_back,
    two_sweepers_never_hold_the_same_row,
];

async fn commit_at(ledger: &Ledger, second: i64) -> i64 {
    let clock = Clock::from_fn(move || NOW.plus_seconds(second));
    commit(ledger, &[goal("ann", 1)], &clock).await.unwrap().outbox.unwrap()
}

async fn rows_are_due_oldest_first_once_they_are_old_enough(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let mut ids = vec![];
    for second in 0..5 {
        ids.push(commit_at(&ledger, second).await);
    }
    let due = ledger.outbox_due(NOW.plus_seconds(3), 3).await.unwrap();
    assert_eq!(due.iter().map(|row| row.0).collect::<Vec<_>>(), ids[..3]);
    let due = ledger.outbox_due(NOW.plus_seconds(3), 3).await.unwrap();
    assert_eq!(due.iter().map(|row| row.0).collect::<Vec<_>>(), ids[3..4], "the last one is too young");
    ledger.outbox_done(&ids[1..]).await.unwrap();
    ledger.outbox_done(&ids[1..]).await.unwrap();
    ledger.outbox_done(&[]).await.unwrap();
    assert_eq!(ledger.outbox_len().await.unwrap(), 1);
}

async fn a_claimed_row_comes_back_only_after_a_while(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let id = commit_at(&ledger, 0).await;
    let due =
        async |second| ledger.outbox_due(NOW.plus_seconds(second), 9).await.unwrap().iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(due(5).await, [id]);
    assert_eq!(due(9).await, Vec::<i64>::new());
    assert_eq!(due(10).await, [id]);
}

/// An instance whose clock is an hour ahead commits or claims a row, and dies.
async fn a_clock_that_was_wrong_keeps_no_row_back(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let (early, late) = (commit_at(&ledger, 0).await, commit_at(&ledger, 3600).await);
    let due =
        async |second| ledger.outbox_due(NOW.plus_seconds(second), 9).await.unwrap().iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(due(3600).await, [early, late], "claimed by the one that is ahead");
    assert_eq!(due(5).await, [early, late]);
    assert_eq!(due(6).await, Vec::<i64>::new(), "and claimed like any other");
}

async fn two_sweepers_never_hold_the_same_row(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    for second in 0..60 {
        commit_at(&one, second).await;
    }
    let mut sweeping = JoinSet::new();
    for ledger in [&one, &other, &one, &other] {
        let ledger = ledger.clone();
        sweeping.spawn(async move {
            let mut claimed = vec![];
            loop {
                let due = ledger.outbox_due(NOW.plus_seconds(60), 7).await.unwrap();
                if due.is_empty() {
                    return claimed;
                }
                claimed.extend(due.into_iter().map(|row| row.0));
            }
        });
    }
    let claimed = sweeping.join_all().await.concat();
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), claimed.len(), "claimed twice");
    // A sweeper that passed over rows which another one was claiming may stop early; none is claimed for ever.
    assert!(claimed.len() <= 60 && claimed.len() >= 7);
}

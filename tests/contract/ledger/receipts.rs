//! A repeat is answered with the very answer that was given first.

use std::collections::HashSet;

use futures_util::future::join_all;
use scoreboard::{
    domain::job::PruneKeys,
    repositories::ledger::{Ledger, Receipt},
};
use uuid::Uuid;

use super::*;

on_both_engines![
    the_first_receipt_wins,
    a_repeat_that_settles_wins_over_who_comes_late,
    receipts_of_a_large_batch_are_found,
    racing_receipts_agree,
    old_keys_are_forgotten,
    old_receipts_are_forgotten
];

fn receipt(event_id: Uuid, body: &str) -> Receipt {
    Receipt { batch: event_id, event_id, body: body.into() }
}

/// The receipts of all that was accepted, as the committer makes them.
fn receipts(outcomes: &[Settled], body: &str) -> Vec<Receipt> {
    let receipts = outcomes.iter().map(|outcome| {
        let accepted = accepted(outcome.clone());
        Receipt {
            batch: accepted.receipt_batch.unwrap(),
            event_id: accepted.event_id,
            body: format!("{body} {}", accepted.event_id),
        }
    });
    receipts.collect()
}

async fn the_first_receipt_wins(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let outcome = commit_one(&ledger, keyed_goal("ann", 1, "k")).await;
    assert_eq!(ledger.receipt("game-1", "k").await.unwrap(), None);
    let first = receipts(std::slice::from_ref(&outcome), "first");
    assert_eq!(ledger.store_receipts(first.clone()).await.unwrap(), [first[0].body.clone()]);
    assert_eq!(ledger.store_receipts(receipts(&[outcome], "second")).await.unwrap(), [first[0].body.clone()]);
    let settled = ledger.settle_receipt("game-1", "k", first[0].event_id, "third".into()).await.unwrap();
    assert_eq!(settled, first[0].body, "it was answered");
    assert_eq!(ledger.receipt("game-1", "k").await.unwrap().as_deref(), Some(first[0].body.as_str()));
    assert_eq!(ledger.receipt("game-2", "k").await.unwrap(), None);
    let replay = commit_one(&ledger, keyed_goal("ann", 1, "k")).await;
    assert!(matches!(replay, Settled::Replayed { receipt: Some(body), .. } if body == first[0].body));
}

/// Whoever commits dies, or is slow: a repeat stores an answer, and what comes later has to agree with it, and with nobody else's.
async fn a_repeat_that_settles_wins_over_who_comes_late(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let batch = ["k", "l", "m"].map(|key| keyed_goal("ann", 1, key));
    let outcomes = commit(&ledger, &batch, &Clock::system()).await.unwrap().outcomes;
    let late = receipts(&outcomes, "late");
    let settle = async |body: &str| ledger.settle_receipt("game-1", "l", late[1].event_id, body.into()).await.unwrap();
    assert_eq!((settle("settled").await, settle("again").await), ("settled".into(), "settled".into()));
    let stored = ledger.store_receipts(late.clone()).await.unwrap();
    assert_eq!(stored, [&late[0].body, "settled", &late[2].body]);
    for (key, stored) in ["k", "l", "m"].iter().zip(stored) {
        assert_eq!(ledger.receipt("game-1", key).await.unwrap(), Some(stored.clone()));
        let replay = commit_one(&ledger, keyed_goal("ann", 1, key)).await;
        assert!(matches!(replay, Settled::Replayed { receipt: Some(body), .. } if body == stored));
    }
}

/// More than are stored together, some refused and some without a key among them.
async fn receipts_of_a_large_batch_are_found(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let submission = |n| if n % 3 == 1 { goal("ann", 1) } else { keyed_goal("ann", 1, &format!("k-{n}")) };
    let submissions: Vec<_> = (0..100).map(submission).collect();
    let outcomes = commit(&ledger, &submissions, &Clock::system()).await.unwrap().outcomes;
    let keyed: Vec<_> = outcomes.into_iter().zip(0..).filter(|(_, n)| n % 3 != 1).map(|(outcome, _)| outcome).collect();
    let given = receipts(&keyed, "body");
    let batches: HashSet<_> = given.iter().map(|receipt| receipt.batch).collect();
    assert_eq!(batches.len(), 67_usize.div_ceil(32));
    ledger.store_receipts(given.clone()).await.unwrap();
    let keys: Vec<_> = (0..100).filter(|n| n % 3 != 1).map(|n| keyed_goal("ann", 1, &format!("k-{n}"))).collect();
    let replays = commit(&ledger, &keys, &Clock::system()).await.unwrap().outcomes;
    for (replay, given) in replays.iter().zip(&given) {
        assert!(
            matches!(replay, Settled::Replayed { receipt: Some(body), event_id } if *body == given.body && *event_id == given.event_id)
        );
    }
}

async fn racing_receipts_agree(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let batch: Vec<_> = (0..20).map(|n| keyed_goal("ann", 1, &format!("k-{n}"))).collect();
    let outcomes = commit(&one, &batch, &Clock::system()).await.unwrap().outcomes;
    let (mine, theirs) = (receipts(&outcomes, "mine"), receipts(&outcomes, "theirs"));
    let settled = async {
        let settled = (0..20).map(|n| {
            let (key, event) = (format!("k-{n}"), mine[n].event_id);
            let other = &other;
            async move { other.settle_receipt("game-1", &key, event, "settled".into()).await.unwrap() }
        });
        join_all(settled).await
    };
    let (mine, theirs, settled) = tokio::join!(one.store_receipts(mine.clone()), other.store_receipts(theirs), settled);
    let mine = mine.unwrap();
    assert_eq!(mine, theirs.unwrap());
    assert_eq!(mine, settled);
}

/// Walks through all keys once; answers how many were forgotten.
async fn prune(ledger: &Ledger, older_than: Timestamp) -> usize {
    let (mut forgotten, mut from) = (0, Some(PruneKeys::default()));
    while let Some(cursor) = from {
        let (pruned, next) = ledger.prune_idempotency_keys(older_than, cursor).await.unwrap();
        forgotten += pruned;
        from = next;
    }
    forgotten
}

/// More keys than one bite holds, in an order that is not that of their age.
async fn old_keys_are_forgotten(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for (second, keys) in [(3, 0..1000), (1, 1000..6000), (4, 6000..6001), (2, 6001..9000)] {
        let clock = Clock::from_fn(move || NOW.plus_seconds(second));
        let keys: Vec<_> = keys.collect();
        for keys in keys.chunks(1000) {
            let batch: Vec<_> = keys.iter().map(|key| keyed_goal("ann", 1, &format!("k-{key}"))).collect();
            commit(&ledger, &batch, &clock).await.unwrap();
        }
    }
    assert_eq!(prune(&ledger, NOW.plus_seconds(3)).await, 7999);
    let repeated = async |key: &str| matches!(commit_one(&ledger, keyed_goal("ann", 1, key)).await, Settled::Replayed { .. });
    assert!(repeated("k-0").await && repeated("k-999").await && repeated("k-6000").await);
    assert!(!repeated("k-1000").await && !repeated("k-8999").await);
    assert_eq!(prune(&ledger, NOW.plus_seconds(4)).await, 1000);
}

async fn old_receipts_are_forgotten(database: Database) {
    let ledger = database.ledger().await;
    let made_at = |second: u64| Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, second, 0));
    let receipts = [2, 1, 3].map(|second| receipt(made_at(second), "body"));
    ledger.store_receipts(receipts.to_vec()).await.unwrap();
    assert_eq!(ledger.prune_receipts(Timestamp(3_000_000), 1).await.unwrap(), 1);
    assert_eq!(ledger.prune_receipts(Timestamp(3_000_000), 9).await.unwrap(), 1);
    let stored = ledger.store_receipts(vec![receipt(receipts[2].event_id, "later")]).await.unwrap();
    assert_eq!(stored, ["body"], "the youngest is kept");
    ledger.settle_receipt("nobody", "none", made_at(2), "single".into()).await.unwrap();
    assert_eq!(ledger.prune_receipts(Timestamp(3_000_000), 9).await.unwrap(), 1, "receipts by themselves as well");
}

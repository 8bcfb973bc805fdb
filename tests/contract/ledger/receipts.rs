//! A repeat is answered with the very answer that was given first.

use scoreboard::repositories::ledger::{KeysCursor, Ledger, Receipt};
use uuid::Uuid;

use super::*;

on_both_engines![the_first_receipt_wins, racing_receipts_agree, old_keys_are_forgotten, old_receipts_are_forgotten];

fn receipt(event_id: Uuid, body: &str) -> Receipt {
    Receipt { event_id, body: body.into() }
}

async fn the_first_receipt_wins(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let k = accepted(commit_one(&ledger, keyed_goal("ann", 1, "k")).await).event_id;
    let l = accepted(commit_one(&ledger, keyed_goal("ann", 1, "l")).await).event_id;
    assert_eq!(ledger.receipt("game-1", "k").await.unwrap(), None);
    let stored = ledger.store_receipts(&[receipt(k, "first"), receipt(k, "second")]).await.unwrap();
    assert_eq!(stored, ["first", "first"]);
    let stored = ledger.store_receipts(&[receipt(l, "other"), receipt(k, "third")]).await.unwrap();
    assert_eq!(stored, ["other", "first"]);
    assert_eq!(ledger.receipt("game-1", "k").await.unwrap().as_deref(), Some("first"));
    assert_eq!(ledger.receipt("game-2", "k").await.unwrap(), None);
    let replay = commit_one(&ledger, keyed_goal("ann", 1, "k")).await;
    assert!(matches!(replay, Settled::Replayed { receipt: Some(body), .. } if body == "first"));
}

async fn racing_receipts_agree(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let batch: Vec<_> = (0..20).map(|n| keyed_goal("ann", 1, &format!("k-{n}"))).collect();
    let outcomes = commit(&one, &batch, &Clock::system()).await.unwrap().outcomes;
    let events: Vec<_> = outcomes.into_iter().map(|outcome| accepted(outcome).event_id).collect();
    let mine: Vec<_> = events.iter().map(|event| receipt(*event, "mine")).collect();
    let theirs: Vec<_> = events.iter().rev().map(|event| receipt(*event, "theirs")).collect();
    let (mine, theirs) = tokio::join!(one.store_receipts(&mine), other.store_receipts(&theirs));
    assert_eq!(mine.unwrap(), theirs.unwrap().into_iter().rev().collect::<Vec<_>>());
}

/// Walks through all keys once; answers how many were forgotten.
async fn prune(ledger: &Ledger, older_than: Timestamp) -> usize {
    let (mut forgotten, mut from) = (0, Some(KeysCursor::default()));
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
    let receipts: Vec<_> = [2, 1, 3].map(|second| receipt(made_at(second), "body")).into();
    ledger.store_receipts(&receipts).await.unwrap();
    assert_eq!(ledger.prune_receipts(Timestamp(3_000_000), 1).await.unwrap(), 1);
    assert_eq!(ledger.prune_receipts(Timestamp(3_000_000), 9).await.unwrap(), 1);
    let stored = ledger.store_receipts(&[receipt(receipts[2].event_id, "later")]).await.unwrap();
    assert_eq!(stored, ["body"], "the youngest is kept");
}

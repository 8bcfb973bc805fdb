//! A repeat is answered with the very answer that was given first.

use scoreboard::repositories::ledger::Receipt;

use super::*;

on_both_engines![the_first_receipt_wins, racing_receipts_agree, old_keys_are_forgotten_oldest_first];

fn receipt(key: &str, body: &str) -> Receipt {
    Receipt { subject: "game-1".into(), key: key.into(), body: body.into() }
}

async fn the_first_receipt_wins(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, keyed_goal("ann", 1, "k")).await);
    accepted(commit_one(&ledger, keyed_goal("ann", 1, "l")).await);
    assert_eq!(ledger.receipt("game-1", "k").await.unwrap(), None);
    let stored = ledger.store_receipts(&[receipt("k", "first"), receipt("none", "kept"), receipt("k", "second")]).await.unwrap();
    assert_eq!(stored, ["first", "kept", "first"]);
    let stored = ledger.store_receipts(&[receipt("l", "other"), receipt("k", "third")]).await.unwrap();
    assert_eq!(stored, ["other", "first"]);
    assert_eq!(ledger.receipt("game-1", "k").await.unwrap().as_deref(), Some("first"));
    assert_eq!(ledger.receipt("game-2", "k").await.unwrap(), None);
    let replay = commit_one(&ledger, keyed_goal("ann", 1, "k")).await;
    assert!(matches!(replay, Settled::Replayed { receipt: Some(body), .. } if body == "first"));
}

async fn racing_receipts_agree(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let keys: Vec<_> = (0..20).map(|n| format!("k-{n}")).collect();
    let batch: Vec<_> = keys.iter().map(|key| keyed_goal("ann", 1, key)).collect();
    commit(&one, &batch, &Clock::system()).await.unwrap();
    let mine: Vec<_> = keys.iter().map(|key| receipt(key, "mine")).collect();
    let theirs: Vec<_> = keys.iter().rev().map(|key| receipt(key, "theirs")).collect();
    let (mine, theirs) = tokio::join!(one.store_receipts(&mine), other.store_receipts(&theirs));
    assert_eq!(mine.unwrap(), theirs.unwrap().into_iter().rev().collect::<Vec<_>>());
}

async fn old_keys_are_forgotten_oldest_first(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for second in [3, 1, 2, 4] {
        let clock = Clock::from_fn(move || NOW.plus_seconds(second));
        commit(&ledger, &[keyed_goal("ann", 1, &format!("k-{second}"))], &clock).await.unwrap();
    }
    assert_eq!(ledger.prune_idempotency_keys(NOW.plus_seconds(4), 2).await.unwrap(), 2);
    let repeated = async |key: &str| matches!(commit_one(&ledger, keyed_goal("ann", 1, key)).await, Settled::Replayed { .. });
    assert!(!repeated("k-1").await && !repeated("k-2").await && repeated("k-3").await && repeated("k-4").await);
    assert_eq!(ledger.prune_idempotency_keys(NOW.plus_seconds(4), 100).await.unwrap(), 1);
}

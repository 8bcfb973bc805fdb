//! A ledger knows itself from its copies and from its own past.

use super::*;

on_both_engines![
    a_ledger_that_stays_where_it_is_keeps_its_id,
    a_ledger_knows_the_claims_that_it_has_laid,
    whoever_comes_second_follows_a_new_id,
];

async fn a_ledger_that_stays_where_it_is_keeps_its_id(database: Database) {
    let ledger = database.ledger().await;
    let id = ledger.installation_id().await.unwrap();
    for _ in 0..2 {
        assert!(!ledger.settle_in().await.unwrap());
        assert!(!database.connect().await.settle_in().await.unwrap());
    }
    assert_eq!(ledger.installation_id().await.unwrap(), id);
}

async fn a_ledger_knows_the_claims_that_it_has_laid(database: Database) {
    let ledger = database.ledger().await;
    assert_eq!(ledger.claimed_timeline().await.unwrap(), None);
    assert!(!ledger.knows_claim("a").await.unwrap());
    ledger.add_claim("a", "1").await.unwrap();
    ledger.add_claim("b", "2").await.unwrap();
    assert!(ledger.knows_claim("a").await.unwrap() && ledger.knows_claim("b").await.unwrap());
    assert_eq!(ledger.claimed_timeline().await.unwrap().as_deref(), Some("2"));
    assert_eq!(ledger.timeline().await.unwrap().is_empty(), ledger.engine() == "sqlite");
}

async fn whoever_comes_second_follows_a_new_id(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let old = one.installation_id().await.unwrap();
    let new = one.renew_installation_id(&old).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(other.renew_installation_id(&old).await.unwrap(), new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_takes_on_an_id_of_its_own_once() {
    let original = Database::postgres().await;
    let ledger = original.ledger().await;
    ledger.settle_in().await.unwrap();
    let id = ledger.installation_id().await.unwrap();
    let copy = original.copied().await;
    let (one, other) = (copy.ledger().await, copy.connect().await);
    let settled = tokio::join!(one.settle_in(), other.settle_in());
    assert!(settled.0.unwrap() != settled.1.unwrap(), "one of them, once");
    assert_ne!(one.installation_id().await.unwrap(), id);
    assert!(!one.settle_in().await.unwrap());
    assert_eq!(original.ledger().await.installation_id().await.unwrap(), id, "the original keeps its own");
}

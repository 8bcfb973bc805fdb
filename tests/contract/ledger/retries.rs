//! What PostgreSQL says to one of two transactions that got into each other's way is nobody's business but the ledger's.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use super::*;

async fn rival(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until a connection of the ledger waits for a lock.
async fn until_one_waits(watcher: &Client) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'scoreboard' AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(10);
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < deadline, "nobody waits for a lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_a_deadlock_takes_back_is_repeated() {
    let database = Database::postgres().await;
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    commit(&ledger, &[goal("ann", 1), goal("zoe", 1)], &Clock::system()).await.unwrap();

    let (rival, watcher) = (rival(&database).await, rival(&database).await);
    let lock = |user: &str| {
        format!("SELECT FROM users WHERE id = '{user}' FOR UPDATE; SELECT FROM entries WHERE user_id = '{user}' FOR UPDATE;")
    };
    // So patient that the batch is the one that finds the deadlock, and falls victim to it.
    rival.batch_execute(&format!("BEGIN; SET LOCAL deadlock_timeout = '30s'; {}", lock("zoe"))).await.unwrap();
    let batch = {
        let ledger = ledger.clone();
        tokio::spawn(async move { commit(&ledger, &[goal("ann", 10), goal("zoe", 10)], &Clock::system()).await })
    };
    until_one_waits(&watcher).await;
    rival.batch_execute(&lock("ann")).await.expect("the rival gets its lock when the batch is taken back");
    rival.batch_execute("COMMIT").await.unwrap();
    let committed = batch.await.unwrap().expect("the caller is told nothing of it");
    assert!(committed.outcomes.iter().all(|outcome| matches!(outcome, Settled::Accepted(_))));
    let scores: Vec<_> = ledger.window(board, 1, 10).await.unwrap().entries.into_iter().map(|entry| entry.score).collect();
    assert_eq!(scores, [11, 11]);
}

/// `serialization_failure` and `deadlock_detected`.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_lost_a_race_in_the_database_is_repeated() {
    for (code, message) in [("40001", "could not serialize access"), ("40P01", "Verklemmung entdeckt: disk full, timeout")] {
        let database = Database::postgres().await;
        let ledger = database.ledger().await;
        main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
        let trigger = format!(
            "CREATE SEQUENCE tries; \
             CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('tries') <= 2 THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER races BEFORE INSERT ON score_events FOR EACH STATEMENT EXECUTE FUNCTION lose()"
        );
        database.execute(&trigger).await;
        assert_eq!(accepted(commit_one(&ledger, goal("ann", 1)).await).standings[0].new_score, 1, "{code}");
    }
}

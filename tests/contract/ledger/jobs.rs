//! Durable jobs: one run at a time, at least once, and none is lost.

use scoreboard::domain::job::{Ended, LeasedJob, NewJob, Payload, QueueSize};
use serde::{Deserialize, Serialize};

use super::*;

on_both_engines![
    a_job_is_run_when_it_is_due_and_by_one,
    a_queue_has_one_job_for_each_key,
    a_lease_that_lapsed_counts_for_nothing,
    a_job_that_fails_is_tried_again_until_it_is_dead,
    jobs_of_unknown_queues_wait,
    instances_share_jobs,
    a_clock_that_was_wrong_postpones_nothing,
];

#[derive(Serialize, Deserialize)]
struct Letter(u64);

impl Payload for Letter {
    const QUEUE: &'static str = "letters";

    fn key(&self) -> String {
        self.0.to_string()
    }
}

const QUEUES: [&str; 2] = ["other", Letter::QUEUE];

async fn lease(ledger: &Ledger, now: Timestamp) -> Option<LeasedJob> {
    ledger.lease_job(&QUEUES, now, now.plus_seconds(60)).await.unwrap()
}

async fn add(ledger: &Ledger, letter: u64, due_at: Timestamp) -> bool {
    ledger.add_job(NewJob::new(&Letter(letter), due_at), NOW).await.unwrap()
}

fn sizes(due: i64, running: i64, dead: i64) -> Vec<QueueSize> {
    vec![QueueSize { queue: "letters".into(), due, running, dead }]
}

async fn a_job_is_run_when_it_is_due_and_by_one(database: Database) {
    let (ledger, later) = (database.ledger().await, NOW.plus_seconds(10));
    assert!(add(&ledger, 2, later).await && add(&ledger, 1, NOW).await);
    assert_eq!(ledger.job_sizes(NOW).await.unwrap(), sizes(1, 0, 0));
    let first = lease(&ledger, NOW).await.expect("it is due");
    assert_eq!((first.payload.as_str(), first.attempts), ("1", 0));
    assert_eq!(lease(&ledger, NOW).await, None);
    assert_eq!(ledger.job_sizes(NOW).await.unwrap(), sizes(0, 1, 0));
    assert!(ledger.end_job(&first, Ended::Done, NOW).await.unwrap());
    assert!(!ledger.end_job(&first, Ended::Done, NOW).await.unwrap(), "it is gone");
    let second = lease(&ledger, later).await.expect("it is due by then");
    assert_eq!(second.payload, "2");
    let again = Ended::Again { payload: "3".into(), due_at: later.plus_seconds(5) };
    assert!(ledger.end_job(&second, again, NOW).await.unwrap());
    assert_eq!(lease(&ledger, later).await, None);
    assert_eq!(lease(&ledger, later.plus_seconds(5)).await.map(|job| job.payload), Some("3".into()));
}

async fn a_queue_has_one_job_for_each_key(database: Database) {
    let ledger = database.ledger().await;
    assert!(add(&ledger, 1, NOW).await && !add(&ledger, 1, NOW.plus_seconds(-9)).await);
    let job = lease(&ledger, NOW).await.unwrap();
    assert!(!add(&ledger, 1, NOW).await, "also while it runs");
    ledger.end_job(&job, Ended::Done, NOW).await.unwrap();
    assert!(add(&ledger, 1, NOW).await);
}

async fn a_lease_that_lapsed_counts_for_nothing(database: Database) {
    let ledger = database.ledger().await;
    add(&ledger, 1, NOW).await;
    let slow = lease(&ledger, NOW).await.unwrap();
    assert!(ledger.renew_job(&slow, NOW, NOW.plus_seconds(90)).await.unwrap());
    assert_eq!(lease(&ledger, NOW.plus_seconds(89)).await, None, "it was renewed");
    let quick = lease(&ledger, NOW.plus_seconds(90)).await.expect("whoever ran it is dead, or slow");
    assert!(!ledger.renew_job(&slow, NOW, NOW.plus_seconds(500)).await.unwrap());
    assert!(!ledger.end_job(&slow, Ended::Done, NOW).await.unwrap());
    assert!(ledger.end_job(&quick, Ended::Done, NOW).await.unwrap());
    assert_eq!(ledger.job_sizes(NOW).await.unwrap(), vec![]);
}

async fn a_job_that_fails_is_tried_again_until_it_is_dead(database: Database) {
    let ledger = database.ledger().await;
    add(&ledger, 1, NOW).await;
    for attempts in 0..3 {
        let job = lease(&ledger, NOW).await.unwrap();
        assert_eq!(job.attempts, attempts);
        ledger.end_job(&job, Ended::Failed { error: "no luck".into(), due_at: NOW }, NOW).await.unwrap();
    }
    let job = lease(&ledger, NOW).await.unwrap();
    ledger.end_job(&job, Ended::Again { payload: "1".into(), due_at: NOW }, NOW).await.unwrap();
    let job = lease(&ledger, NOW).await.unwrap();
    assert_eq!(job.attempts, 0, "it went on meanwhile");
    ledger.end_job(&job, Ended::Dead { error: "no luck".into() }, NOW).await.unwrap();
    assert_eq!(lease(&ledger, NOW.plus_seconds(1 << 32)).await, None);
    assert_eq!(ledger.job_sizes(NOW).await.unwrap(), sizes(0, 0, 1));
    assert!(!add(&ledger, 1, NOW).await, "it stays for somebody to look at");
}

async fn jobs_of_unknown_queues_wait(database: Database) {
    let ledger = database.ledger().await;
    add(&ledger, 1, NOW).await;
    assert_eq!(ledger.lease_job(&["letter", "etters", "other"], NOW, NOW.plus_seconds(60)).await.unwrap(), None);
    assert!(lease(&ledger, NOW).await.is_some());
}

async fn instances_share_jobs(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    for letter in 0..40 {
        add(&one, letter, NOW).await;
    }
    let work = async |ledger: &Ledger| {
        let mut done = Vec::new();
        while let Some(job) = lease(ledger, NOW).await {
            assert!(ledger.end_job(&job, Ended::Done, NOW).await.unwrap());
            done.push(job.id);
        }
        done
    };
    let (a, b, c) = tokio::join!(work(&one), work(&other), work(&one));
    let mut done = [a, b, c].concat();
    done.sort_unstable();
    done.dedup();
    assert_eq!(done.len(), 40, "each once");
}

async fn a_clock_that_was_wrong_postpones_nothing(database: Database) {
    let ledger = database.ledger().await;
    let ahead = NOW.plus_seconds(365 * 86_400);
    assert!(ledger.add_job(NewJob::new(&Letter(1), ahead), ahead).await.unwrap());
    let job = lease(&ledger, NOW).await.expect("whoever noted it was a year ahead");
    let again = Ended::Again { payload: "1".into(), due_at: NOW.plus_seconds(365 * 86_400) };
    ledger.end_job(&job, again, NOW).await.unwrap();
    assert_eq!(lease(&ledger, NOW).await, None, "this one is meant to be due in a year");
}

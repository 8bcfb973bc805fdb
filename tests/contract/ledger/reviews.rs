//! Reviews and runs: what is withheld, judged beside commits, and forgotten.

use scoreboard::{
    domain::{
        audit::Act,
        job::PruneKeys,
        review::{Gain, Judgement, ReviewFilter, ReviewRule, ReviewState, Suspicion, Verdict},
        run::LONGEST_RUN,
    },
    repositories::ledger::{Judged, JudgedTogether},
};

use super::*;

on_both_engines![
    whatever_is_judged_beside_commits_the_fold_holds,
    what_is_withheld_is_told_to_nobody,
    a_receipt_is_made_again_as_it_was,
    a_gain_reaches_back_into_the_ledger,
    nothing_is_left_of_reviews_of_a_deleted_leaderboard,
    keys_of_runs_outlive_their_tokens,
    what_a_review_does_not_say_is_found,
];

fn act() -> Act {
    Act { at: Clock::system().now(), subject: "mod".into(), request_id: None }
}

async fn judge(ledger: &Ledger, event: Uuid, verdict: Verdict) -> JudgedTogether {
    ledger.judge(vec![Judgement { event_id: event, verdict, reason: "it had to be".into() }], act()).await.unwrap()
}

fn judged(together: &JudgedTogether) -> &Judged {
    together.judged[0].as_ref().unwrap()
}

/// A leaderboard `main` and an action `goal` that feeds it, of which these are suspicious.
async fn watched(ledger: &Ledger, operator: Operator, rule: ReviewRule) -> Board {
    let board = main_and_goal(ledger, operator, Order::Desc).await;
    let change = move |now: &scoreboard::domain::action::Action| ActionSettings { review: Some(rule), ..now.settings.clone() };
    ledger.update_action(&action_id("goal"), NOW, |_| Ok(()), change).await.unwrap();
    board
}

const ABOVE_10: ReviewRule = ReviewRule { above: Some(10), below: None, gain: None, new_user_seconds: 0 };

async fn rows(ledger: &Ledger, board: Board) -> Vec<(String, i64)> {
    let window = ledger.window(board, 1, 1000).await.unwrap();
    window.entries.into_iter().map(|entry| (entry.user_id.to_string(), entry.score)).collect()
}

async fn pending(ledger: &Ledger) -> Vec<Uuid> {
    let filter = ReviewFilter { state: ReviewState::Pending, leaderboard: None, before: None };
    let (cases, next) = ledger.reviews(&filter, 100, Clock::system().now()).await.unwrap();
    assert_eq!(next, None);
    cases.iter().map(|case| case.review.event_id).collect()
}

/// Scores and verdicts of two handles at once, on every operator: at the end the history adds up, and each entry is what its events
/// that count add up to.
async fn whatever_is_judged_beside_commits_the_fold_holds(database: Database) {
    for operator in [Operator::Best, Operator::Sum, Operator::Last] {
        let (one, other) = (database.ledger().await, database.connect().await);
        one.delete_leaderboard(&slug("main"), NOW).await.ok();
        one.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.ok();
        let board = watched(&one, operator, ABOVE_10).await;
        let mut withheld = Vec::new();
        for turn in 0..12 {
            withheld.push(accepted(commit_one(&one, goal(["ann", "bob", "cid"][turn % 3], 11 + turn as i64)).await).event_id);
        }
        let scoring = async {
            for turn in 0..60 {
                let user = ["ann", "bob", "cid"][turn % 3];
                accepted(commit_one(&one, goal(user, turn as i64 % 15)).await);
            }
        };
        let judging = async {
            for turn in 0..60 {
                let event = withheld[fastrand::usize(..withheld.len())];
                judge(&other, event, if turn % 3 == 0 { Verdict::Reject } else { Verdict::Approve }).await;
            }
        };
        tokio::join!(scoring, judging);
        assert_eq!(one.history_mismatches(board, 9).await.unwrap(), [] as [String; 0], "{operator:?}");
    }
}

async fn what_is_withheld_is_told_to_nobody(database: Database) {
    let ledger = database.ledger().await;
    let board = watched(&ledger, Operator::Sum, ABOVE_10).await;
    accepted(commit_one(&ledger, goal("ann", 5)).await);
    let batch = [goal("ann", 50), goal("new", 60)];
    let committed = commit(&ledger, &batch, &Clock::system()).await.unwrap();
    assert!(committed.changes.is_empty() && committed.outbox.is_none(), "{committed:?}");
    let events: Vec<Uuid> = committed.outcomes.iter().map(|outcome| outcome.accepted().unwrap().event_id).collect();
    assert_eq!(rows(&ledger, board).await, [("ann".to_owned(), 5)]);
    assert!(ledger.user(&user_id("new")).await.unwrap().is_none());
    assert_eq!(pending(&ledger).await, [events[1], events[0]]);
    let approved = judge(&ledger, events[1], Verdict::Approve).await;
    assert_eq!((approved.changes.len(), approved.outbox.len(), judged(&approved).entries.len()), (1, 1, 1));
    assert_eq!(rows(&ledger, board).await, [("new".to_owned(), 60), ("ann".to_owned(), 5)]);
    assert!(ledger.user(&user_id("new")).await.unwrap().is_some());
    // The sweeper would announce the very same.
    let stored = ledger.changes_between(board, &user_id("new"), 0, 2).await.unwrap();
    assert_eq!(stored, approved.changes);
    let again = judge(&ledger, events[1], Verdict::Approve).await;
    assert!(again.changes.is_empty() && again.outbox.is_empty() && judged(&again).entries.is_empty());
    assert_eq!(ledger.count_pending_reviews(10).await.unwrap(), 1);
    assert_eq!(ledger.history_mismatches(board, 9).await.unwrap(), [] as [String; 0]);
}

async fn a_receipt_is_made_again_as_it_was(database: Database) {
    let ledger = database.ledger().await;
    watched(&ledger, Operator::Sum, ABOVE_10).await;
    accepted(commit_one(&ledger, goal("ann", 5)).await);
    let first = accepted(commit_one(&ledger, keyed_goal("ann", 50, "k")).await);
    assert_eq!(
        first.tripped.iter().map(|trip| (trip.rule, trip.limit, trip.found)).collect::<Vec<_>>(),
        [(Suspicion::Above, 10, 50)]
    );
    for verdict in [None, Some(Verdict::Approve), Some(Verdict::Reject)] {
        if let Some(verdict) = verdict {
            judge(&ledger, first.event_id, verdict).await;
        }
        let (made, changes) = ledger.committed(vec![first.event_id]).await.unwrap();
        assert_eq!(made, [Accepted { receipt_batch: None, ..first.clone() }], "{verdict:?}");
        assert!(changes.is_empty());
    }
}

async fn a_gain_reaches_back_into_the_ledger(database: Database) {
    let ledger = database.ledger().await;
    let gain = Some(Gain { points: 10, per_seconds: 60 });
    watched(&ledger, Operator::Best, ReviewRule { gain, ..ReviewRule::default() }).await;
    let found = async |second: i64, user: &str, value: i64| {
        let clock = Clock::from_fn(move || NOW.plus_seconds(second));
        let mut committed = commit(&ledger, &[goal(user, value)], &clock).await.unwrap();
        accepted(committed.outcomes.remove(0)).tripped.first().map(|trip| trip.found)
    };
    assert_eq!(found(0, "ann", 6).await, None);
    assert_eq!(found(1, "ann", 4).await, None, "a submission that changes nothing gives points all the same");
    assert_eq!(found(2, "bob", 10).await, None);
    assert_eq!(found(3, "ann", 1).await, Some(11));
    assert_eq!(found(59, "ann", 2).await, Some(13));
    assert_eq!(found(60, "ann", 2).await, None, "what is as old as its time is over: 4 and 1 and 2 and 2 are left");
    assert_eq!(found(61, "ann", 6).await, Some(11));
}

async fn nothing_is_left_of_reviews_of_a_deleted_leaderboard(database: Database) {
    let ledger = database.ledger().await;
    watched(&ledger, Operator::Sum, ABOVE_10).await;
    for value in 20..25 {
        accepted(commit_one(&ledger, goal("ann", value)).await);
    }
    let filter = ReviewFilter { state: ReviewState::Pending, leaderboard: None, before: None };
    ledger.delete_leaderboard(&slug("main"), Clock::system().now()).await.unwrap();
    let (cases, next) = ledger.reviews(&filter, 2, Clock::system().now()).await.unwrap();
    assert!(cases.is_empty() && next.is_some(), "what is left out ends no list");
    assert_eq!(pending(&ledger).await, [] as [Uuid; 0]);
    let job = ledger.lease_job(&["sweep-leaderboard"], Timestamp(i64::MAX / 2), Timestamp(i64::MAX)).await.unwrap().unwrap();
    let mut left = Some(serde_json::from_str(&job.payload).unwrap());
    while let Some(from) = left {
        left = ledger.sweep_leaderboard(from, 2).await.unwrap();
    }
    // A null where none may be: refused, if there is any such row.
    for table in ["reviews", "withheld_events"] {
        database.execute(&format!("UPDATE installation SET id = NULL WHERE EXISTS (SELECT 1 FROM {table})")).await;
    }
}

async fn keys_of_runs_outlive_their_tokens(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let run = Submission { run: Some(NOW), ..keyed_goal("ann", 1, "run 0") };
    let clock = Clock::from_fn(|| NOW);
    commit(&ledger, &[run.clone(), keyed_goal("ann", 1, "plain")], &clock).await.unwrap();
    let prune = async |older_than: Timestamp| {
        let (mut forgotten, mut from) = (0, Some(PruneKeys::default()));
        while let Some(cursor) = from {
            let (pruned, next) = ledger.prune_idempotency_keys(older_than, cursor).await.unwrap();
            (forgotten, from) = (forgotten + pruned, next);
        }
        forgotten
    };
    assert_eq!(prune(NOW.plus_seconds(1)).await, 1, "the plain one");
    assert_eq!(prune(NOW.plus_seconds(LONGEST_RUN)).await, 0);
    let again = commit(&ledger, std::slice::from_ref(&run), &clock).await.unwrap().outcomes.remove(0);
    assert!(matches!(again, Settled::Replayed { .. }), "{again:?}");
    assert_eq!(prune(NOW.plus_seconds(LONGEST_RUN + 1)).await, 1);
    let late = Clock::from_fn(|| NOW.plus_seconds(LONGEST_RUN + 1));
    let expired = commit(&ledger, &[run], &late).await.unwrap().outcomes.remove(0);
    assert!(matches!(refusal(expired), Refusal::Run(_)), "whatever its action says");
}

async fn what_a_review_does_not_say_is_found(database: Database) {
    let ledger = database.ledger().await;
    let board = watched(&ledger, Operator::Sum, ABOVE_10).await;
    accepted(commit_one(&ledger, goal("ann", 50)).await);
    database.execute("DELETE FROM withheld_events").await;
    let found = ledger.history_mismatches(board, 9).await.unwrap();
    assert!(found.iter().any(|what| what.contains("review")), "{found:?}");
}

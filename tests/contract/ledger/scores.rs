//! A score counts exactly once, whoever submits it how often and to whichever instance.

use std::time::Duration;

use scoreboard::domain::{
    action::{ActionSettings, Limit},
    announcement::Announcement,
    ids::MAX_SCORE,
    leaderboard::{Operator, Order},
};
use tokio::task::JoinSet;

use super::*;

on_both_engines![
    a_batch_is_settled_in_order_and_announced_as_one,
    one_action_feeds_several_leaderboards,
    what_changes_nothing_leaves_the_entry_and_is_not_announced,
    a_score_never_leaves_the_exact_range,
    a_refused_submission_makes_no_user,
    a_key_counts_once,
    a_key_counts_once_however_many_instances_race,
    one_key_for_two_users_counts_for_one_of_them,
    keys_belong_to_their_subject,
    concurrent_commits_add_up,
    a_cooldown_and_a_limit_hold_across_instances,
    a_submission_that_the_database_refuses_spoils_nobody_else,
    a_repeat_is_answered_whatever_would_be_said_of_it_now,
    what_another_instance_wrote_is_past,
    a_limit_outlives_the_leaderboard_that_led,
    where_the_database_refuses_everything_nobody_is_blamed,
    a_lone_submission_that_the_database_refuses_is_refused,
];

async fn a_batch_is_settled_in_order_and_announced_as_one(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let batch = [goal("ann", 5), goal("bob", 9), goal("ann", -7), goal("ann", MAX_SCORE), goal("zoë", 0)];
    let committed = commit(&ledger, &batch, &Clock::system()).await.unwrap();
    let scores: Vec<_> =
        committed.changes.iter().map(|change| (change.user_id.as_str(), change.score, change.revision)).collect();
    let expected = [("ann", 5, 1), ("bob", 9, 1), ("ann", -2, 2), ("ann", MAX_SCORE - 2, 3), ("zoë", 0, 1)];
    assert_eq!(scores, expected.map(|(user, score, revision)| (user, Some(score), revision)));
    let due = claim(&ledger, Timestamp(i64::MAX / 2), 0, 10).await.unwrap();
    assert_eq!(due, [(committed.outbox.unwrap(), Some(Announcement::Scores { changes: committed.changes }))]);
    let window = ledger.window(board, 1, 10).await.unwrap();
    let shown: Vec<_> = window.entries.iter().map(|entry| (entry.rank, entry.user_id.as_str(), entry.score)).collect();
    assert_eq!(shown, [(1, "ann", MAX_SCORE - 2), (2, "bob", 9), (3, "zoë", 0)]);
}

async fn one_action_feeds_several_leaderboards(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let best = ledger.create_leaderboard(&slug("best"), &leaderboard_settings(Operator::Best, Order::Asc), NOW).await.unwrap();
    let feed = |now: &scoreboard::domain::action::Action| ActionSettings {
        leaderboards: vec![slug("best"), slug("gone"), slug("main")],
        ..now.settings.clone()
    };
    ledger.update_action(&action_id("goal"), NOW, |_| Ok(()), feed).await.unwrap();
    commit_one(&ledger, goal("ann", 5)).await;
    let standings = accepted(commit_one(&ledger, goal("ann", 6)).await).standings;
    let told: Vec<_> = standings.iter().map(|s| (s.leaderboard_id.as_str(), s.applied, s.new_score, s.revision)).collect();
    assert_eq!(told, [("best", false, 5, 1), ("main", true, 11, 2)]);
    assert_eq!(standings[0].board, best.board());
}

async fn what_changes_nothing_leaves_the_entry_and_is_not_announced(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Best, Order::Desc).await;
    let first = accepted(commit_one(&ledger, goal("ann", 5)).await);
    let committed = commit(&ledger, &[goal("ann", 5), goal("ann", 4)], &Clock::system()).await.unwrap();
    assert_eq!((committed.changes.len(), committed.outbox), (0, None));
    assert_eq!(ledger.window(board, 1, 1).await.unwrap().entries[0].at, first.at);
    assert_eq!(
        ledger.history(&user_id("ann"), None, None, 10, Readable::All, Projection::Public).await.unwrap().len(),
        3,
        "it is in the history all the same"
    );
}

async fn a_score_never_leaves_the_exact_range(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Asc).await;
    accepted(commit_one(&ledger, goal("ann", -MAX_SCORE)).await);
    assert_eq!(refusal(commit_one(&ledger, goal("ann", -1)).await), Refusal::ScoreOutOfRange(slug("main")));
    assert_eq!(accepted(commit_one(&ledger, goal("ann", 0)).await).standings[0].new_score, -MAX_SCORE);
}

async fn a_refused_submission_makes_no_user(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, keyed_goal("bob", 1, "k")).await);
    refusal(commit_one(&ledger, Submission { value: None, ..goal("ann", 1) }).await);
    refusal(commit_one(&ledger, Submission { action_id: action_id("none"), ..goal("ann", 1) }).await);
    assert_eq!(refusal(commit_one(&ledger, keyed_goal("ann", 2, "k")).await), Refusal::KeyReused);
    assert_eq!(ledger.user(&user_id("ann")).await.unwrap(), None);
    assert_eq!(ledger.user(&user_id("bob")).await.unwrap().unwrap().revision, 0);
}

async fn a_key_counts_once(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let board = main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let batch = [keyed_goal("ann", 5, "k"), keyed_goal("ann", 5, "k"), keyed_goal("ann", 6, "k")];
    let mut outcomes = commit(&one, &batch, &Clock::system()).await.unwrap().outcomes;
    outcomes.push(commit_one(&other, keyed_goal("ann", 5, "k")).await);
    outcomes.push(commit_one(&other, keyed_goal("ann", 6, "k")).await);
    let first = accepted(outcomes[0].clone()).event_id;
    for index in [1, 3] {
        assert!(matches!(outcomes[index], Settled::Replayed { event_id, .. } if event_id == first), "{index}");
    }
    for index in [2, 4] {
        assert!(matches!(outcomes[index], Settled::Refused(Refusal::KeyReused)), "{index}");
    }
    assert_eq!(one.window(board, 1, 1).await.unwrap().entries[0].score, 5);
}

async fn a_key_counts_once_however_many_instances_race(database: Database) {
    let handles = [database.ledger().await, database.connect().await, database.connect().await];
    let board = main_and_goal(&handles[0], Operator::Sum, Order::Desc).await;
    for round in 0..8 {
        let key = format!("k-{round}");
        let mut racing = JoinSet::new();
        for (turn, ledger) in (0..4).flat_map(|turn| handles.iter().map(move |ledger| (turn, ledger.clone()))) {
            let submission = keyed_goal("ann", 1 + turn % 2, &key);
            racing.spawn(async move { commit_one(&ledger, submission).await });
        }
        let outcomes = racing.join_all().await;
        let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Settled::Accepted(_))).count();
        let replayed = outcomes.iter().filter(|outcome| matches!(outcome, Settled::Replayed { .. })).count();
        let reused = outcomes.iter().filter(|outcome| matches!(outcome, Settled::Refused(Refusal::KeyReused))).count();
        assert_eq!((accepted, replayed, reused), (1, 5, 6), "of two bodies one counts once");
    }
    assert_eq!(handles[0].history(&user_id("ann"), None, None, 100, Readable::All, Projection::Public).await.unwrap().len(), 8);
    assert_eq!(handles[0].history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
}

async fn one_key_for_two_users_counts_for_one_of_them(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let board = main_and_goal(&one, Operator::Sum, Order::Desc).await;
    for round in 0..20 {
        let key = format!("k-{round}");
        // Neighbours in both batches: a race about one key must not lose them.
        let clock = Clock::system();
        let first = [goal("eve", 1), keyed_goal("ann", 1, &key)];
        let second = [keyed_goal("bob", 2, &key), goal("joe", 1)];
        let (a, b) = tokio::join!(commit(&one, &first, &clock), commit(&other, &second, &clock));
        let (a, b) = (a.unwrap().outcomes, b.unwrap().outcomes);
        let accepted = |outcome: &Settled| u8::from(matches!(outcome, Settled::Accepted(_)));
        assert_eq!(accepted(&a[1]) + accepted(&b[0]), 1, "round {round}");
        assert_eq!(accepted(&a[0]) + accepted(&b[1]), 2, "round {round}");
    }
    assert_eq!(one.history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
}

async fn keys_belong_to_their_subject(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, keyed_goal("ann", 1, "k")).await);
    let same_key = Submission { subject: "game-2".into(), ..keyed_goal("ann", 2, "k") };
    accepted(commit_one(&ledger, same_key).await);
}

async fn concurrent_commits_add_up(database: Database) {
    let handles = [database.ledger().await, database.connect().await, database.connect().await];
    let board = main_and_goal(&handles[0], Operator::Sum, Order::Desc).await;
    let users = ["ann", "bob", "宮本", "Zed", "eve", "joe", "kim"];
    let mut racing = JoinSet::new();
    for (index, ledger) in handles.iter().cycle().take(12).cloned().enumerate() {
        racing.spawn(async move {
            let clock = Clock::system();
            for round in 0..6 {
                // Every batch names its users in another order: what sorts them is the ledger.
                let batch: Vec<_> = (0..10).map(|n| goal(users[(n * (index + 1) + round) % users.len()], 1)).collect();
                let committed = commit(&ledger, &batch, &clock).await.unwrap();
                assert!(committed.outcomes.iter().all(|outcome| matches!(outcome, Settled::Accepted(_))));
            }
        });
    }
    racing.join_all().await;
    let window = handles[0].window(board, 1, 100).await.unwrap();
    assert_eq!(window.entries.iter().map(|entry| entry.score).sum::<i64>(), 12 * 6 * 10);
    assert_eq!(handles[0].history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
    assert_eq!(handles[0].outbox_len().await.unwrap(), 12 * 6, "one row for each batch");
}

async fn a_cooldown_and_a_limit_hold_across_instances(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let slow = ActionSettings { cooldown_seconds: 10, ..action_settings(&["main"]) };
    one.create_action(&action_id("slow"), &slow, NOW).await.unwrap();
    let few = ActionSettings { limit: Some(Limit { count: 2, per_seconds: 60 }), ..action_settings(&["main"]) };
    one.create_action(&action_id("few"), &few, NOW).await.unwrap();

    let at = |second: i64| Clock::from_fn(move || NOW.plus_seconds(second));
    let submit = async |ledger: &Ledger, action: &str, user: &str, second: i64| {
        let submission = Submission { action_id: action_id(action), ..goal(user, 1) };
        commit(ledger, &[submission], &at(second)).await.unwrap().outcomes.remove(0)
    };
    accepted(submit(&one, "slow", "ann", 0).await);
    assert_eq!(refusal(submit(&other, "slow", "ann", 9).await), Refusal::TooSoon { retry_after: 1 });
    accepted(submit(&other, "slow", "bob", 9).await);
    accepted(submit(&other, "slow", "ann", 10).await);

    accepted(submit(&one, "few", "ann", 20).await);
    accepted(submit(&other, "few", "ann", 30).await);
    assert_eq!(refusal(submit(&one, "few", "ann", 31).await), Refusal::TooSoon { retry_after: 49 });
    accepted(submit(&one, "few", "ann", 81).await);

    let mut racing = JoinSet::new();
    for ledger in [&one, &other, &one, &other, &one, &other] {
        let (ledger, clock) = (ledger.clone(), at(100));
        let submission = Submission { action_id: action_id("slow"), ..goal("eve", 1) };
        racing.spawn(async move { commit(&ledger, &[submission], &clock).await.unwrap().outcomes.remove(0) });
    }
    let taken = racing.join_all().await.into_iter().filter(|outcome| matches!(outcome, Settled::Accepted(_))).count();
    assert_eq!(taken, 1, "a newcomer's cooldown holds as well");
}

/// Whether or not keys are being looked up at the moment: what would be refused now was accepted then.
async fn a_repeat_is_answered_whatever_would_be_said_of_it_now(database: Database) {
    let (ledger, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let slow = ActionSettings { cooldown_seconds: 3600, ..action_settings(&["main"]) };
    ledger.create_action(&action_id("slow"), &slow, NOW).await.unwrap();
    let keyed = |key: &str| Submission { action_id: action_id("slow"), ..keyed_goal("ann", 1, key) };
    let first = accepted(commit_one(&ledger, keyed("k")).await).event_id;
    for ledger in [&ledger, &other] {
        for batch in [vec![keyed("k")], vec![goal("bob", 1), keyed("k"), keyed_goal("eve", 1, &Uuid::new_v4().to_string())]] {
            let at = batch.len() / 2;
            let outcome = commit(ledger, &batch, &Clock::system()).await.unwrap().outcomes.remove(at);
            assert!(matches!(outcome, Settled::Replayed { event_id, .. } if event_id == first), "{outcome:?}");
        }
    }
    assert_eq!(refusal(commit_one(&ledger, keyed("another")).await), Refusal::TooSoon { retry_after: 3600 });
}

/// An event of an instance whose clock is an hour ahead: what another instance commits then comes after it.
async fn what_another_instance_wrote_is_past(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let hour = Timestamp(Clock::system().now().0 + 3_600_000_000);
    let ahead = commit(&one, &[goal("ann", 1)], &Clock::over(move || hour)).await.unwrap().outcomes.remove(0);
    if !other.is_shared() {
        return assert_eq!(other.newest_time().await.unwrap(), Some(accepted(ahead).at), "told at the start");
    }
    let later = accepted(commit(&other, &[goal("bob", 1)], &Clock::system()).await.unwrap().outcomes.remove(0));
    assert!(later.at > accepted(ahead).at && later.at < hour.plus_seconds(60), "{}", later.at);
    assert_eq!(other.newest_time().await.unwrap(), Some(later.at));
}

/// Two leaderboards, and the history of the leading one is swept with it.
async fn a_limit_outlives_the_leaderboard_that_led(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    ledger.create_leaderboard(&slug("other"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    let daily = Limit { count: 1, per_seconds: 86_400 };
    let once_a_day = ActionSettings { limit: Some(daily), ..action_settings(&["main", "other"]) };
    ledger.create_action(&action_id("daily"), &once_a_day, NOW).await.unwrap();
    let daily = || Submission { action_id: action_id("daily"), ..goal("ann", 1) };
    accepted(commit_one(&ledger, daily()).await);
    ledger.delete_leaderboard(&slug("main"), Clock::system().now()).await.unwrap();
    let job = ledger.lease_job(&["sweep-leaderboard"], Timestamp(i64::MAX / 2), Timestamp(i64::MAX)).await.unwrap().unwrap();
    let mut left = Some(serde_json::from_str(&job.payload).unwrap());
    while let Some(from) = left {
        left = ledger.sweep_leaderboard(from, 100).await.unwrap();
    }
    assert_eq!(refusal(commit_one(&ledger, daily()).await), Refusal::TooSoon { retry_after: 86_400 });
}

/// Makes the database refuse some rows of the history, as a constraint that nobody thought of would.
async fn poison(database: &Database, ledger: &Ledger, condition: &str) {
    let sql = if ledger.engine() == "postgres" {
        raise("23514", "Prüfung verletzt: no space left on device", condition)
    } else {
        format!(
            "CREATE TABLE refused (never integer NOT NULL) STRICT; \
             CREATE TRIGGER poison BEFORE INSERT ON score_events WHEN {condition} BEGIN INSERT INTO refused VALUES (NULL); END"
        )
    };
    database.execute(&sql).await;
}

/// PostgreSQL only: makes the database answer rows of the history that meet the condition with an error.
fn raise(code: &str, message: &str, condition: &str) -> String {
    format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END $$; \
         CREATE TRIGGER poison BEFORE INSERT ON score_events FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    )
}

async fn a_submission_that_the_database_refuses_spoils_nobody_else(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    poison(&database, &ledger, "NEW.user_id = 'mal'").await;
    let batch = [goal("ann", 1), goal("mal", 2), goal("bob", 3), goal("ann", 4), goal("mal", 5), goal("eve", 6), goal("joe", 7)];
    let committed = commit(&ledger, &batch, &Clock::system()).await.unwrap();
    let kinds: Vec<_> = committed.outcomes.iter().map(|outcome| matches!(outcome, Settled::Accepted(_))).collect();
    assert_eq!(kinds, [true, false, true, true, false, true, true]);
    assert!(matches!(committed.outcomes[1], Settled::Refused(Refusal::Unstorable)));
    assert_eq!(committed.changes.len(), 5);
    assert_eq!(ledger.outbox_len().await.unwrap(), 1, "still one transaction");
    assert_eq!(ledger.window(board, 1, 10).await.unwrap().head.total, 4);
    assert_eq!(ledger.history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
}

async fn where_the_database_refuses_everything_nobody_is_blamed(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    poison(&database, &ledger, "NEW.delta > 0").await;
    let batch = [goal("ann", 1), goal("bob", 3), goal("eve", 4)];
    let clock = Clock::system();
    let commit = tokio::time::timeout(Duration::from_secs(20), commit(&ledger, &batch, &clock));
    assert!(commit.await.unwrap().is_err());
    assert_eq!(ledger.window(board, 1, 10).await.unwrap().head.total, 0);
}

/// `disk_full`, `out_of_memory`, `query_canceled`, an error of somebody's own trigger: in words that would mean something else. One of the
/// batch repeats a key, and so writes nothing and always succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_s_own_trouble_is_nobody_s_data() {
    for code in ["53100", "53200", "57014", "P0001"] {
        let database = Database::postgres().await;
        let ledger = database.ledger().await;
        main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
        accepted(commit_one(&ledger, keyed_goal("ann", 1, "k")).await);
        database.execute(&raise(code, "ungültige Byte-Sequenz", "NEW.delta > 0")).await;
        let batch = [goal("ann", 1), keyed_goal("ann", 1, "k"), goal("bob", 3), goal("eve", 4)];
        let refused = commit(&ledger, &batch, &Clock::system()).await;
        assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{code}");
        database.execute("DROP TRIGGER poison ON score_events").await;
        let committed = commit(&ledger, &batch, &Clock::system()).await.unwrap();
        assert!(committed.outcomes.iter().all(|outcome| !matches!(outcome, Settled::Refused(_))));
    }
}

/// One that is alone is judged like one among many: by its code, and by what the database takes beside it.
async fn a_lone_submission_that_the_database_refuses_is_refused(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    poison(&database, &ledger, "NEW.user_id = 'mal'").await;
    assert_eq!(refusal(commit_one(&ledger, goal("mal", 2)).await), Refusal::Unstorable);
}

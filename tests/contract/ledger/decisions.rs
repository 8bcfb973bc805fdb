//! Decisions: what counts and who is seen, beside commits, and taken back without a trace.

use std::collections::BTreeMap;

use scoreboard::{
    domain::{
        audit::Act,
        decision::{Adjustment, DecisionFilter, ErasedScores, Measure, NewDecision, Voided},
        entry::StoredEntry,
        settlement::event_id,
        submission::RequestKey,
    },
    repositories::ledger::{Decided, Moderated},
};
use serde_json::json;

use super::*;
use crate::contract::ranking::eventually;

on_both_engines![
    whatever_is_decided_beside_commits_the_fold_holds,
    what_is_taken_back_was_never_there,
    a_hidden_user_is_hidden_wherever_the_first_score_comes,
    after_a_ban_nothing_of_the_user_is_committed,
    a_decision_is_made_once,
    a_trial_leaves_nothing,
    what_nobody_was_told_is_told_to_nobody_later,
    nothing_is_left_of_decisions_about_a_deleted_leaderboard,
    what_was_to_be_announced_of_the_erased_is_forgotten,
    stored_answers_give_no_reason_that_names_the_erased,
];

fn new(measure: Measure) -> NewDecision {
    NewDecision { id: event_id(Clock::system().now()), measure, reason: "it had to be".into() }
}

fn act() -> Act {
    Act { at: Clock::system().now(), subject: "mod".into(), request_id: None }
}

fn hide(user: &str) -> Measure {
    Measure::Hide { user_id: user_id(user), leaderboard_id: None, until: None }
}

fn ban(user: &str) -> Measure {
    Measure::Ban { user_id: user_id(user), leaderboard_id: None, until: None, hide: false }
}

fn void(events: &[Uuid]) -> Measure {
    Measure::Void(Voided::Events { event_ids: events.to_vec() })
}

fn adjust(user: &str, adjustment: Adjustment) -> Measure {
    Measure::Adjust { user_id: user_id(user), leaderboard_id: slug("main"), season: None, adjustment }
}

async fn decide(ledger: &Ledger, measures: Vec<Measure>) -> Moderated {
    ledger.decide(measures.into_iter().map(new).collect(), act(), false).await.unwrap()
}

fn made(moderated: &Moderated) -> Vec<&Decided> {
    moderated.decided.iter().map(|decided| decided.as_ref().unwrap()).collect()
}

async fn rows(ledger: &Ledger, board: Board) -> Vec<(String, i64, Timestamp)> {
    let window = ledger.window(board, 1, 1000).await.unwrap();
    assert_eq!(window.head.total as usize, window.entries.len());
    window.entries.into_iter().map(|entry| (entry.user_id.to_string(), entry.score, entry.at)).collect()
}

/// Scores and decisions of two handles at once, on every operator: at the end the history adds up, and each entry is what its
/// events that count add up to.
async fn whatever_is_decided_beside_commits_the_fold_holds(database: Database) {
    for operator in [Operator::Best, Operator::Sum, Operator::Last] {
        let (one, other) = (database.ledger().await, database.connect().await);
        one.delete_leaderboard(&slug("main"), NOW).await.ok();
        one.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.ok();
        let board = main_and_goal(&one, operator, Order::Desc).await;
        let mut events = Vec::new();
        for user in ["ann", "bob", "cid"] {
            events.push(accepted(commit_one(&one, goal(user, 5)).await).event_id);
        }
        let scoring = async {
            let mut made = Vec::new();
            for step in 0..60 {
                let user = ["ann", "bob", "cid", "dan"][step % 4];
                // Many of them change nothing on `best`, and are events all the same.
                made.push(accepted(commit_one(&one, goal(user, fastrand::i64(0..40))).await).event_id);
            }
            made
        };
        let deciding = async {
            let mut open: Vec<Uuid> = Vec::new();
            for step in 0..40 {
                let user = ["ann", "bob", "cid"][step % 3];
                if fastrand::bool() && !open.is_empty() {
                    let back = open.swap_remove(fastrand::usize(..open.len()));
                    other.take_back(back, act(), false).await.unwrap();
                    continue;
                }
                let measure = match fastrand::u8(0..4) {
                    0 => hide(user),
                    1 => adjust(user, Adjustment::Points(fastrand::i64(-9..9))),
                    2 => adjust(user, Adjustment::Score(fastrand::i64(0..50))),
                    _ => void(&[events[fastrand::usize(..events.len())]]),
                };
                open.push(made(&decide(&other, vec![measure]).await)[0].decision.id);
            }
            open
        };
        let (more, open) = tokio::join!(scoring, deciding);
        let last = decide(&other, vec![void(&more[..10]), void(&more[5..30])]).await;
        assert_eq!(one.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
        let last = made(&last).into_iter().map(|made| made.decision.id);
        for id in open.into_iter().chain(last) {
            other.take_back(id, act(), false).await.unwrap();
        }
        assert_eq!(one.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
        let stored: Vec<StoredEntry> = one.entries_after(board, None, 9).await.unwrap();
        assert!(stored.iter().all(|entry| entry.score.is_some()), "{stored:?}");
    }
}

async fn what_is_taken_back_was_never_there(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Best, Order::Desc).await;
    let mut events = BTreeMap::new();
    for (user, value) in [("ann", 5), ("bob", 7), ("ann", 9), ("cid", 7), ("ann", 8)] {
        events.insert((user, value), accepted(commit_one(&ledger, goal(user, value)).await).event_id);
    }
    let before = rows(&ledger, board).await;
    let best = events[&("ann", 9)];
    let measures = vec![
        void(&[best]),
        void(&[best, events[&("bob", 7)]]),
        adjust("cid", Adjustment::Score(1)),
        hide("ann"),
        Measure::Hide { user_id: user_id("ann"), leaderboard_id: Some(slug("main")), until: None },
    ];
    let moderated = decide(&ledger, measures).await;
    let entries: Vec<_> = made(&moderated).iter().map(|made| made.decision.entries.len()).collect();
    assert_eq!(entries, [1, 1, 1, 1, 0], "each says what it changed");
    let shown: Vec<_> = rows(&ledger, board).await.into_iter().map(|(user, score, _)| (user, score)).collect();
    assert_eq!(shown, [("cid".to_owned(), 1)]);
    let mut ids: Vec<Uuid> = made(&moderated).iter().map(|made| made.decision.id).collect();
    ids.rotate_left(2);
    for id in ids {
        let taken = ledger.take_back(id, act(), false).await.unwrap();
        assert!(made(&taken)[0].decision.ended_at.is_some());
        assert_eq!(made(&ledger.take_back(id, act(), false).await.unwrap())[0].decision.entries, [], "once");
    }
    assert_eq!(rows(&ledger, board).await, before);
    assert_eq!(ledger.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
}

async fn a_hidden_user_is_hidden_wherever_the_first_score_comes(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let board = main_and_goal(&one, Operator::Sum, Order::Desc).await;
    one.create_leaderboard(&slug("second"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    one.create_action(&action_id("second"), &action_settings(&["second"]), NOW).await.unwrap();
    let second = one.definitions().await.unwrap().leaderboard("second").unwrap().board();
    for round in 0..20 {
        let user = format!("user-{round}");
        accepted(commit_one(&one, Submission { action_id: action_id("second"), ..goal(&user, 1) }).await);
        // The first score on `main` may come before or after.
        let (hidden, scored) = tokio::join!(decide(&other, vec![hide(&user)]), commit_one(&one, goal(&user, 3)));
        accepted(scored);
        assert!(rows(&one, board).await.is_empty() && rows(&one, second).await.is_empty(), "round {round}");
        let kept = one.hidden_entries(board, Some(&user_id(&user)), 9).await.unwrap();
        assert_eq!(kept.iter().map(|entry| entry.score).collect::<Vec<_>>(), [3]);
        other.take_back(made(&hidden)[0].decision.id, act(), false).await.unwrap();
        assert_eq!((rows(&one, board).await.len(), rows(&one, second).await.len()), (1, 1));
        decide(&other, vec![hide(&user)]).await;
    }
    assert_eq!(one.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
}

async fn after_a_ban_nothing_of_the_user_is_committed(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let board = main_and_goal(&one, Operator::Sum, Order::Desc).await;
    for round in 0..10 {
        let user = format!("user-{round}");
        accepted(commit_one(&one, goal(&user, 1)).await);
        let scoring = tokio::spawn({
            let (ledger, user) = (one.clone(), user.clone());
            async move {
                loop {
                    if let Settled::Refused(refusal) = commit_one(&ledger, goal(&user, 1)).await {
                        return refusal;
                    }
                }
            }
        });
        let score = async || rows(&other, board).await.into_iter().find(|row| row.0 == user).unwrap().1;
        eventually("scores are coming in", || async { (score().await > 1).then_some(()) }).await;
        decide(&other, vec![ban(&user)]).await;
        let then = score().await;
        assert_eq!(scoring.await.unwrap(), Refusal::Banned { until: None });
        assert_eq!(score().await, then, "a score came after the answer");
    }
}

async fn a_decision_is_made_once(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, goal("ann", 5)).await);
    let decision = new(adjust("ann", Adjustment::Points(2)));
    let decide = async || ledger.decide(vec![decision.clone()], act(), false).await.unwrap();
    let (one, other) = tokio::join!(decide(), decide());
    assert_eq!(made(&one)[0].decision, made(&other)[0].decision);
    assert_eq!(rows(&ledger, board).await[0].1, 7);
    let unknown = ledger.decide(vec![new(hide("nobody"))], act(), false).await.unwrap().decided.remove(0);
    assert!(matches!(unknown, Err(LedgerError::Invalid(setting)) if setting.field == "userId"));
}

async fn a_trial_leaves_nothing(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for (user, value) in [("ann", 5), ("bob", 7)] {
        accepted(commit_one(&ledger, goal(user, value)).await);
    }
    let (before, head) = (rows(&ledger, board).await, ledger.audit_head().await.unwrap());
    let measures = [adjust("ann", Adjustment::Points(3)), hide("bob")].into_iter().map(new).collect();
    let tried = ledger.decide(measures, act(), true).await.unwrap();
    let entry = &made(&tried)[0].decision.entries[0];
    assert_eq!((entry.previous_rank, entry.rank, entry.score), (Some(2), Some(1), Some(8)));
    assert_eq!(rows(&ledger, board).await, before);
    assert_eq!(ledger.audit_head().await.unwrap(), head);
    let all = ledger.decisions(&DecisionFilter::default(), Clock::system().now(), 9).await.unwrap();
    assert_eq!(all, []);
}

async fn what_nobody_was_told_is_told_to_nobody_later(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, goal("ann", 5)).await);
    let hidden = decide(&ledger, vec![hide("ann")]).await;
    accepted(commit_one(&ledger, goal("ann", 2)).await);
    decide(&ledger, vec![adjust("ann", Adjustment::Points(1))]).await;
    ledger.take_back(made(&hidden)[0].decision.id, act(), false).await.unwrap();
    let changes = ledger.changes_between(board, &user_id("ann"), 0, 6).await.unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.revision, change.score, change.is_silent())).collect();
    assert_eq!(told, [(1, Some(5), false), (2, None, false), (3, None, true), (4, None, true), (5, Some(8), false)]);
    assert!(changes[4].event.contains("\"cause\":\"unhide\"") && changes[4].event.contains("\"previousScore\":null"));
    let pending = claim(&ledger, Timestamp(i64::MAX / 2), 0, 99).await.unwrap();
    let silent =
        pending.iter().filter_map(|(_, row)| if let Some(Announcement::Scores { changes }) = row { Some(changes) } else { None });
    assert_eq!(silent.flatten().filter(|change| change.is_silent()).count(), 2);
}

async fn nothing_is_left_of_decisions_about_a_deleted_leaderboard(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    ledger.create_leaderboard(&slug("kept"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    ledger.create_action(&action_id("both"), &action_settings(&["main", "kept"]), NOW).await.unwrap();
    let kept = ledger.definitions().await.unwrap().leaderboard("kept").unwrap().board();
    let on_main = accepted(commit_one(&ledger, goal("ann", 5)).await).event_id;
    let on_both = accepted(commit_one(&ledger, Submission { action_id: action_id("both"), ..goal("ann", 1) }).await).event_id;
    let hides = Measure::Hide { user_id: user_id("ann"), leaderboard_id: Some(slug("main")), until: None };
    let decided = decide(&ledger, vec![hides, void(&[on_main, on_both])]).await;
    accepted(commit_one(&ledger, goal("ann", 7)).await);
    ledger.delete_leaderboard(&slug("main"), Clock::system().now()).await.unwrap();
    let job = ledger.lease_job(&["sweep-leaderboard"], Timestamp(i64::MAX / 2), Timestamp(i64::MAX)).await.unwrap().unwrap();
    let mut left = Some(serde_json::from_str(&job.payload).unwrap());
    while let Some(from) = left {
        left = ledger.sweep_leaderboard(from, 2).await.unwrap();
    }
    // A null where none may be: refused, if there is any such row.
    let none = async |rows: &str| database.execute(&format!("UPDATE installation SET id = NULL WHERE EXISTS ({rows})")).await;
    for table in ["sanctions", "silent_events"] {
        none(&format!("SELECT 1 FROM {table}")).await;
    }
    none("SELECT 1 FROM withheld_events w WHERE NOT EXISTS (SELECT 1 FROM score_events h WHERE h.event_id = w.event_id)").await;
    assert_eq!(rows(&ledger, kept).await, [], "what was voided on both is voided still");
    for made in made(&decided) {
        ledger.take_back(made.decision.id, act(), false).await.unwrap();
    }
    assert_eq!(rows(&ledger, kept).await.len(), 1);
}

/// What is left unannounced of somebody who is erased is about an entry that is a pseudonym's: no ranking could ever take it, and nothing
/// behind it would be announced.
async fn what_was_to_be_announced_of_the_erased_is_forgotten(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for user in ["ann", "bob"] {
        accepted(commit_one(&ledger, goal(user, 5)).await);
        decide(&ledger, vec![adjust(user, Adjustment::Points(1))]).await;
        decide(&ledger, vec![Measure::Rename { user_id: user_id(user), display_name: Some(format!("{user} the first")) }]).await;
    }
    decide(&ledger, vec![adjust("ann", Adjustment::Points(1)), adjust("bob", Adjustment::Points(1))]).await;
    let said = async || format!("{:?}", claim(&ledger, Timestamp(i64::MAX / 2), 0, 99).await.unwrap());
    assert!(said().await.contains("ann the first"));
    decide(&ledger, vec![Measure::Erase { user_id: user_id("ann"), scores: ErasedScores::Keep }]).await;
    let later = claim(&ledger, Timestamp(i64::MAX / 2).plus_seconds(60), 0, 99).await.unwrap();
    let left = format!("{later:?}");
    assert!(!left.contains("\"ann") && left.contains("Erase"), "{left}");
    let of_bob = later.iter().filter_map(|(_, row)| match row {
        Some(Announcement::Scores { changes }) => Some(changes.iter().filter(|change| change.user_id == user_id("bob")).count()),
        Some(Announcement::Rename { user_id: renamed, .. }) => Some(usize::from(*renamed == user_id("bob"))),
        _ => None,
    });
    assert_eq!(of_bob.sum::<usize>(), 4, "{left}");
}

async fn stored_answers_give_no_reason_that_names_the_erased(database: Database) {
    let ledger = database.ledger().await;
    let now = Clock::system().now();
    let named = "the \"fox\" 100%_";
    let answers = [
        (json!({ "verdicts": [{ "reason": format!("as {named} did") }] }), true),
        (json!({ "decisions": [{ "userId": "bob", "decision": { "reason": "ann!" } }] }), true),
        (json!({ "verdicts": [{ "reason": "banned, like annabel" }] }), false),
        (json!({ "verdicts": [{ "reason": "the fox", "ann": named }] }), false),
        (json!({ "name": "ann", "season": 2 }), false),
    ];
    let key = |number: usize| RequestKey { subject: "mod".into(), key: format!("k-{number}"), fingerprint: [1; 32] };
    for (number, (answer, _)) in answers.iter().enumerate() {
        assert_eq!(ledger.begin_request(&key(number), now).await.unwrap(), None);
        ledger.answer_request(&key(number), answer.to_string()).await.unwrap();
    }
    let scrub = async |until| ledger.scrub_reasons(user_id("ann"), vec![named.into()], until).await.unwrap();
    scrub(event_id(now.plus_seconds(-1))).await;
    assert!(ledger.begin_request(&key(0), now).await.unwrap().is_some(), "what came later is of another user");
    scrub(event_id(now.plus_seconds(1))).await;
    for (number, (answer, goes)) in answers.iter().enumerate() {
        // Empty, and not missing: then the request would be carried out again.
        let left = if *goes { String::new() } else { answer.to_string() };
        assert_eq!(ledger.begin_request(&key(number), now).await.unwrap(), Some(left), "{answer}");
    }
    let about = [json!({ "userId": "ann", "score": 1 }), json!({ "userId": "ANN" })];
    for (number, answer) in about.iter().enumerate() {
        ledger.begin_request(&key(10 + number), now).await.unwrap();
        ledger.answer_request(&key(10 + number), answer.to_string()).await.unwrap();
    }
    ledger.scrub_answers(&user_id("ann"), &user_id("erased-1"), event_id(now.plus_seconds(1))).await.unwrap();
    assert_eq!(ledger.begin_request(&key(10), now).await.unwrap(), Some(String::new()));
    assert_eq!(ledger.begin_request(&key(11), now).await.unwrap(), Some(about[1].to_string()), "of another user");
}

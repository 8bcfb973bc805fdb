//! Definitions are what every commit obeys from the moment they change.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use scoreboard::{
    domain::{
        action::{Action, ActionSettings, Limit, Points},
        announcement::Announcement,
        ids::Noun,
        job::{Payload, SweepLeaderboard},
        leaderboard::{LeaderboardSettings, Operator, Order},
        schedule::ResetSchedule,
        submission::{Refusal, Settled},
        time::Clock,
    },
    repositories::ledger::LedgerError,
};

use super::*;

on_both_engines![
    a_change_is_read_by_itself,
    a_change_costs_the_same_among_thousands,
    a_definition_is_read_back_as_it_was_written,
    a_taken_id_is_refused,
    what_is_not_there_is_not_found,
    every_change_grows_the_revision_and_no_change_does_not,
    another_handle_obeys_a_freeze_at_once,
    another_handle_obeys_a_changed_action_at_once,
    a_leaderboard_made_anew_starts_from_nothing,
    what_a_deletion_leaves_is_swept_bite_by_bite,
    order_and_operator_stay_once_there_are_scores,
    a_turned_order_and_a_first_score_never_slip_past_each_other,
    the_default_leaderboard_is_made_once_and_not_again,
];

async fn a_definition_is_read_back_as_it_was_written(database: Database) {
    let ledger = database.ledger().await;
    let settings = LeaderboardSettings {
        reset_schedule: Some(weekly()),
        timezone: "Europe/Prague".into(),
        ..leaderboard_settings(Operator::Best, Order::Asc)
    };
    let made = ledger.create_leaderboard(&slug("laps"), &settings, NOW).await.unwrap();
    let mut actions = vec![];
    for (id, points, limit) in [
        ("fixed", Points::Fixed(-3), None),
        ("range", Points::Range { min: -5, max: 7 }, Some(Limit { count: 5, per_seconds: 60 })),
    ] {
        let settings = ActionSettings {
            points,
            limit,
            cooldown_seconds: 9,
            self_service: true,
            enabled: false,
            ..action_settings(&["z", "laps", "a"])
        };
        actions.push(ledger.create_action(&action_id(id), &settings, NOW).await.unwrap());
    }
    let definitions = ledger.definitions().await.unwrap();
    assert_eq!(leaderboard(&definitions, "laps"), &made);
    assert_eq!((made.settings, made.season, made.revision), (settings, 1, 1));
    for action in actions {
        assert_eq!(definitions.action(action.id.as_str()), Some(&action));
    }
    assert_eq!(definitions.revision, ledger.definitions_revision().await.unwrap());
}

async fn a_taken_id_is_refused(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let again = ledger.create_leaderboard(&slug("main"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await;
    assert_eq!(again.unwrap_err(), LedgerError::Taken);
    let again = ledger.create_action(&action_id("goal"), &action_settings(&[]), NOW).await;
    assert_eq!(again.unwrap_err(), LedgerError::Taken);
}

async fn what_is_not_there_is_not_found(database: Database) {
    let ledger = database.ledger().await;
    let (id, action) = (slug("none"), action_id("none"));
    assert_eq!(
        ledger.update_leaderboard(&id, NOW, |now| Ok(now.settings.clone())).await.unwrap_err(),
        LedgerError::NotFound(Noun::Leaderboard)
    );
    assert_eq!(ledger.delete_leaderboard(&id, NOW).await.unwrap_err(), LedgerError::NotFound(Noun::Leaderboard));
    assert_eq!(
        ledger.update_action(&action, NOW, |_| Ok(()), |now| now.settings.clone()).await.unwrap_err(),
        LedgerError::NotFound(Noun::Action)
    );
    assert_eq!(ledger.delete_action(&action, NOW, |_| Ok(())).await.unwrap_err(), LedgerError::NotFound(Noun::Action));
    assert_eq!(ledger.definitions_revision().await.unwrap(), 0, "what fails changes nothing");
}

async fn every_change_grows_the_revision_and_no_change_does_not(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let before = ledger.definitions_revision().await.unwrap();
    let same = ledger.update_leaderboard(&slug("main"), NOW, |now| Ok(now.settings.clone())).await.unwrap();
    assert!(same.outbox.is_none());
    ledger.update_action(&action_id("goal"), NOW, |_| Ok(()), |now| now.settings.clone()).await.unwrap();
    let no = |_: &Action| Err(LedgerError::Forbidden("no".into()));
    let refused = Err(LedgerError::Forbidden("no".into()));
    let off = |now: &Action| ActionSettings { enabled: false, ..now.settings.clone() };
    assert_eq!(ledger.update_action(&action_id("goal"), NOW, no, off).await.map(drop), refused);
    assert_eq!(ledger.delete_action(&action_id("goal"), NOW, no).await, refused);
    assert_eq!((ledger.definitions_revision().await.unwrap(), ledger.outbox_len().await.unwrap()), (before, 0));

    let rename = |now: &Leaderboard| Ok(LeaderboardSettings { name: "Other".into(), ..now.settings.clone() });
    let renamed = ledger.update_leaderboard(&slug("main"), NOW.plus_seconds(1), rename).await.unwrap();
    assert_eq!((renamed.value.revision, renamed.value.updated_at), (2, NOW.plus_seconds(1)));
    assert_eq!(ledger.definitions_revision().await.unwrap(), before + 1);
    let (id, announcement) = renamed.outbox.unwrap();
    let due = claim(&ledger, NOW.plus_seconds(9), 0, 10).await.unwrap();
    assert_eq!(due, [(id, Some(announcement))], "what is announced is what the outbox holds");

    let gone = ledger.delete_leaderboard(&slug("main"), NOW).await.unwrap();
    let Some((_, Announcement::Definition(change))) = gone.outbox else { panic!("not announced") };
    assert_eq!((change.deleted, change.revision), (true, 3));
    ledger.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.unwrap();
    assert_eq!(ledger.definitions_revision().await.unwrap(), before + 3);
}

async fn another_handle_obeys_a_freeze_at_once(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&other, goal("ann", 1)).await);
    let closed = |closed| move |now: &Leaderboard| Ok(LeaderboardSettings { closed, ..now.settings.clone() });
    one.update_leaderboard(&slug("main"), NOW, closed(true)).await.unwrap();
    assert_eq!(refusal(commit_one(&other, goal("ann", 1)).await), Refusal::Closed(slug("main")));
    one.update_leaderboard(&slug("main"), NOW, closed(false)).await.unwrap();
    accepted(commit_one(&other, goal("ann", 1)).await);
}

async fn another_handle_obeys_a_changed_action_at_once(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let committed = commit(&other, &[goal("ann", 5)], &Clock::system()).await.unwrap();
    assert_eq!(committed.definitions_revision, one.definitions_revision().await.unwrap());
    let fixed = |now: &scoreboard::domain::action::Action| ActionSettings { points: Points::Fixed(7), ..now.settings.clone() };
    one.update_action(&action_id("goal"), NOW, |_| Ok(()), fixed).await.unwrap();
    let without_value = Submission { value: None, ..goal("ann", 0) };
    assert_eq!(accepted(commit_one(&other, without_value).await).standings[0].new_score, 12);
    one.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.unwrap();
    assert_eq!(refusal(commit_one(&other, goal("ann", 5)).await), Refusal::UnknownAction);
}

async fn a_leaderboard_made_anew_starts_from_nothing(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let old = main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let told = accepted(commit_one(&other, goal("ann", 5)).await);
    one.delete_leaderboard(&slug("main"), NOW).await.unwrap();
    assert_eq!(refusal(commit_one(&other, goal("ann", 5)).await), Refusal::NoLeaderboard);
    assert_eq!(other.history(&user_id("ann"), None, None, 10, Readable::All, Projection::Public).await.unwrap(), []);
    assert_eq!(other.committed(vec![told.event_id]).await.unwrap(), (vec![], vec![]));

    let settings = leaderboard_settings(Operator::Sum, Order::Asc);
    let new = one.create_leaderboard(&slug("main"), &settings, NOW).await.unwrap();
    assert!(new.pk > old.pk, "an incarnation is never reused");
    let standing = accepted(commit_one(&other, goal("ann", 7)).await).standings.remove(0);
    assert_eq!((standing.previous_score, standing.new_score, standing.revision), (None, 7, 1));
    assert_eq!(
        one.history(&user_id("ann"), Some(&slug("main")), None, 10, Readable::All, Projection::Public).await.unwrap().len(),
        1
    );
    assert_eq!(one.window(new.board(), 1, 10).await.unwrap().head.total, 1);
}

async fn what_a_deletion_leaves_is_swept_bite_by_bite(database: Database) {
    let ledger = database.ledger().await;
    let made = Clock::system().now();
    for id in ["kept", "gone"] {
        ledger.create_leaderboard(&slug(id), &leaderboard_settings(Operator::Sum, Order::Desc), made).await.unwrap();
    }
    ledger.create_action(&action_id("goal"), &action_settings(&["gone", "kept"]), made).await.unwrap();
    let boards: Vec<_> = ledger.definitions().await.unwrap().leaderboards().map(Leaderboard::board).collect();
    let batch: Vec<_> = (0..30).map(|n| goal(&format!("u-{}", n % 11), 1)).collect();
    commit(&ledger, &batch, &Clock::system()).await.unwrap();
    let leased = async || ledger.lease_job(&[SweepLeaderboard::QUEUE], made, made.plus_seconds(60)).await.unwrap();
    assert_eq!(leased().await, None);
    ledger.delete_leaderboard(&slug("gone"), made).await.unwrap();
    let job = leased().await.expect("the deletion notes a job");
    let (mut bites, mut left) = (0, Some(serde_json::from_str::<SweepLeaderboard>(&job.payload).unwrap()));
    while let Some(from) = left {
        left = ledger.sweep_leaderboard(from, 4).await.unwrap();
        bites += 1;
    }
    assert!(bites > 10, "{bites}");
    let mut left = vec![];
    for board in boards {
        left.push(ledger.window(board, 1, 1).await.unwrap().head.total);
        assert_eq!(ledger.history_mismatches(board, 1).await.unwrap(), Vec::<String>::new());
    }
    left.sort();
    assert_eq!(left, [0, 11]);
    let history = ledger.history(&user_id("u-0"), None, None, 100, Readable::All, Projection::Public).await.unwrap();
    assert_eq!(history.iter().map(|event| event.standings.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

async fn order_and_operator_stay_once_there_are_scores(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let order = |order| move |now: &Leaderboard| Ok(LeaderboardSettings { order, ..now.settings.clone() });
    let operator = |now: &Leaderboard| Ok(LeaderboardSettings { operator: Operator::Last, ..now.settings.clone() });
    ledger.update_leaderboard(&slug("main"), NOW, order(Order::Asc)).await.unwrap();
    accepted(commit_one(&ledger, goal("ann", 0)).await);
    let revision = ledger.definitions_revision().await.unwrap();
    let refused = ledger.update_leaderboard(&slug("main"), NOW, order(Order::Desc)).await.unwrap_err();
    assert_eq!(refused, LedgerError::Conflict("order"));
    let refused = ledger.update_leaderboard(&slug("main"), NOW, operator).await.unwrap_err();
    assert_eq!(refused, LedgerError::Conflict("operator"));
    assert_eq!(ledger.definitions_revision().await.unwrap(), revision);
}

async fn a_turned_order_and_a_first_score_never_slip_past_each_other(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    for round in 0..25 {
        let id = slug(&format!("board-{round}"));
        let made = one.create_leaderboard(&id, &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
        let action = action_id(&format!("act-{round}"));
        one.create_action(&action, &action_settings(&[id.as_str()]), NOW).await.unwrap();
        let turn = |now: &Leaderboard| Ok(LeaderboardSettings { order: Order::Asc, ..now.settings.clone() });
        let first = Submission { action_id: action, ..goal("ann", 5) };
        let (turned, outcome) = tokio::join!(one.update_leaderboard(&id, NOW, turn), commit_one(&other, first));
        let settled_by = accepted(outcome).standings[0].board.order;
        let order = if turned.is_ok() { Order::Asc } else { Order::Desc };
        assert_eq!(settled_by, order, "round {round}: settled by an order that the leaderboard does not have");
        let board = Board { order, ..made.board() };
        assert_eq!(one.history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
    }
}

async fn the_default_leaderboard_is_made_once_and_not_again(database: Database) {
    let ledger = database.ledger().await;
    let settings = leaderboard_settings(Operator::Sum, Order::Desc);
    let other = database.connect().await;
    let id = slug("main");
    let (a, b) = tokio::join!(
        ledger.ensure_default_leaderboard(&id, &settings, NOW),
        other.ensure_default_leaderboard(&id, &settings, NOW)
    );
    assert_eq!(u8::from(a.unwrap().is_some()) + u8::from(b.unwrap().is_some()), 1);
    ledger.delete_leaderboard(&id, NOW).await.unwrap();
    assert_eq!(ledger.ensure_default_leaderboard(&id, &settings, NOW).await.unwrap(), None);
    assert!(matches!(commit_one(&ledger, goal("ann", 1)).await, Settled::Refused(_)));
}

/// Everything that may be asked of definitions, in an order of its own.
fn told(definitions: &Definitions) -> (i64, Vec<Leaderboard>, Vec<Action>) {
    let mut leaderboards: Vec<_> = definitions.leaderboards().cloned().collect();
    leaderboards.sort_by_key(|leaderboard| leaderboard.pk);
    assert!(leaderboards.iter().all(|one| definitions.leaderboard_by_pk(one.pk) == Some(one)));
    let mut actions: Vec<_> = definitions.actions().cloned().collect();
    actions.sort_by(|one, other| one.id.cmp(&other.id));
    (definitions.revision, leaderboards, actions)
}

async fn a_change_is_read_by_itself(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let mut known = Arc::new(other.definitions().await.unwrap());
    let settings = leaderboard_settings(Operator::Sum, Order::Desc);
    for step in 0..8 {
        match step {
            0 => drop(one.create_leaderboard(&slug("main"), &settings, NOW).await.unwrap()),
            1 => drop(one.create_action(&action_id("goal"), &action_settings(&["main"]), NOW).await.unwrap()),
            2 => drop(
                one.update_leaderboard(&slug("main"), NOW, |now| {
                    Ok(LeaderboardSettings { closed: true, ..now.settings.clone() })
                })
                .await,
            ),
            3 => drop(one.create_leaderboard(&slug("other"), &settings, NOW).await.unwrap()),
            4 => {
                let feed = |now: &Action| ActionSettings { leaderboards: vec![slug("other")], ..now.settings.clone() };
                one.update_action(&action_id("goal"), NOW, |_| Ok(()), feed).await.unwrap();
            }
            // Several at once, one of them made anew.
            5 => {
                one.delete_leaderboard(&slug("main"), NOW).await.unwrap();
                one.create_leaderboard(&slug("main"), &settings, NOW).await.unwrap();
                one.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.unwrap();
            }
            // A release that notes nothing was here.
            6 => database.execute("UPDATE installation SET definitions_revision = definitions_revision + 1").await,
            _ => drop(one.delete_leaderboard(&slug("other"), NOW).await.unwrap()),
        }
        let since = other.definitions_since(&known).await.unwrap();
        assert_eq!(told(&since), told(&one.definitions().await.unwrap()), "step {step}");
        assert_ne!(since.revision, known.revision);
        known = Arc::new(since);
    }
    assert_eq!(told(&other.definitions_since(&known).await.unwrap()), told(&known), "nothing has changed");
    // The ledger was set back, and has come further since in another way.
    let past = Arc::new(Definitions::clone(&known).at(known.revision, Some(4711)));
    one.create_leaderboard(&slug("another"), &settings, NOW).await.unwrap();
    let stale = {
        let mut stale = Definitions::clone(&past);
        stale.remove_leaderboard(&slug("main"));
        Arc::new(stale)
    };
    assert_eq!(told(&other.definitions_since(&stale).await.unwrap()), told(&one.definitions().await.unwrap()));
    known = Arc::new(one.definitions().await.unwrap());
    let later = Arc::new(Definitions::clone(&known).at(known.revision + 5, known.stamp));
    assert_eq!(told(&other.definitions_since(&later).await.unwrap()), told(&known), "the ledger was set back");
}

async fn a_change_costs_the_same_among_thousands(database: Database) {
    let ledger = database.ledger().await;
    let settings = leaderboard_settings(Operator::Sum, Order::Desc);
    let mut costs = Vec::new();
    for (from, to) in [(0, 10), (10, 3_000)] {
        for number in from..to {
            ledger.create_leaderboard(&slug(&format!("board-{number}")), &settings, NOW).await.unwrap();
        }
        let mut known = Arc::new(ledger.definitions().await.unwrap());
        let mut fastest = Duration::MAX;
        for round in 0..20 {
            let name = format!("round {round}");
            let change = move |now: &Leaderboard| Ok(LeaderboardSettings { name, ..now.settings.clone() });
            ledger.update_leaderboard(&slug("board-3"), NOW, change).await.unwrap();
            let begun = Instant::now();
            known = Arc::new(ledger.definitions_since(&known).await.unwrap());
            fastest = fastest.min(begun.elapsed());
        }
        assert_eq!(known.leaderboard("board-3").unwrap().settings.name, "round 19");
        costs.push(fastest);
    }
    assert!(costs[1] < costs[0] * 3 + Duration::from_millis(1), "{costs:?}");
}

fn weekly() -> ResetSchedule {
    ResetSchedule::from_json(&serde_json::json!({ "cron": "0 0 * * MON" })).unwrap()
}

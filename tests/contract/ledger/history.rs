//! The history tells every accepted submission, and adds up.

use scoreboard::domain::action::{Action, ActionSettings};
use serde_json::json;

use super::*;

on_both_engines![
    a_submission_is_told_as_it_was_settled,
    pages_follow_each_other_without_gap_or_repeat,
    a_history_that_does_not_add_up_is_found,
];

async fn a_submission_is_told_as_it_was_settled(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    ledger.create_leaderboard(&slug("best"), &leaderboard_settings(Operator::Best, Order::Desc), NOW).await.unwrap();
    let feed = |now: &Action| ActionSettings { leaderboards: vec![slug("main"), slug("best")], ..now.settings.clone() };
    ledger.update_action(&action_id("goal"), NOW, feed).await.unwrap();
    let metadata = json!({"match": "m-9", "odd": "\u{0} '\" \\ 🎯"}).as_object().cloned();
    let submission = Submission { metadata: metadata.clone(), ..goal("ann", 5) };
    let told = accepted(commit_one(&ledger, submission.clone()).await);
    assert_eq!(ledger.accepted(told.event_id).await.unwrap().as_ref(), Some(&told));
    assert_eq!(ledger.accepted(Uuid::now_v7()).await.unwrap(), None);

    let history = ledger.history(&user_id("ann"), None, None, 10).await.unwrap();
    let event = &history[0];
    assert_eq!((history.len(), event.event_id, event.at), (1, told.event_id, told.at));
    assert_eq!((&event.metadata, event.value), (&metadata, Some(5)));
    let fed: Vec<_> =
        event.standings.iter().map(|s| (s.leaderboard_id.as_str(), s.previous_score, s.new_score, s.delta)).collect();
    assert_eq!(fed, [("main", None, 5, 5), ("best", None, 5, 5)]);
    let filtered = ledger.history(&user_id("ann"), Some(&slug("best")), None, 10).await.unwrap();
    assert_eq!((filtered.len(), &filtered[0].metadata), (1, &metadata));
    let fed: Vec<_> = filtered[0].standings.iter().map(|standing| standing.leaderboard_id.as_str()).collect();
    assert_eq!(fed, ["best", "main"], "the one asked for first");
    assert_eq!(ledger.history(&user_id("ann"), Some(&slug("none")), None, 10).await.unwrap(), []);
    assert_eq!(ledger.history(&user_id("bob"), None, None, 10).await.unwrap(), []);
}

async fn pages_follow_each_other_without_gap_or_repeat(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    ledger.create_leaderboard(&slug("other"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    ledger.create_action(&action_id("two"), &action_settings(&["main", "other"]), NOW).await.unwrap();
    let batch: Vec<_> = (0..23)
        .map(|n| Submission { action_id: action_id(["goal", "two"][n % 2]), ..goal(["ann", "bob"][n % 3 / 2], 1) })
        .collect();
    let outcomes = commit(&ledger, &batch, &Clock::system()).await.unwrap().outcomes;
    let events: Vec<_> = outcomes.into_iter().map(accepted).collect();
    for (filter, feeds) in [(None, ["goal", "two"].as_slice()), (Some(slug("other")), &["two"])] {
        let mut expected: Vec<_> =
            events.iter().filter(|s| s.user_id.as_str() == "ann" && feeds.contains(&s.action_id.as_str())).collect();
        expected.sort_by_key(|event| std::cmp::Reverse(event.event_id));
        let (mut pages, mut before) = (vec![], None);
        loop {
            let page = ledger.history(&user_id("ann"), filter.as_ref(), before, 4).await.unwrap();
            assert!(page.len() <= 4);
            let Some(last) = page.last() else { break };
            before = Some(last.event_id);
            pages.extend(page.iter().map(|event| event.event_id));
        }
        assert_eq!(pages, expected.iter().map(|event| event.event_id).collect::<Vec<_>>());
    }
}

async fn a_history_that_does_not_add_up_is_found(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Last, Order::Asc).await;
    for user in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "whole"] {
        commit(&ledger, &[goal(user, 5), goal(user, 5), goal(user, 3), goal(user, 9)], &Clock::system()).await.unwrap();
    }
    assert_eq!(ledger.history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
    database.execute("UPDATE entries SET score = 8, sort_score = 8 WHERE user_id = 'a'").await;
    database.execute("UPDATE entries SET revision = 2 WHERE user_id = 'b'").await;
    database.execute("DELETE FROM entries WHERE user_id = 'c'").await;
    database.execute("DELETE FROM score_events WHERE user_id = 'd'").await;
    database.execute("DELETE FROM score_events WHERE user_id = 'e' AND revision = 2").await;
    database.execute("UPDATE entries SET sort_score = -9 WHERE user_id = 'f'").await;
    database.execute("UPDATE entries SET reached_at = reached_at + 1 WHERE user_id = 'g'").await;
    database.execute("UPDATE score_events SET delta = delta + 1 WHERE user_id = 'h' AND revision = 2").await;
    database.execute("UPDATE score_events SET new_score = 4, delta = delta + 1 WHERE user_id = 'i' AND revision = 2").await;
    let found = ledger.history_mismatches(board, 10).await.unwrap();
    let expected = [
        "\"a\": the history ends at another score",
        "\"b\": the revision is not the number of changes",
        "\"c\": has a history but no entry",
        "\"d\": has an entry but no history",
        "\"e\": the history has a hole",
        "\"f\": the entry is sorted by another score than its own",
        "\"g\": the history ends at another time",
        "\"h\": the history does not add up",
        "\"i\": the history does not add up",
    ];
    assert_eq!(found, expected);
    assert_eq!(ledger.history_mismatches(board, 2).await.unwrap().len(), 2);
}

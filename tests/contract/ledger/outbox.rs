//! What was committed is told at least once, and not by everybody at once.

use std::collections::HashSet;

use scoreboard::repositories::ledger::{Announced, Ledger, OtherEpoch};
use tokio::task::JoinSet;

use super::*;

on_both_engines![
    rows_are_due_oldest_first_once_they_are_old_enough,
    a_claimed_row_comes_back_only_after_a_while,
    a_claim_lapses_after_the_same_time_for_all,
    a_row_that_is_given_back_is_free_at_once,
    a_clock_that_was_wrong_keeps_no_row_back,
    two_sweepers_never_hold_the_same_row,
    a_round_goes_on_behind_the_row_it_came_to,
    a_row_that_is_stuck_waits_longer_each_time,
    a_row_that_was_announced_to_another_ranking_than_the_ledgers_stays,
    the_outbox_says_which_changes_it_holds,
];

async fn commit_at(ledger: &Ledger, second: i64) -> i64 {
    let clock = Clock::from_fn(move || NOW.plus_seconds(second));
    commit(ledger, &[goal("ann", 1)], &clock).await.unwrap().outbox.unwrap()
}

async fn rows_are_due_oldest_first_once_they_are_old_enough(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let mut ids = vec![];
    for second in 0..5 {
        ids.push(commit_at(&ledger, second).await);
    }
    let due = claim(&ledger, NOW.plus_seconds(3), 0, 3).await.unwrap();
    assert_eq!(due.iter().map(|row| row.0).collect::<Vec<_>>(), ids[..3]);
    let due = claim(&ledger, NOW.plus_seconds(3), 0, 3).await.unwrap();
    assert_eq!(due.iter().map(|row| row.0).collect::<Vec<_>>(), ids[3..4], "the last one is too young");
    let announced: Vec<_> = ids[1..].iter().map(|&row| Announced { row, epochs: vec![] }).collect();
    for rows in [&announced[..], &announced, &[]] {
        assert_eq!(ledger.outbox_done(rows).await.unwrap(), []);
    }
    assert_eq!(ledger.outbox_left(&ids).await.unwrap(), ids[..1]);
    assert_eq!(ledger.outbox_len().await.unwrap(), 1);
}

async fn a_claimed_row_comes_back_only_after_a_while(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let id = commit_at(&ledger, 0).await;
    let due =
        async |second| claim(&ledger, NOW.plus_seconds(second), 0, 9).await.unwrap().iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(due(5).await, [id]);
    assert_eq!(due(9).await, Vec::<i64>::new());
    assert_eq!(due(10).await, [id]);
}

/// Instances ask for rows of different ages.
async fn a_claim_lapses_after_the_same_time_for_all(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    commit_at(&ledger, 0).await;
    let rows = async |at, age| ledger.outbox_due(NOW.plus_seconds(at), NOW.plus_seconds(at - age), 0, 9).await.unwrap().len();
    assert_eq!(rows(3, 4).await, 0, "too young");
    assert_eq!(rows(10, 1).await, 1);
    assert_eq!((rows(14, 0).await, rows(14, 4).await), (0, 0));
    assert_eq!(rows(15, 4).await, 1);
}

async fn a_row_that_is_given_back_is_free_at_once(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let rows = [commit_at(&ledger, 0).await, commit_at(&ledger, 1).await];
    assert_eq!(claim(&ledger, NOW.plus_seconds(5), 0, 9).await.unwrap().len(), 2);
    ledger.outbox_unclaim(&rows[1..]).await.unwrap();
    ledger.outbox_unclaim(&[]).await.unwrap();
    let again = claim(&ledger, NOW.plus_seconds(5), 0, 9).await.unwrap();
    assert_eq!(again.iter().map(|row| row.0).collect::<Vec<_>>(), rows[1..]);
}

/// An instance whose clock is an hour ahead commits or claims a row, and dies.
async fn a_clock_that_was_wrong_keeps_no_row_back(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let (early, late) = (commit_at(&ledger, 0).await, commit_at(&ledger, 3600).await);
    let due =
        async |second| claim(&ledger, NOW.plus_seconds(second), 0, 9).await.unwrap().iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(due(3600).await, [early, late], "claimed by the one that is ahead");
    assert_eq!(due(5).await, [early, late]);
    assert_eq!(due(6).await, Vec::<i64>::new(), "and claimed like any other");
}

async fn two_sweepers_never_hold_the_same_row(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    for second in 0..60 {
        commit_at(&one, second).await;
    }
    let mut sweeping = JoinSet::new();
    for ledger in [&one, &other, &one, &other] {
        let ledger = ledger.clone();
        sweeping.spawn(async move {
            let mut claimed = vec![];
            loop {
                let due = claim(&ledger, NOW.plus_seconds(60), 0, 7).await.unwrap();
                if due.is_empty() {
                    return claimed;
                }
                claimed.extend(due.into_iter().map(|row| row.0));
            }
        });
    }
    let claimed = sweeping.join_all().await.concat();
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), claimed.len(), "claimed twice");
    // A sweeper that passed over rows which another one was claiming may stop early; none is claimed for ever.
    assert!(claimed.len() <= 60 && claimed.len() >= 7);
}

async fn a_round_goes_on_behind_the_row_it_came_to(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let mut ids = vec![];
    for second in 0..5 {
        ids.push(commit_at(&ledger, second).await);
    }
    database.execute(&format!("UPDATE outbox SET payload = '{{}}' WHERE id = {}", ids[3])).await;
    let due = claim(&ledger, NOW.plus_seconds(9), ids[1], 9).await.unwrap();
    let due: Vec<_> = due.into_iter().map(|(row, announcement)| (row, announcement.is_some())).collect();
    assert_eq!(due, [(ids[2], true), (ids[3], false), (ids[4], true)], "one that nobody can read is told as such");
}

async fn a_row_that_is_stuck_waits_longer_each_time(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let id = commit_at(&ledger, 0).await;
    let (mut second, mut waited) = (10, vec![]);
    for _ in 0..6 {
        assert_eq!(claim(&ledger, NOW.plus_seconds(second), 0, 9).await.unwrap().len(), 1);
        ledger.outbox_postpone(&[id], NOW.plus_seconds(second)).await.unwrap();
        let begun = second;
        loop {
            second += 1;
            // A look claims what is due, so it is taken only where nothing is.
            if claim(&ledger, NOW.plus_seconds(second), 0, 9).await.unwrap().len() == 1 {
                break;
            }
        }
        waited.push(second - begun);
        // The claim of the look lapses.
        second += 5;
    }
    assert_eq!(waited, [5, 10, 20, 60, 60, 60]);
}

async fn a_row_that_was_announced_to_another_ranking_than_the_ledgers_stays(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let rows = [commit_at(&ledger, 0).await, commit_at(&ledger, 1).await, commit_at(&ledger, 2).await];
    assert_eq!(ledger.allot_epoch(board, 70).await.unwrap(), Some(70));
    let done = |row: i64, epoch: i64| Announced { row, epochs: vec![(board.pk, epoch)] };
    assert_eq!(claim(&ledger, NOW.plus_seconds(5), 0, 9).await.unwrap().len(), 3);
    let others = ledger.outbox_done(&[done(rows[0], 70), done(rows[1], 69), done(rows[2], 71)]).await.unwrap();
    let other = |ranking| OtherEpoch { pk: board.pk, ranking, ledger: 70 };
    assert_eq!(others, [other(69), other(71)]);
    assert_eq!(ledger.outbox_left(&rows).await.unwrap(), rows[1..]);
    let free = claim(&ledger, NOW.plus_seconds(5), 0, 9).await.unwrap();
    assert_eq!(free.iter().map(|row| row.0).collect::<Vec<_>>(), rows[1..], "at once, for whoever reaches the ledger's ranking");
    assert_eq!((ledger.epoch(board.pk).await.unwrap(), ledger.epoch(board.pk + 1).await.unwrap()), (Some(70), None));
    ledger.delete_leaderboard(&slug("main"), NOW).await.unwrap();
    assert_eq!(ledger.outbox_done(&[done(rows[1], 69)]).await.unwrap(), [], "what is gone has no ranking");
    assert_eq!(ledger.outbox_left(&rows).await.unwrap(), rows[2..]);
}

async fn the_outbox_says_which_changes_it_holds(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let rows = [commit_at(&ledger, 0).await, commit_at(&ledger, 1).await];
    let holds = async |user: &str, revision| ledger.outbox_holds(board, &user_id(user), revision).await.unwrap();
    assert!(holds("ann", 1).await && holds("ann", 2).await && !holds("ann", 3).await && !holds("bob", 1).await);
    ledger.outbox_done(&[Announced { row: rows[0], epochs: vec![] }]).await.unwrap();
    assert!(!holds("ann", 1).await && holds("ann", 2).await);
    let between = async |after, before| {
        let changes = ledger.changes_between(board, &user_id("ann"), after, before).await.unwrap();
        changes.into_iter().map(|change| (change.board, change.revision, change.score)).collect::<Vec<_>>()
    };
    commit_at(&ledger, 2).await;
    assert_eq!(between(0, 3).await, [(board, 1, Some(1)), (board, 2, Some(2))]);
    assert_eq!((between(2, 4).await, between(1, 2).await), (vec![(board, 3, Some(3))], vec![]));
    assert_eq!(between(2, 5).await, [], "one of them is not to be had");
    let users = [user_id("ann"), user_id("bob")];
    assert_eq!(ledger.entry_revisions(board, &users).await.unwrap().into_iter().collect::<Vec<_>>(), [(user_id("ann"), 3)]);
    let known = accepted(commit_one(&ledger, goal("bob", 1)).await).event_id;
    let unknown: Vec<_> = (0..1_200).map(|_| Uuid::now_v7()).collect();
    assert_eq!(ledger.unknown_events(&[&[known], &unknown[..]].concat()).await.unwrap(), unknown);
}

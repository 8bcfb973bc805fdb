//! Entries that are taken out: gone for every reader, and a first score afterwards; the history keeps it all.

use scoreboard::domain::event::EventKind;

use super::*;

on_both_engines![
    an_entry_that_is_taken_out_is_gone_for_every_reader,
    a_score_after_it_is_a_first_one,
    what_was_taken_out_can_be_announced_again,
    a_score_and_a_removal_at_once_are_one_after_the_other,
];

async fn remove(ledger: &Ledger, user: &str) -> Option<Change> {
    let removed = ledger.remove_entry(&slug("main"), &user_id(user), Clock::system().now()).await.unwrap();
    removed.map(|mut removed| {
        let (_, announcement) = removed.outbox.pop().expect("there is something to tell");
        assert_eq!(announcement, Announcement::Scores { changes: removed.changes.clone() });
        removed.changes.pop().expect("an entry has changed")
    })
}

async fn three(ledger: &Ledger) -> Board {
    let board = main_and_goal(ledger, Operator::Sum, Order::Desc).await;
    commit(ledger, &[goal("ann", 9), goal("bob", 5), goal("cid", 1)], &Clock::system()).await.unwrap();
    board
}

async fn an_entry_that_is_taken_out_is_gone_for_every_reader(database: Database) {
    let ledger = database.ledger().await;
    let board = three(&ledger).await;
    assert_eq!(remove(&ledger, "nobody").await, None);
    let change = remove(&ledger, "ann").await.expect("there is an entry");
    assert_eq!((change.score, change.revision, change.kind()), (None, 2, EventKind::ScoreRemoved));
    assert!(change.event.contains("\"userId\":\"ann\",\"at\":"), "{}", change.event);
    assert_eq!(remove(&ledger, "ann").await, None, "once");

    let window = ledger.window(board, 1, 9).await.unwrap();
    let shown: Vec<_> = window.entries.iter().map(|entry| (entry.rank, entry.user_id.as_str())).collect();
    assert_eq!((window.head.total, shown), (2, vec![(1, "bob"), (2, "cid")]));
    let users = ["ann", "cid"].map(user_id);
    let (head, found) = ledger.neighbourhoods(board, &users, 5).await.unwrap();
    assert_eq!((head.total, &found[0].entry, found[1].around.len()), (2, &None, 2));
    assert_eq!(found[1].entry.as_ref().unwrap().rank, 2);
    let stored = ledger.entries_after(board, None, 9).await.unwrap();
    let stored: Vec<_> = stored.iter().map(|entry| (entry.user_id.as_str(), entry.score, entry.revision)).collect();
    assert_eq!(stored, [("ann", None, 2), ("bob", Some(5), 1), ("cid", Some(1), 1)], "a ranking that is built remembers it");
    let history = async |projection| ledger.history(&user_id("ann"), None, None, 9, Readable::All, projection).await.unwrap();
    assert_eq!(history(Projection::Public).await, []);
    let kept = history(Projection::Restricted).await;
    assert_eq!((kept.len(), kept[0].withheld.as_deref()), (1, Some("voided")), "the history keeps the score");
    assert_eq!(ledger.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
}

async fn a_score_after_it_is_a_first_one(database: Database) {
    for operator in [Operator::Sum, Operator::Best, Operator::Last] {
        let ledger = database.ledger().await;
        ledger.delete_leaderboard(&slug("main"), NOW).await.ok();
        ledger.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.ok();
        let board = main_and_goal(&ledger, operator, Order::Desc).await;
        accepted(commit_one(&ledger, goal("ann", 9)).await);
        remove(&ledger, "ann").await.expect("there is an entry");
        let standing = accepted(commit_one(&ledger, goal("ann", 2)).await).standings.remove(0);
        assert_eq!((standing.applied, standing.previous_score, standing.new_score), (true, None, 2));
        assert_eq!((standing.delta, standing.revision), (2, 3));
        let window = ledger.window(board, 1, 9).await.unwrap();
        assert_eq!((window.head.total, window.entries[0].score), (1, 2));
        remove(&ledger, "ann").await.expect("there is one again");
        assert_eq!(ledger.window(board, 1, 9).await.unwrap().head.total, 0);
        assert_eq!(ledger.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
    }
}

async fn what_was_taken_out_can_be_announced_again(database: Database) {
    let ledger = database.ledger().await;
    let board = three(&ledger).await;
    let removed = remove(&ledger, "ann").await.unwrap();
    let again = accepted(commit_one(&ledger, goal("ann", 2)).await);
    assert_eq!(ledger.unknown_events(&[removed.event_id, again.event_id]).await.unwrap(), Vec::<Uuid>::new());
    let holds = async |revision| ledger.outbox_holds(board, &user_id("ann"), revision).await.unwrap();
    assert!(holds(1).await && holds(2).await && holds(3).await && !holds(4).await);
    let between = ledger.changes_between(board, &user_id("ann"), 0, 4).await.unwrap();
    let scores: Vec<_> = between.iter().map(|change| (change.revision, change.score)).collect();
    assert_eq!(scores, [(1, Some(9)), (2, None), (3, Some(2))]);
    assert_eq!(ledger.changes_between(board, &user_id("ann"), 1, 3).await.unwrap(), [removed]);
    assert_eq!(claim(&ledger, Timestamp(i64::MAX / 2), 0, 9).await.unwrap().len(), 3);
}

async fn a_score_and_a_removal_at_once_are_one_after_the_other(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    let board = main_and_goal(&one, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&one, goal("ann", 1)).await);
    let scoring = async {
        for _ in 0..30 {
            accepted(commit_one(&one, goal("ann", 1)).await);
        }
    };
    let removing = async {
        let mut removed = 0;
        for _ in 0..30 {
            removed += i64::from(remove(&other, "ann").await.is_some());
        }
        removed
    };
    let ((), removed) = tokio::join!(scoring, removing);
    let entry = one.entries_after(board, None, 9).await.unwrap().remove(0);
    assert_eq!(entry.revision, 31 + removed, "nothing got lost");
    assert_eq!(one.history_mismatches(board, 9).await.unwrap(), Vec::<String>::new());
}

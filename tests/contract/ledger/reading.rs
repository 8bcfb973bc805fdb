//! Every read of entries is cut out of the one order: better score, then earlier, then the user id bytewise.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestRunner},
};
use scoreboard::domain::{
    entry::{RankKey, StoredEntry},
    ids::MAX_SCORE,
};

use super::*;

on_both_engines![
    every_read_follows_the_one_order,
    a_window_may_lie_anywhere,
    a_known_total_spares_the_count,
    a_board_without_entries_is_empty,
];

/// User ids that a language's rules and bytes sort differently, prefixes of one another among them.
fn any_user() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-cA-C_-]{1,3}",
        proptest::sample::select(vec![
            "é",
            "e\u{301}",
            "z",
            "Z",
            "ß",
            "ss",
            "宮",
            "\u{10ffff}",
            "\u{e000}",
            "😀",
            "a b",
            "'",
            "%",
            "_"
        ])
        .prop_map(String::from),
    ]
}

fn any_score() -> impl Strategy<Value = i64> {
    prop_oneof![-3..=3_i64, Just(MAX_SCORE), Just(-MAX_SCORE), -MAX_SCORE..=MAX_SCORE]
}

/// Commits these scores, each at its own second, and answers what the ranking must look like.
async fn fill(ledger: &Ledger, board: Board, scores: &[(String, i64, i64)]) -> Vec<StoredEntry> {
    let mut expected: Vec<StoredEntry> = vec![];
    for (user, score, second) in scores {
        let now = Arc::new(AtomicI64::new(NOW.plus_seconds(*second).0));
        let clock = Clock::from_fn(move || Timestamp(now.load(Ordering::Relaxed)));
        let told = match commit(ledger, &[goal(user, *score)], &clock).await.unwrap().outcomes.remove(0) {
            // From one end of the range to the other is a change that the range does not hold.
            Settled::Refused(Refusal::ScoreOutOfRange(_)) => continue,
            outcome => accepted(outcome),
        };
        let standing = &told.standings[0];
        let name = scoreboard::domain::entry::DisplayName { name: None, revision: 0, appearance: None };
        let (score, revision) = (standing.new_score, standing.revision);
        if standing.applied {
            expected.retain(|entry| entry.user_id != told.user_id);
            expected.push(StoredEntry { user_id: told.user_id, score: Some(score), reached_at: told.at, revision, name });
        }
    }
    expected.sort_by_key(|entry| key(board, entry));
    expected
}

fn key(board: Board, entry: &StoredEntry) -> RankKey {
    RankKey {
        sort_score: board.order.sort_score(entry.score.unwrap()),
        reached_at: entry.reached_at,
        user_id: entry.user_id.clone(),
    }
}

async fn every_read_follows_the_one_order(database: Database) {
    let ledger = database.ledger().await;
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(7), ..Config::default() });
    for case in 0..14 {
        let order = if case % 2 == 0 { Order::Desc } else { Order::Asc };
        let id = format!("board-{case}");
        let made = ledger.create_leaderboard(&slug(&id), &leaderboard_settings(Operator::Last, order), NOW).await.unwrap();
        let feed = action_settings(&[&id]);
        if case > 0 {
            ledger.delete_action(&action_id("goal"), NOW, |_| Ok(())).await.unwrap();
        }
        ledger.create_action(&action_id("goal"), &feed, NOW).await.unwrap();
        let scores = vec((any_user(), any_score(), 0..4_i64), 1..40).new_tree(&mut runner).unwrap().current();
        let expected = fill(&ledger, made.board(), &scores).await;
        check_windows(&ledger, made.board(), &expected).await;
        check_neighbourhoods(&ledger, made.board(), &expected).await;
        check_pages(&ledger, made.board(), &expected).await;
    }
}

async fn check_windows(ledger: &Ledger, board: Board, expected: &[StoredEntry]) {
    for (from, limit) in [(1, 1000), (1, 1), (2, 3), (expected.len() as u64, 5)] {
        let window = ledger.window(board, from, limit).await.unwrap();
        assert_eq!((window.head.total, window.head.season), (expected.len() as u64, 1));
        assert_eq!(window.head.version, None);
        let shown: Vec<_> = window.entries.iter().map(|e| (e.rank, e.user_id.as_str(), Some(e.score), e.at)).collect();
        let wanted = (1..).zip(expected).skip(from as usize - 1).take(limit as usize);
        assert_eq!(shown, wanted.map(|(rank, e)| (rank, e.user_id.as_str(), e.score, e.reached_at)).collect::<Vec<_>>());
    }
}

async fn check_neighbourhoods(ledger: &Ledger, board: Board, expected: &[StoredEntry]) {
    let mut users: Vec<_> = expected.iter().map(|entry| entry.user_id.clone()).collect();
    users.push(user_id("nobody"));
    for around in [0, 1, 3, 50] {
        let (head, found) = ledger.neighbourhoods(board, &users, around as u64).await.unwrap();
        assert_eq!((head.total, found.len()), (expected.len() as u64, users.len()));
        assert!(found[expected.len()].entry.is_none() && found[expected.len()].around.is_empty());
        for (place, neighbourhood) in found[..expected.len()].iter().enumerate() {
            let entry = neighbourhood.entry.as_ref().unwrap();
            assert_eq!((entry.rank, &entry.user_id, Some(entry.score)), (place as u64 + 1, &users[place], expected[place].score));
            let (first, last) = (place.saturating_sub(around), (place + around).min(expected.len() - 1));
            let shown: Vec<_> = neighbourhood.around.iter().map(|e| (e.rank, &e.user_id)).collect();
            assert_eq!(shown, (first..=last).map(|place| (place as u64 + 1, &users[place])).collect::<Vec<_>>());
        }
    }
}

async fn check_pages(ledger: &Ledger, board: Board, expected: &[StoredEntry]) {
    let (mut in_order, mut after): (Vec<StoredEntry>, _) = (vec![], None);
    loop {
        let page = ledger.entries_in_rank_order(board, after.as_ref(), 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(key(board, last));
        in_order.extend(page);
    }
    assert_eq!(in_order, expected);
    let (mut by_user, mut after): (Vec<StoredEntry>, _) = (vec![], None);
    loop {
        let page = ledger.entries_after(board, after.as_ref(), 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.user_id.clone());
        by_user.extend(page);
    }
    let mut wanted = expected.to_vec();
    wanted.sort_by(|a, b| a.user_id.as_str().as_bytes().cmp(b.user_id.as_str().as_bytes()));
    assert_eq!(by_user, wanted);
}

async fn a_window_may_lie_anywhere(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    commit_one(&ledger, goal("ann", 1)).await;
    for (from, limit, shown) in [(0, 1, 1), (2, 10, 0), (u64::MAX, u64::MAX, 0), (1, u64::MAX, 1), (1, 0, 0)] {
        assert_eq!(ledger.window(board, from, limit).await.unwrap().entries.len(), shown, "{from} {limit}");
    }
}

/// A count that the caller kept is taken for what it is, but never contradicts the ranks beside it.
async fn a_known_total_spares_the_count(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for user in ["ann", "bob", "cat"] {
        commit_one(&ledger, goal(user, 1)).await;
    }
    for (known, told) in [(None, 3), (Some(7), 7), (Some(1), 3)] {
        assert_eq!(ledger.window_of(board, 1, 10, known).await.unwrap().head.total, told);
        let (head, _) = ledger.neighbourhoods_of(board, &[user_id("cat")], 1, known).await.unwrap();
        assert_eq!(head.total, told);
    }
}

async fn a_board_without_entries_is_empty(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    assert_eq!(ledger.window(board, 1, 10).await.unwrap().head.total, 0);
    assert_eq!(ledger.entries_after(board, None, 10).await.unwrap(), []);
    let next_season = Board { season: 2, ..board };
    commit_one(&ledger, goal("ann", 1)).await;
    assert_eq!(ledger.window(next_season, 1, 10).await.unwrap().entries, [], "seasons do not mix");
}

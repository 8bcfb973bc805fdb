//! Whatever is done to a ranking, it equals a plain sorted list.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use scoreboard::{
    domain::{
        announcement::Change,
        entry::{RankKey, RankedEntry, StoredEntry},
        ids::{MAX_SCORE, UserId},
        leaderboard::{Board, Order},
        time::Timestamp,
        version::Version,
    },
    repositories::ranking_store::{Applied, RankingStore},
};

use super::{
    backends::{Backend, fresh_pk, on_each_backend},
    ranking::{NAMELESS, build, change, stored},
};

const HISTORY: u64 = 100;

on_each_backend! {
    any_changes_rank_like_a_sorted_list
}

/// What a property test does to one board.
#[derive(Debug, Clone)]
struct Scenario {
    order: Order,
    users: Vec<UserId>,
    /// User by number, score (`None` takes the entry out), microsecond, whether a batch ends here.
    moves: Vec<(prop::sample::Index, Option<i64>, i64, bool)>,
    loaded: usize,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let text = prop_oneof!["[a-c]{1,3}", "\\PC{1,8}", "[\u{10000}-\u{1ffff}]{126,128}"];
    let user = text.prop_filter_map("no user id", |text| UserId::parse(&text).ok());
    let score = prop_oneof![Just(0), Just(MAX_SCORE), Just(-MAX_SCORE), -2_i64..=2, -MAX_SCORE..=MAX_SCORE];
    let score = prop_oneof![6 => score.prop_map(Some), 1 => Just(None)];
    let time = prop_oneof![0_i64..4, 1_790_000_000_000_000_i64..1_790_000_000_000_003];
    let moves = prop::collection::vec((any::<prop::sample::Index>(), score, time, prop::bool::weighted(0.3)), 1..60);
    let order = prop_oneof![Just(Order::Desc), Just(Order::Asc)];
    (order, prop::collection::btree_set(user, 1..12), moves, 0_usize..6).prop_map(|(order, users, moves, loaded)| Scenario {
        order,
        users: users.into_iter().collect(),
        moves,
        loaded,
    })
}

async fn any_changes_rank_like_a_sorted_list(backend: Backend) {
    let store = backend.store().await;
    let runtime = tokio::runtime::Handle::current();
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let checked = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&scenario(), |scenario| {
            runtime.block_on(play(&*store.standings, scenario));
            Ok(())
        })
    });
    checked.expect("the ranking equals a sorted list");
}

/// A plain sorted list, which is what a ranking has to equal.
#[derive(Default)]
struct Model {
    keys: Vec<RankKey>,
    revisions: BTreeMap<UserId, i64>,
}

impl Model {
    fn rank(&self, user: &UserId) -> Option<u64> {
        self.keys.iter().position(|key| key.user_id == *user).map(|place| place as u64 + 1)
    }

    /// The rank then; 0 where the entry is taken out.
    fn put(&mut self, board: Board, change: &Change) -> u64 {
        self.keys.retain(|key| key.user_id != change.user_id);
        if let Some(sort_score) = change.score.map(|score| board.order.sort_score(score)) {
            self.keys.push(RankKey { sort_score, reached_at: Timestamp(change.reached_at), user_id: change.user_id.clone() });
        }
        self.keys.sort();
        self.revisions.insert(change.user_id.clone(), change.revision);
        self.rank(&change.user_id).unwrap_or(0)
    }

    fn rows(&self, board: Board) -> Vec<RankedEntry> {
        let row = |(place, key): (usize, &RankKey)| {
            let score = board.order.sort_score(key.sort_score);
            RankedEntry::new(place as u64 + 1, key.user_id.clone(), None, score, key.reached_at)
        };
        self.keys.iter().enumerate().map(row).collect()
    }
}

async fn play(standings: &dyn RankingStore, scenario: Scenario) {
    let board = Board { pk: fresh_pk(), season: 1, order: scenario.order };
    let mut model = Model::default();
    let mut changes = vec![];
    let mut counted = BTreeMap::<UserId, i64>::new();
    for (who, score, at, ends) in &scenario.moves {
        let id = who.get(&scenario.users);
        let revision = counted.entry(id.clone()).or_default();
        *revision += 1;
        let change = change(board, id.as_str(), *revision, score.unwrap_or_default(), *at);
        changes.push((Change { score: *score, ..change }, *ends));
    }
    let begun = changes.len().min(scenario.loaded);
    for (change, _) in &changes[..begun] {
        model.put(board, change);
    }
    let last_of = |user: &UserId| changes[..begun].iter().rev().find(|(change, _)| change.user_id == *user);
    let entries: Vec<_> = model.revisions.keys().filter_map(last_of).map(|(change, _)| stored(change)).collect();
    let version = build(standings, board, &entries).await;
    let mut seq = version.seq;
    let rest: Vec<_> = changes[begun..].to_vec();
    for batch in rest.split_inclusive(|(_, ends)| *ends) {
        let batch: Vec<_> = batch.iter().map(|(change, _)| change.clone()).collect();
        let outcomes = standings.apply(board, &batch).await.expect("applied");
        for (change, outcome) in batch.iter().zip(outcomes) {
            let previous_rank = model.rank(&change.user_id);
            let rank = model.put(board, change);
            seq += 1;
            let total = model.keys.len() as u64;
            let version = Version::new(version.epoch.clone(), seq);
            assert_eq!(outcome, Applied::Ranked { version, rank, previous_rank, total });
        }
    }
    compare(standings, board, &model, seq).await;
}

async fn compare(standings: &dyn RankingStore, board: Board, model: &Model, seq: u64) {
    let (rows, total) = (model.rows(board), model.keys.len() as u64);
    let head = standings.head(board).await.expect("a head");
    assert_eq!((head.total, head.version.expect("a version").seq), (total, seq));
    for (from_rank, limit) in [(1, 1), (1, 1000), (2, 3), (total.max(1), 5), (total.saturating_sub(1).max(1), 2)] {
        let window = standings.window(board, from_rank, limit).await.expect("a window");
        let expected: Vec<_> = rows.iter().filter(|row| (from_rank..from_rank + limit).contains(&row.rank)).collect();
        assert_eq!(window.entries.iter().collect::<Vec<_>>(), expected, "from {from_rank}, {limit} of {total}");
    }
    let users: Vec<_> = rows.iter().map(|row| row.user_id.clone()).collect();
    for around in [0, 1, 3, 50] {
        let (_, found) = standings.neighbourhoods(board, &users, around).await.expect("neighbourhoods");
        for (row, neighbourhood) in rows.iter().zip(&found) {
            assert_eq!(neighbourhood.entry.as_ref(), Some(row));
            let near: Vec<_> = rows.iter().filter(|other| other.rank.abs_diff(row.rank) <= around).cloned().collect();
            assert_eq!(neighbourhood.around, near, "{around} around rank {}", row.rank);
        }
    }
    let expected: Vec<_> = rows
        .iter()
        .map(|row| StoredEntry {
            user_id: row.user_id.clone(),
            score: Some(row.score),
            reached_at: row.at,
            revision: model.revisions[&row.user_id],
            name: NAMELESS,
        })
        .collect();
    assert_eq!(standings.dump(board, 1, 1000).await.expect("a dump"), expected);
}

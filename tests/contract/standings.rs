//! The contract of [`Standings`](scoreboard::repositories::standings::Standings).

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use scoreboard::{
    domain::{
        announcement::Change,
        entry::{DisplayName, RankKey, RankedEntry, StoredEntry},
        ids::{MAX_SCORE, UserId},
        leaderboard::{Board, Order},
        time::Timestamp,
    },
    repositories::standings::{Applied, Standings, StandingsError},
};

use super::{
    backends::{Backend, fresh_pk, on_each_backend},
    ranking::{NAMELESS, assert_unready, build, change, definition, fresh_board, name, order_of, ranked, stored, user},
};

const HISTORY: u64 = 100;

on_each_backend! {
    any_changes_rank_like_a_sorted_list
    a_board_is_not_ready_before_it_is_built_nor_in_another_season
    a_known_change_answers_its_present_place_and_moves_nobody
    an_early_change_waits_for_its_predecessor
    two_instances_that_bring_the_same_changes_apply_each_once
    a_batch_of_many_hundreds_is_one_run_of_positions
    changes_during_a_rebuild_are_refused_and_known_after_it
    a_rebuild_has_one_owner_until_it_is_taken_over
    a_repeated_load_and_a_repeated_finish_change_nothing
    the_newest_name_stays_whatever_the_order_of_arrival
    a_name_that_was_taken_back_stays_away
    a_definition_is_told_once_also_across_a_rebuild
    a_deletion_removes_everything_and_is_told_once
    a_deletion_of_a_ranking_that_is_not_ready_is_told_all_the_same
    neighbourhoods_end_where_the_ranking_ends
    windows_beyond_the_end_are_empty
    a_dump_tells_revisions_and_names_page_by_page
    ping_answers
}

/// What a property test does to one board.
#[derive(Debug, Clone)]
struct Scenario {
    order: Order,
    users: Vec<UserId>,
    /// User by number, score, microsecond, whether a batch ends here.
    moves: Vec<(prop::sample::Index, i64, i64, bool)>,
    loaded: usize,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let text = prop_oneof!["[a-c]{1,3}", "\\PC{1,8}", "[\u{10000}-\u{1ffff}]{126,128}"];
    let user = text.prop_filter_map("no user id", |text| UserId::parse(&text).ok());
    let score = prop_oneof![Just(0), Just(MAX_SCORE), Just(-MAX_SCORE), -2_i64..=2, -MAX_SCORE..=MAX_SCORE];
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
    revisions: std::collections::BTreeMap<UserId, i64>,
}

impl Model {
    fn rank(&self, user: &UserId) -> Option<u64> {
        self.keys.iter().position(|key| key.user_id == *user).map(|place| place as u64 + 1)
    }

    fn put(&mut self, board: Board, change: &Change) -> u64 {
        let sort_score = board.order.sort_score(change.score);
        self.keys.retain(|key| key.user_id != change.user_id);
        self.keys.push(RankKey { sort_score, reached_at: Timestamp(change.reached_at), user_id: change.user_id.clone() });
        self.keys.sort();
        self.revisions.insert(change.user_id.clone(), change.revision);
        self.rank(&change.user_id).expect("it was just put there")
    }

    fn rows(&self, board: Board) -> Vec<RankedEntry> {
        let row = |(place, key): (usize, &RankKey)| RankedEntry {
            rank: place as u64 + 1,
            user_id: key.user_id.clone(),
            display_name: key.user_id.as_str().into(),
            score: board.order.sort_score(key.sort_score),
            at: key.reached_at,
        };
        self.keys.iter().enumerate().map(row).collect()
    }
}

async fn play(standings: &dyn Standings, scenario: Scenario) {
    let board = Board { pk: fresh_pk(), season: 1, order: scenario.order };
    let mut model = Model::default();
    let mut changes = vec![];
    let mut counted = std::collections::BTreeMap::<UserId, i64>::new();
    for (who, score, at, ends) in &scenario.moves {
        let id = who.get(&scenario.users);
        let revision = counted.entry(id.clone()).or_default();
        *revision += 1;
        changes.push((change(board, id.as_str(), *revision, *score, *at), *ends));
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
            let version = scoreboard::domain::position::Version::new(version.epoch.clone(), seq);
            assert_eq!(outcome, Applied::Ranked { version, rank, previous_rank, total });
        }
    }
    compare(standings, board, &model, seq).await;
}

async fn compare(standings: &dyn Standings, board: Board, model: &Model, seq: u64) {
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
            score: row.score,
            reached_at: row.at,
            revision: model.revisions[&row.user_id],
            name: NAMELESS,
        })
        .collect();
    assert_eq!(standings.dump(board, 1, 1000).await.expect("a dump"), expected);
}

async fn a_board_is_not_ready_before_it_is_built_nor_in_another_season(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    assert_unready(&*store.standings, board).await;
    assert!(matches!(store.feed.history(board.pk, 0, 10).await, Err(StandingsError::Unready(_))));
    build(&*store.standings, board, &[]).await;
    assert_eq!(store.standings.head(board).await.expect("ready").total, 0);
    assert_unready(&*store.standings, Board { season: 2, ..board }).await;
}

async fn a_known_change_answers_its_present_place_and_moves_nobody(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    build(&*store.standings, board, &[]).await;
    let first = change(board, "a", 1, 10, 1);
    let second = change(board, "a", 2, 20, 2);
    ranked(&*store.standings, &first).await;
    ranked(&*store.standings, &second).await;
    let (version, ..) = ranked(&*store.standings, &change(board, "b", 1, 30, 3)).await;
    for repeat in [&first, &second] {
        let outcomes = store.standings.apply(board, std::slice::from_ref(repeat)).await.expect("an answer");
        assert_eq!(outcomes, [Applied::Known { version: version.clone(), rank: 2, total: 2 }]);
    }
    let head = store.standings.head(board).await.expect("a head");
    assert_eq!(head.version, Some(version));
}

async fn an_early_change_waits_for_its_predecessor(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    build(&*store.standings, board, &[]).await;
    let [first, second, third] = [1, 2, 3].map(|revision| change(board, "a", revision, revision, revision));
    let outcomes = store.standings.apply(board, &[second.clone(), third.clone()]).await.expect("an answer");
    assert_eq!(outcomes, [Applied::Early, Applied::Early]);
    assert_eq!(store.standings.head(board).await.expect("a head").total, 0);
    let outcomes = store.standings.apply(board, &[third, first, second]).await.expect("an answer");
    assert!(matches!(outcomes[..], [Applied::Early, Applied::Ranked { .. }, Applied::Ranked { .. }]), "{outcomes:?}");
    assert_eq!(store.standings.window(board, 1, 1).await.expect("a window").entries[0].score, 2);
}

async fn two_instances_that_bring_the_same_changes_apply_each_once(backend: Backend) {
    const USERS: i64 = 12;
    const REVISIONS: i64 = 8;
    let stores = [backend.store().await, backend.store().await];
    let board = fresh_board();
    build(&*stores[0].standings, board, &[]).await;
    let changes: Vec<_> = (1..=REVISIONS)
        .flat_map(|revision| {
            (0..USERS).map(move |u| change(board, &format!("u{u}"), revision, (u * 7 + revision * 5) % 11, revision))
        })
        .collect();
    let bring = |standings: std::sync::Arc<dyn Standings>, mut waiting: Vec<Change>| async move {
        let mut taken = 0;
        while !waiting.is_empty() {
            fastrand::shuffle(&mut waiting);
            let size = fastrand::usize(1..=waiting.len().min(9));
            let batch: Vec<_> = waiting.drain(..size).collect();
            let outcomes = standings.apply(board, &batch).await.expect("applied");
            taken += outcomes.iter().filter(|outcome| matches!(outcome, Applied::Ranked { .. })).count();
            let early = batch.into_iter().zip(outcomes).filter(|(_, outcome)| *outcome == Applied::Early);
            waiting.extend(early.map(|(change, _)| change));
        }
        taken
    };
    let (one, two) = tokio::join!(
        tokio::spawn(bring(stores[0].standings.clone(), changes.clone())),
        tokio::spawn(bring(stores[1].standings.clone(), changes.clone()))
    );
    assert_eq!(one.expect("no panic") + two.expect("no panic"), changes.len());
    let history = stores[1].feed.history(board.pk, 0, 1000).await.expect("a history");
    assert_eq!(history.head, changes.len() as u64);
    let seqs: Vec<_> = history.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=history.head).collect::<Vec<_>>());
    let held = stores[1].standings.dump(board, 1, 100).await.expect("a dump");
    assert_eq!(held.len(), USERS as usize);
    assert!(held.iter().all(|entry| entry.revision == REVISIONS));
}

async fn a_batch_of_many_hundreds_is_one_run_of_positions(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    let version = build(&*store.standings, board, &[]).await;
    let changes: Vec<_> = (0..1100).map(|u| change(board, &format!("u{u}"), 1, u % 17, u)).collect();
    let outcomes = store.standings.apply(board, &changes).await.expect("applied");
    for (place, outcome) in outcomes.iter().enumerate() {
        assert!(
            matches!(outcome, Applied::Ranked { version: at, total, .. }
                if at.epoch == version.epoch && at.seq == place as u64 + 1 && *total == at.seq),
            "{place}: {outcome:?}"
        );
    }
    let repeated = store.standings.apply(board, &changes).await.expect("applied");
    assert!(repeated.iter().all(|outcome| matches!(outcome, Applied::Known { version, .. } if version.seq == 1100)));
}

async fn changes_during_a_rebuild_are_refused_and_known_after_it(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    let before = build(&*store.standings, board, &[]).await;
    let late = change(board, "late", 1, 5, 5);
    let rebuild = store.standings.begin_rebuild(board, false).await.expect("an answer").expect("nobody else");
    assert_unready(&*store.standings, board).await;
    store.standings.load(&rebuild, &[stored(&late), stored(&change(board, "x", 3, 9, 1))]).await.expect("loaded");
    assert_unready(&*store.standings, board).await;
    let after = store.standings.finish_rebuild(rebuild).await.expect("finished");
    assert!(after.epoch > before.epoch && after.seq == 0, "{before} then {after}");
    let outcomes = store.standings.apply(board, &[late]).await.expect("an answer");
    assert_eq!(outcomes, [Applied::Known { version: after, rank: 2, total: 2 }]);
    assert_eq!(ranked(&*store.standings, &change(board, "x", 4, 1, 6)).await.1, 2);
}

async fn a_rebuild_has_one_owner_until_it_is_taken_over(backend: Backend) {
    let (one, two) = (backend.store().await, backend.store().await);
    let board = fresh_board();
    let first = one.standings.begin_rebuild(board, false).await.expect("an answer").expect("nobody else");
    assert!(two.standings.begin_rebuild(board, false).await.expect("an answer").is_none());
    let entry = stored(&change(board, "left-behind", 1, 1, 1));
    one.standings.load(&first, std::slice::from_ref(&entry)).await.expect("loaded");
    let second = two.standings.begin_rebuild(board, true).await.expect("an answer").expect("by force");
    let late = one.standings.load(&first, &[entry]).await;
    assert!(matches!(late, Err(StandingsError::Overtaken(pk)) if pk == board.pk), "{late:?}");
    let late = one.standings.finish_rebuild(first).await;
    assert!(matches!(late, Err(StandingsError::Overtaken(_))), "{late:?}");
    two.standings.finish_rebuild(second).await.expect("finished");
    assert_eq!(one.standings.head(board).await.expect("ready").total, 0);
}

async fn a_repeated_load_and_a_repeated_finish_change_nothing(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    let entries: Vec<_> = (0..1200).map(|u| stored(&change(board, &format!("u{u}"), 1, u, u))).collect();
    let rebuild = store.standings.begin_rebuild(board, false).await.expect("an answer").expect("nobody else");
    store.standings.load(&rebuild, &entries).await.expect("loaded");
    store.standings.load(&rebuild, &entries[..700]).await.expect("loaded again");
    store.standings.load(&rebuild, &[]).await.expect("a sign of life");
    let version = store.standings.finish_rebuild(rebuild.clone()).await.expect("finished");
    ranked(&*store.standings, &change(board, "u0", 2, 2, 2)).await;
    assert_eq!(store.standings.finish_rebuild(rebuild.clone()).await.expect("finished again"), version);
    assert!(matches!(store.standings.load(&rebuild, &entries).await, Err(StandingsError::Overtaken(_))));
    let head = store.standings.head(board).await.expect("a head");
    assert_eq!((head.total, head.version.expect("a version").seq), (1200, 1));
}

async fn shown(standings: &dyn Standings, board: Board) -> String {
    standings.window(board, 1, 1).await.expect("a window").entries[0].display_name.to_string()
}

async fn the_newest_name_stays_whatever_the_order_of_arrival(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    standings.rename(board, &user("a"), &name("Second: é", 2)).await.expect("renamed before the first entry");
    ranked(standings, &Change { name: name("First", 1), ..change(board, "a", 1, 1, 1) }).await;
    assert_eq!(shown(standings, board).await, "Second: é");
    standings.rename(board, &user("a"), &name("First", 1)).await.expect("ignored");
    assert_eq!(shown(standings, board).await, "Second: é");
    ranked(standings, &Change { name: name("Third", 3), ..change(board, "a", 2, 2, 2) }).await;
    let (_, found) = standings.neighbourhoods(board, &[user("a")], 0).await.expect("an entry");
    assert_eq!(found[0].entry.as_ref().map(|entry| &*entry.display_name), Some("Third"));
    build(standings, board, &[StoredEntry { name: name("Third", 3), ..stored(&change(board, "a", 2, 2, 2)) }]).await;
    standings.rename(board, &user("a"), &name("Second: é", 2)).await.expect("ignored");
    assert_eq!(shown(standings, board).await, "Third");
    assert_eq!(standings.head(board).await.expect("a head").version.expect("a version").seq, 0);
}

async fn a_name_that_was_taken_back_stays_away(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    ranked(standings, &Change { name: name("A", 1), ..change(board, "a", 1, 1, 1) }).await;
    standings.rename(board, &user("a"), &DisplayName { name: None, revision: 2 }).await.expect("renamed");
    assert_eq!(shown(standings, board).await, "a");
    standings.rename(board, &user("a"), &name("A", 1)).await.expect("ignored");
    assert_eq!(shown(standings, board).await, "a");
    let held = standings.dump(board, 1, 1).await.expect("a dump");
    assert_eq!(held[0].name, DisplayName { name: None, revision: 2 });
}

async fn a_definition_is_told_once_also_across_a_rebuild(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let begun = build(standings, board, &[]).await;
    let told = standings.tell_definition(&definition(board, 7, false)).await.expect("told");
    assert_eq!((told.epoch.clone(), told.seq), (begun.epoch, 1));
    for revision in [7, 6] {
        assert_eq!(standings.tell_definition(&definition(board, revision, false)).await.expect("known"), told);
    }
    let rebuilt = build(standings, board, &[]).await;
    assert_eq!(standings.tell_definition(&definition(board, 7, false)).await.expect("known"), rebuilt);
    assert_eq!(standings.tell_definition(&definition(board, 8, false)).await.expect("told").seq, 1);
}

async fn a_deletion_removes_everything_and_is_told_once(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    ranked(standings, &change(board, "a", 1, 1, 1)).await;
    let told = standings.tell_definition(&definition(board, 2, true)).await.expect("told");
    assert_eq!(told.seq, 2);
    assert_eq!(standings.tell_definition(&definition(board, 2, true)).await.expect("known"), told);
    assert_unready(standings, board).await;
    assert!(standings.begin_rebuild(board, true).await.expect("an answer").is_none(), "nobody rebuilds what is gone");
}

async fn a_deletion_of_a_ranking_that_is_not_ready_is_told_all_the_same(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let rebuild = standings.begin_rebuild(board, false).await.expect("an answer").expect("nobody else");
    let told = standings.tell_definition(&definition(board, 2, true)).await.expect("told");
    assert_eq!(told.seq, 1);
    assert!(matches!(standings.finish_rebuild(rebuild).await, Err(StandingsError::Overtaken(_))));
}

async fn neighbourhoods_end_where_the_ranking_ends(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let entries: Vec<_> = (1..=9).map(|u| stored(&change(board, &format!("u{u}"), 1, 10 - u, 1))).collect();
    build(standings, board, &entries).await;
    let asked = [user("u1"), user("nobody"), user("u5"), user("u9")];
    let (head, found) = standings.neighbourhoods(board, &asked, 2).await.expect("neighbourhoods");
    let ranks: Vec<Vec<_>> = found.iter().map(|one| one.around.iter().map(|entry| entry.rank).collect()).collect();
    assert_eq!((head.total, ranks), (9, vec![vec![1, 2, 3], vec![], vec![3, 4, 5, 6, 7], vec![7, 8, 9]]));
    assert_eq!(found[1].entry, None);
    assert_eq!(found.iter().map(|one| one.user_id.clone()).collect::<Vec<_>>(), asked);
}

async fn windows_beyond_the_end_are_empty(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[stored(&change(board, "a", 1, 1, 1))]).await;
    for (from_rank, limit, expected) in [(1, 0, 0), (2, 10, 0), (u64::MAX, 10, 0), (1, u64::MAX, 1), (0, 1, 1)] {
        let window = standings.window(board, from_rank, limit).await.expect("a window");
        assert_eq!((window.entries.len(), window.head.total), (expected, 1), "from {from_rank}, {limit}");
    }
}

async fn a_dump_tells_revisions_and_names_page_by_page(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let entries: Vec<_> = (1..=2500)
        .map(|u| StoredEntry { name: name(&format!("N{u}"), u), ..stored(&change(board, &format!("u{u}"), u, -u, u)) })
        .collect();
    build(standings, board, &entries).await;
    let mut held = standings.dump(board, 1, 2000).await.expect("a dump");
    held.extend(standings.dump(board, 2001, 2000).await.expect("a dump"));
    assert_eq!(held, entries);
    assert_eq!(order_of(standings, board).await.len(), 1000);
}

async fn ping_answers(backend: Backend) {
    backend.store().await.standings.ping().await.expect("an answer");
}

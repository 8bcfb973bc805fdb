//! How a ranking is given up and built anew.

use std::time::Instant;

use scoreboard::{
    domain::leaderboard::Board,
    repositories::ranking_store::{Applied, Begun, RankingError, Replaces},
};

use super::{
    backends::{Backend, on_each_backend},
    ranking::{
        assert_unready, begun, build, change, definition, eventually, finished, fresh_board, now_or_later, ranked, stored,
    },
};

const HISTORY: u64 = 100;

on_each_backend! {
    changes_during_a_rebuild_are_refused_and_known_after_it
    a_rebuild_has_one_owner_until_it_is_taken_over
    an_owner_without_a_sign_of_life_is_succeeded_within_seconds
    a_repeated_load_and_a_repeated_finish_change_nothing
    a_ready_ranking_gives_way_only_where_it_proved_wrong
    a_later_season_is_no_lost_ranking
    a_deletion_that_was_taken_back_is_forgotten
}

async fn changes_during_a_rebuild_are_refused_and_known_after_it(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    let before = build(&*store.standings, board, &[]).await;
    let late = change(board, "late", 1, 5, 5);
    let rebuild = begun(&*store.standings, board, true).await;
    assert_unready(&*store.standings, board).await;
    store.standings.load(&rebuild, &[stored(&late), stored(&change(board, "x", 3, 9, 1))]).await.expect("loaded");
    assert_unready(&*store.standings, board).await;
    let after = finished(&*store.standings, rebuild).await;
    assert!(after.epoch > before.epoch && after.seq == 0, "{before} then {after}");
    let outcomes = store.standings.apply(board, &[late]).await.expect("an answer");
    assert_eq!(outcomes, [Applied::Known { version: after, rank: 2, total: 2, revision: 1 }]);
    assert_eq!(ranked(&*store.standings, &change(board, "x", 4, 1, 6)).await.1, 2);
}

async fn a_rebuild_has_one_owner_until_it_is_taken_over(backend: Backend) {
    let (one, two) = (backend.store().await, backend.store().await);
    let board = fresh_board();
    let first = begun(&*one.standings, board, false).await;
    assert!(matches!(two.standings.begin_rebuild(board, Replaces::Lost).await.expect("an answer"), Begun::Elsewhere));
    let entry = stored(&change(board, "left-behind", 1, 1, 1));
    one.standings.load(&first, std::slice::from_ref(&entry)).await.expect("loaded");
    let second = begun(&*two.standings, board, true).await;
    let late = one.standings.load(&first, &[entry]).await;
    assert!(matches!(late, Err(RankingError::Overtaken(pk)) if pk == board.pk), "{late:?}");
    let epoch = now_or_later(&first);
    let late = one.standings.finish_rebuild(first, epoch).await;
    assert!(matches!(late, Err(RankingError::Overtaken(_))), "{late:?}");
    finished(&*two.standings, second).await;
    assert_eq!(one.standings.head(board).await.expect("ready").total, 0);
}

async fn an_owner_without_a_sign_of_life_is_succeeded_within_seconds(backend: Backend) {
    let (dead, other) = (backend.store().await, backend.store().await);
    let board = fresh_board();
    let lost = begun(&*dead.standings, board, false).await;
    dead.standings.load(&lost, &[stored(&change(board, "left-behind", 1, 1, 1))]).await.expect("loaded");
    let died = Instant::now();
    let successor = eventually("the lease lapses", || async {
        match other.standings.begin_rebuild(board, Replaces::Lost).await.expect("an answer") {
            Begun::Yours(rebuild) => Some(rebuild),
            _ => None,
        }
    });
    let successor = successor.await;
    assert!((3..8).contains(&died.elapsed().as_secs()), "after {:?}", died.elapsed());
    assert_eq!(finished(&*other.standings, successor).await, other.standings.head(board).await.unwrap().version.unwrap());
    assert_eq!(other.standings.head(board).await.expect("ready").total, 0);
}

async fn a_repeated_load_and_a_repeated_finish_change_nothing(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    let entries: Vec<_> = (0..1200).map(|u| stored(&change(board, &format!("u{u}"), 1, u, u))).collect();
    let rebuild = begun(&*store.standings, board, false).await;
    store.standings.load(&rebuild, &entries).await.expect("loaded");
    store.standings.load(&rebuild, &entries[..700]).await.expect("loaded again");
    store.standings.load(&rebuild, &[]).await.expect("a sign of life");
    let epoch = now_or_later(&rebuild);
    let version = store.standings.finish_rebuild(rebuild.clone(), epoch).await.expect("finished");
    ranked(&*store.standings, &change(board, "u0", 2, 2, 2)).await;
    assert_eq!(store.standings.finish_rebuild(rebuild.clone(), epoch).await.expect("finished again"), version);
    assert!(matches!(store.standings.load(&rebuild, &entries).await, Err(RankingError::Overtaken(_))));
    let head = store.standings.head(board).await.expect("a head");
    assert_eq!((head.total, head.version.expect("a version").seq), (1200, 1));
}

async fn a_ready_ranking_gives_way_only_where_it_proved_wrong(backend: Backend) {
    let (one, two) = (backend.store().await, backend.store().await);
    let board = fresh_board();
    let wrong = build(&*one.standings, board, &[]).await;
    for (replaces, what) in [(Replaces::Lost, "it is ready"), (Replaces::Wrong("0"), "it is another one")] {
        assert!(matches!(one.standings.begin_rebuild(board, replaces).await.expect("an answer"), Begun::Elsewhere), "{what}");
    }
    one.standings.head(board).await.expect("still ready");
    let begun = one.standings.begin_rebuild(board, Replaces::Wrong(&wrong.epoch)).await.expect("an answer");
    let Begun::Yours(rebuild) = begun else { panic!("{begun:?}") };
    assert_unready(&*two.standings, board).await;
    for also in [Replaces::Wrong(&wrong.epoch), Replaces::Lost] {
        assert!(matches!(two.standings.begin_rebuild(board, also).await.expect("an answer"), Begun::Elsewhere));
    }
    let right = finished(&*one.standings, rebuild).await;
    let late = two.standings.begin_rebuild(board, Replaces::Wrong(&wrong.epoch)).await.expect("an answer");
    assert!(matches!(late, Begun::Elsewhere), "whoever comes late replaces nothing: {late:?}");
    assert_eq!(two.standings.head(board).await.expect("ready").version, Some(right));
}

async fn a_later_season_is_no_lost_ranking(backend: Backend) {
    let store = backend.store().await;
    let board = Board { season: 2, ..fresh_board() };
    build(&*store.standings, board, &[]).await;
    for replaces in [Replaces::Lost, Replaces::Any] {
        let begun = store.standings.begin_rebuild(Board { season: 1, ..board }, replaces).await.expect("an answer");
        assert!(matches!(begun, Begun::Gone), "{begun:?}");
    }
    store.standings.head(board).await.expect("still ready");
}

async fn a_deletion_that_was_taken_back_is_forgotten(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    build(&*store.standings, board, &[]).await;
    store.standings.announce_definition(&definition(board, 2, true)).await.expect("told");
    let begun = store.standings.begin_rebuild(board, Replaces::Deleted).await.expect("an answer");
    let Begun::Yours(rebuild) = begun else { panic!("{begun:?}") };
    finished(&*store.standings, rebuild).await;
    store.standings.head(board).await.expect("ready");
}

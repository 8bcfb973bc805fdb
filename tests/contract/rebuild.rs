//! How a ranking is given up and built anew.

use scoreboard::repositories::standings::{Applied, StandingsError};

use super::{
    backends::{Backend, on_each_backend},
    ranking::{assert_unready, build, change, fresh_board, ranked, stored},
};

const HISTORY: u64 = 100;

on_each_backend! {
    changes_during_a_rebuild_are_refused_and_known_after_it
    a_rebuild_has_one_owner_until_it_is_taken_over
    a_repeated_load_and_a_repeated_finish_change_nothing
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

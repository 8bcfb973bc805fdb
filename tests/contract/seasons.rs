//! Rankings turn over at boundaries: in one step, in one epoch, once, and never for a reader's sake.

use scoreboard::{
    domain::{
        event::EventKind,
        leaderboard::Board,
        season::{Begun as SeasonBegun, Boundary, Turn},
    },
    repositories::ranking_store::{Begun, RankingError, RankingStore, Replaces},
};

use super::{backends::Backend, backends::on_each_backend, ranking::*};

const HISTORY: u64 = 100;

on_each_backend! {
    a_boundary_empties_the_ranking_and_says_so_in_order
    a_boundary_that_was_passed_changes_nothing
    several_boundaries_are_passed_one_after_the_other
    a_boundary_that_is_not_next_is_refused
    an_earlier_season_is_no_loss
    a_lost_ranking_cannot_turn_over
    what_was_removed_or_renamed_starts_anew
}

/// The boundaries after this board's season, `count` of them.
fn boundaries(board: Board, count: i64) -> Vec<Boundary> {
    let begun = (1..=count).map(|n| SeasonBegun {
        season: board.season + n,
        starts_at: n * 60_000_000,
        ended_at: n * 60_000_000,
        next_reset: Some((n + 1) * 60_000_000),
        name: None,
    });
    let leaderboard_id = scoreboard::domain::ids::LeaderboardId::parse("main").expect("an id");
    let turn = Turn { board, leaderboard_id, starts_at: 0, begun: begun.collect() };
    turn.boundaries(2, r#"[{"rank":1}]"#, r#"[{"rank":1},{"rank":2}]"#)
}

fn next_season(board: Board) -> Board {
    Board { season: board.season + 1, ..board }
}

async fn two_users(standings: &dyn RankingStore, board: Board) {
    build(standings, board, &[stored(&change(board, "a", 1, 9, 1)), stored(&change(board, "b", 1, 5, 2))]).await;
}

async fn a_boundary_empties_the_ranking_and_says_so_in_order(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    two_users(standings, board).await;
    store.feed.subscribe(board.pk).await.expect("subscribed");
    let mut messages = store.feed.take_messages().expect("the messages");
    let before = standings.head(board).await.expect("ready").version.expect("a version");

    let version = standings.turn(board.pk, &boundaries(board, 1)).await.expect("turned");
    assert_eq!((&version.epoch, version.seq), (&before.epoch, before.seq + 2), "the same epoch");
    let events = next_events(&mut messages, board, &version).await;
    let kinds: Vec<_> = events.iter().map(|event| (event.seq, event.kind, event.total)).collect();
    let expected = [(before.seq + 1, EventKind::SeasonEnded, 2), (before.seq + 2, EventKind::SeasonStarted, 0)];
    assert_eq!(kinds, expected);
    assert_eq!(events[0].ended_season(), Some(1));
    assert_eq!(events[0].fields_and_more().1, Some(r#"[{"rank":1},{"rank":2}]"#));
    let data = events[0].data(&version.epoch);
    let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(data["entries"], serde_json::json!([{ "rank": 1 }]), "the first ten alone: {data}");
    assert_eq!((&data["season"], &data["next"], &data["total"]), (&1.into(), &2.into(), &2.into()));

    let next = next_season(board);
    assert_eq!(standings.head(next).await.expect("ready").total, 0);
    assert!(standings.window(next, 1, 10).await.expect("ready").entries.is_empty());
    let (first, rank, previous) = ranked(standings, &change(next, "b", 1, 7, 70_000_000)).await;
    assert_eq!((first.seq, rank, previous), (version.seq + 1, 1, None), "revisions count anew");
    let history = store.feed.history(board.pk, before.seq, 10).await.expect("the history");
    assert_eq!(history.events.len(), 3, "nothing of the sequence is missing");
    assert_eq!(history.events[0], events[0], "also when it is read again");
}

async fn a_boundary_that_was_passed_changes_nothing(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    two_users(standings, board).await;
    let boundary = boundaries(board, 1);
    standings.turn(board.pk, &boundary).await.expect("turned");
    let next = next_season(board);
    let (version, ..) = ranked(standings, &change(next, "a", 1, 3, 70_000_000)).await;
    assert_eq!(standings.turn(board.pk, &boundary).await.expect("an answer"), version);
    assert_eq!(order_of(standings, next).await, ["a"]);
    let late = standings.apply(board, &[change(board, "a", 2, 99, 3)]).await;
    assert_eq!(late, Err(RankingError::LaterSeason { pk: board.pk, season: 2 }), "nothing of the earlier season gets in");
    assert_eq!(order_of(standings, next).await, ["a"]);
}

async fn several_boundaries_are_passed_one_after_the_other(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    two_users(standings, board).await;
    let all = boundaries(board, 40);
    standings.turn(board.pk, &all[..3]).await.expect("turned");
    let version = standings.turn(board.pk, &all).await.expect("turned");
    assert_eq!(version.seq, 80, "two events for each, none twice");
    assert_eq!(standings.head(Board { season: 41, ..board }).await.expect("ready").total, 0);
    let history = store.feed.history(board.pk, 0, 100).await.expect("the history");
    let ended: Vec<_> = history.events.iter().filter_map(|event| event.ended_season()).collect();
    assert_eq!(ended, (1..=40).collect::<Vec<_>>());
    assert!(history.events.iter().skip(1).all(|event| event.total == 0), "the seasons after the first ended empty");
}

async fn a_boundary_that_is_not_next_is_refused(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    two_users(standings, board).await;
    let later = boundaries(next_season(board), 1);
    let refused = standings.turn(board.pk, &later).await;
    assert_eq!(refused, Err(RankingError::EarlierSeason { pk: board.pk, season: 1 }));
    assert_eq!(order_of(standings, board).await, ["a", "b"]);
}

async fn an_earlier_season_is_no_loss(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    two_users(standings, board).await;
    let (next, refused) = (next_season(board), RankingError::EarlierSeason { pk: board.pk, season: 1 });
    assert_eq!(standings.head(next).await, Err(refused.clone()));
    assert_eq!(standings.window(next, 1, 9).await, Err(refused.clone()));
    assert_eq!(standings.neighbourhoods(next, &[user("a")], 1).await, Err(refused.clone()));
    assert_eq!(standings.apply(next, &[change(next, "a", 1, 9, 1)]).await, Err(refused.clone()));
    assert_eq!(standings.rename(next, &user("a"), &name("A", 1), None).await, Err(refused.clone()));
    assert_eq!(standings.survey(next, 1).await, Err(refused));
    let begun = standings.begin_rebuild(next, Replaces::Lost).await.expect("an answer");
    assert!(matches!(begun, Begun::Elsewhere), "it will turn over by itself: {begun:?}");
    assert_eq!(order_of(standings, board).await, ["a", "b"], "untouched");
}

async fn a_lost_ranking_cannot_turn_over(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    let refused = store.standings.turn(board.pk, &boundaries(board, 1)).await;
    assert_eq!(refused, Err(RankingError::Unready(board.pk)));
}

async fn what_was_removed_or_renamed_starts_anew(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    two_users(standings, board).await;
    standings.rename(board, &user("b"), &name("Bea", 3), None).await.expect("renamed");
    standings.apply(board, &[removal(board, "a", 2, 3)]).await.expect("removed");
    standings.turn(board.pk, &boundaries(board, 1)).await.expect("turned");
    let next = next_season(board);
    ranked(standings, &change(next, "a", 1, 4, 70_000_000)).await;
    let named = scoreboard::domain::announcement::Change { name: name("Bea", 3), ..change(next, "b", 1, 2, 70_000_001) };
    ranked(standings, &named).await;
    let window = standings.window(next, 1, 9).await.expect("ready");
    let rows: Vec<_> = window.entries.iter().map(|entry| (entry.user_id.as_str(), &*entry.display_name)).collect();
    assert_eq!(rows, [("a", "a"), ("b", "Bea")]);
}

//! What a ranking is told beside scores: names, definitions, deletions.

use scoreboard::{
    domain::{
        announcement::Change,
        entry::{DisplayName, StoredEntry},
        event::{Event, EventKind},
        leaderboard::Board,
    },
    repositories::ranking_store::{Begun, RankingError, RankingStore, Replaces},
};

use super::{
    backends::{Backend, on_each_backend},
    ranking::{assert_unready, begun, build, change, definition, fresh_board, name, now_or_later, ranked, stored, user},
};

const HISTORY: u64 = 100;

on_each_backend! {
    an_event_is_published_once_per_revision_of_its_kind
    the_newest_name_stays_whatever_the_order_of_arrival
    a_name_that_was_taken_back_stays_away
    a_definition_is_told_once_also_across_a_rebuild
    a_deletion_removes_everything_and_is_told_once
    a_deletion_of_a_ranking_that_is_not_ready_is_told_all_the_same
}

async fn shown(standings: &dyn RankingStore, board: Board) -> String {
    standings.window(board, 1, 1).await.expect("a window").entries[0].display_name.to_string()
}

async fn the_newest_name_stays_whatever_the_order_of_arrival(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    standings.rename(board, &user("a"), &name("Second: é", 2), None).await.expect("renamed before the first entry");
    ranked(standings, &Change { name: name("First", 1), ..change(board, "a", 1, 1, 1) }).await;
    assert_eq!(shown(standings, board).await, "Second: é");
    standings.rename(board, &user("a"), &name("First", 1), None).await.expect("ignored");
    assert_eq!(shown(standings, board).await, "Second: é");
    ranked(standings, &Change { name: name("Third", 3), ..change(board, "a", 2, 2, 2) }).await;
    let (_, found) = standings.neighbourhoods(board, &[user("a")], 0).await.expect("an entry");
    assert_eq!(found[0].entry.as_ref().map(|entry| &*entry.display_name), Some("Third"));
    build(standings, board, &[StoredEntry { name: name("Third", 3), ..stored(&change(board, "a", 2, 2, 2)) }]).await;
    standings.rename(board, &user("a"), &name("Second: é", 2), None).await.expect("ignored");
    assert_eq!(shown(standings, board).await, "Third");
    assert_eq!(standings.head(board).await.expect("a head").version.expect("a version").seq, 0);
}

async fn a_name_that_was_taken_back_stays_away(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    ranked(standings, &Change { name: name("A", 1), ..change(board, "a", 1, 1, 1) }).await;
    standings.rename(board, &user("a"), &DisplayName { name: None, revision: 2, appearance: None }, None).await.expect("renamed");
    assert_eq!(shown(standings, board).await, "a");
    standings.rename(board, &user("a"), &name("A", 1), None).await.expect("ignored");
    assert_eq!(shown(standings, board).await, "a");
    let held = standings.dump(board, 1, 1).await.expect("a dump");
    assert_eq!(held[0].name, DisplayName { name: None, revision: 2, appearance: None });
}

async fn a_definition_is_told_once_also_across_a_rebuild(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let begun = build(standings, board, &[]).await;
    let told = standings.announce_definition(&definition(board, 7, false)).await.expect("told");
    assert_eq!((told.epoch.clone(), told.seq), (begun.epoch, 1));
    for revision in [7, 6] {
        assert_eq!(standings.announce_definition(&definition(board, revision, false)).await.expect("known"), told);
    }
    let rebuilt = build(standings, board, &[]).await;
    assert_eq!(standings.announce_definition(&definition(board, 7, false)).await.expect("known"), rebuilt);
    assert_eq!(standings.announce_definition(&definition(board, 8, false)).await.expect("told").seq, 1);
}

async fn a_deletion_removes_everything_and_is_told_once(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    ranked(standings, &change(board, "a", 1, 1, 1)).await;
    let told = standings.announce_definition(&definition(board, 2, true)).await.expect("told");
    assert_eq!(told.seq, 2);
    assert_eq!(standings.announce_definition(&definition(board, 2, true)).await.expect("known"), told);
    assert_unready(standings, board).await;
    for replaces in [Replaces::Lost, Replaces::Any] {
        let refused = standings.begin_rebuild(board, replaces).await.expect("an answer");
        assert!(matches!(refused, Begun::Gone), "nobody rebuilds what is gone: {refused:?}");
    }
}

async fn a_deletion_of_a_ranking_that_is_not_ready_is_told_all_the_same(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let rebuild = begun(standings, board, false).await;
    let told = standings.announce_definition(&definition(board, 2, true)).await.expect("told");
    assert_eq!(told.seq, 1);
    let epoch = now_or_later(&rebuild);
    assert!(matches!(standings.finish_rebuild(rebuild, epoch).await, Err(RankingError::Overtaken(_))));
}

async fn an_event_is_published_once_per_revision_of_its_kind(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let begun = build(standings, board, &[stored(&change(board, "a", 1, 1, 1))]).await;
    let publish = async |kind, revision, fields| standings.publish(board, kind, revision, fields).await.expect("published").seq;
    assert_eq!(publish(EventKind::LeaderboardChanged, 2, "{}").await, 1);
    assert_eq!(publish(EventKind::UserChanged, 2, "\"a\":1").await, 2, "each kind counts for itself");
    for revision in [1, 2] {
        assert_eq!(publish(EventKind::UserChanged, revision, "\"b\":1").await, 2);
    }
    assert_eq!(publish(EventKind::UserChanged, 3, "\"c\":1").await, 3);
    let history = store.feed.history(board.pk, 0, 9).await.expect("a history");
    let event = |seq, kind, fields: &str| Event { seq, kind, rank: 0, previous_rank: None, total: 1, fields: fields.to_owned() };
    let expected = [
        event(1, EventKind::LeaderboardChanged, "{}"),
        event(2, EventKind::UserChanged, "\"a\":1"),
        event(3, EventKind::UserChanged, "\"c\":1"),
    ];
    assert_eq!((history.epoch, history.events), (begun.epoch, expected.to_vec()));
    // It outlives a rebuild.
    build(standings, board, &[]).await;
    assert_eq!(publish(EventKind::UserChanged, 3, "\"c\":1").await, 0);
    assert_eq!(publish(EventKind::LeaderboardChanged, 2, "{}").await, 0);
}

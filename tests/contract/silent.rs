//! Changes of hidden entries: a ranking takes their revisions and tells nobody.

use scoreboard::{domain::announcement::Change, repositories::ranking_store::Applied};

use super::{
    backends::{Backend, on_each_backend},
    ranking::{build, change, fresh_board, order_of, ranked, removal, stored, user},
};

const HISTORY: u64 = 100;

on_each_backend! {
    a_silent_change_takes_its_revision_and_moves_nothing
    what_follows_a_silent_change_takes_its_place
    a_rebuild_knows_the_revision_of_a_hidden_entry
}

fn silent(change: Change) -> Change {
    change.silenced()
}

async fn a_silent_change_takes_its_revision_and_moves_nothing(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    let (before, ..) = ranked(standings, &change(board, "a", 1, 5, 1)).await;
    let hidden = [silent(change(board, "b", 1, 9, 2)), silent(change(board, "b", 2, 11, 3))];
    for _ in 0..2 {
        let outcomes = standings.apply(board, &hidden).await.expect("applied");
        let known =
            |outcome: &Applied| matches!(outcome, Applied::Known { rank: 0, total: 1, version, .. } if *version == before);
        assert!(outcomes.iter().all(known), "{outcomes:?}");
    }
    assert_eq!(order_of(standings, board).await, ["a"]);
    let (_, found) = standings.neighbourhoods(board, &[user("b")], 0).await.expect("an answer");
    assert_eq!(found[0].entry, None);
    let history = store.feed.history(board.pk, 0, 9).await.expect("a history");
    assert_eq!((history.head, history.events.len()), (before.seq, 1), "nobody was told");
}

async fn what_follows_a_silent_change_takes_its_place(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    ranked(standings, &change(board, "a", 1, 5, 1)).await;
    ranked(standings, &change(board, "b", 1, 9, 2)).await;
    let (hidden_at, rank, previous) = ranked(standings, &removal(board, "b", 2, 3)).await;
    assert_eq!((rank, previous), (0, Some(1)));
    let early = standings.apply(board, &[change(board, "b", 4, 12, 5)]).await.expect("an answer");
    assert!(matches!(early[..], [Applied::Early { held: 2, .. }]), "{early:?}");
    standings.apply(board, &[silent(change(board, "b", 3, 11, 4))]).await.expect("applied");
    let (version, rank, previous) = ranked(standings, &change(board, "b", 4, 11, 4)).await;
    assert_eq!((version.seq, rank, previous), (hidden_at.seq + 1, 1, None), "as one that was not there");
    assert_eq!(order_of(standings, board).await, ["b", "a"]);
}

async fn a_rebuild_knows_the_revision_of_a_hidden_entry(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[stored(&change(board, "a", 1, 5, 1)), stored(&silent(change(board, "b", 7, 9, 2)))]).await;
    assert_eq!(order_of(standings, board).await, ["a"]);
    standings.apply(board, &[silent(change(board, "b", 8, 9, 2))]).await.expect("applied");
    let (_, rank, previous) = ranked(standings, &change(board, "b", 9, 9, 2)).await;
    assert_eq!((rank, previous), (1, None));
}

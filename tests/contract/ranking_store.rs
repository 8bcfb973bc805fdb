//! The contract of [`RankingStore`](scoreboard::repositories::ranking_store::RankingStore).

use std::sync::Arc;

use scoreboard::{
    domain::{announcement::Change, entry::StoredEntry, event::EventKind, leaderboard::Board, version::Version},
    repositories::ranking_store::{Applied, Begun, RankingError, RankingStore, Replaces},
};

use super::{
    backends::{Backend, on_each_backend},
    ranking::{
        assert_unready, build, change, definition, fresh_board, name, next_events, order_of, ranked, removal, stored, user,
    },
};

const HISTORY: u64 = 100;

on_each_backend! {
    a_board_is_not_ready_before_it_is_built
    a_later_season_is_no_loss
    a_known_change_answers_its_present_place_and_moves_nobody
    an_early_change_waits_for_its_predecessor
    the_same_revision_with_another_score_or_time_is_a_conflict
    a_survey_tells_the_newest_events
    two_instances_that_bring_the_same_changes_apply_each_once
    a_batch_of_many_hundreds_is_one_run_of_positions
    neighbourhoods_end_where_the_ranking_ends
    an_entry_that_is_taken_out_is_gone_until_its_next_score
    windows_beyond_the_end_are_empty
    a_dump_tells_revisions_and_names_page_by_page
    ping_answers
}

async fn a_board_is_not_ready_before_it_is_built(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    assert_unready(&*store.standings, board).await;
    assert!(matches!(store.feed.history(board.pk, 0, 10).await, Err(RankingError::Unready(_))));
    build(&*store.standings, board, &[]).await;
    assert_eq!(store.standings.head(board).await.expect("ready").total, 0);
}

/// What was asked for is archived, and nobody may wipe the live ranking for it.
async fn a_later_season_is_no_loss(backend: Backend) {
    let store = backend.store().await;
    let (standings, first) = (&*store.standings, fresh_board());
    let second = Board { season: 2, ..first };
    build(standings, first, &[stored(&change(first, "a", 1, 9, 1))]).await;
    let Begun::Yours(rebuild) = standings.begin_rebuild(second, Replaces::Any).await.expect("it is due") else {
        panic!("the season has ended")
    };
    for replaces in [Replaces::Lost, Replaces::Any] {
        let begun = standings.begin_rebuild(first, replaces).await.expect("an answer");
        assert!(matches!(begun, Begun::Gone), "while a later one is being built");
    }
    standings.finish_rebuild(rebuild, 1).await.expect("finished");
    let refused = RankingError::LaterSeason { pk: first.pk, season: 2 };
    assert_eq!(standings.head(first).await, Err(refused.clone()));
    assert_eq!(standings.window(first, 1, 9).await, Err(refused.clone()));
    assert_eq!(standings.neighbourhoods(first, &[user("a")], 1).await, Err(refused.clone()));
    assert_eq!(standings.apply(first, &[change(first, "a", 2, 9, 1)]).await, Err(refused.clone()));
    assert_eq!(standings.rename(first, &user("a"), &name("A", 1), None).await, Err(refused.clone()));
    assert_eq!(standings.survey(first, 1).await, Err(refused));
    assert!(matches!(standings.begin_rebuild(first, Replaces::Any).await.expect("an answer"), Begun::Gone));
    assert_eq!(standings.head(second).await.expect("untouched").total, 0);
    // Unless the ledger, which was set back, knows no later one.
    assert!(matches!(standings.begin_rebuild(first, Replaces::Deleted).await.expect("an answer"), Begun::Yours(_)));
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
        assert_eq!(outcomes, [Applied::Known { version: version.clone(), rank: 2, total: 2, revision: 2 }]);
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
    assert!(matches!(outcomes[..], [Applied::Early { held: 0, .. }, Applied::Early { held: 0, .. }]), "{outcomes:?}");
    assert_eq!(store.standings.head(board).await.expect("a head").total, 0);
    let outcomes = store.standings.apply(board, &[third, first, second]).await.expect("an answer");
    assert!(matches!(outcomes[..], [Applied::Early { .. }, Applied::Ranked { .. }, Applied::Ranked { .. }]), "{outcomes:?}");
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
    let bring = |standings: Arc<dyn RankingStore>, mut waiting: Vec<Change>| async move {
        let mut taken = 0;
        while !waiting.is_empty() {
            fastrand::shuffle(&mut waiting);
            let size = fastrand::usize(1..=waiting.len().min(9));
            let batch: Vec<_> = waiting.drain(..size).collect();
            let outcomes = standings.apply(board, &batch).await.expect("applied");
            taken += outcomes.iter().filter(|outcome| matches!(outcome, Applied::Ranked { .. })).count();
            let early = batch.into_iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Applied::Early { .. }));
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

async fn an_entry_that_is_taken_out_is_gone_until_its_next_score(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let mut messages = store.feed.take_messages().expect("the first to take them");
    let begun = build(standings, board, &[stored(&change(board, "a", 1, 9, 1)), stored(&change(board, "b", 1, 5, 1))]).await;
    store.feed.subscribe(board.pk).await.expect("subscribed");
    let apply = async |change: Change| standings.apply(board, &[change]).await.expect("applied").remove(0);
    let at = |seq| Version::new(begun.epoch.clone(), seq);
    let out = Applied::Ranked { version: at(1), rank: 0, previous_rank: Some(1), total: 1 };
    assert_eq!(apply(removal(board, "a", 2, 2)).await, out);
    let event = next_events(&mut messages, board, &begun).await.remove(0);
    assert_eq!((event.kind, event.rank, event.previous_rank, event.total), (EventKind::ScoreRemoved, 0, Some(1), 1));
    let known = |revision| Applied::Known { version: at(1), rank: 0, total: 1, revision };
    assert_eq!(apply(removal(board, "a", 2, 2)).await, known(2));
    assert_eq!(apply(change(board, "a", 1, 9, 1)).await, known(2), "what came before");
    assert!(matches!(apply(change(board, "a", 2, 9, 1)).await, Applied::Conflict { .. }));
    assert!(matches!(apply(removal(board, "b", 1, 1)).await, Applied::Conflict { .. }));
    assert!(matches!(apply(change(board, "a", 4, 9, 1)).await, Applied::Early { held: 2, .. }));
    let (head, found) = standings.neighbourhoods(board, &[user("a"), user("b")], 1).await.expect("neighbourhoods");
    assert_eq!((head.total, found[0].entry.is_none(), found[1].entry.as_ref().map(|entry| entry.rank)), (1, true, Some(1)));
    assert_eq!(standings.survey(board, 9).await.expect("a survey").newest_events.len(), 1);

    // A ranking that is built anew remembers it, too.
    let entries = [stored(&removal(board, "a", 2, 2)), stored(&change(board, "b", 1, 5, 1)), stored(&removal(board, "c", 7, 1))];
    let begun = build(standings, board, &entries).await;
    assert_eq!(standings.head(board).await.expect("a head").total, 1);
    let outcomes = standings.apply(board, &[change(board, "a", 3, 1, 3), change(board, "c", 8, 7, 4)]).await.expect("applied");
    let ranks: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Applied::Ranked { version, rank, previous_rank, total } => (version.seq, *rank, *previous_rank, *total),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ranks, [(1, 2, None, 2), (2, 1, None, 3)], "they are newcomers");
    assert_eq!(standings.dump(board, 1, 9).await.expect("a dump").iter().map(|entry| entry.revision).sum::<i64>(), 12);
    let history = store.feed.history(board.pk, 0, 9).await.expect("a history");
    assert_eq!((history.epoch, history.events.len()), (begun.epoch, 2));
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

/// As a ledger brings it that was set back, or a copy of the one that fed the ranking.
async fn the_same_revision_with_another_score_or_time_is_a_conflict(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    build(&*store.standings, board, &[stored(&change(board, "b", 3, 7, 5))]).await;
    let (version, ..) = ranked(&*store.standings, &change(board, "a", 1, 10, 1)).await;
    for other in [change(board, "a", 1, 11, 1), change(board, "a", 1, 10, 2), change(board, "b", 3, 8, 5)] {
        let outcomes = store.standings.apply(board, &[other]).await.expect("an answer");
        assert_eq!(outcomes, [Applied::Conflict { version: version.clone() }]);
    }
    for same in [change(board, "a", 1, 10, 1), change(board, "b", 3, 7, 5)] {
        let outcomes = store.standings.apply(board, &[same]).await.expect("an answer");
        assert!(matches!(outcomes[..], [Applied::Known { .. }]), "{outcomes:?}");
    }
    assert_eq!(store.standings.head(board).await.expect("a head").version, Some(version), "nothing was told");
}

async fn a_survey_tells_the_newest_events(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    build(standings, board, &[]).await;
    assert!(standings.survey(board, 9).await.expect("an answer").newest_events.is_empty());
    let changes: Vec<_> = (1..=300).map(|u| change(board, &format!("u{u}"), 1, u, u)).collect();
    for batch in changes.chunks(7) {
        standings.apply(board, batch).await.expect("applied");
    }
    standings.announce_definition(&definition(board, 2, false)).await.expect("told");
    let survey = standings.survey(board, 20).await.expect("an answer");
    let newest: Vec<_> = changes.iter().rev().take(20).map(|change| change.event_id).collect();
    assert_eq!((survey.version.seq, survey.total, survey.newest_events), (301, 300, newest));
}

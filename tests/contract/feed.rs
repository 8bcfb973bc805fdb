//! The contract of [`Feed`](scoreboard::repositories::feed::Feed).

use scoreboard::{
    domain::{
        announcement::Change,
        entry::DisplayName,
        event::{Event, EventKind},
        version::Version,
    },
    repositories::{feed::FeedMessage, ranking_store::Applied},
};

use super::{
    backends::{Backend, fresh_pk, on_each_backend},
    ranking::{build, change, definition, fresh_board, name, next, next_events, ranked, user},
};

const HISTORY: u64 = 50;

on_each_backend! {
    a_subscriber_is_told_what_the_outcomes_say
    only_subscribed_boards_are_told
    renames_definitions_resets_and_deletions_are_told
    a_new_profile_is_told_once_at_a_position_of_its_own
    a_history_continues_after_any_position_also_inside_a_batch
    a_history_keeps_the_latest_events_and_is_honest_about_the_rest
    a_body_comes_back_unchanged
    watchers_of_all_instances_add_up
    messages_have_one_receiver
}

async fn a_subscriber_is_told_what_the_outcomes_say(backend: Backend) {
    let (writer, reader) = (backend.store().await, backend.store().await);
    let mut messages = reader.feed.take_messages().expect("the first to take them");
    let board = fresh_board();
    let version = build(&*writer.standings, board, &[]).await;
    reader.feed.subscribe(board.pk).await.expect("subscribed");
    let mut expected = vec![];
    let mut told = vec![];
    for round in 1..=20 {
        let changes: Vec<_> = (0..7).map(|u| change(board, &format!("u{u}"), round, (u * round) % 5, round)).collect();
        let outcomes = writer.standings.apply(board, &changes).await.expect("applied");
        for (change, outcome) in changes.into_iter().zip(outcomes) {
            let Applied::Ranked { version, rank, previous_rank, total } = outcome else { panic!("{outcome:?}") };
            let kind = EventKind::ScoreUpdated;
            expected.push(Event { seq: version.seq, kind, rank, previous_rank, total, fields: change.event });
        }
    }
    while told.len() < expected.len() {
        told.extend(next_events(&mut messages, board, &version).await);
    }
    assert_eq!(told, expected);
}

async fn only_subscribed_boards_are_told(backend: Backend) {
    let store = backend.store().await;
    let mut messages = store.feed.take_messages().expect("the first to take them");
    let [left, silent, loud] = [fresh_board(), fresh_board(), fresh_board()];
    for board in [left, silent, loud] {
        build(&*store.standings, board, &[]).await;
    }
    store.feed.subscribe(left.pk).await.expect("subscribed");
    store.feed.subscribe(loud.pk).await.expect("subscribed");
    store.feed.unsubscribe(left.pk).await;
    // Unsubscribing takes effect in the order of the commands, of which this is the next one.
    store.feed.subscribe(loud.pk).await.expect("subscribed again");
    for board in [left, silent, loud] {
        ranked(&*store.standings, &change(board, "a", 1, 1, 1)).await;
    }
    match next(&mut messages).await {
        FeedMessage::Events { pk, .. } => assert_eq!(pk, loud.pk),
        other => panic!("{other:?}"),
    }
}

async fn renames_definitions_resets_and_deletions_are_told(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let mut messages = store.feed.take_messages().expect("the first to take them");
    store.feed.subscribe(board.pk).await.expect("subscribed");
    let version = build(standings, board, &[]).await;
    match next(&mut messages).await {
        FeedMessage::Reset { pk, epoch } => assert_eq!((pk, epoch), (board.pk, version.epoch.clone())),
        other => panic!("{other:?}"),
    }
    standings.rename(board, &user("a"), &name("A", 2), None).await.expect("renamed");
    standings.rename(board, &user("a"), &name("Older", 1), None).await.expect("ignored");
    standings.rename(board, &user("b"), &DisplayName { name: None, revision: 0, appearance: None }, None).await.expect("ignored");
    assert!(matches!(next(&mut messages).await, FeedMessage::Renamed { pk } if pk == board.pk));
    standings.announce_definition(&definition(board, 3, false)).await.expect("told");
    standings.announce_definition(&definition(board, 4, true)).await.expect("told");
    let mut told = next_events(&mut messages, board, &version).await;
    told.extend(next_events(&mut messages, board, &version).await);
    let event = |seq, kind, revision: i64| Event {
        seq,
        kind,
        rank: 0,
        previous_rank: None,
        total: 0,
        fields: format!("{{\"revision\":{revision}}}"),
    };
    assert_eq!(told, [event(1, EventKind::LeaderboardChanged, 3), event(2, EventKind::LeaderboardDeleted, 4)]);
}

async fn a_new_profile_is_told_once_at_a_position_of_its_own(backend: Backend) {
    let store = backend.store().await;
    let (standings, board) = (&*store.standings, fresh_board());
    let mut messages = store.feed.take_messages().expect("the first to take them");
    let begun = build(standings, board, &[]).await;
    store.feed.subscribe(board.pk).await.expect("subscribed");
    ranked(standings, &change(board, "b", 1, 9, 1)).await;
    ranked(standings, &change(board, "a", 1, 1, 1)).await;
    let mut expected = vec![];
    let mut told = |seq, rank: Option<u64>, body: &str| {
        let (kind, total, fields) = (EventKind::UserChanged, 2, body.to_owned());
        expected.push(Event { seq, kind, rank: rank.unwrap_or(0), previous_rank: rank, total, fields });
        Version::new(begun.epoch.clone(), seq)
    };
    let rename = async |id: &str, name: DisplayName, body: &str| {
        standings.rename(board, &user(id), &name, Some(body)).await.expect("told")
    };
    let second = r#""userId":"a","displayName":"Ä: \ \"S 1\" 2""#;
    let version = told(3, Some(2), second);
    for (name, body) in [(name("Second", 2), second), (name("Second", 2), second), (name("First", 1), "\"late\":1")] {
        assert_eq!(rename("a", name, body).await, version, "once, and nothing older");
    }
    // A score brings the third name before it is told.
    ranked(standings, &Change { name: name("Third", 3), ..change(board, "a", 2, 2, 2) }).await;
    assert_eq!(rename("a", name("Third", 3), "\"third\":3").await, told(5, Some(2), "\"third\":3"));
    // Neither an entry nor a name.
    let nameless = || DisplayName { name: None, revision: 1, appearance: None };
    let version = told(6, None, "\"b\":1");
    for _ in 0..2 {
        assert_eq!(rename("c", nameless(), "\"b\":1").await, version);
    }
    let mut heard = vec![];
    while heard.len() < 6 {
        heard.extend(next_events(&mut messages, board, &begun).await);
    }
    let history = store.feed.history(board.pk, 0, 10).await.expect("a history");
    assert_eq!((history.head, &history.events), (6, &heard));
    heard.retain(|event| event.kind == EventKind::UserChanged);
    assert_eq!(heard, expected);
    let window = standings.window(board, 1, 10).await.expect("a window");
    assert_eq!((&*window.entries[1].display_name, window.head.total), ("Third", 2));
    assert_eq!(ranked(standings, &change(board, "c", 1, 0, 3)).await.0.seq, 7, "the ranking is still whole");
}

/// Twenty events in batches of 1, 2, 3, 4 and 10.
async fn twenty_events(backend: &Backend) -> (super::backends::Store, i64, Version) {
    let store = backend.store().await;
    let board = fresh_board();
    let version = build(&*store.standings, board, &[]).await;
    let changes: Vec<_> = (0..20).map(|u| change(board, &format!("u{u}"), 1, u, u)).collect();
    let mut rest = &changes[..];
    for size in [1, 2, 3, 4, 10] {
        let (batch, later) = rest.split_at(size);
        store.standings.apply(board, batch).await.expect("applied");
        rest = later;
    }
    (store, board.pk, version)
}

async fn a_history_continues_after_any_position_also_inside_a_batch(backend: Backend) {
    let (store, pk, version) = twenty_events(&backend).await;
    for after in 0..=21 {
        for limit in [1, 2, 5, 100] {
            let history = store.feed.history(pk, after, limit).await.expect("a history");
            let seqs: Vec<_> = history.events.iter().map(|event| event.seq).collect();
            let expected: Vec<_> = (after + 1..=20).take(limit).collect();
            assert_eq!((history.epoch, history.head, seqs), (version.epoch.clone(), 20, expected), "{limit} after {after}");
        }
    }
}

async fn a_history_keeps_the_latest_events_and_is_honest_about_the_rest(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    build(&*store.standings, board, &[]).await;
    for round in 1..=700 {
        let changes = [change(board, "a", round, round, round), change(board, "b", round, -round, round)];
        store.standings.apply(board, &changes).await.expect("applied");
    }
    let read = async |after| store.feed.history(board.pk, after, 10_000).await.expect("a history");
    let kept = read(1400 - HISTORY).await;
    let seqs: Vec<_> = kept.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1401 - HISTORY..=1400).collect::<Vec<_>>());
    let all = read(0).await;
    let first = all.events.first().expect("some events").seq;
    assert!(first > 1, "nothing was ever given up");
    let seqs: Vec<_> = all.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (first..=1400).collect::<Vec<_>>(), "what is kept has no holes");
    let gone = store.feed.history(board.pk, 0, 1).await.expect("a history");
    assert!(gone.head == 1400 && gone.events.first().is_none_or(|event| event.seq != 1), "{gone:?}");
}

async fn a_body_comes_back_unchanged(backend: Backend) {
    let store = backend.store().await;
    let board = fresh_board();
    build(&*store.standings, board, &[]).await;
    let body = r#""displayName":"宮本 \n \\ \"茂\" 🏆 %s {} S 1 2","delta":-0.5"#;
    let mut told = change(board, "宮本 茂 1:2", 1, 1, 1);
    told.event = body.to_owned();
    ranked(&*store.standings, &told).await;
    let history = store.feed.history(board.pk, 0, 1).await.expect("a history");
    assert_eq!(history.events[0].fields, body);
}

async fn watchers_of_all_instances_add_up(backend: Backend) {
    let stores = [backend.store().await, backend.store().await];
    let (pk, other) = (fresh_pk(), fresh_pk());
    let instances = if matches!(backend, Backend::Memory(_)) { 1 } else { 2 };
    for store in &stores {
        store.feed.report_watchers(pk, 5).await.expect("noted");
    }
    assert_eq!(stores[0].feed.watchers(&[other, pk]).await.expect("counts"), [0, 5 * instances]);
    assert_eq!(stores[1].feed.report_watchers(pk, 7).await.expect("noted"), 7 + 5 * (instances - 1));
    for store in &stores {
        store.feed.report_watchers(pk, 0).await.expect("taken back");
    }
    assert_eq!(stores[0].feed.watchers(&[pk]).await.expect("counts"), [0]);
}

async fn messages_have_one_receiver(backend: Backend) {
    let store = backend.store().await;
    assert!(store.feed.take_messages().is_some());
    assert!(store.feed.take_messages().is_none());
}

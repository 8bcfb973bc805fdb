//! The words the suites of the ranking and the feed are written in: boards, changes, and waiting.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use scoreboard::{
    domain::{
        announcement::{Change, DefinitionChange},
        entry::{DisplayName, StoredEntry},
        event::Event,
        ids::{LeaderboardId, UserId},
        leaderboard::{Board, Order},
        time::{Clock, Timestamp},
        version::Version,
    },
    repositories::{
        feed::FeedMessage,
        ranking_store::{Applied, Begun, RankingError, RankingStore, Rebuild, Replaces},
    },
};
use tokio::sync::mpsc::Receiver;

use super::backends::fresh_pk;

/// Nobody has this name, and nobody ever did.
pub const NAMELESS: DisplayName = DisplayName { name: None, revision: 0, appearance: None };

/// A board of its own, best score highest.
pub fn fresh_board() -> Board {
    Board { pk: fresh_pk(), season: 1, order: Order::Desc }
}

pub fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user id")
}

pub fn name(name: &str, revision: i64) -> DisplayName {
    DisplayName { name: Some(name.to_owned()), revision, appearance: None }
}

/// The `revision`th change of a user's entry.
pub fn change(board: Board, id: &str, revision: i64, score: i64, reached_at: i64) -> Change {
    let event_id = uuid::Uuid::now_v7();
    Change {
        board,
        event_id,
        user_id: user(id),
        score: Some(score),
        reached_at,
        revision,
        name: NAMELESS,
        event: format!("\"eventId\":\"{event_id}\",\"score\":{score}"),
    }
}

/// The `revision`th change of a user's entry, which takes it out.
pub fn removal(board: Board, id: &str, revision: i64, at: i64) -> Change {
    Change { score: None, ..change(board, id, revision, 0, at) }
}

pub fn stored(change: &Change) -> StoredEntry {
    StoredEntry {
        user_id: change.user_id.clone(),
        score: change.score,
        reached_at: Timestamp(change.reached_at),
        revision: change.revision,
        name: change.name.clone(),
    }
}

pub fn definition(board: Board, revision: i64, deleted: bool) -> DefinitionChange {
    let leaderboard_id = LeaderboardId::parse("main").expect("a leaderboard id");
    DefinitionChange {
        board,
        leaderboard_id,
        revision,
        deleted,
        definitions: 0,
        public: true,
        event: format!("{{\"revision\":{revision}}}"),
    }
}

/// Builds a ranking of these entries, whatever there is.
pub async fn build(standings: &dyn RankingStore, board: Board, entries: &[StoredEntry]) -> Version {
    let rebuild = begun(standings, board, true).await;
    standings.load(&rebuild, entries).await.expect("loaded");
    finished(standings, rebuild).await
}

/// Begins a rebuild, which nothing has to stand in the way of.
pub async fn begun(standings: &dyn RankingStore, board: Board, force: bool) -> Rebuild {
    let replaces = if force { Replaces::Any } else { Replaces::Lost };
    match standings.begin_rebuild(board, replaces).await.expect("an answer") {
        Begun::Yours(rebuild) => rebuild,
        other => panic!("the rebuild cannot begin: {other:?}"),
    }
}

/// Ends a rebuild, under the epoch of this moment.
pub async fn finished(standings: &dyn RankingStore, rebuild: Rebuild) -> Version {
    let epoch = now_or_later(&rebuild);
    standings.finish_rebuild(rebuild, epoch).await.expect("finished")
}

/// The epoch of this moment.
pub fn now_or_later(rebuild: &Rebuild) -> i64 {
    rebuild.earliest_epoch(Clock::system().now())
}

/// Applies one change that takes its place, and answers its version, rank and previous rank.
pub async fn ranked(standings: &dyn RankingStore, change: &Change) -> (Version, u64, Option<u64>) {
    let outcomes = standings.apply(change.board, std::slice::from_ref(change)).await.expect("applied");
    match &outcomes[..] {
        [Applied::Ranked { version, rank, previous_rank, .. }] => (version.clone(), *rank, *previous_rank),
        other => panic!("the change took no place: {other:?}"),
    }
}

/// The users of a board, best first.
pub async fn order_of(standings: &dyn RankingStore, board: Board) -> Vec<String> {
    let window = standings.window(board, 1, 1000).await.expect("a window");
    window.entries.into_iter().map(|entry| entry.user_id.to_string()).collect()
}

/// The next message, which has to come soon.
pub async fn next(messages: &mut Receiver<FeedMessage>) -> FeedMessage {
    let message = tokio::time::timeout(Duration::from_secs(10), messages.recv()).await;
    message.expect("a message in time").expect("an open channel")
}

/// The next message's events, in the epoch they have to be of.
pub async fn next_events(messages: &mut Receiver<FeedMessage>, board: Board, version: &Version) -> Vec<Event> {
    match next(messages).await {
        FeedMessage::Events { pk, epoch, events } if pk == board.pk && epoch == version.epoch => events,
        other => panic!("events of board {} were expected: {other:?}", board.pk),
    }
}

/// Asks again and again until the answer is the one that was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came about: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every call that needs a ready ranking says that this one is not.
pub async fn assert_unready(standings: &dyn RankingStore, board: Board) {
    let changes = [change(board, "u", 1, 1, 1)];
    let answers = [
        ("apply", standings.apply(board, &changes).await.err()),
        ("announce_definition", standings.announce_definition(&definition(board, 1_000, false)).await.err()),
        ("rename", standings.rename(board, &user("u"), &name("U", 1_000), None).await.err()),
        ("head", standings.head(board).await.err()),
        ("window", standings.window(board, 1, 10).await.err()),
        ("neighbourhoods", standings.neighbourhoods(board, &[user("u")], 1).await.err()),
        ("survey", standings.survey(board, 1).await.err()),
        ("dump", standings.dump(board, 1, 10).await.err()),
    ];
    for (call, error) in answers {
        assert!(matches!(error, Some(RankingError::Unready(pk)) if pk == board.pk), "{call} answered {error:?}");
    }
}

//! [`RankingStore`] on Redis. Called by services through `Arc<dyn RankingStore>`; every call is one script, and so atomic.

mod rows;

use std::sync::Arc;

use async_trait::async_trait;
use fred::types::Value;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::repositories::ranking_store::{
    Applied, Begun, LEASE as LEASE_TIME, RankingError, RankingStore, Rebuild, Replaces, Survey, worth_keeping,
};
use crate::{
    domain::{
        announcement::{Change, DefinitionChange},
        entry::{DisplayName, Head, Neighbourhood, StoredEntry, Window},
        event::EventKind,
        ids::UserId,
        leaderboard::Board,
        season::Boundary,
        time::Timestamp,
        version::{Version, epoch_name},
    },
    repositories::{
        epoch::epoch_after,
        feed::feed_sender::EVENTS_PER_MESSAGE,
        redis::{
            Lane, RedisStore,
            keys::{BOARD, ENTRIES, LEASE, META, NAMES, PLACES, STREAM, TOMBSTONE, WATCHERS},
            record,
            reply::{Reply, unreadable},
            scripts,
        },
    },
};
use rows::Rows;

/// Changes that one script call applies and one message announces. At 25 to 30 µs each in a ranking of 200,000 that is some
/// milliseconds of a single-threaded server.
const CHANGES_PER_CALL: usize = EVENTS_PER_MESSAGE;
/// Boundaries that one script call passes: some hundred kilobytes of events at most.
const BOUNDARIES_PER_CALL: usize = 32;
/// Entries that one script call loads: some three milliseconds of a single-threaded server.
const ENTRIES_PER_CALL: usize = 500;
/// Loads in flight at once: while the server executes one the next arrives, and other calls still find a gap between them.
const LOADS_AT_ONCE: usize = 2;
/// The least number of rows of a wide read: the server is busy with it for half a millisecond.
const WIDE: u64 = 500;
/// The length of the lease as the scripts take it.
const LEASE_MS: i64 = LEASE_TIME.as_millis() as i64;
/// How long the deletion of a leaderboard is remembered, so that a late repetition or rebuild does not bring its keys back.
const TOMBSTONE_SECONDS: i64 = 24 * 60 * 60;

#[async_trait]
impl RankingStore for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_remote(&self) -> bool {
        true
    }

    async fn apply(&self, board: Board, changes: &[Change]) -> Result<Vec<Applied>, RankingError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for batch in changes.chunks(CHANGES_PER_CALL) {
            outcomes.extend(self.apply_batch(board, batch).await?);
        }
        Ok(outcomes)
    }

    async fn announce_definition(&self, change: &DefinitionChange) -> Result<Version, RankingError> {
        let pk = change.board.pk;
        let (channel, body) = (self.keys.channel(pk).into(), record::line(change.kind(), &change.event).into());
        let answer = if change.deleted {
            let keys = [META, PLACES, ENTRIES, NAMES, STREAM, LEASE, WATCHERS, TOMBSTONE];
            let epoch = text(epoch_after(self.clock.now(), None).as_ref());
            self.call(Lane::Announce, &scripts::DELETE, pk, &keys, [channel, epoch, body, TOMBSTONE_SECONDS.into()]).await?
        } else {
            return self.publish(change.board, change.kind(), change.revision, &change.event).await;
        };
        let mut reply = Reply::ready(answer, pk)?;
        Ok(Version::new(&*reply.text()?, reply.number()?))
    }

    async fn publish(&self, board: Board, kind: EventKind, revision: i64, fields: &str) -> Result<Version, RankingError> {
        let (letter, newest) = record::published(kind);
        let args = [
            board.season.into(),
            self.keys.channel(board.pk).into(),
            self.history_arg(),
            newest.into(),
            revision.into(),
            text(letter),
            record::line(kind, fields).into(),
        ];
        let answer = self.call(Lane::Announce, &scripts::PUBLISH, board.pk, &told_keys(), args).await?;
        let mut reply = Reply::ready(answer, board.pk)?;
        Ok(Version::new(&*reply.text()?, reply.number()?))
    }

    async fn turn(&self, pk: i64, boundaries: &[Boundary]) -> Result<Version, RankingError> {
        let mut version = Err(RankingError::Unready(pk));
        for some in boundaries.chunks(BOUNDARIES_PER_CALL) {
            let columns = some.iter().flat_map(|boundary| {
                let ended = record::line(EventKind::SeasonEnded, &boundary.ended_fields);
                let started = record::line(EventKind::SeasonStarted, &boundary.started_fields);
                [boundary.ended.into(), ended.into(), started.into()]
            });
            let args = [self.keys.channel(pk).into(), self.history_arg()].into_iter().chain(columns);
            let answer = self.call(Lane::Announce, &scripts::TURN, pk, &told_keys(), args).await?;
            let mut reply = Reply::ready(answer, pk)?;
            version = Ok(Version::new(&*reply.text()?, reply.number()?));
        }
        version
    }

    async fn rename(
        &self,
        board: Board,
        user_id: &UserId,
        name: &DisplayName,
        event: Option<&str>,
    ) -> Result<Version, RankingError> {
        let record = if worth_keeping(name) { record::name(name) } else { String::new() };
        let args = [
            board.season.into(),
            self.keys.channel(board.pk).into(),
            self.history_arg(),
            text(user_id.as_str()),
            name.revision.into(),
            record.into(),
            event.map_or_else(String::new, |fields| record::line(EventKind::UserChanged, fields)).into(),
        ];
        let answer = self.call(Lane::Announce, &scripts::RENAME, board.pk, &told_keys(), args).await?;
        let mut reply = Reply::ready(answer, board.pk)?;
        Ok(Version::new(&*reply.text()?, reply.number()?))
    }

    async fn head(&self, board: Board) -> Result<Head, RankingError> {
        Ok(self.window(board, 1, 0).await?.head)
    }

    async fn window(&self, board: Board, from_rank: u64, limit: u64) -> Result<Window, RankingError> {
        let first = from_rank.max(1);
        let mut reply = self.cut(board, first, limit, false).await?;
        let head = head_of(board, &mut reply)?;
        Ok(Window { head, entries: rows::read(board, reply.array()?, first)? })
    }

    async fn neighbourhoods(
        &self,
        board: Board,
        users: &[UserId],
        around: u64,
    ) -> Result<(Head, Vec<Neighbourhood>), RankingError> {
        let asked = users.iter().map(|user| text(user.as_str()));
        let args = [board.season.into(), number(around)].into_iter().chain(asked);
        let rows = users.len() as u64 * (2 * around + 1);
        let answer = self.call(reading(rows), &scripts::NEIGHBOURHOODS, board.pk, &BOARD, args).await?;
        let mut reply = Reply::ready(answer, board.pk)?;
        let head = head_of(board, &mut reply)?;
        let neighbourhoods = users.iter().map(|user| neighbourhood(board, user, reply.array()?)).collect::<Result<_, _>>()?;
        Ok((head, neighbourhoods))
    }

    async fn begin_rebuild(&self, board: Board, replaces: Replaces<'_>) -> Result<Begun, RankingError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let keys = [META, PLACES, ENTRIES, NAMES, STREAM, LEASE, TOMBSTONE];
        let (what, epoch) = match replaces {
            Replaces::Lost => ("lost", ""),
            Replaces::Any => ("any", ""),
            Replaces::Wrong(epoch) => ("wrong", epoch),
            Replaces::Deleted => ("deleted", ""),
        };
        let args = [text(&token), LEASE_MS.into(), board.season.into(), text(what), text(epoch)];
        let answer = self.call(Lane::Rebuild, &scripts::BEGIN, board.pk, &keys, args).await?;
        if matches!(answer, Value::Integer(_)) {
            return Ok(Begun::Gone);
        }
        let Some(mut reply) = Reply::open(answer)? else { return Ok(Begun::Elsewhere) };
        let previous_epoch = Some(reply.text()?).filter(|epoch| !epoch.is_empty()).map(|epoch| Arc::from(&*epoch));
        Ok(Begun::Yours(Rebuild { board, token, previous_epoch }))
    }

    async fn load(&self, rebuild: &Rebuild, entries: &[StoredEntry]) -> Result<(), RankingError> {
        // An empty page still renews the lease.
        let pages = entries.chunks(ENTRIES_PER_CALL).chain(entries.is_empty().then_some(entries));
        let calls: Vec<_> = pages.map(|page| self.load_page(rebuild, page)).collect();
        stream::iter(calls).buffer_unordered(LOADS_AT_ONCE).try_collect().await
    }

    async fn finish_rebuild(&self, rebuild: Rebuild, epoch: i64) -> Result<Version, RankingError> {
        let pk = rebuild.board.pk;
        let args = [text(&rebuild.token), epoch_name(epoch).into(), rebuild.board.season.into(), self.keys.channel(pk).into()];
        match self.call(Lane::Rebuild, &scripts::FINISH, pk, &[META, PLACES, ENTRIES, NAMES, LEASE], args).await? {
            Value::Integer(_) => Err(RankingError::Unready(pk)),
            answer => {
                let mut reply = Reply::open(answer)?.ok_or(RankingError::Overtaken(pk))?;
                Ok(Version::new(&*reply.text()?, 0))
            }
        }
    }

    async fn survey(&self, board: Board, events: usize) -> Result<Survey, RankingError> {
        let args = [board.season.into(), number(events as u64)];
        let answer = self.call(Lane::Read, &scripts::SURVEY, board.pk, &told_keys(), args).await?;
        let mut reply = Reply::ready(answer, board.pk)?;
        let head = head_of(board, &mut reply)?;
        let (mut ids, mut newest_events) = (reply.array()?, vec![]);
        while !ids.is_empty() {
            newest_events.push(ids.text()?.parse().map_err(|_| unreadable())?);
        }
        let has_appearances = reply.number()? == 1;
        Ok(Survey { version: head.version.ok_or_else(unreadable)?, total: head.total, newest_events, has_appearances })
    }

    async fn ping(&self) -> Result<(), RankingError> {
        self.answer().await
    }

    async fn dump(&self, board: Board, from_rank: u64, limit: u64) -> Result<Vec<StoredEntry>, RankingError> {
        let mut reply = self.cut(board, from_rank.max(1), limit, true).await?;
        head_of(board, &mut reply)?;
        let mut rows = Rows::open(board, reply.array()?)?;
        let mut entries = vec![];
        while let Some((user_id, reached_at, score)) = rows.place()? {
            let name = rows.name()?.unwrap_or(DisplayName::NONE);
            entries.push(StoredEntry { user_id, score: Some(score), reached_at, revision: rows.revision()?, name });
        }
        Ok(entries)
    }
}

impl RedisStore {
    async fn apply_batch(&self, board: Board, changes: &[Change]) -> Result<Vec<Applied>, RankingError> {
        let columns = changes.iter().flat_map(|change| change_columns(board, change));
        let head = [board.season.into(), self.keys.channel(board.pk).into(), self.history_arg()];
        let answer = self.call(Lane::Announce, &scripts::APPLY, board.pk, &told_keys(), head.into_iter().chain(columns)).await?;
        crate::failpoints::failpoint!("redis-applied", RankingError::Unreachable);
        let mut reply = Reply::ready(answer, board.pk)?;
        let epoch: Arc<str> = Arc::from(&*reply.text()?);
        changes.iter().map(|_| outcome(&epoch, &mut reply)).collect()
    }

    async fn load_page(&self, rebuild: &Rebuild, entries: &[StoredEntry]) -> Result<(), RankingError> {
        let board = rebuild.board;
        let columns = entries.iter().flat_map(|entry| load_columns(board, entry));
        let args = [text(&rebuild.token), LEASE_MS.into()].into_iter().chain(columns);
        match self.call(Lane::Rebuild, &scripts::LOAD, board.pk, &[PLACES, ENTRIES, NAMES, LEASE], args).await? {
            Value::Integer(_) => Ok(()),
            _ => Err(RankingError::Overtaken(board.pk)),
        }
    }

    /// Rows from a rank on; see `window.lua` for the answer.
    async fn cut(&self, board: Board, from_rank: u64, limit: u64, details: bool) -> Result<Reply, RankingError> {
        let first = i64::try_from(from_rank - 1).unwrap_or(i64::MAX);
        let last = first.saturating_add_unsigned(limit) - 1;
        let args = [board.season, first, last, i64::from(details)].map(Value::from);
        Reply::ready(self.call(reading(limit), &scripts::WINDOW, board.pk, &BOARD, args).await?, board.pk)
    }

    fn history_arg(&self) -> Value {
        number(self.stream_history)
    }
}

/// The lane for a read of this many rows.
fn reading(rows: u64) -> Lane {
    if rows < WIDE { Lane::Read } else { Lane::ReadWidely }
}

/// The keys of the scripts that publish events.
fn told_keys() -> [&'static str; 5] {
    [META, PLACES, ENTRIES, NAMES, STREAM]
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn number(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn change_columns(board: Board, change: &Change) -> [Value; 7] {
    let (name_revision, name) = if worth_keeping(&change.name) && !change.is_silent() {
        (change.name.revision.into(), record::name(&change.name).into())
    } else {
        (text(""), text(""))
    };
    [
        text(change.user_id.as_str()),
        change.revision.into(),
        change.score.map_or_else(|| text(""), |score| board.order.sort_score(score).into()),
        record::hex_time(Timestamp(change.reached_at)).into(),
        name_revision,
        name,
        if change.is_silent() { text("") } else { record::line(change.kind(), &change.event).into() },
    ]
}

fn load_columns(board: Board, entry: &StoredEntry) -> [Value; 5] {
    let user = text(entry.user_id.as_str());
    let name = if worth_keeping(&entry.name) { record::name(&entry.name).into() } else { text("") };
    let Some(score) = entry.score else { return [user, text(""), entry.revision.into(), text(""), name] };
    let sort_score = board.order.sort_score(score);
    let record = record::entry(entry.revision, sort_score, entry.reached_at);
    [user, record.into(), sort_score.into(), record::member(entry.reached_at, &entry.user_id).into(), name]
}

fn outcome(epoch: &Arc<str>, reply: &mut Reply) -> Result<Applied, RankingError> {
    let (what, seq, rank) = (reply.number()?, reply.number()?, reply.number()?);
    let (previous, total) = (reply.number()?, reply.number()?);
    let version = Version::new(epoch.clone(), seq);
    let held = i64::try_from(previous).map_err(|_| unreadable())?;
    match what {
        0 => Ok(Applied::Early { version, held }),
        1 => Ok(Applied::Known { version, rank, total, revision: held }),
        3 => Ok(Applied::Conflict { version }),
        2 => Ok(Applied::Ranked { version, rank, previous_rank: (previous > 0).then_some(previous), total }),
        _ => Err(unreadable()),
    }
}

fn head_of(board: Board, reply: &mut Reply) -> Result<Head, RankingError> {
    let version = Version::new(&*reply.text()?, reply.number()?);
    Ok(Head { season: board.season, version: Some(version), total: reply.number()? })
}

fn neighbourhood(board: Board, user_id: &UserId, mut reply: Reply) -> Result<Neighbourhood, RankingError> {
    if reply.is_empty() {
        return Ok(Neighbourhood { user_id: user_id.clone(), entry: None, around: vec![] });
    }
    let (place, first) = (reply.number()?, reply.number()?);
    let around = rows::read(board, reply.array()?, first + 1)?;
    let entry = around.get((place - first) as usize).cloned();
    Ok(Neighbourhood { user_id: user_id.clone(), entry, around })
}

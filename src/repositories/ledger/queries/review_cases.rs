//! Reviews as moderators read them, each with what a verdict would do.

use std::collections::{HashMap, hash_map::Entry};

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{BigInt, Binary, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{LedgerError, schema::leaderboards, statement::statement},
    Conn, Db, Failure, entries, events, reviews, sanctions,
    targets::{self, Target},
};
use crate::domain::{
    entry::RankKey,
    fold::{Logged, fold},
    ids::{Noun, UserId},
    leaderboard::{Projection, Readable},
    review::{Review, ReviewCase, ReviewFilter, WouldBe},
    settlement::EntryKey,
    submission::ScoreEvent,
    time::Timestamp,
};

/// Score events of the user that are shown beside each.
const RECENT: i64 = 10;

statement!(
    Db, ByState { state: Text = str, before: Binary = [u8], limit: BigInt = i64 } -> Binary,
    "SELECT DISTINCT event_id FROM reviews WHERE state = ? AND event_id < ? ORDER BY event_id DESC LIMIT ?"
);

statement!(
    Db, OfLeaderboard { board: BigInt = i64, state: Text = str, before: Binary = [u8], limit: BigInt = i64 } -> Binary,
    "SELECT event_id FROM reviews WHERE leaderboard_pk = ? AND state = ? AND event_id < ? ORDER BY event_id DESC LIMIT ?"
);

/// The score events of an entry, each with whether a review alone withholds it.
type Log = Vec<(Uuid, Logged, bool)>;

/// What was read for one case and serves others as well: a user may have many.
#[derive(Default)]
struct Known {
    recent: HashMap<UserId, Vec<ScoreEvent>>,
    logs: HashMap<EntryKey, Option<(Target, Log)>>,
}

/// Up to `limit` reviews, those of the newest events first, and the event after which there are more, if there are; `NotFound` if
/// there is no such leaderboard. Reviews whose leaderboards are all deleted are left out. `now` is the time by which users are
/// hidden.
pub async fn list(
    conn: &mut Conn,
    filter: &ReviewFilter,
    limit: i64,
    now: Timestamp,
) -> Result<(Vec<ReviewCase>, Option<Uuid>), Failure> {
    let one_more = limit + 1;
    // 17 bytes of 0xff come after all possible ids.
    let before = filter.before.map_or(vec![0xff; 17], |id| id.as_bytes().to_vec());
    let state = filter.state.as_str();
    let ids: Vec<Vec<u8>> = match &filter.leaderboard {
        None => ByState { state, before: &before, limit: &one_more }.load(conn).await?,
        Some(id) => {
            let found = leaderboards::table.filter(leaderboards::id.eq(id.as_str())).select(leaderboards::pk);
            let board: Option<i64> = found.first(conn).await.optional()?;
            let board = board.ok_or(LedgerError::NotFound(Noun::Leaderboard))?;
            OfLeaderboard { board: &board, state, before: &before, limit: &one_more }.load(conn).await?
        }
    };
    let mut ids: Vec<Uuid> = ids.iter().map(|id| Uuid::from_slice(id)).collect::<Result<_, _>>().map_err(Failure::corrupt)?;
    let more = ids.len() as i64 > limit;
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = ids.last().copied().filter(|_| more);
    let mut found = reviews::of(conn, &ids).await?;
    let (mut known, mut cases) = (Known::default(), Vec::with_capacity(ids.len()));
    for id in ids {
        let Some(review) = found.remove(&id) else { continue };
        cases.extend(case(conn, review, &mut known, now).await?);
    }
    Ok((cases, next))
}

/// One case; `None` if all leaderboards that it fed are gone.
async fn case(conn: &mut Conn, review: Review, known: &mut Known, now: Timestamp) -> Result<Option<ReviewCase>, Failure> {
    let (event, user) = (review.event_id, &review.user_id);
    let recent = match known.recent.get(user) {
        Some(recent) => recent.clone(),
        None => {
            let recent = newest(conn, user, None, RECENT).await?;
            known.recent.entry(user.clone()).or_insert(recent).clone()
        }
    };
    let shown = match recent.iter().find(|recent| recent.event_id == event) {
        Some(shown) => Some(shown.clone()),
        None => {
            let next = Uuid::from_u128(event.as_u128().saturating_add(1));
            newest(conn, user, Some(next), 1).await?.pop().filter(|found| found.event_id == event)
        }
    };
    let Some(shown) = shown else { return Ok(None) };
    let mut would_be = Vec::new();
    for key in targets::of_events(conn, &[event]).await? {
        let log = match known.logs.entry(key) {
            Entry::Occupied(log) => log.into_mut(),
            Entry::Vacant(place) => {
                let log = match targets::find(conn, place.key()).await? {
                    Some(target) => {
                        let log = targets::log_with_reviews(conn, &target).await?;
                        Some((target, log))
                    }
                    None => None,
                };
                place.insert(log)
            }
        };
        if let Some((target, log)) = log {
            would_be.push(foreseen(conn, target, log, event, now).await?);
        }
    }
    Ok(Some(ReviewCase { review, event: shown, recent, would_be }))
}

async fn newest(conn: &mut Conn, user: &UserId, before: Option<Uuid>, limit: i64) -> Result<Vec<ScoreEvent>, Failure> {
    events::of_user(conn, user, None, before, limit, &Readable::All, Projection::Restricted).await
}

/// What an entry would be if this event counted, too.
async fn foreseen(
    conn: &mut Conn,
    target: &Target,
    log: &[(Uuid, Logged, bool)],
    event: Uuid,
    now: Timestamp,
) -> Result<WouldBe, Failure> {
    let counting =
        log.iter().map(|(id, logged, in_review)| Logged { counts: logged.counts && (!in_review || *id == event), ..*logged });
    let folded = fold(target.season.rules, counting);
    let present = target.entry.filter(|entry| entry.score.is_some());
    let hidden = match present {
        Some(entry) => entry.hidden,
        None => {
            let of_user = sanctions::of(conn, &[target.user_id.clone()].into()).await?.remove(&target.user_id);
            of_user.is_some_and(|sanctions| sanctions.hide(target.leaderboard.pk, now))
        }
    };
    let board = target.board();
    let key_of = |(score, reached_at): (i64, Timestamp)| RankKey {
        sort_score: board.order.sort_score(score),
        reached_at,
        user_id: target.user_id.clone(),
    };
    let rank = match folded.filter(|_| !hidden).map(key_of) {
        Some(key) => {
            let archived = !target.is_current() && target.season.known_total().is_some();
            // It does not come before itself.
            let old = present.and_then(|entry| Some((entry.score?, entry.reached_at))).map(key_of);
            let itself = u64::from(old.is_some_and(|old| old < key));
            entries::ahead(conn, board, &key, archived).await?.map(|ahead| ahead + 1 - itself)
        }
        None => None,
    };
    Ok(WouldBe {
        leaderboard_id: target.leaderboard.id.clone(),
        season: target.season.number,
        score: present.and_then(|entry| entry.score),
        would_be_score: folded.map(|(score, _)| score),
        would_be_rank: rank,
    })
}

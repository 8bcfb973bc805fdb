//! Score events as readers see them: a user's, page by page, limited to readable ones, and a leaderboard's latest ones.
//!
//! The index of a user's events is by user, leaderboard and event. A page is merged from the leaderboards that the reader may
//! see, each walked from its newest event on, so no row of any other is read, and a page costs the same after ten events and
//! after ten million. Finding the leaderboards in which a user has events takes two index steps for each.

use std::collections::{HashMap, HashSet};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl,
    dsl::{exists, not},
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{corrections, entries, leaderboards, reviews, sanctions, score_events, withheld_events},
        statement::statement,
    },
    Conn, Db, Failure,
    corrections::REMOVED,
    moderation::VOIDED,
    walk,
};
use crate::domain::{
    entry::TAKEN_OUT,
    ids::{ActionId, LeaderboardId, UserId},
    leaderboard::{Board, Projection, Readable, Visibility},
    review::ReviewState,
    settlement::first_event_id,
    submission::{LatestScore, PastOutcome, ScoreEvent},
    time::Timestamp,
};

/// A row of the history: event, position; action, kind, value, metadata and time of the submission; and its standing.
type Row = (Vec<u8>, i64, (String, Option<String>, Option<i64>, Option<String>, i64), StandingRow);

/// Leaderboard, season, applied, delta, previous score, new score; whether the entry was removed since; whether it was approved.
type StandingRow = (String, i64, bool, i64, Option<i64>, i64, bool, bool);

/// Removals of the entry after a row of the history: its score no longer counts.
macro_rules! removed {
    () => {
        corrections::table
            .filter(corrections::leaderboard_pk.eq(score_events::leaderboard_pk))
            .filter(corrections::season.eq(score_events::season).and(corrections::user_id.eq(score_events::user_id)))
            .filter(corrections::revision.gt(score_events::revision).and(corrections::cause.eq(REMOVED)))
    };
}

/// The review of a row of the history, if it ended well: what was withheld when it was accepted counts.
macro_rules! approved {
    () => {
        reviews::table
            .filter(reviews::event_id.eq(score_events::event_id).and(reviews::position.eq(score_events::position)))
            .filter(reviews::state.eq(ReviewState::Approved.as_str()))
    };
}

statement!(
    /// Each readable leaderboard in which the user has events, with the newest of them before a given one. The row comparison
    /// is the form in which only one index gives the order, whatever a planner assumes about sizes.
    Db, NewestOfEach {
        user: Text = str, user_again: Text = str, user_once_more: Text = str, before: Binary = [u8], withheld: Bool = bool, all: Bool = bool,
    } -> (BigInt, Nullable<Binary>),
    "WITH RECURSIVE boards(pk) AS (\
       SELECT (SELECT h.leaderboard_pk FROM score_events h WHERE h.user_id = ? ORDER BY h.leaderboard_pk LIMIT 1) \
       UNION ALL \
       SELECT (SELECT h.leaderboard_pk FROM score_events h WHERE h.user_id = ? AND h.leaderboard_pk > boards.pk \
               ORDER BY h.leaderboard_pk LIMIT 1) \
       FROM boards WHERE boards.pk IS NOT NULL) \
     SELECT b.pk, \
       (SELECT h.event_id FROM score_events h \
        WHERE h.user_id = ? AND h.leaderboard_pk >= b.pk AND (h.leaderboard_pk, h.event_id) < (b.pk, ?) \
        AND (? OR (NOT EXISTS (SELECT 1 FROM withheld_events w WHERE w.event_id = h.event_id) \
        AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.leaderboard_pk = h.leaderboard_pk AND c.season = h.season AND c.user_id = h.user_id \
        AND c.revision > h.revision AND c.cause = 'removed'))) \
        ORDER BY h.leaderboard_pk DESC, h.event_id DESC LIMIT 1) \
     FROM boards b JOIN leaderboards l ON l.pk = b.pk WHERE l.visibility = 'public' OR ?"
);

/// A row of the latest scores: event, user, action and kind, time, score, previous score, change, display name.
type LatestRow =
    (Vec<u8>, String, (String, Option<String>), i64, i64, Option<i64>, i64, (Option<String>, Option<String>, Option<String>));

statement!(
    /// A board's newest applied events among the newest of all. Every score would pay for an index by leaderboard, which would
    /// serve only the few readers for whom the feed remembers nothing. Without what is withheld, and whose entry is in no ranking.
    Db, Latest { before: Binary = [u8], board: BigInt = i64, season: BigInt = i64, limit: BigInt = i64 }
    -> (Binary, Text, (Text, Nullable<Text>), BigInt, BigInt, Nullable<BigInt>, BigInt, (Nullable<Text>, Nullable<Text>, Nullable<Text>)),
    "SELECT h.event_id, h.user_id, h.action_id, h.kind, h.at, h.new_score, h.previous_score, h.delta, \
       u.display_name, u.avatar_url, u.country \
     FROM (SELECT event_id, position, leaderboard_pk, season, revision, applied, user_id, action_id, kind, at, new_score, previous_score, delta \
           FROM score_events WHERE event_id < ? ORDER BY event_id DESC, position DESC LIMIT 5000) h LEFT JOIN users u ON u.id = h.user_id \
     WHERE h.leaderboard_pk = ? AND h.season = ? AND h.applied \
       AND NOT EXISTS (SELECT 1 FROM withheld_events w WHERE w.event_id = h.event_id) \
       AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.leaderboard_pk = h.leaderboard_pk AND c.season = h.season AND c.user_id = h.user_id \
       AND c.revision > h.revision AND c.cause = 'removed') \
       AND EXISTS (SELECT 1 FROM entries e WHERE e.leaderboard_pk = h.leaderboard_pk AND e.season = h.season AND e.user_id = h.user_id \
         AND e.sort_score < 9223372036854775807) \
     ORDER BY h.event_id DESC, h.position DESC LIMIT ?"
);

/// A board's newest applied events, those before a moment if one is given, newest first, with their users' present names.
pub async fn latest(conn: &mut Conn, board: Board, before: Option<Timestamp>, limit: i64) -> Result<Vec<LatestScore>, Failure> {
    // 17 bytes of 0xff come after all possible ids.
    let before = before.map_or(vec![0xff; 17], |at| first_event_id(at).as_bytes().to_vec());
    let latest = Latest { before: &before, board: &board.pk, season: &board.season, limit: &limit };
    let rows: Vec<LatestRow> = latest.load(conn).await?;
    rows.into_iter().map(latest_score).collect()
}

fn latest_score(row: LatestRow) -> Result<LatestScore, Failure> {
    let (id, user, (action, kind), at, score, previous_score, delta, (name, avatar_url, country)) = row;
    Ok(LatestScore {
        version: None,
        event_id: Uuid::from_slice(&id).map_err(Failure::corrupt)?,
        display_name: name.unwrap_or_else(|| user.clone()),
        avatar_url,
        country,
        user_id: UserId::parse(&user).map_err(Failure::corrupt)?,
        action_id: submitted_by(&action, kind.as_deref())?,
        cause: None,
        delta,
        score,
        previous_score,
        rank: None,
        previous_rank: None,
        at: Timestamp(at),
    })
}

/// Of the newest scores of a board: those that are withheld, and the users whose entries are in no ranking.
pub async fn unseen(
    conn: &mut Conn,
    board: Board,
    scores: &[(Uuid, UserId)],
) -> Result<(HashSet<Uuid>, HashSet<UserId>), Failure> {
    let ids: Vec<&[u8]> = scores.iter().map(|(id, _)| id.as_bytes().as_slice()).collect();
    let users: Vec<&str> = scores.iter().map(|(_, user)| user.as_str()).collect();
    let withheld = withheld_events::table.filter(withheld_events::event_id.eq_any(&ids)).select(withheld_events::event_id);
    let mut withheld: Vec<Vec<u8>> = withheld.load(conn).await?;
    let of_board_and = score_events::leaderboard_pk.eq(board.pk).and(exists(removed!()));
    let gone = score_events::table.filter(score_events::event_id.eq_any(&ids).and(of_board_and)).select(score_events::event_id);
    withheld.extend(gone.load::<Vec<u8>>(conn).await?);
    let of_board = entries::leaderboard_pk.eq(board.pk).and(entries::season.eq(board.season));
    let out = entries::table.filter(of_board.and(entries::user_id.eq_any(&users)).and(entries::sort_score.ge(TAKEN_OUT)));
    let out: Vec<String> = out.select(entries::user_id).load(conn).await?;
    let withheld = withheld.iter().map(|id| Uuid::from_slice(id).map_err(Failure::corrupt));
    let out = out.iter().map(|id| UserId::parse(id).map_err(Failure::corrupt));
    Ok((withheld.collect::<Result<_, _>>()?, out.collect::<Result<_, _>>()?))
}

/// A user's accepted submissions and adjustments, newest first, from before `before`: those of `leaderboard`, or else of all that
/// are readable. Their effects in other leaderboards are left out; the metadata is only for callers that may read the leading
/// leaderboard. The public projection has nothing that is withheld, or of leaderboards on which the user is hidden.
pub async fn of_user(
    conn: &mut Conn,
    user: &UserId,
    leaderboard: Option<&LeaderboardId>,
    before: Option<Uuid>,
    limit: i64,
    readable: &Readable,
    projection: Projection,
) -> Result<Vec<ScoreEvent>, Failure> {
    // 16 bytes of 0xff come after every UUID v7; 17 come after all possible ids.
    let before = before.map_or(vec![0xff; 17], |id| id.as_bytes().to_vec());
    let withheld = projection != Projection::Public;
    let hidden = if withheld { Vec::new() } else { hidden_on(conn, user).await? };
    let mut boards: Vec<i64> = match leaderboard {
        Some(id) => board_of(conn, id, readable).await?.into_iter().collect(),
        None => boards_of(conn, user, &before, limit, readable, withheld).await?,
    };
    boards.retain(|pk| !hidden.contains(&None) && !hidden.contains(&Some(*pk)));
    if boards.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = walk::newest(conn, user, &boards, &before, withheld, limit).await?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));

    let mut rows = score_events::table
        .inner_join(leaderboards::table.on(leaderboards::pk.eq(score_events::leaderboard_pk)))
        .filter(score_events::event_id.eq_any(&ids))
        .order((score_events::event_id.desc(), score_events::position))
        .select((
            score_events::event_id,
            score_events::position,
            (score_events::action_id, score_events::kind, score_events::value, score_events::metadata, score_events::at),
            (
                score_events::leaderboard_id,
                score_events::season,
                score_events::applied,
                score_events::delta,
                score_events::previous_score,
                score_events::new_score,
                exists(removed!()),
                exists(approved!()),
            ),
        ))
        .into_boxed();
    let public = leaderboards::visibility.eq(Visibility::Public.as_str());
    match readable {
        Readable::All => {}
        Readable::Public => rows = rows.filter(public),
        Readable::Among(ids) => rows = rows.filter(public.or(leaderboards::id.eq_any(texts(ids)))),
    }
    if !withheld {
        rows = rows.filter(not(exists(removed!())));
        rows = rows.filter(score_events::leaderboard_pk.ne_all(hidden.into_iter().flatten().collect::<Vec<i64>>()));
    }
    let mut events = assemble(user, rows.load(conn).await?)?;
    if withheld {
        mark_withheld(conn, &ids, &mut events).await?;
    }
    // The requested one comes first; the others stay in the action's order.
    events.iter_mut().for_each(|event| event.standings.sort_by_key(|standing| leaderboard != Some(&standing.leaderboard_id)));
    Ok(events)
}

/// The leaderboards on which the user is hidden; `None` for all.
async fn hidden_on(conn: &mut Conn, user: &UserId) -> Result<Vec<Option<i64>>, Failure> {
    let hides = sanctions::table.filter(sanctions::user_id.eq(user.as_str())).filter(sanctions::hides.eq(true));
    Ok(hides.select(sanctions::leaderboard_pk).load(conn).await?)
}

/// Notes why some of the events do not count.
async fn mark_withheld(conn: &mut Conn, ids: &[Vec<u8>], events: &mut [ScoreEvent]) -> Result<(), Failure> {
    let those = withheld_events::table.filter(withheld_events::event_id.eq_any(ids));
    let rows: Vec<(Vec<u8>, String)> = those.select((withheld_events::event_id, withheld_events::reason)).load(conn).await?;
    let mut reasons: HashMap<Vec<u8>, String> = HashMap::new();
    for (event, reason) in rows {
        // One that is also voided is voided first of all.
        let shown = reasons.entry(event).or_insert_with(|| reason.clone());
        if reason == VOIDED {
            *shown = reason;
        }
    }
    for event in events {
        let removed = event.standings.iter().all(|standing| standing.removed);
        let voided = removed.then(|| VOIDED.to_owned());
        event.withheld = reasons.get(event.event_id.as_bytes().as_slice()).cloned().or(voided);
    }
    Ok(())
}

/// The leaderboard's incarnation, if it is readable.
async fn board_of(conn: &mut Conn, id: &LeaderboardId, readable: &Readable) -> Result<Option<i64>, Failure> {
    let found = leaderboards::table.filter(leaderboards::id.eq(id.as_str())).select((leaderboards::pk, leaderboards::visibility));
    let found: Option<(i64, String)> = found.first(conn).await.optional()?;
    let entitled = match readable {
        Readable::All => true,
        Readable::Among(ids) => ids.contains(id),
        Readable::Public => false,
    };
    Ok(found.filter(|(_, visibility)| entitled || visibility == Visibility::Public.as_str()).map(|(pk, _)| pk))
}

/// Those of the user's readable leaderboards that can contribute to the page: one whose events are all older than a full page
/// of the others' newest events cannot.
async fn boards_of(
    conn: &mut Conn,
    user: &UserId,
    before: &[u8],
    limit: i64,
    readable: &Readable,
    withheld: bool,
) -> Result<Vec<i64>, Failure> {
    let (user, all) = (user.as_str(), *readable != Readable::Public);
    let newest = NewestOfEach { user, user_again: user, user_once_more: user, before, withheld: &withheld, all: &all };
    let mut rows: Vec<(i64, Option<Vec<u8>>)> = newest.load(conn).await?;
    if let Readable::Among(ids) = readable {
        let public = leaderboards::visibility.eq(Visibility::Public.as_str());
        let among = leaderboards::table.filter(leaderboards::pk.eq_any(rows.iter().map(|(pk, _)| *pk).collect::<Vec<_>>()));
        let among: Vec<i64> =
            among.filter(public.or(leaderboards::id.eq_any(texts(ids)))).select(leaderboards::pk).load(conn).await?;
        rows.retain(|(pk, _)| among.contains(pk));
    }
    let mut boards: Vec<(Vec<u8>, i64)> = rows.into_iter().filter_map(|(pk, newest)| Some((newest?, pk))).collect();
    boards.sort_unstable_by(|a, b| b.cmp(a));
    let mut newest: Vec<Vec<u8>> = boards.iter().map(|(event, _)| event.clone()).collect();
    newest.dedup();
    let oldest_in_page = usize::try_from(limit - 1).ok().and_then(|last| newest.get(last));
    if let Some(oldest) = oldest_in_page {
        boards.retain(|(event, _)| event >= oldest);
    }
    Ok(boards.into_iter().map(|(_, pk)| pk).collect())
}

fn texts(ids: &[LeaderboardId]) -> Vec<String> {
    ids.iter().map(LeaderboardId::to_string).collect()
}

/// The action of a submission; an adjustment has none.
fn submitted_by(action: &str, kind: Option<&str>) -> Result<Option<ActionId>, Failure> {
    let id = || ActionId::parse(action).map_err(Failure::corrupt);
    kind.is_none().then(id).transpose()
}

/// Assembles rows, which are sorted by event (newest first) and position.
fn assemble(user: &UserId, rows: Vec<Row>) -> Result<Vec<ScoreEvent>, Failure> {
    let mut events: Vec<ScoreEvent> = Vec::new();
    for (id, position, (action, kind, value, metadata, at), standing) in rows {
        let event_id = Uuid::from_slice(&id).map_err(Failure::corrupt)?;
        let (leaderboard, season, applied, delta, previous_score, new_score, removed, approved) = standing;
        // It counts in its place: there it did what it would have done.
        let applied = applied || (approved && previous_score != Some(new_score));
        let leaderboard_id = LeaderboardId::parse(&leaderboard).map_err(Failure::corrupt)?;
        let standing = PastOutcome { leaderboard_id, season, applied, delta, previous_score, new_score, removed };
        if let Some(event) = events.last_mut().filter(|last| last.event_id == event_id) {
            event.standings.push(standing);
            continue;
        }
        let metadata = metadata.filter(|_| position == 0);
        events.push(ScoreEvent {
            event_id,
            action_id: submitted_by(&action, kind.as_deref())?,
            user_id: user.clone(),
            value,
            metadata: metadata.as_deref().map(serde_json::from_str).transpose().map_err(Failure::corrupt)?,
            at: Timestamp(at),
            withheld: None,
            standings: vec![standing],
        });
    }
    Ok(events)
}

//! Entries as corrections see them: each with its season, the rules that it was played by, and its score events.

use std::collections::HashSet;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    dsl::exists,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{corrections, entries, leaderboards, score_events, withheld_events},
        statement::statement,
    },
    Conn, Db, Failure,
    corrections::REMOVED,
    leaderboards::LeaderboardRow,
    seasons,
};
use crate::domain::{
    decision::Adjustment,
    entry::TAKEN_OUT,
    fold::Logged,
    ids::UserId,
    leaderboard::{Board, Leaderboard, Operator, Rules},
    season::Season,
    settlement::{EntryKey, EntryState},
    time::Timestamp,
};

/// An entry to be corrected.
pub struct Target {
    pub leaderboard: Leaderboard,
    pub season: Season,
    pub user_id: UserId,
    /// `None` if there is none.
    pub entry: Option<EntryState>,
}

impl Target {
    pub fn board(&self) -> Board {
        self.season.board()
    }

    pub fn key(&self) -> EntryKey {
        (self.season.pk, self.season.number, self.user_id.clone())
    }

    /// Whether the season goes on, and the ranking has to be told.
    pub fn is_current(&self) -> bool {
        self.season.ends_at.is_none()
    }
}

statement!(
    /// The leaderboards on which a user has score events.
    Db, BoardsOfUser { user: Text = str, user_again: Text = str } -> Nullable<BigInt>,
    "WITH RECURSIVE boards(pk) AS (\
       SELECT (SELECT h.leaderboard_pk FROM score_events h WHERE h.user_id = ? ORDER BY h.leaderboard_pk LIMIT 1) \
       UNION ALL \
       SELECT (SELECT h.leaderboard_pk FROM score_events h WHERE h.user_id = ? AND h.leaderboard_pk > boards.pk \
               ORDER BY h.leaderboard_pk LIMIT 1) \
       FROM boards WHERE boards.pk IS NOT NULL) \
     SELECT pk FROM boards WHERE pk IS NOT NULL"
);

/// An entry with everything about it; `None` if its leaderboard or season is gone.
pub async fn find(conn: &mut Conn, (pk, number, user): &EntryKey) -> Result<Option<Target>, Failure> {
    let row = leaderboards::table.find(pk).select(LeaderboardRow::as_select()).first(conn).await.optional()?;
    let Some(leaderboard) = row.map(LeaderboardRow::into_leaderboard).transpose()? else { return Ok(None) };
    let Some(season) = seasons::season_of(conn, &leaderboard, *number).await? else { return Ok(None) };
    let columns = (entries::score, entries::sort_score, entries::reached_at, entries::revision, entries::hidden);
    let row = entries::table.find((pk, number, user.as_str())).select(columns).first(conn).await;
    let row: Option<(i64, i64, i64, i64, bool)> = row.optional()?;
    let entry = row.map(|(score, sort_score, reached_at, revision, hidden)| EntryState {
        score: (hidden || sort_score < TAKEN_OUT).then_some(score),
        reached_at: Timestamp(reached_at),
        revision,
        hidden,
    });
    Ok(Some(Target { leaderboard, season, user_id: user.clone(), entry }))
}

/// The user's entries on one leaderboard or on all, in every season.
pub async fn of_user(conn: &mut Conn, user: &UserId, only: Option<i64>) -> Result<Vec<EntryKey>, Failure> {
    let pks: Vec<i64> = match only {
        Some(pk) => vec![pk],
        None => {
            let of = BoardsOfUser { user: user.as_str(), user_again: user.as_str() };
            of.load::<Option<i64>>(conn).await?.into_iter().flatten().collect()
        }
    };
    let mut keys = Vec::new();
    for pk in pks {
        let current: Option<i64> = leaderboards::table.find(pk).select(leaderboards::season).first(conn).await.optional()?;
        // Named one by one, each is looked up in the primary key.
        let numbers: Vec<i64> = (1..=current.unwrap_or(0)).collect();
        for numbers in numbers.chunks(EVENTS_AT_ONCE) {
            let of_board = entries::leaderboard_pk.eq(pk).and(entries::season.eq_any(numbers));
            let found = entries::table.filter(of_board.and(entries::user_id.eq(user.as_str()))).order(entries::season);
            let found: Vec<i64> = found.select(entries::season).load(conn).await?;
            keys.extend(found.into_iter().map(|season| (pk, season, user.clone())));
        }
    }
    Ok(keys)
}

/// The entries that these events concern.
pub async fn of_events(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<EntryKey>, Failure> {
    let mut keys = Vec::new();
    for page in ids.chunks(EVENTS_AT_ONCE) {
        let page: Vec<&[u8]> = page.iter().map(|id| id.as_bytes().as_slice()).collect();
        let those = score_events::table.filter(score_events::event_id.eq_any(&page));
        let columns = (score_events::leaderboard_pk, score_events::season, score_events::user_id);
        let rows: Vec<(i64, i64, String)> = those.select(columns).distinct().load(conn).await?;
        for (pk, season, user) in rows {
            keys.push((pk, season, UserId::parse(&user).map_err(Failure::corrupt)?));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// Events, or seasons, that one statement looks up.
const EVENTS_AT_ONCE: usize = 1_000;

/// A row of the log: event, revision, applied, time; value, points, change, score after it, kind; withheld.
type LogRow = ((Vec<u8>, i64, bool, i64), (Option<i64>, Option<i64>, i64, i64, Option<String>), bool);

/// The score events of an entry, in the order in which they are folded.
pub async fn log(conn: &mut Conn, target: &Target) -> Result<Vec<Logged>, Failure> {
    let board = target.board();
    let withheld = exists(withheld_events::table.filter(withheld_events::event_id.eq(score_events::event_id)));
    let mut rows: Vec<LogRow> = score_events::table
        .filter(score_events::user_id.eq(target.user_id.as_str()))
        .filter(score_events::leaderboard_pk.eq(board.pk).and(score_events::season.eq(board.season)))
        .select((
            (score_events::event_id, score_events::revision, score_events::applied, score_events::at),
            (score_events::value, score_events::points, score_events::delta, score_events::new_score, score_events::kind),
            withheld,
        ))
        .load(conn)
        .await?;
    sort(&mut rows);
    let removed = removed_at(conn, target).await?;
    Ok(rows.into_iter().map(|row| logged(target.season.rules, removed, row)).collect())
}

/// The same, each with its event; those that a review alone withholds are marked, and count.
pub async fn log_with_reviews(conn: &mut Conn, target: &Target) -> Result<Vec<(Uuid, Logged, bool)>, Failure> {
    let board = target.board();
    let of_event = || withheld_events::table.filter(withheld_events::event_id.eq(score_events::event_id));
    let decided = exists(of_event().filter(withheld_events::decision_id.ne(score_events::event_id)));
    let reviewed = exists(of_event().filter(withheld_events::decision_id.eq(score_events::event_id)));
    let rows: Vec<(LogRow, bool)> = score_events::table
        .filter(score_events::user_id.eq(target.user_id.as_str()))
        .filter(score_events::leaderboard_pk.eq(board.pk).and(score_events::season.eq(board.season)))
        .select((
            (
                (score_events::event_id, score_events::revision, score_events::applied, score_events::at),
                (score_events::value, score_events::points, score_events::delta, score_events::new_score, score_events::kind),
                decided,
            ),
            reviewed,
        ))
        .load(conn)
        .await?;
    let reviewed: HashSet<Vec<u8>> = rows.iter().filter(|(_, reviewed)| *reviewed).map(|(row, _)| row.0.0.clone()).collect();
    let mut rows: Vec<LogRow> = rows.into_iter().map(|(row, _)| row).collect();
    sort(&mut rows);
    let removed = removed_at(conn, target).await?;
    let log = rows.into_iter().map(|row| {
        let event = Uuid::from_slice(&row.0.0).map_err(Failure::corrupt)?;
        let in_review = reviewed.contains(&row.0.0);
        Ok((event, logged(target.season.rules, removed, row), in_review))
    });
    log.collect()
}

fn sort(rows: &mut [LogRow]) {
    rows.sort_unstable_by(|((one, one_revision, one_applied, _), ..), ((other, revision, applied, _), ..)| {
        (one_revision, !one_applied, one).cmp(&(revision, !applied, other))
    });
}

/// The revision that the entry's last removal took, 0 if it was never removed: scores of earlier revisions no longer count. What is
/// withheld takes none, so it is of the removal's own revision if it comes after.
async fn removed_at(conn: &mut Conn, target: &Target) -> Result<i64, Failure> {
    let board = target.board();
    let of_entry = corrections::leaderboard_pk.eq(board.pk).and(corrections::season.eq(board.season));
    let removals = corrections::table
        .filter(of_entry.and(corrections::user_id.eq(target.user_id.as_str())).and(corrections::cause.eq(REMOVED)))
        .order(corrections::revision.desc())
        .select(corrections::revision);
    Ok(removals.first(conn).await.optional()?.unwrap_or(0))
}

fn logged(rules: Rules, removed: i64, row: LogRow) -> Logged {
    let ((_, revision, applied, at), (value, points, delta, score, kind), withheld) = row;
    let told = match rules.operator {
        Operator::Sum => delta,
        Operator::Best | Operator::Last => score,
    };
    Logged {
        revision,
        applied,
        points: points.or(value).unwrap_or(told),
        operator: kind.as_deref().and_then(Adjustment::operator_of_kind),
        counts: !withheld && revision >= removed,
        at: Timestamp(at),
    }
}

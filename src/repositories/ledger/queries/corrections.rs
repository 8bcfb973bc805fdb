//! Corrections: changes of entries other than scores. Each takes a revision of its entry and an event of its own.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{corrections, leaderboards, seasons, users},
        statement::statement,
    },
    Conn, Db, Failure, leaderboards as definitions,
    targets::Target,
    users::{ShownColumns, shown, shown_columns},
};
use crate::domain::{
    announcement::Change,
    entry::DisplayName,
    event::{Cause, ScoreRemoved, ScoreUpdated, fields},
    ids::{LeaderboardId, UserId},
    leaderboard::Board,
    settlement::{EntryKey, EntryState, time_of_event},
    time::Timestamp,
};

/// Why an entry was corrected, as the ledger stores it, where its event does not say: it was removed, or hidden.
pub const REMOVED: &str = "removed";
pub const HIDDEN: &str = "hide";

statement!(
    /// Changes an entry that is as it was read.
    Db, CorrectEntry {
        score: BigInt = i64, sort_score: BigInt = i64, reached_at: BigInt = i64, revision: BigInt = i64, hidden: Bool = bool,
        board: BigInt = i64, season: BigInt = i64, user: Text = str, before: BigInt = i64,
    } -> BigInt,
    "UPDATE entries SET score = ?, sort_score = ?, reached_at = ?, revision = ?, hidden = ? \
     WHERE leaderboard_pk = ? AND season = ? AND user_id = ? AND revision = ?"
);

statement!(
    Db, MakeEntry {
        score: BigInt = i64, sort_score: BigInt = i64, reached_at: BigInt = i64, revision: BigInt = i64, hidden: Bool = bool,
        board: BigInt = i64, season: BigInt = i64, user: Text = str,
    } -> BigInt,
    "INSERT INTO entries (score, sort_score, reached_at, revision, hidden, leaderboard_pk, season, user_id) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (leaderboard_pk, season, user_id) DO NOTHING"
);

/// Writes an entry that is still at the revision `before`, or is not there yet; `Raced` if another transaction was faster.
pub async fn store(
    conn: &mut Conn,
    (pk, season, user): &EntryKey,
    board: Board,
    before: Option<i64>,
    after: &EntryState,
) -> Result<(), Failure> {
    let (sort_score, user) = (&after.sort_score(board.order), user.as_str());
    let (score, reached_at, revision, hidden) = (&after.score.unwrap_or(0), &after.reached_at.0, &after.revision, &after.hidden);
    let written = match &before {
        Some(before) => {
            let correct = CorrectEntry { score, sort_score, reached_at, revision, hidden, board: pk, season, user, before };
            correct.execute(conn).await?
        }
        None => {
            let make = MakeEntry { score, sort_score, reached_at, revision, hidden, board: pk, season, user };
            make.execute(conn).await?
        }
    };
    if written == 1 { Ok(()) } else { Err(Failure::Raced) }
}

/// A correction of one entry.
#[derive(Debug, Clone)]
pub struct Correction {
    pub event_id: Uuid,
    pub board: Board,
    pub leaderboard_id: LeaderboardId,
    pub user_id: UserId,
    /// The entry's revision after it.
    pub revision: i64,
    pub previous_score: Option<i64>,
    pub score: Option<i64>,
    /// When the score was reached.
    pub at: Timestamp,
    /// That of its event, or [`REMOVED`], or [`HIDDEN`].
    pub cause: String,
    /// Whether nobody sees it.
    pub silent: bool,
}

impl Correction {
    /// The correction of an entry from one state to another.
    pub fn new(event_id: Uuid, target: &Target, before: &EntryState, after: &EntryState, cause: &str) -> Self {
        let seen = |entry: &EntryState| entry.score.is_some() && !entry.hidden;
        Self {
            event_id,
            board: target.board(),
            leaderboard_id: target.leaderboard.id.clone(),
            user_id: target.user_id.clone(),
            revision: after.revision,
            previous_score: before.score,
            score: after.score,
            at: after.reached_at,
            cause: cause.to_owned(),
            silent: !seen(before) && !seen(after),
        }
    }

    /// Records it.
    pub async fn record(&self, conn: &mut Conn, subject: &str) -> Result<(), Failure> {
        let Self { event_id, board, user_id, .. } = self;
        let row = (
            (corrections::event_id.eq(event_id.as_bytes().as_slice()), corrections::leaderboard_pk.eq(board.pk)),
            (corrections::season.eq(board.season), corrections::user_id.eq(user_id.as_str())),
            (corrections::revision.eq(self.revision), corrections::previous_score.eq(self.previous_score)),
            (corrections::new_score.eq(self.score), corrections::at.eq(self.at.0), corrections::cause.eq(&self.cause)),
            (corrections::subject.eq(subject), corrections::silent.eq(self.silent)),
        );
        diesel::insert_into(corrections::table).values(row).execute(conn).await?;
        Ok(())
    }

    /// The scores before and after it that anybody sees; those of an entry that nobody sees, if it stays so.
    pub fn scores(&self) -> (Option<i64>, Option<i64>) {
        match self.cause.as_str() {
            HIDDEN if !self.silent => (self.previous_score, None),
            "unhide" => (None, self.score),
            _ => (self.previous_score, self.score),
        }
    }

    /// What the ranking has to be told. `name` is the user's.
    pub fn change(self, name: DisplayName) -> Change {
        let (previous_score, score) = self.scores();
        let Self { event_id, board, leaderboard_id, user_id, revision, at, cause, silent, .. } = self;
        let event = match score {
            Some(score) => fields(&ScoreUpdated {
                leaderboard_id: &leaderboard_id,
                season: board.season,
                event_id,
                user_id: &user_id,
                display_name: name.name.as_deref().unwrap_or(user_id.as_str()),
                appearance: name.appearance.as_deref(),
                action_id: None,
                cause: Cause::named(&cause),
                delta: score - previous_score.unwrap_or(0),
                score,
                previous_score,
                at,
            }),
            None => {
                let (season, at) = (board.season, time_of_event(event_id));
                let removed = ScoreRemoved { leaderboard_id: &leaderboard_id, season, event_id, user_id: &user_id, at };
                if cause == HIDDEN { removed.hiding() } else { fields(&removed) }
            }
        };
        let change = Change { board, event_id, user_id, score, reached_at: at.0, revision, name, event };
        if silent { change.silenced() } else { change }
    }
}

/// A correction, with the columns that its change is made of.
#[derive(Queryable)]
struct Row {
    event_id: Vec<u8>,
    leaderboard_pk: i64,
    season: i64,
    sort_order: String,
    season_order: Option<String>,
    leaderboard_id: String,
    user_id: String,
    revision: i64,
    scores: (Option<i64>, Option<i64>),
    at: i64,
    cause: String,
    silent: bool,
    shown: ShownColumns,
}

/// The changes to announce to the ranking for these corrections. Leaderboards that were deleted since are left out.
pub async fn changes(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Change>, Failure> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let rows: Vec<Row> = corrections::table
        .inner_join(leaderboards::table.on(leaderboards::pk.eq(corrections::leaderboard_pk)))
        .left_join(users::table.on(users::id.eq(corrections::user_id)))
        .left_join(
            seasons::table
                .on(seasons::leaderboard_pk.eq(corrections::leaderboard_pk).and(seasons::season.eq(corrections::season))),
        )
        .filter(corrections::event_id.eq_any(&ids))
        .order(corrections::event_id)
        .select((
            corrections::event_id,
            corrections::leaderboard_pk,
            corrections::season,
            leaderboards::sort_order,
            seasons::sort_order.nullable(),
            leaderboards::id,
            corrections::user_id,
            corrections::revision,
            (corrections::previous_score, corrections::new_score),
            corrections::at,
            corrections::cause,
            corrections::silent,
            shown_columns!(),
        ))
        .load(conn)
        .await?;
    rows.into_iter().map(change).collect()
}

fn change(row: Row) -> Result<Change, Failure> {
    let (previous_score, score) = row.scores;
    let correction = Correction {
        event_id: Uuid::from_slice(&row.event_id).map_err(Failure::corrupt)?,
        board: Board {
            pk: row.leaderboard_pk,
            season: row.season,
            order: definitions::order(row.season_order.as_deref().unwrap_or(&row.sort_order))?,
        },
        leaderboard_id: LeaderboardId::parse(&row.leaderboard_id).map_err(Failure::corrupt)?,
        user_id: UserId::parse(&row.user_id).map_err(Failure::corrupt)?,
        revision: row.revision,
        previous_score,
        score,
        at: Timestamp(row.at),
        cause: row.cause,
        silent: row.silent,
    };
    Ok(correction.change(shown(row.shown).unwrap_or(DisplayName::NONE)))
}

/// The corrections that made revisions of an entry between two others: revision and event.
pub async fn between(conn: &mut Conn, board: Board, user: &UserId, after: i64, before: i64) -> Result<Vec<(i64, Uuid)>, Failure> {
    let of_board = corrections::leaderboard_pk.eq(board.pk).and(corrections::season.eq(board.season));
    let rows: Vec<(i64, Vec<u8>)> = corrections::table
        .filter(of_board.and(corrections::user_id.eq(user.as_str())))
        .filter(corrections::revision.gt(after).and(corrections::revision.lt(before)))
        .select((corrections::revision, corrections::event_id))
        .load(conn)
        .await?;
    rows.into_iter().map(|(revision, id)| Ok((revision, Uuid::from_slice(&id).map_err(Failure::corrupt)?))).collect()
}

/// Those of these events that are corrections.
pub async fn known(conn: &mut Conn, ids: &[&[u8]]) -> Result<Vec<Vec<u8>>, Failure> {
    let those = corrections::table.filter(corrections::event_id.eq_any(ids)).select(corrections::event_id);
    Ok(those.load(conn).await?)
}

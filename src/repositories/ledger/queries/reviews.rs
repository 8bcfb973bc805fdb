//! Reviews as they are stored: what a commit has to know to withhold a submission, what it writes then, and single look-ups.
//! `review_cases.rs` lists them for moderators, `moderation/judge.rs` carries verdicts out.

use std::collections::{BTreeSet, HashMap};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{accounts, reviews, score_events, users},
        statement::statement,
    },
    Conn, Db, Failure,
    scores::Needs,
    targets, walk,
};
use crate::domain::{
    action::Points,
    definition::Definitions,
    ids::{ActionId, UserId},
    leaderboard::Board,
    review::{PendingScore, Review, ReviewState, Trip},
    season::Season,
    settlement::{Settlement, State, first_event_id},
    submission::Submission,
    time::Timestamp,
};

/// Why an event that is reviewed does not count, until a verdict and after one.
pub const IN_REVIEW: &str = "review";
pub const REJECTED: &str = "rejected";
/// Events that one statement looks up.
const EVENTS_AT_ONCE: usize = 1_000;

statement!(
    Db, AddReview {
        event: Binary = [u8], position: BigInt = i64, board: BigInt = i64, season: BigInt = i64, user: Text = str, tripped: Text = str,
        name: Nullable<Text> = Option<&'a str>,
    } -> BigInt,
    "INSERT INTO reviews (event_id, position, leaderboard_pk, season, user_id, state, tripped, display_name) \
     VALUES (?, ?, ?, ?, ?, 'pending', ?, ?)"
);

statement!(
    /// Withholds an event: its own id stands in the place of a decision, of which it has none.
    Db, WithholdByReview { event: Binary = [u8], itself: Binary = [u8], reason: Text = str, now: Text = str } -> BigInt,
    "INSERT INTO withheld_events (event_id, decision_id, reason) VALUES (?, ?, ?) \
     ON CONFLICT (event_id, decision_id) DO UPDATE SET reason = ?"
);

statement!(
    Db, Judge {
        state: Text = str, reason: Text = str, subject: Text = str, at: BigInt = i64, event: Binary = [u8],
    } -> BigInt,
    "UPDATE reviews SET state = ?, reason = ?, subject = ?, judged_at = ? WHERE event_id = ?"
);

statement!(
    /// Whether some submission of a season waits for its moderator: 1 or 0. Events are in the order of their times, as seasons are.
    Db, OpenInSeason { board: BigInt = i64, from: Binary = [u8], to: Binary = [u8], season: BigInt = i64 } -> BigInt,
    "SELECT count(*) FROM (SELECT 1 FROM reviews WHERE leaderboard_pk = ? AND state = 'pending' AND event_id >= ? AND event_id < ? \
     AND season = ? LIMIT 1) AS found"
);

statement!(
    /// Whether some submission of a leaderboard waits for its moderator: 1 or 0.
    Db, OpenBefore { board: BigInt = i64, before: Binary = [u8] } -> BigInt,
    "SELECT count(*) FROM (SELECT 1 FROM reviews WHERE leaderboard_pk = ? AND state = 'pending' AND event_id < ? LIMIT 1) AS found"
);

statement!(
    /// Up to a limit, so that nobody can make counting costly.
    Db, CountPending { limit: BigInt = i64 } -> BigInt,
    "SELECT count(*) FROM (SELECT 1 FROM reviews WHERE state = 'pending' AND position = 0 LIMIT ?) AS found"
);

/// A row of [`reviews`], of whichever position.
#[derive(Queryable, Selectable)]
#[diesel(table_name = reviews, check_for_backend(Db))]
struct Row {
    event_id: Vec<u8>,
    user_id: String,
    state: String,
    tripped: String,
    reason: Option<String>,
    subject: Option<String>,
    judged_at: Option<i64>,
    display_name: Option<String>,
}

impl TryFrom<Row> for Review {
    type Error = Failure;

    fn try_from(row: Row) -> Result<Self, Failure> {
        let unknown = || Failure::corrupt(format!("the state of a review: {:?}", row.state));
        Ok(Self {
            event_id: Uuid::from_slice(&row.event_id).map_err(Failure::corrupt)?,
            user_id: UserId::parse(&row.user_id).map_err(Failure::corrupt)?,
            state: ReviewState::named(&row.state).ok_or_else(unknown)?,
            tripped: serde_json::from_str(&row.tripped).map_err(Failure::corrupt)?,
            display_name: row.display_name,
            verdict: match (row.reason, row.subject, row.judged_at) {
                (Some(reason), Some(subject), Some(at)) => Some((reason, subject, Timestamp(at))),
                _ => None,
            },
        })
    }
}

/// Reads what decides whether submissions are suspicious, for the actions that ask it alone.
pub async fn read(conn: &mut Conn, needs: &Needs<'_>, definitions: &Definitions, state: &mut State) -> Result<(), Failure> {
    if !needs.gains.is_empty() {
        for (user, action, at, value) in walk::gains(conn, &needs.gains).await? {
            let (user, action) =
                (UserId::parse(&user).map_err(Failure::corrupt)?, ActionId::parse(&action).map_err(Failure::corrupt)?);
            let points = definitions.action(action.as_str()).map(|action| action.settings.points);
            let points = match points {
                Some(Points::Fixed(points)) => value.unwrap_or(points),
                _ => value.unwrap_or(0),
            };
            state.gains.entry((user, action)).or_default().push((Timestamp(at), points));
        }
    }
    if !needs.known_since.is_empty() {
        let ids: Vec<&str> = needs.known_since.iter().map(|user| user.as_str()).collect();
        let rows = users::table.filter(users::id.eq_any(&ids)).select((users::id, users::created_at));
        for (user, at) in rows.load::<(String, i64)>(conn).await? {
            state.known_since.insert(UserId::parse(&user).map_err(Failure::corrupt)?, Timestamp(at));
        }
        // Whoever has an account is known since it was made, also without a score or a name.
        let rows = accounts::table.filter(accounts::id.eq_any(&ids)).select((accounts::id, accounts::created_at));
        for (user, at) in rows.load::<(String, i64)>(conn).await? {
            let since = state.known_since.entry(UserId::parse(&user).map_err(Failure::corrupt)?).or_insert(Timestamp(at));
            *since = (*since).min(Timestamp(at));
        }
    }
    Ok(())
}

/// Writes what is particular to the submissions of a settled batch that are withheld.
pub async fn write(conn: &mut Conn, batch: &[Submission], settlement: &Settlement) -> Result<(), Failure> {
    for (index, accepted) in settlement.accepted.iter().filter(|(_, accepted)| accepted.is_withheld()) {
        let (event, tripped) = (accepted.event_id.as_bytes(), serde_json::to_string(&accepted.tripped));
        let tripped = tripped.map_err(Failure::corrupt)?;
        let name = batch[*index].display_name.as_deref();
        for (position, standing) in (0..).zip(&accepted.standings) {
            let (board, season) = (&standing.board.pk, &standing.board.season);
            let user = accepted.user_id.as_str();
            let add = AddReview { event, position: &position, board, season, user, tripped: &tripped, name: &name };
            add.execute(conn).await?;
        }
        withhold(conn, accepted.event_id, IN_REVIEW).await?;
    }
    Ok(())
}

/// Withholds an event that is reviewed, for this reason from now on.
pub async fn withhold(conn: &mut Conn, event: Uuid, reason: &str) -> Result<(), Failure> {
    let event = event.as_bytes();
    WithholdByReview { event, itself: event, reason, now: reason }.execute(conn).await?;
    Ok(())
}

/// Records a verdict.
pub async fn judge(
    conn: &mut Conn,
    event: Uuid,
    state: ReviewState,
    (reason, subject, at): (&str, &str, Timestamp),
) -> Result<(), Failure> {
    Judge { state: state.as_str(), reason, subject, at: &at.0, event: event.as_bytes() }.execute(conn).await?;
    Ok(())
}

/// The reviews of those of these events that have one.
pub async fn of(conn: &mut Conn, events: &[Uuid]) -> Result<HashMap<Uuid, Review>, Failure> {
    let mut found = HashMap::new();
    for page in events.chunks(EVENTS_AT_ONCE) {
        let page: Vec<&[u8]> = page.iter().map(|id| id.as_bytes().as_slice()).collect();
        let rows = reviews::table.filter(reviews::event_id.eq_any(&page)).select(Row::as_select());
        for row in rows.load::<Row>(conn).await? {
            let review = Review::try_from(row)?;
            found.insert(review.event_id, review);
        }
    }
    Ok(found)
}

/// What those of these events tripped that had to be reviewed, whatever became of them.
pub async fn tripped(conn: &mut Conn, events: &[Uuid]) -> Result<HashMap<Uuid, Vec<Trip>>, Failure> {
    Ok(of(conn, events).await?.into_iter().map(|(event, review)| (event, review.tripped)).collect())
}

/// A row of a pending score: event, action, value, points, time.
type PendingRow = (Vec<u8>, String, Option<i64>, Option<i64>, i64);

/// A user's pending scores of one board, newest first, up to `limit`.
pub async fn pending(conn: &mut Conn, board: Board, user: &UserId, limit: i64) -> Result<Vec<PendingScore>, Failure> {
    let of_board = reviews::leaderboard_pk.eq(board.pk).and(reviews::season.eq(board.season));
    let same = score_events::event_id.eq(reviews::event_id).and(score_events::position.eq(reviews::position));
    let rows: Vec<PendingRow> = reviews::table
        .inner_join(score_events::table.on(same))
        .filter(reviews::user_id.eq(user.as_str()).and(of_board).and(reviews::state.eq(ReviewState::Pending.as_str())))
        .order(reviews::event_id.desc())
        .limit(limit)
        .select((score_events::event_id, score_events::action_id, score_events::value, score_events::points, score_events::at))
        .load(conn)
        .await?;
    let pending = rows.into_iter().map(|(event, action, value, points, at)| {
        Ok(PendingScore {
            event_id: Uuid::from_slice(&event).map_err(Failure::corrupt)?,
            action_id: ActionId::parse(&action).map_err(Failure::corrupt)?,
            value,
            points: points.or(value).ok_or_else(|| Failure::corrupt("a pending score without points"))?,
            at: Timestamp(at),
        })
    });
    pending.collect()
}

/// The names that the user's scores brought which had to be reviewed.
pub async fn names_of(conn: &mut Conn, user: &UserId) -> Result<Vec<String>, Failure> {
    let named = reviews::table.filter(reviews::user_id.eq(user.as_str()).and(reviews::display_name.is_not_null()));
    let names: Vec<Option<String>> = named.select(reviews::display_name).distinct().load(conn).await?;
    Ok(names.into_iter().flatten().collect())
}

/// Whether some submission of an ended season waits for its moderator.
pub async fn open_in(conn: &mut Conn, season: &Season) -> Result<bool, Failure> {
    let Some(ends_at) = season.ends_at else { return Ok(false) };
    // Those of the first season may be from before its beginning, because earlier releases went by the clocks of instances.
    let from = if season.number == 1 { Uuid::nil() } else { first_event_id(season.starts_at) };
    let to = first_event_id(ends_at);
    let open = OpenInSeason { board: &season.pk, from: from.as_bytes(), to: to.as_bytes(), season: &season.number };
    let open: i64 = open.get_result(conn).await?;
    Ok(open > 0)
}

/// Notes of seasons of one leaderboard whether submissions of them wait for their moderators. Mostly none does, which one look-up tells.
pub async fn note_open(conn: &mut Conn, seasons: &mut [Season]) -> Result<(), Failure> {
    let Some((board, last)) = seasons.iter().filter_map(|season| Some((season.pk, season.ends_at?))).max() else {
        return Ok(());
    };
    let open: i64 = OpenBefore { board: &board, before: first_event_id(last).as_bytes() }.get_result(conn).await?;
    if open > 0 {
        for season in seasons {
            season.open_reviews = open_in(conn, season).await?;
        }
    }
    Ok(())
}

/// How many submissions wait for a moderator, up to `limit`.
pub async fn count_pending(conn: &mut Conn, limit: i64) -> Result<i64, Failure> {
    let count: i64 = CountPending { limit: &limit }.get_result(conn).await?;
    Ok(count)
}

/// Whether all that there is of a user is withheld: then nobody is told that there is such a user. One who has a profile, or ever
/// had an entry, is known.
pub async fn conceal(conn: &mut Conn, user: &UserId) -> Result<bool, Failure> {
    let any = reviews::table.filter(reviews::user_id.eq(user.as_str())).select(reviews::position);
    let reviewed: Option<i64> = any.first(conn).await.optional()?;
    Ok(reviewed.is_some() && targets::of_user(conn, user, None).await?.is_empty())
}

/// The users of these events.
pub fn users_of(reviews: &HashMap<Uuid, Review>) -> BTreeSet<UserId> {
    reviews.values().map(|review| review.user_id.clone()).collect()
}

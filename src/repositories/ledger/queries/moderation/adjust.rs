//! Adjustments: score events that a moderator adds.

use diesel::ExpressionMethods;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::{
        super::super::schema::score_events,
        Conn, Failure, leaderboards as boards, sanctions,
        targets::{self, Target},
    },
    invalid, ranks,
    work::Work,
};
use crate::domain::{
    announcement::Change,
    decision::Adjustment,
    ids::{LeaderboardId, UserId},
    leaderboard::Rules,
    score::{self, Exceeded, Outcome},
    settlement::{EntryState, event_id},
    submission::EntryOutcome,
    time::Timestamp,
};

/// Adjusts a user's entry in a season, or makes it; returns the event and the season.
pub async fn carry_out(
    conn: &mut Conn,
    work: &mut Work<'_>,
    user: &UserId,
    id: &LeaderboardId,
    season: Option<i64>,
    adjustment: Adjustment,
) -> Result<(Uuid, i64), Failure> {
    let unknown = || invalid("leaderboardId", "there is no such leaderboard");
    let leaderboard = boards::find(conn, id).await?.ok_or_else(unknown)?;
    let key = (leaderboard.pk, season.unwrap_or(leaderboard.season), user.clone());
    let Some(target) = work.target(conn, &key).await? else {
        return Err(invalid("season", "there is no such season of this leaderboard"));
    };
    let (operator, amount) = adjustment.operator();
    let rules = Rules { operator, ..target.season.rules };
    let previous = target.entry.and_then(|entry| entry.score);
    let outcome = score::settle(rules, previous, amount).map_err(|exceeded| {
        let field = match adjustment {
            Adjustment::Points(_) => "points",
            Adjustment::Score(_) => "score",
        };
        match exceeded {
            Exceeded::Range => invalid(field, "the score would leave the range of scores"),
            Exceeded::Bounds => invalid(field, "the score would leave the bounds of the leaderboard"),
        }
    })?;
    // Within its season, and after what was before.
    let after = target.entry.map_or(work.time, |entry| work.time.max(Timestamp(entry.reached_at.0 + 1)));
    let end = target.season.ends_at.or(target.leaderboard.next_boundary_at.filter(|_| target.is_current()));
    let at = end.map_or(after, |end| after.min(Timestamp(end.0 - 1))).max(target.season.starts_at);
    Ok((add(conn, work, target, adjustment, outcome, at).await?, key.1))
}

/// Adds the event, and what it makes of the entry.
async fn add(
    conn: &mut Conn,
    work: &mut Work<'_>,
    target: Target,
    adjustment: Adjustment,
    outcome: Outcome,
    at: Timestamp,
) -> Result<Uuid, Failure> {
    let before = target.entry;
    let hidden = match before.filter(|entry| entry.score.is_some()) {
        Some(entry) => entry.hidden,
        None => work.sanctions_of(conn, &target.user_id).await?.hide(target.leaderboard.pk, work.time),
    };
    let revision = before.map_or(0, |entry| entry.revision) + i64::from(outcome.applied);
    let (id, board) = (event_id(at), target.board());
    let Outcome { applied, previous, new, delta } = outcome;
    let row = (
        (score_events::event_id.eq(id.as_bytes().as_slice()), score_events::position.eq(0)),
        (score_events::leaderboard_pk.eq(board.pk), score_events::season.eq(board.season), score_events::delta.eq(delta)),
        (score_events::previous_score.eq(previous), score_events::new_score.eq(new), score_events::revision.eq(revision)),
        (score_events::at.eq(at.0), score_events::applied.eq(applied), score_events::limited.eq(false)),
        (score_events::user_id.eq(target.user_id.as_str()), score_events::leaderboard_id.eq(target.leaderboard.id.as_str())),
        (score_events::action_id.eq(""), score_events::subject.eq(&*work.act.subject)),
        (score_events::points.eq(adjustment.operator().1), score_events::kind.eq(adjustment.kind())),
    );
    diesel::insert_into(score_events::table).values(row).execute(conn).await?;
    if !applied {
        return Ok(id);
    }
    if hidden {
        sanctions::add_silent(conn, id, board.pk).await?;
    }
    let after = EntryState { score: Some(new), reached_at: at, revision, hidden };
    let standing = EntryOutcome {
        leaderboard_id: target.leaderboard.id.clone(),
        board,
        applied,
        previous_score: previous,
        new_score: new,
        delta,
        revision,
        points: None,
        hidden,
    };
    let ranks = ranks::of(conn, work, &target, &after).await?;
    let change = Change::new(id, &target.user_id, None, at, &standing, work.name_of(&target.user_id));
    work.put(conn, target, after, (previous, Some(new)), ranks, change).await?;
    Ok(id)
}

/// The same event counts no more.
pub async fn take_back(conn: &mut Conn, work: &mut Work<'_>, event: Uuid) -> Result<(), Failure> {
    for key in targets::of_events(conn, &[event]).await? {
        work.refold(conn, &key, "void").await?;
    }
    Ok(())
}

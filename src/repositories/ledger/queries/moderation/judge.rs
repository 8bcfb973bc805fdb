//! Verdicts on submissions that are reviewed: they count in their own place, or stay withheld.

use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::{
    super::{
        super::super::{
            LedgerError,
            moderation::{Held, Judged, JudgedTogether},
            schema::withheld_events,
            statement::statement,
        },
        Conn, Db, Failure, clock, locks, reviews, targets,
        users::name_is_locked,
    },
    changes, lock, rename,
    work::Work,
};
use crate::domain::{
    audit::{Act, Deed},
    event::Cause,
    ids::Noun,
    review::{Judgement, Review, ReviewState},
};

statement!(
    /// The last open review of an ended season may be closed: it is not final before that.
    Db, FinalizeAgain { at: BigInt = i64, board: BigInt = i64, season: BigInt = i64 } -> BigInt,
    "UPDATE seasons SET finalized_at = ? WHERE leaderboard_pk = ? AND season = ? AND ends_at IS NOT NULL AND finalized_at IS NOT NULL"
);

/// Carries out verdicts in their order, each for itself. One that is in force already changes nothing. `BoundaryDue`.
pub async fn judge(conn: &mut Conn, new: &[Judgement], act: &Act, held: &Held) -> Result<JudgedTogether, Failure> {
    // Before they are read: another moderator may be judging the same, and an erasure renaming the user.
    lock(conn, true).await?;
    let mut work = Work::new(act, clock::now(conn, act.at).await?, false);
    let events: Vec<_> = new.iter().map(|judgement| judgement.event_id).collect();
    let mut known = reviews::of(conn, &events).await?;
    work.lock_users(conn, &reviews::users_of(&known)).await?;
    locks::entries(conn, &held.keys()).await?;
    let mut judged = Vec::with_capacity(new.len());
    for judgement in new {
        judged.push(match known.get_mut(&judgement.event_id) {
            None => Err(LedgerError::NotFound(Noun::Review)),
            Some(review) if review.state == judgement.verdict.state() => {
                Ok(Judged { review: review.clone(), entries: Vec::new(), changes: Vec::new() })
            }
            Some(review) => Ok(carry_out(conn, &mut work, judgement, review).await?),
        });
    }
    held.add(work.keys());
    let outbox = work.finish(conn).await?;
    Ok(JudgedTogether { judged, changes: work.changes, outbox })
}

async fn carry_out(conn: &mut Conn, work: &mut Work<'_>, judgement: &Judgement, review: &mut Review) -> Result<Judged, Failure> {
    let Judgement { event_id, verdict, reason } = judgement;
    let (before, keys) = (review.state, targets::of_events(conn, &[*event_id]).await?);
    let cause = match (before, verdict.state()) {
        (_, ReviewState::Approved) => {
            let bytes = event_id.as_bytes().as_slice();
            let by_review = withheld_events::event_id.eq(bytes).and(withheld_events::decision_id.eq(bytes));
            diesel::delete(withheld_events::table.filter(by_review)).execute(conn).await?;
            name_user(conn, work, review).await?;
            Some(Cause::Approve)
        }
        (before, _) => {
            reviews::withhold(conn, *event_id, reviews::REJECTED).await?;
            (before == ReviewState::Approved).then_some(Cause::Void)
        }
    };
    if let Some(cause) = cause {
        for key in &keys {
            work.refold(conn, key, cause.as_str()).await?;
        }
    }
    reviews::judge(conn, *event_id, verdict.state(), (reason, &work.act.subject, work.act.at)).await?;
    if before == ReviewState::Pending {
        for (board, season, _) in &keys {
            FinalizeAgain { at: &work.act.at.0, board, season }.execute(conn).await?;
        }
    }
    let details = json!({ "eventId": event_id, "from": before, "to": verdict.state() });
    work.deeds.push(Deed::new(verdict.deed(), format!("user:{}", review.user_id), details).because(reason));
    review.state = verdict.state();
    review.verdict = Some((reason.clone(), work.act.subject.to_string(), work.act.at));
    let changed = work.end_decision(conn).await?;
    let entries = changed.iter().map(|(entry, _)| entry.clone()).collect();
    Ok(Judged { review: review.clone(), entries, changes: changes(changed) })
}

/// Names the user as the submission would have, had it not been withheld: only who has no name gets one.
async fn name_user(conn: &mut Conn, work: &mut Work<'_>, review: &Review) -> Result<(), Failure> {
    let (Some(name), Some(user)) = (&review.display_name, work.users.get(&review.user_id)) else { return Ok(()) };
    if user.profile.display_name.is_none() && !name_is_locked(conn, &review.user_id).await? {
        rename(conn, work, &review.user_id, Some(name.clone()), false).await?;
    }
    Ok(())
}

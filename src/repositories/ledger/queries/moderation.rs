//! Decisions, carried out: what they withhold, whom they hide, and what becomes of the entries. `work.rs` gathers the changes of
//! those that are committed together.

mod adjust;
pub mod erase;
mod judge;
pub mod personal;
mod ranks;
mod sanction;
mod void;
mod work;

pub use judge::judge;
pub use void::VOIDED;

use std::collections::BTreeSet;

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::super::{
        LedgerError,
        moderation::{Decided, Held, Moderated},
        schema::users,
    },
    Conn, Failure, clock, corrections, decisions, leaderboards as boards, locks, search, targets,
    users::name_is_locked,
};
use crate::domain::{
    audit::{Act, Deed},
    decision::{Decision, Measure, NewDecision, Voided},
    ids::{LeaderboardId, Noun, UserId},
    leaderboard::InvalidSetting,
    settlement::EntryState,
    time::Timestamp,
};
use work::Work;

/// Carries out decisions in their order, each for itself: what one of them refuses does not keep the others from being made. One
/// that was made before, under the same id, stays as it is. If it is only tried, everything is rolled back.
///
/// `held` are entries that an earlier attempt wrote too late, because commits changed them: they are locked first.
async fn decide(conn: &mut Conn, new: &[NewDecision], act: &Act, dry: bool, held: &Held) -> Result<Moderated, Failure> {
    // What is only tried writes at once, in the order of the decisions: no commit may wait for it in a circle.
    lock(conn, dry || new.iter().any(|decision| decision.measure.folds_again())).await?;
    let mut work = Work::new(act, clock::now(conn, act.at).await?, dry);
    let ids: Vec<Uuid> = new.iter().map(|decision| decision.id).collect();
    let mut before = decisions::of(conn, &ids).await?;
    let concerned = users_of(conn, new).await?;
    work.lock_users(conn, &concerned).await?;
    locks::entries(conn, &held.keys()).await?;
    let mut decided = Vec::with_capacity(new.len());
    for decision in new {
        decided.push(match before.remove(&decision.id) {
            Some(made) => Ok(Decided { decision: made, changes: Vec::new() }),
            None => match make(conn, &mut work, decision).await {
                Ok(made) => Ok(made),
                Err(Failure::Refused(error @ LedgerError::Invalid(_))) => Err(error),
                Err(failure) => return Err(failure),
            },
        });
    }
    finish(conn, work, decided, held).await
}

/// Takes a decision back, or ends one that has lapsed. `NotFound`; `Conflict` if nothing can bring it back.
pub async fn take_back(conn: &mut Conn, id: Uuid, act: &Act, lapsed: bool, held: &Held) -> Result<Moderated, Failure> {
    // Before it is read: an erasure may be rewriting it.
    lock(conn, true).await?;
    let mut decision = decisions::find(conn, id).await?.ok_or(LedgerError::NotFound(Noun::Decision))?;
    let mut work = Work::new(act, clock::now(conn, act.at).await?, false);
    if matches!(decision.measure, Measure::Erase { .. }) {
        return Err(LedgerError::Conflict("an erasure").into());
    }
    let events = void::events_of(conn, id).await?;
    let mut concerned: BTreeSet<UserId> = targets::of_events(conn, &events).await?.into_iter().map(|key| key.2).collect();
    concerned.extend(decision.measure.user().cloned());
    work.lock_users(conn, &concerned).await?;
    locks::entries(conn, &held.keys()).await?;
    // By the ledger's clock, whatever the one says by which the job was due.
    let over = !lapsed || decision.measure.until().is_some_and(|until| until <= work.time);
    if over && decisions::end(conn, id, work.time).await? {
        undo(conn, &mut work, &decision, &events).await?;
        decision.ended_at = Some(work.time);
    }
    let made = made(conn, &mut work, decision).await?;
    if !lapsed {
        let details = json!({ "type": made.decision.measure.name() });
        work.deeds.push(Deed::new("decision.take-back", format!("decision:{id}"), details));
    }
    finish(conn, work, vec![Ok(made)], held).await
}

/// Carries out decisions, or tries them: then leaves in `tried` what they would have done, and has everything rolled back.
pub async fn decide_or_try(
    conn: &mut Conn,
    new: &[NewDecision],
    act: &Act,
    dry: bool,
    held: &Held,
    tried: &Mutex<Option<Moderated>>,
) -> Result<Moderated, Failure> {
    let moderated = decide(conn, new, act, dry, held).await?;
    if dry {
        *tried.lock() = Some(moderated);
        return Err(Failure::Trial);
    }
    Ok(moderated)
}

/// Removes a user's entry from the present season of a leaderboard: its scores up to this revision no longer count. `None` if there
/// is none that anybody sees.
pub async fn remove_entry(
    conn: &mut Conn,
    id: &LeaderboardId,
    user: &UserId,
    act: &Act,
    held: &Held,
) -> Result<Option<Moderated>, Failure> {
    lock(conn, false).await?;
    let mut work = Work::new(act, clock::now(conn, act.at).await?, false);
    let Some(leaderboard) = boards::find(conn, id).await? else { return Ok(None) };
    work.lock_users(conn, &BTreeSet::from([user.clone()])).await?;
    locks::entries(conn, &held.keys()).await?;
    let key = (leaderboard.pk, leaderboard.season, user.clone());
    let Some(target) = work.target(conn, &key).await? else { return Ok(None) };
    let Some(entry) = target.entry.filter(|entry| entry.score.is_some() && !entry.hidden) else { return Ok(None) };
    let reached_at = work.time.max(Timestamp(entry.reached_at.0 + 1));
    let after = EntryState { score: None, reached_at, revision: entry.revision + 1, hidden: false };
    work.correct(conn, target, entry, after, corrections::REMOVED).await?;
    let target = format!("{}/entry:{user}", boards::season_target(id, leaderboard.season));
    work.deeds.push(Deed::new("entry.remove", target, json!({ "previousScore": entry.score })));
    finish(conn, work, Vec::new(), held).await.map(Some)
}

/// Keeps seasons from ending, as a commit does. Whoever folds an entry again keeps commits out as well: one that changes no entry
/// adds an event all the same, and nothing would show that the fold lacks it.
async fn lock(conn: &mut Conn, folds: bool) -> Result<(), Failure> {
    if folds { locks::definitions_exclusively(conn).await } else { locks::definitions_shared(conn).await }
}

/// Waits for all commits that have begun.
pub async fn outlast_commits(conn: &mut Conn) -> Result<(), Failure> {
    locks::definitions_exclusively(conn).await
}

async fn finish(
    conn: &mut Conn,
    mut work: Work<'_>,
    decided: Vec<Result<Decided, LedgerError>>,
    held: &Held,
) -> Result<Moderated, Failure> {
    held.add(work.keys());
    let outbox = work.finish(conn).await?;
    erase::see_off(conn, &work.erased, work.time).await?;
    Ok(Moderated { decided, changes: work.changes, outbox })
}

/// The users that these decisions concern.
async fn users_of(conn: &mut Conn, new: &[NewDecision]) -> Result<BTreeSet<UserId>, Failure> {
    let mut found: BTreeSet<UserId> = new.iter().filter_map(|decision| decision.measure.user().cloned()).collect();
    let named = new.iter().filter_map(|decision| match &decision.measure {
        Measure::Void(Voided::Events { event_ids }) => Some(event_ids.as_slice()),
        _ => None,
    });
    let events: Vec<Uuid> = named.flatten().copied().collect();
    found.extend(targets::of_events(conn, &events).await?.into_iter().map(|key| key.2));
    Ok(found)
}

/// Carries out one decision and records it. Whatever refuses it does so before anything is written.
async fn make(conn: &mut Conn, work: &mut Work<'_>, new: &NewDecision) -> Result<Decided, Failure> {
    let mut new = new.clone();
    let mut concerned: BTreeSet<UserId> = new.measure.user().cloned().into_iter().collect();
    if concerned.iter().any(|user| !work.users.contains_key(user)) {
        return Err(invalid("userId", "there is no such user"));
    }
    let undo = match &mut new.measure {
        Measure::Hide { user_id, leaderboard_id, until } => {
            let hides = sanction::Kind { hides: true, bans: false };
            sanction::impose(conn, work, new.id, user_id, leaderboard_id.as_ref(), *until, hides).await?;
            None
        }
        Measure::Ban { user_id, leaderboard_id, until, hide } => {
            let bans = sanction::Kind { hides: *hide, bans: true };
            sanction::impose(conn, work, new.id, user_id, leaderboard_id.as_ref(), *until, bans).await?;
            None
        }
        Measure::Void(voided) => {
            concerned.extend(void::carry_out(conn, work, new.id, voided).await?);
            None
        }
        Measure::Adjust { user_id, leaderboard_id, season, adjustment } => {
            let (event, number) = adjust::carry_out(conn, work, user_id, leaderboard_id, *season, *adjustment).await?;
            *season = Some(number);
            Some(json!({ "eventId": event }))
        }
        Measure::Rename { user_id, display_name } => Some(rename(conn, work, user_id, display_name.clone(), true).await?),
        Measure::Erase { user_id, scores } => {
            let (user, scores) = (user_id.clone(), *scores);
            let (pseudonym, reason) = erase::carry_out(conn, work, new.id, &user, scores, new.reason).await?;
            new.reason = reason;
            work.corrected.iter_mut().for_each(|(entry, _)| entry.user_id.clone_from(&pseudonym));
            new.measure = new.measure.of(&user, &pseudonym);
            concerned = BTreeSet::from([pseudonym]);
            None
        }
    };
    let changed = work.end_decision(conn).await?;
    let corrected: Vec<_> = changed.iter().map(|(entry, _)| entry.clone()).collect();
    let undo = undo.map(|undo| undo.to_string());
    let decision = decisions::add(conn, &new, &concerned, undo, &corrected, work.act).await?;
    let target = new.measure.user().map_or_else(|| format!("decision:{}", new.id), |user| format!("user:{user}"));
    let mut details = serde_json::to_value(&new.measure).map_err(Failure::corrupt)?;
    if let Value::Object(details) = &mut details {
        details.insert("decisionId".to_owned(), json!(new.id));
        details.remove("userId");
    }
    work.deeds.push(Deed::new(new.measure.deed(), target, details).because(&new.reason));
    Ok(Decided { decision, changes: changes(changed) })
}

/// What ending a decision changed, in place of what making it did.
async fn made(conn: &mut Conn, work: &mut Work<'_>, decision: Decision) -> Result<Decided, Failure> {
    let changed = work.end_decision(conn).await?;
    let entries = changed.iter().map(|(entry, _)| entry.clone()).collect();
    Ok(Decided { decision: Decision { entries, ..decision }, changes: changes(changed) })
}

/// For each entry that is announced: its place among those of the decision, and the change.
fn changes<E>(changed: Vec<(E, Option<usize>)>) -> Vec<(usize, usize)> {
    changed.into_iter().enumerate().filter_map(|(index, (_, change))| Some((index, change?))).collect()
}

/// Undoes what a decision did.
async fn undo(conn: &mut Conn, work: &mut Work<'_>, decision: &Decision, events: &[Uuid]) -> Result<(), Failure> {
    let stored = decisions::undo(conn, decision.id).await?;
    let stored: Value = stored.as_deref().map_or(Ok(Value::Null), serde_json::from_str).map_err(Failure::corrupt)?;
    match &decision.measure {
        Measure::Hide { user_id, leaderboard_id, .. } | Measure::Ban { user_id, leaderboard_id, .. } => {
            sanction::lift(conn, work, decision.id, user_id, leaderboard_id.as_ref()).await
        }
        Measure::Void(_) => void::take_back(conn, work, decision.id, events).await,
        Measure::Adjust { .. } => {
            let event = serde_json::from_value(stored["eventId"].clone()).map_err(Failure::corrupt)?;
            void::withhold(conn, decision.id, &[event]).await?;
            adjust::take_back(conn, work, event).await
        }
        Measure::Rename { user_id, .. } => {
            // A later one stays in force, and leads back to what was before this one.
            if decisions::hand_undo_on(conn, decision, user_id, &stored).await? {
                return Ok(());
            }
            let (name, locked) = (stored["displayName"].as_str().map(str::to_owned), stored["locked"] == true);
            rename(conn, work, user_id, name, locked).await.map(drop)
        }
        Measure::Erase { .. } => Ok(()),
    }
}

/// Sets a user's name, and whether others may change it; returns what it was.
async fn rename(conn: &mut Conn, work: &mut Work<'_>, id: &UserId, name: Option<String>, locked: bool) -> Result<Value, Failure> {
    let Some(user) = work.users.get(id).cloned() else { return Ok(Value::Null) };
    let was_locked = name_is_locked(conn, id).await?;
    let before = json!({ "displayName": user.profile.display_name, "locked": was_locked });
    let mut after = user;
    after.profile.display_name = name;
    after.revision += 1;
    after.updated_at = work.act.at;
    let row = (
        users::display_name.eq(&after.profile.display_name),
        users::name_locked.eq(locked),
        users::revision.eq(after.revision),
        users::updated_at.eq(after.updated_at.0),
    );
    diesel::update(users::table.find(id.as_str())).set(row).execute(conn).await?;
    search::set(conn, id, after.profile.display_name.as_deref()).await?;
    work.announcements.extend(work.name_changed(conn, &after).await?);
    work.users.insert(id.clone(), after);
    Ok(before)
}

/// A field of a decision that cannot be.
fn invalid(field: &'static str, message: &str) -> Failure {
    LedgerError::Invalid(InvalidSetting { field: field.to_owned(), message: message.to_owned() }).into()
}

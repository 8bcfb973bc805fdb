//! Erasing a user: a pseudonym takes the place of the id, and everything personal goes. No commit is in progress meanwhile.

use std::collections::BTreeSet;

use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, QueryDsl, TextExpressionMethods,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::{
        super::super::{
            schema::{audit, corrections, decision_users, decisions, leaderboards, outbox, sanctions, season_marks},
            statement::statement,
        },
        Conn, Db, Failure, jobs,
        leaderboards::order,
        targets,
    },
    work::Work,
};
use crate::domain::{
    announcement::{Announcement, ErasedFrom},
    decision::{CorrectedEntry, ErasedScores, Measure},
    ids::UserId,
    job::{NewJob, ScrubUser},
    leaderboard::Board,
    settlement::{EntryKey, EntryState, first_event_id},
    time::Timestamp,
};

/// What comes before the random characters of a pseudonym.
const PREFIX: &str = "erased-";
const CHARACTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const LENGTH: usize = 16;

/// How long ago scores may have been committed whose receipts are still stored, in seconds: longer than any receipt is.
const RECEIPTS_SECONDS: i64 = 14 * 86_400;
/// When what is left is scrubbed, in seconds: until then answers that are on their way are stored.
const SCRUB_AFTER: i64 = 30;

statement!(
    Db, RenameEvents { user: Text = str, subject: Text = str, same: Text = str, old: Text = str } -> BigInt,
    "UPDATE score_events SET user_id = ?, metadata = NULL, subject = CASE WHEN subject = ? THEN ? ELSE subject END WHERE user_id = ?"
);

statement!(
    Db, VoidAll { decision: Binary = [u8], user: Text = str } -> BigInt,
    "INSERT INTO withheld_events (event_id, decision_id, reason) SELECT DISTINCT event_id, ?, 'voided' FROM score_events \
     WHERE user_id = ? ON CONFLICT (event_id, decision_id) DO NOTHING"
);

statement!(
    /// Answers nobody who repeats a submission with what is erased: an empty receipt says so.
    Db, EraseReceipts { user: Text = str, after: Binary = [u8] } -> BigInt,
    "INSERT INTO receipts (event_id, body) SELECT DISTINCT event_id, '' FROM score_events WHERE user_id = ? AND event_id > ? \
     ON CONFLICT (event_id) DO UPDATE SET body = ''"
);

statement!(
    Db, RenameUser { id: Text = str, at: BigInt = i64, old: Text = str } -> BigInt,
    "UPDATE users SET id = ?, display_name = NULL, avatar_url = NULL, country = NULL, metadata = NULL, name_locked = false, \
     revision = revision + 1, updated_at = ? WHERE id = ?"
);

statement!(
    Db, RenameEntry { user: Text = str, board: BigInt = i64, season: BigInt = i64, old: Text = str } -> Nullable<BigInt>,
    "UPDATE entries SET user_id = ? WHERE leaderboard_pk = ? AND season = ? AND user_id = ?"
);

statement!(
    Db, ForgetUses { user: Text = str } -> BigInt,
    "DELETE FROM action_uses WHERE user_id = ?"
);

/// Erases a user; returns the pseudonym.
pub async fn carry_out(
    conn: &mut Conn,
    work: &mut Work<'_>,
    decision: uuid::Uuid,
    user: &UserId,
    scores: ErasedScores,
) -> Result<UserId, Failure> {
    let random: String = (0..LENGTH).map(|_| char::from(CHARACTERS[fastrand::usize(..CHARACTERS.len())])).collect();
    let pseudonym = UserId::parse(&format!("{PREFIX}{random}")).map_err(Failure::corrupt)?;
    let name = work.users.get(user).and_then(|user| user.profile.display_name.clone());
    let keys = targets::of_user(conn, user, None).await?;
    if scores == ErasedScores::Remove {
        remove(conn, work, decision, user, &keys).await?;
    }
    rename(conn, work, user, &pseudonym, &keys).await?;
    forget(conn, user, &pseudonym, name.as_deref()).await?;
    scrub_audit(conn, user, name.as_deref()).await?;
    scrub_outbox(conn, user).await?;
    let after = first_event_id(work.time.plus_seconds(-RECEIPTS_SECONDS));
    EraseReceipts { user: pseudonym.as_str(), after: after.as_bytes() }.execute(conn).await?;
    let scrub = ScrubUser { user: user.clone(), pseudonym: pseudonym.clone(), after: None };
    jobs::add(conn, &NewJob::new(&scrub, work.time.plus_seconds(SCRUB_AFTER)), work.time).await?;
    let mut boards = Vec::new();
    for pk in keys.iter().map(|key| key.0).collect::<BTreeSet<_>>() {
        let of: Vec<(i64, i64, String, i64)> = leaderboards::table
            .find(pk)
            .select((leaderboards::pk, leaderboards::season, leaderboards::sort_order, leaderboards::epoch))
            .load(conn)
            .await?;
        for (pk, season, text, epoch) in of {
            boards.push(ErasedFrom { board: Board { pk, season, order: order(&text)? }, epoch });
        }
    }
    if !boards.is_empty() {
        work.announcements.push(Announcement::Erase { boards });
    }
    if let Some(known) = work.users.remove(user) {
        work.users.insert(pseudonym.clone(), known);
    }
    Ok(pseudonym)
}

/// Voids all scores of the user. Nobody is told of single entries: their rankings begin anew.
async fn remove(
    conn: &mut Conn,
    work: &mut Work<'_>,
    decision: uuid::Uuid,
    user: &UserId,
    keys: &[EntryKey],
) -> Result<(), Failure> {
    VoidAll { decision: decision.as_bytes(), user: user.as_str() }.execute(conn).await?;
    for key in keys {
        let Some(target) = work.target(conn, key).await? else { continue };
        let Some(entry) = target.entry.filter(|entry| entry.score.is_some()) else { continue };
        let reached_at = work.time.max(Timestamp(entry.reached_at.0 + 1));
        let after = EntryState { score: None, reached_at, revision: entry.revision + 1, hidden: false };
        work.correct_unannounced(conn, target, entry, after).await?;
    }
    Ok(())
}

/// Puts the pseudonym in the place of the user wherever the user is part of a key.
async fn rename(
    conn: &mut Conn,
    work: &mut Work<'_>,
    user: &UserId,
    pseudonym: &UserId,
    keys: &[EntryKey],
) -> Result<(), Failure> {
    let (old, new) = (user.as_str(), pseudonym.as_str());
    for key in keys {
        let Some(target) = work.target(conn, key).await? else { continue };
        let (pk, season, _) = key;
        RenameEntry { user: new, board: pk, season, old }.execute(conn).await?;
        let of_entry = corrections::leaderboard_pk.eq(pk).and(corrections::season.eq(season));
        let those = corrections::table.filter(of_entry.and(corrections::user_id.eq(old)));
        diesel::update(those).set(corrections::user_id.eq(new)).execute(conn).await?;
        if !target.is_current() {
            let marks = season_marks::leaderboard_pk.eq(pk).and(season_marks::season.eq(season));
            let those = season_marks::table.filter(marks.and(season_marks::user_id.eq(old)));
            diesel::update(those).set(season_marks::user_id.eq(new)).execute(conn).await?;
            work.revise(&target);
        }
    }
    RenameEvents { user: new, subject: old, same: new, old }.execute(conn).await?;
    diesel::update(corrections::table.filter(corrections::subject.eq(old)))
        .set(corrections::subject.eq(new))
        .execute(conn)
        .await?;
    diesel::update(sanctions::table.filter(sanctions::user_id.eq(old))).set(sanctions::user_id.eq(new)).execute(conn).await?;
    ForgetUses { user: old }.execute(conn).await?;
    RenameUser { id: new, at: &work.act.at.0, old }.execute(conn).await?;
    Ok(())
}

/// A decision: id, request, entries, what is needed to take it back, reason.
type DecisionRow = (Vec<u8>, String, String, Option<String>, String);

/// Rewrites decisions about the user, and by the user.
async fn forget(conn: &mut Conn, user: &UserId, pseudonym: &UserId, name: Option<&str>) -> Result<(), Failure> {
    let (old, new) = (user.as_str(), pseudonym.as_str());
    diesel::update(decisions::table.filter(decisions::subject.eq(old))).set(decisions::subject.eq(new)).execute(conn).await?;
    let about = decision_users::table.filter(decision_users::user_id.eq(old)).select(decision_users::decision_id);
    let rows: Vec<DecisionRow> = decisions::table
        .filter(decisions::id.eq_any(about))
        .select((decisions::id, decisions::request, decisions::entries, decisions::undo, decisions::reason))
        .load(conn)
        .await?;
    for (id, request, changed, undo, reason) in rows {
        let measure: Measure = serde_json::from_str(&request).map_err(Failure::corrupt)?;
        let mut changed: Vec<CorrectedEntry> = serde_json::from_str(&changed).map_err(Failure::corrupt)?;
        for entry in changed.iter_mut().filter(|entry| entry.user_id == *user) {
            entry.user_id = pseudonym.clone();
        }
        let renames = matches!(measure, Measure::Rename { .. });
        let tells = |text: &str| [Some(old), name].into_iter().flatten().any(|personal| text.contains(personal));
        let row = (
            decisions::request.eq(serde_json::to_string(&measure.of(user, pseudonym)).map_err(Failure::corrupt)?),
            decisions::entries.eq(serde_json::to_string(&changed).map_err(Failure::corrupt)?),
            decisions::undo.eq(if renames { None } else { undo }),
            decisions::reason.eq(if tells(&reason) { "erased".to_owned() } else { reason }),
        );
        diesel::update(decisions::table.find(id)).set(row).execute(conn).await?;
    }
    let those = decision_users::table.filter(decision_users::user_id.eq(old));
    diesel::update(those).set(decision_users::user_id.eq(new)).execute(conn).await?;
    Ok(())
}

/// Drops the texts and the salts of entries of the audit trail that name the user: what is left still proves the chain.
async fn scrub_audit(conn: &mut Conn, user: &UserId, name: Option<&str>) -> Result<(), Failure> {
    let within = |text: &str| format!("%{}%", escaped(text));
    let in_json = serde_json::to_string(user.as_str()).map_err(Failure::corrupt)?;
    let entry = audit::target.like(format!("%/entry:{}", escaped(user.as_str()))).escape('!');
    let of_user = audit::target.eq(format!("user:{user}")).or(entry);
    let named = audit::details.like(within(&in_json)).escape('!').or(audit::reason.like(within(user.as_str())).escape('!'));
    let called = audit::reason.like(within(name.unwrap_or(user.as_str()))).escape('!');
    let those = audit::table.filter(audit::subject.eq(user.as_str()).or(of_user).or(named).or(called));
    let erased = (
        (audit::subject.eq(None::<String>), audit::target.eq(None::<String>), audit::reason.eq(None::<String>)),
        (audit::details.eq(None::<String>), audit::salt.eq(None::<String>)),
    );
    diesel::update(those).set(erased).execute(conn).await?;
    Ok(())
}

/// A text in a pattern of `LIKE` whose escape character is `!`.
pub fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// Takes the user out of what is still to be announced: the rankings begin anew, and then have all of it.
async fn scrub_outbox(conn: &mut Conn, user: &UserId) -> Result<(), Failure> {
    let in_json = serde_json::to_string(user.as_str()).map_err(Failure::corrupt)?;
    let rows = outbox::table.filter(outbox::payload.like(format!("%{}%", escaped(&in_json))).escape('!'));
    let rows: Vec<(i64, String)> = rows.select((outbox::id, outbox::payload)).load(conn).await?;
    for (id, payload) in rows {
        let left = match serde_json::from_str(&payload) {
            Ok(Announcement::Scores { mut changes }) => {
                changes.retain(|change| change.user_id != *user);
                Announcement::Scores { changes }
            }
            Ok(Announcement::Rename { user_id, .. }) if user_id == *user => Announcement::Scores { changes: Vec::new() },
            _ => continue,
        };
        let payload = serde_json::to_string(&left).map_err(Failure::corrupt)?;
        diesel::update(outbox::table.find(id)).set(outbox::payload.eq(payload)).execute(conn).await?;
    }
    Ok(())
}

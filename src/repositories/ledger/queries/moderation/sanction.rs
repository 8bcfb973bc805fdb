//! Hiding and banning users.

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::{
        super::super::schema::{leaderboards, sanctions, users},
        Conn, Failure, corrections, jobs,
    },
    invalid,
    work::Work,
};
use crate::domain::{
    ids::{LeaderboardId, UserId},
    job::{EndDecision, NewJob},
    settlement::EntryState,
    time::Timestamp,
};

/// What a sanction does.
#[derive(Clone, Copy)]
pub struct Kind {
    pub hides: bool,
    pub bans: bool,
}

/// Brings a sanction into force, and hides the entries that it concerns.
pub async fn impose(
    conn: &mut Conn,
    work: &mut Work<'_>,
    decision: Uuid,
    user: &UserId,
    leaderboard: Option<&LeaderboardId>,
    until: Option<Timestamp>,
    kind: Kind,
) -> Result<(), Failure> {
    let only = match leaderboard {
        Some(id) => Some(pk_of(conn, id).await?.ok_or_else(|| invalid("leaderboardId", "there is no such leaderboard"))?),
        None => None,
    };
    if until.is_some_and(|until| until <= work.time) {
        return Err(invalid("until", "must be a time to come"));
    }
    let row = (
        (sanctions::decision_id.eq(decision.as_bytes().as_slice()), sanctions::user_id.eq(user.as_str())),
        (sanctions::leaderboard_pk.eq(only), sanctions::until.eq(until.map(|until| until.0))),
        (sanctions::hides.eq(kind.hides), sanctions::bans.eq(kind.bans)),
    );
    diesel::insert_into(sanctions::table).values(row).execute(conn).await?;
    diesel::update(users::table.find(user.as_str())).set(users::sanctioned.eq(true)).execute(conn).await?;
    if let Some(until) = until {
        jobs::add(conn, &NewJob::new(&EndDecision { decision }, until), work.time).await?;
    }
    if kind.hides { show(conn, work, user, only, false).await } else { Ok(()) }
}

/// Ends a sanction, and shows the entries again that no other one hides.
pub async fn lift(
    conn: &mut Conn,
    work: &mut Work<'_>,
    decision: Uuid,
    user: &UserId,
    leaderboard: Option<&LeaderboardId>,
) -> Result<(), Failure> {
    let row = sanctions::table.find(decision.as_bytes().as_slice());
    let hid: Vec<bool> = row.select(sanctions::hides).load(conn).await?;
    diesel::delete(row).execute(conn).await?;
    let left = sanctions::table.filter(sanctions::user_id.eq(user.as_str())).count();
    if left.get_result::<i64>(conn).await? == 0 {
        diesel::update(users::table.find(user.as_str())).set(users::sanctioned.eq(false)).execute(conn).await?;
    }
    let only = match leaderboard {
        Some(id) => match pk_of(conn, id).await? {
            Some(pk) => Some(pk),
            // Deleted since, with all of its entries.
            None => return Ok(()),
        },
        None => None,
    };
    if hid == [true] { show(conn, work, user, only, true).await } else { Ok(()) }
}

/// Shows or hides the user's entries. Those that another sanction hides stay hidden.
async fn show(conn: &mut Conn, work: &mut Work<'_>, user: &UserId, only: Option<i64>, shown: bool) -> Result<(), Failure> {
    let sanctions = work.sanctions_of(conn, user).await?;
    for key in work.entries_of(conn, user, only).await? {
        if shown && sanctions.hide(key.0, work.time) {
            continue;
        }
        let Some(target) = work.target(conn, &key).await? else { continue };
        let Some(entry) = target.entry.filter(|entry| entry.score.is_some() && entry.hidden == shown) else { continue };
        let after = EntryState { hidden: !shown, revision: entry.revision + 1, ..entry };
        let cause = if shown { "unhide" } else { corrections::HIDDEN };
        work.correct(conn, target, entry, after, cause).await?;
    }
    Ok(())
}

async fn pk_of(conn: &mut Conn, id: &LeaderboardId) -> Result<Option<i64>, Failure> {
    let found = leaderboards::table.filter(leaderboards::id.eq(id.as_str())).select(leaderboards::pk);
    Ok(found.load(conn).await?.pop())
}

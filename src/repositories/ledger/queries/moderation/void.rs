//! Withholding score events, and letting them count again.

use std::collections::BTreeSet;

use diesel::{
    ExpressionMethods, QueryDsl,
    sql_types::{BigInt, Binary, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::{
        super::super::{schema::withheld_events, statement::statement},
        Conn, Db, Failure, evidence, leaderboards as boards, targets,
    },
    invalid,
    work::Work,
};
use crate::domain::{decision::Voided, ids::UserId};

/// Why events that are voided do not count.
pub const VOIDED: &str = "voided";

statement!(
    Db, Withhold { event: Binary = [u8], decision: Binary = [u8], reason: Text = str } -> BigInt,
    "INSERT INTO withheld_events (event_id, decision_id, reason) VALUES (?, ?, ?) ON CONFLICT (event_id, decision_id) DO NOTHING"
);

statement!(
    Db, WithholdRange {
        decision: Binary = [u8], reason: Text = str, user: Text = str, board: BigInt = i64, from: BigInt = i64, to: BigInt = i64,
    } -> BigInt,
    "INSERT INTO withheld_events (event_id, decision_id, reason) SELECT event_id, ?, ? FROM score_events \
     WHERE user_id = ? AND leaderboard_pk = ? AND at >= ? AND at < ? ON CONFLICT (event_id, decision_id) DO NOTHING"
);

/// Withholds events and folds their entries again; returns the users whose events they are.
pub async fn carry_out(
    conn: &mut Conn,
    work: &mut Work<'_>,
    decision: Uuid,
    voided: &Voided,
) -> Result<BTreeSet<UserId>, Failure> {
    match voided {
        Voided::Events { event_ids } => {
            // Corrections are events on the stream, and no scores.
            let unknown = evidence::unknown_scores(conn, event_ids).await?;
            if !unknown.is_empty() {
                let first = unknown[0];
                return Err(invalid(
                    "eventIds",
                    &format!("there are no such score events: {} of them, first {first}", unknown.len()),
                ));
            }
            withhold(conn, decision, event_ids).await?;
        }
        Voided::Range { user_id, leaderboard_id, from, to } => {
            let unknown = || invalid("leaderboardId", "there is no such leaderboard");
            let leaderboard = boards::find(conn, leaderboard_id).await?.ok_or_else(unknown)?;
            let range = WithholdRange {
                decision: decision.as_bytes(),
                reason: VOIDED,
                user: user_id.as_str(),
                board: &leaderboard.pk,
                from: &from.map_or(i64::MIN, |from| from.0),
                to: &to.map_or(i64::MAX, |to| to.0),
            };
            range.execute(conn).await?;
        }
    }
    let events = events_of(conn, decision).await?;
    let keys = targets::of_events(conn, &events).await?;
    for key in &keys {
        work.refold(conn, key, "void").await?;
    }
    Ok(keys.into_iter().map(|key| key.2).collect())
}

/// Lets the events of a decision count again, unless another one withholds them.
pub async fn take_back(conn: &mut Conn, work: &mut Work<'_>, decision: Uuid, events: &[Uuid]) -> Result<(), Failure> {
    let of_decision = withheld_events::table.filter(withheld_events::decision_id.eq(decision.as_bytes().as_slice()));
    diesel::delete(of_decision).execute(conn).await?;
    for key in targets::of_events(conn, events).await? {
        work.refold(conn, &key, "restore").await?;
    }
    Ok(())
}

/// The events that a decision withholds.
pub async fn events_of(conn: &mut Conn, decision: Uuid) -> Result<Vec<Uuid>, Failure> {
    let those = withheld_events::table.filter(withheld_events::decision_id.eq(decision.as_bytes().as_slice()));
    let ids: Vec<Vec<u8>> = those.select(withheld_events::event_id).load(conn).await?;
    ids.iter().map(|id| Uuid::from_slice(id).map_err(Failure::corrupt)).collect()
}

/// Withholds single events.
pub async fn withhold(conn: &mut Conn, decision: Uuid, events: &[Uuid]) -> Result<(), Failure> {
    for event in events {
        Withhold { event: event.as_bytes(), decision: decision.as_bytes(), reason: VOIDED }.execute(conn).await?;
    }
    Ok(())
}

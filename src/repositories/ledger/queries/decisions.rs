//! Decisions as they are recorded. `moderation.rs` carries them out.

use std::collections::{BTreeSet, HashMap};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::super::{
        moderation::Ranked,
        schema::{decision_users, decisions},
    },
    Conn, Db, Failure,
};
use crate::domain::{
    audit::Act,
    decision::{CorrectedEntry, Decision, DecisionFilter, NewDecision},
    ids::UserId,
    time::Timestamp,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = decisions, check_for_backend(Db))]
struct Row {
    id: Vec<u8>,
    seq: i64,
    reason: String,
    subject: String,
    at: i64,
    ended_at: Option<i64>,
    request: String,
    entries: String,
}

#[derive(Insertable)]
#[diesel(table_name = decisions)]
struct NewRow<'a> {
    id: &'a [u8],
    kind: &'a str,
    reason: &'a str,
    subject: &'a str,
    at: i64,
    until: Option<i64>,
    request: String,
    undo: Option<String>,
    entries: String,
}

impl TryFrom<Row> for Decision {
    type Error = Failure;

    fn try_from(row: Row) -> Result<Self, Failure> {
        Ok(Self {
            id: Uuid::from_slice(&row.id).map_err(Failure::corrupt)?,
            seq: row.seq,
            measure: serde_json::from_str(&row.request).map_err(Failure::corrupt)?,
            reason: row.reason,
            subject: row.subject,
            at: Timestamp(row.at),
            ended_at: row.ended_at.map(Timestamp),
            entries: serde_json::from_str(&row.entries).map_err(Failure::corrupt)?,
        })
    }
}

/// Records a decision, the users whom it concerns, and what is needed to take it back.
pub async fn add(
    conn: &mut Conn,
    new: &NewDecision,
    users: &BTreeSet<UserId>,
    undo: Option<String>,
    entries: &[CorrectedEntry],
    act: &Act,
) -> Result<Decision, Failure> {
    let row = NewRow {
        id: new.id.as_bytes(),
        kind: new.measure.name(),
        reason: &new.reason,
        subject: &act.subject,
        at: act.at.0,
        until: new.measure.until().map(|until| until.0),
        request: serde_json::to_string(&new.measure).map_err(Failure::corrupt)?,
        undo,
        entries: serde_json::to_string(entries).map_err(Failure::corrupt)?,
    };
    let seq = diesel::insert_into(decisions::table).values(row).returning(decisions::seq).get_result(conn).await?;
    for user in users {
        let row = (decision_users::user_id.eq(user.as_str()), decision_users::decision_id.eq(new.id.as_bytes().as_slice()));
        diesel::insert_into(decision_users::table).values(row).execute(conn).await?;
    }
    Ok(Decision {
        id: new.id,
        seq,
        measure: new.measure.clone(),
        reason: new.reason.clone(),
        subject: act.subject.to_string(),
        at: act.at,
        ended_at: None,
        entries: entries.to_vec(),
    })
}

/// The decision of this id.
pub async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Decision>, Failure> {
    Ok(of(conn, &[id]).await?.remove(&id))
}

/// Those of these decisions that exist.
pub async fn of(conn: &mut Conn, ids: &[Uuid]) -> Result<HashMap<Uuid, Decision>, Failure> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let rows: Vec<Row> = decisions::table.filter(decisions::id.eq_any(&ids)).select(Row::as_select()).load(conn).await?;
    rows.into_iter().map(|row| Decision::try_from(row).map(|decision| (decision.id, decision))).collect()
}

/// What was stored to take it back.
pub async fn undo(conn: &mut Conn, id: Uuid) -> Result<Option<String>, Failure> {
    let undo = decisions::table.find(id.as_bytes().as_slice()).select(decisions::undo);
    Ok(undo.first(conn).await.optional()?.flatten())
}

/// Stores the entries that decisions changed, as they turned out, in place of what was stored first; not of those that were
/// rewritten since, because a user was erased.
pub async fn store_entries(conn: &mut Conn, of: &[Ranked]) -> Result<(), Failure> {
    for Ranked { id, before, after } in of {
        let before = serde_json::to_string(before).map_err(Failure::corrupt)?;
        let after = serde_json::to_string(after).map_err(Failure::corrupt)?;
        let row = decisions::table.find(id.as_bytes().as_slice()).filter(decisions::entries.eq(before));
        diesel::update(row).set(decisions::entries.eq(after)).execute(conn).await?;
    }
    Ok(())
}

/// Leaves what undoes a rename to the next one of the user that is in force; returns whether there is one.
pub async fn hand_undo_on(conn: &mut Conn, of: &Decision, user: &UserId, undo: &Value) -> Result<bool, Failure> {
    let concern = decision_users::table.filter(decision_users::user_id.eq(user.as_str())).select(decision_users::decision_id);
    let later = decisions::table
        .filter(decisions::id.eq_any(concern).and(decisions::kind.eq(of.measure.name())))
        .filter(decisions::ended_at.is_null().and(decisions::seq.gt(of.seq)))
        .order(decisions::seq)
        .select(decisions::id);
    let Some(next) = later.first::<Vec<u8>>(conn).await.optional()? else { return Ok(false) };
    diesel::update(decisions::table.find(next)).set(decisions::undo.eq(undo.to_string())).execute(conn).await?;
    Ok(true)
}

/// Ends a decision; returns whether it was in force.
pub async fn end(conn: &mut Conn, id: Uuid, at: Timestamp) -> Result<bool, Failure> {
    let row = decisions::table.find(id.as_bytes().as_slice()).filter(decisions::ended_at.is_null());
    Ok(diesel::update(row).set(decisions::ended_at.eq(at.0)).execute(conn).await? > 0)
}

/// Up to `limit` decisions, newest first.
pub async fn list(conn: &mut Conn, filter: &DecisionFilter, now: Timestamp, limit: i64) -> Result<Vec<Decision>, Failure> {
    let mut rows = decisions::table
        .filter(decisions::seq.lt(filter.before.unwrap_or(i64::MAX)))
        .order(decisions::seq.desc())
        .limit(limit)
        .select(Row::as_select())
        .into_boxed();
    if let Some(user) = &filter.user_id {
        let concern = decision_users::table.filter(decision_users::user_id.eq(user.as_str()));
        rows = rows.filter(decisions::id.eq_any(concern.select(decision_users::decision_id)));
    }
    if let Some(kind) = &filter.kind {
        rows = rows.filter(decisions::kind.eq(kind.as_str()));
    }
    let lapsed = decisions::until.is_not_null().and(decisions::until.le(now.0));
    rows = match filter.active {
        Some(true) => {
            rows.filter(decisions::ended_at.is_null()).filter(decisions::until.is_null().or(decisions::until.gt(now.0)))
        }
        Some(false) => rows.filter(decisions::ended_at.is_not_null().or(lapsed)),
        None => rows,
    };
    rows.load(conn).await?.into_iter().map(Decision::try_from).collect()
}

//! The audit trail.

use diesel::{ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{super::super::schema::audit, Conn, Db, Failure, locks};
use crate::domain::{
    audit::{Act, AuditEntry, Deed, Erasable, GENESIS},
    time::Timestamp,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit, check_for_backend(Db))]
struct Row {
    seq: i64,
    at: i64,
    action: String,
    request_id: Option<String>,
    subject: Option<String>,
    subject_digest: Option<String>,
    target: Option<String>,
    target_digest: Option<String>,
    reason: Option<String>,
    reason_digest: Option<String>,
    details: Option<String>,
    details_digest: Option<String>,
    salt: Option<String>,
    hash: String,
}

/// Records what the transaction does, as its last step: from here on others that record something wait for its end.
pub async fn record(conn: &mut Conn, act: &Act, deed: &Deed) -> Result<(), Failure> {
    record_all(conn, act, std::slice::from_ref(deed)).await
}

/// Records several deeds, in their order.
pub async fn record_all(conn: &mut Conn, act: &Act, deeds: &[Deed]) -> Result<(), Failure> {
    if deeds.is_empty() {
        return Ok(());
    }
    locks::audit(conn).await?;
    let (mut seq, mut previous) = head(conn).await?.unwrap_or_else(|| (0, GENESIS.to_owned()));
    for deed in deeds {
        let salt = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let entry = AuditEntry::after(&previous, seq + 1, act, deed, salt);
        (seq, previous) = (entry.seq, entry.hash.clone());
        diesel::insert_into(audit::table).values(Row::from(entry)).execute(conn).await?;
    }
    crate::failpoints::failpoint!("audit-written", Failure::Unreachable);
    Ok(())
}

/// The newest entry's number and hash.
pub async fn head(conn: &mut Conn) -> Result<Option<(i64, String)>, Failure> {
    let newest = audit::table.order(audit::seq.desc()).select((audit::seq, audit::hash));
    Ok(newest.first(conn).await.optional()?)
}

/// Up to `limit` entries after number `after`, oldest first.
pub async fn page(conn: &mut Conn, after: i64, limit: i64) -> Result<Vec<AuditEntry>, Failure> {
    let rows: Vec<Row> =
        audit::table.filter(audit::seq.gt(after)).order(audit::seq).limit(limit).select(Row::as_select()).load(conn).await?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}

/// The same, and the head, from one snapshot.
pub async fn page_and_head(conn: &mut Conn, after: i64, limit: i64) -> Result<(Vec<AuditEntry>, Option<(i64, String)>), Failure> {
    Ok((page(conn, after, limit).await?, head(conn).await?))
}

impl From<AuditEntry> for Row {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { seq, at, action, request_id, subject, target, reason, details, salt, hash } = entry;
        Self {
            seq,
            at: at.0,
            action,
            request_id,
            subject: subject.text,
            subject_digest: subject.digest,
            target: target.text,
            target_digest: target.digest,
            reason: reason.text,
            reason_digest: reason.digest,
            details: details.text,
            details_digest: details.digest,
            salt,
            hash,
        }
    }
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        let field = |text, digest| Erasable { text, digest };
        Self {
            seq: row.seq,
            at: Timestamp(row.at),
            action: row.action,
            request_id: row.request_id,
            subject: field(row.subject, row.subject_digest),
            target: field(row.target, row.target_digest),
            reason: field(row.reason, row.reason_digest),
            details: field(row.details, row.details_digest),
            salt: row.salt,
            hash: row.hash,
        }
    }
}

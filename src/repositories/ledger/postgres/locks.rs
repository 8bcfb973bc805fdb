//! Locks on PostgreSQL.

use diesel::{
    OptionalExtension, QueryDsl, SelectableHelper,
    sql_types::{BigInt, Binary, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::{schema::users, statement::statement},
    Conn, Db, Failure,
    queries::users::UserRow,
    statements::LockEntries,
};
use crate::domain::{ids::UserId, settlement::EntryKey, user::User};

/// The advisory lock between definitions and commits. Commits hold it shared, in memory only: `FOR SHARE` on a row would make
/// every commit write that one row. A change of definitions takes it exclusively, so it waits for the commits in flight and
/// every commit settles by the committed definitions.
pub const DEFINITIONS: i64 = 0x5C0_7EB0_A7D0;

statement!(
    /// Takes an advisory lock until the end of the transaction.
    Db, LockFor { key: BigInt = i64 } -> BigInt,
    "SELECT pg_advisory_xact_lock(?)"
);

statement!(
    /// Takes an advisory lock that others may hold as well, until the end of the transaction.
    Db, ShareFor { key: BigInt = i64 } -> BigInt,
    "SELECT pg_advisory_xact_lock_shared(?)"
);

/// Keeps definitions and seasons as they are, as a commit does.
pub async fn definitions_shared(conn: &mut Conn) -> Result<(), Failure> {
    ShareFor { key: &DEFINITIONS }.execute(conn).await?;
    Ok(())
}

/// Blocks commits while definitions change.
pub async fn definitions_exclusively(conn: &mut Conn) -> Result<(), Failure> {
    LockFor { key: &DEFINITIONS }.execute(conn).await?;
    Ok(())
}

/// The advisory lock of the audit trail's end.
const AUDIT: i64 = 0x5C0_7EB0_A0D1;

/// Blocks others that record something until the end of the transaction. Taken last, so that nobody waits for each other.
pub async fn audit(conn: &mut Conn) -> Result<(), Failure> {
    LockFor { key: &AUDIT }.execute(conn).await?;
    Ok(())
}

statement!(
    Db, LockAccount { id: Text = str } -> Text,
    "SELECT id FROM accounts WHERE id = ? FOR NO KEY UPDATE"
);

statement!(
    Db, LockSession { id: Binary = [u8] } -> Binary,
    "SELECT id FROM sessions WHERE id = ? FOR NO KEY UPDATE"
);

/// The advisory lock of the list of ended sessions: their numbers are in the order of the commits, so that nobody who reads on
/// after one misses another.
const ENDED: i64 = 0x5C0_7EB0_E4D5;

/// Locks an account, if it exists, until the end of the transaction. Taken before its sessions.
pub async fn account(conn: &mut Conn, id: &str) -> Result<(), Failure> {
    LockAccount { id }.load::<String>(conn).await?;
    Ok(())
}

/// Locks a session, if it exists, until the end of the transaction.
pub async fn session(conn: &mut Conn, id: &[u8]) -> Result<(), Failure> {
    LockSession { id }.load::<Vec<u8>>(conn).await?;
    Ok(())
}

/// Blocks others that end sessions until the end of the transaction.
pub async fn ended_sessions(conn: &mut Conn) -> Result<(), Failure> {
    LockFor { key: &ENDED }.execute(conn).await?;
    Ok(())
}

/// Blocks others that count by one of these keys, whether there are rows for them or not. Always in the same order.
pub async fn counts(conn: &mut Conn, keys: &[[u8; 32]]) -> Result<(), Failure> {
    let mut numbers: Vec<i64> = keys.iter().map(|key| i64::from_be_bytes(*key.first_chunk().expect("8 of 32 bytes"))).collect();
    numbers.sort_unstable();
    for key in &numbers {
        LockFor { key }.execute(conn).await?;
    }
    Ok(())
}

/// Locks entries until the end of the transaction, in their order.
pub async fn entries(conn: &mut Conn, keys: &[EntryKey]) -> Result<(), Failure> {
    if !keys.is_empty() {
        let boards: Vec<i64> = keys.iter().map(|key| key.0).collect();
        let seasons: Vec<i64> = keys.iter().map(|key| key.1).collect();
        let users: Vec<&str> = keys.iter().map(|key| key.2.as_str()).collect();
        LockEntries { boards: &boards, seasons: &seasons, users: &users }.load::<i64>(conn).await?;
    }
    Ok(())
}

/// The user, locked until the end of the transaction. `NO KEY UPDATE` is what an `UPDATE` of the row would take.
pub async fn user(conn: &mut Conn, id: &UserId) -> Result<Option<User>, Failure> {
    let row = users::table.find(id.as_str()).select(UserRow::as_select()).for_no_key_update();
    row.first(conn).await.optional()?.map(UserRow::into_user).transpose()
}

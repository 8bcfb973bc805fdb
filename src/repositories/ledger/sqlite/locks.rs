//! Locks on SQLite: none are needed, because a write transaction holds the whole file from its first statement on.

use super::{Conn, Failure, queries::users};
use crate::domain::{ids::UserId, settlement::EntryKey, user::User};

/// Keeps definitions and seasons as they are, as a commit does.
pub async fn definitions_shared(_: &mut Conn) -> Result<(), Failure> {
    Ok(())
}

/// Blocks commits while definitions change.
pub async fn definitions_exclusively(_: &mut Conn) -> Result<(), Failure> {
    Ok(())
}

/// Blocks others that record something.
pub async fn audit(_: &mut Conn) -> Result<(), Failure> {
    Ok(())
}

/// Locks an account until the end of the transaction.
pub async fn account(_: &mut Conn, _: &str) -> Result<(), Failure> {
    Ok(())
}

/// Locks a session until the end of the transaction.
pub async fn session(_: &mut Conn, _: &[u8]) -> Result<(), Failure> {
    Ok(())
}

/// Blocks others that end sessions.
pub async fn ended_sessions(_: &mut Conn) -> Result<(), Failure> {
    Ok(())
}

/// Blocks others that count by one of these keys.
pub async fn counts(_: &mut Conn, _: &[[u8; 32]]) -> Result<(), Failure> {
    Ok(())
}

/// Locks entries until the end of the transaction.
pub async fn entries(_: &mut Conn, _: &[EntryKey]) -> Result<(), Failure> {
    Ok(())
}

/// The user, locked until the end of the transaction.
pub async fn user(conn: &mut Conn, id: &UserId) -> Result<Option<User>, Failure> {
    users::user(conn, id).await
}

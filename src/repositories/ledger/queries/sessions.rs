//! Sessions: families of refresh tokens, of which only the newest is good, and the one before it for a while.

use std::collections::{BTreeSet, HashSet};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde_json::json;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{ended_sessions, sessions},
        sessions::{Refreshed, TokenUse},
    },
    Conn, Db, Failure, accounts, audit, locks,
};
use crate::domain::{
    account::{NewSession, REPEATABLE, Session, session_end},
    audit::{Act, Deed},
    caller::SessionId,
    ids::UserId,
    time::Timestamp,
};

/// Sessions of one account at most: the oldest ones end.
const AT_MOST: i64 = 50;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions, check_for_backend(Db))]
struct Row {
    id: Vec<u8>,
    account_id: String,
    user_agent: Option<String>,
    generation: i64,
    token_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    created_at: i64,
    last_used_at: i64,
    expires_at: i64,
}

impl Row {
    fn session(self) -> Result<Session, Failure> {
        Ok(Session {
            id: Uuid::from_slice(&self.id).map_err(Failure::corrupt)?,
            user_agent: self.user_agent,
            created_at: Timestamp(self.created_at),
            last_used_at: Timestamp(self.last_used_at),
            expires_at: Timestamp(self.expires_at),
        })
    }
}

/// Opens a session of an account that the transaction has locked.
pub async fn open(conn: &mut Conn, account: &UserId, new: &NewSession) -> Result<Session, Failure> {
    let row = Row {
        id: new.id.as_bytes().to_vec(),
        account_id: account.to_string(),
        user_agent: new.user_agent.clone(),
        generation: 0,
        token_hash: new.token_hash.to_vec(),
        previous_hash: None,
        created_at: new.at.0,
        last_used_at: new.at.0,
        expires_at: session_end(new.at, new.at).0,
    };
    diesel::insert_into(sessions::table).values(&row).execute(conn).await?;
    let older: Vec<Vec<u8>> = sessions::table
        .filter(sessions::account_id.eq(account.as_str()).and(sessions::id.ne(&row.id)))
        .order((sessions::created_at.desc(), sessions::id.desc()))
        .offset(AT_MOST - 1)
        .select(sessions::id)
        .limit(AT_MOST)
        .load(conn)
        .await?;
    end(conn, &older, new.at).await?;
    row.session()
}

/// Takes a refresh token. Whatever is not refused is written by the successor's hash alone, so that the same successor is given
/// again to whoever repeats the request.
pub async fn refresh(conn: &mut Conn, used: &TokenUse, now: Timestamp, request_id: Option<&str>) -> Result<Refreshed, Failure> {
    locks::session(conn, used.session.as_bytes()).await?;
    let found = sessions::table.find(used.session.as_bytes().as_slice()).select(Row::as_select());
    let row: Option<Row> = found.first(conn).await.optional()?;
    let Some(row) = row.filter(|row| row.expires_at > now.0) else { return Ok(Refreshed::Refused) };
    let owner = UserId::parse(&row.account_id).map_err(Failure::corrupt)?;
    let Some((account, _)) = accounts::find(conn, &owner).await?.filter(|(account, _)| !account.disabled) else {
        return Ok(Refreshed::Refused);
    };
    let newest = used.generation == row.generation && used.token_hash.as_slice() == row.token_hash;
    if newest {
        let expires_at = session_end(Timestamp(row.created_at), now).0;
        let set = (
            sessions::generation.eq(row.generation + 1),
            sessions::token_hash.eq(used.successor_hash.as_slice()),
            sessions::previous_hash.eq(&row.token_hash),
            sessions::last_used_at.eq(now.0),
            sessions::expires_at.eq(expires_at),
        );
        diesel::update(sessions::table.find(&row.id)).set(set).execute(conn).await?;
        let session = Row { last_used_at: now.0, expires_at, ..row }.session()?;
        return Ok(Refreshed::Renewed(Box::new((account, session))));
    }
    let before = used.generation + 1 == row.generation && row.previous_hash.as_deref() == Some(used.token_hash.as_slice());
    if before && now.micros_since(Timestamp(row.last_used_at)) <= REPEATABLE {
        return Ok(Refreshed::Renewed(Box::new((account, row.session()?))));
    }
    if used.generation >= row.generation {
        // Newer than what is stored: the ledger was restored from a backup, and nobody has done anything wrong.
        return Ok(Refreshed::Refused);
    }
    end(conn, std::slice::from_ref(&row.id), now).await?;
    let act = Act { at: now, subject: row.account_id.as_str().into(), request_id: request_id.map(Into::into) };
    let deed = Deed::new("session.reuse", accounts::target(&owner), json!({ "sessionId": used.session }));
    audit::record(conn, &act, &deed).await?;
    Ok(Refreshed::Reused(used.session))
}

/// Ends the session of a refresh token, or with the newest token or the one before it all of the account's; returns their ids.
pub async fn sign_out(conn: &mut Conn, used: &TokenUse, everywhere: bool, now: Timestamp) -> Result<Vec<SessionId>, Failure> {
    let found = sessions::table.find(used.session.as_bytes().as_slice());
    let row: Option<Row> = found.select(Row::as_select()).first(conn).await.optional()?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let hash = Some(used.token_hash.as_slice());
    let is_good = row.expires_at > now.0 && (hash == Some(&row.token_hash) || hash == row.previous_hash.as_deref());
    if everywhere && is_good {
        let owner = UserId::parse(&row.account_id).map_err(Failure::corrupt)?;
        locks::account(conn, owner.as_str()).await?;
        return end_all(conn, &owner, None, now).await;
    }
    end(conn, std::slice::from_ref(&row.id), now).await
}

/// Those of these sessions that go on at this moment. Nothing keeps them from ending: whoever relies on it asks again when all is written.
pub async fn live(conn: &mut Conn, ids: &BTreeSet<SessionId>) -> Result<HashSet<SessionId>, Failure> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let found: Vec<Vec<u8>> = sessions::table.filter(sessions::id.eq_any(ids)).select(sessions::id).load(conn).await?;
    found.iter().map(|id| Uuid::from_slice(id).map_err(Failure::corrupt)).collect()
}

/// An account's sessions that have not expired, the newest first.
pub async fn of_account(conn: &mut Conn, account: &UserId, now: Timestamp) -> Result<Vec<Session>, Failure> {
    let rows: Vec<Row> = sessions::table
        .filter(sessions::account_id.eq(account.as_str()).and(sessions::expires_at.gt(now.0)))
        .order((sessions::created_at.desc(), sessions::id.desc()))
        .limit(AT_MOST)
        .select(Row::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(Row::session).collect()
}

/// Ends a session of this account; false if it has no such session.
pub async fn end_one(conn: &mut Conn, account: &UserId, id: SessionId, now: Timestamp) -> Result<bool, Failure> {
    let own = sessions::id.eq(id.as_bytes().as_slice()).and(sessions::account_id.eq(account.as_str()));
    let found: Vec<Vec<u8>> = sessions::table.filter(own).select(sessions::id).load(conn).await?;
    Ok(!end(conn, &found, now).await?.is_empty())
}

/// Ends all sessions of an account that the transaction has locked, but for one; returns their ids.
pub async fn end_all(
    conn: &mut Conn,
    account: &UserId,
    except: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<SessionId>, Failure> {
    let except = except.unwrap_or_default();
    let own = sessions::account_id.eq(account.as_str()).and(sessions::id.ne(except.as_bytes().as_slice()));
    let found: Vec<Vec<u8>> = sessions::table.filter(own).select(sessions::id).order(sessions::id).load(conn).await?;
    end(conn, &found, now).await
}

/// Ends sessions, those that nobody has ended meanwhile, and lists them for the instances that accept their access tokens.
async fn end(conn: &mut Conn, ids: &[Vec<u8>], now: Timestamp) -> Result<Vec<SessionId>, Failure> {
    let mut ended = Vec::with_capacity(ids.len());
    for id in ids {
        if diesel::delete(sessions::table.find(id)).execute(conn).await? > 0 {
            ended.push(Uuid::from_slice(id).map_err(Failure::corrupt)?);
        }
    }
    if !ended.is_empty() {
        locks::ended_sessions(conn).await?;
    }
    for id in &ended {
        let row = (ended_sessions::session_id.eq(id.as_bytes().as_slice()), ended_sessions::at.eq(now.0));
        diesel::insert_into(ended_sessions::table).values(row).execute(conn).await?;
    }
    Ok(ended)
}

/// The sessions that were ended after number `seq`, with their numbers and times, in that order.
pub async fn ended_since(conn: &mut Conn, seq: i64) -> Result<Vec<(i64, SessionId, Timestamp)>, Failure> {
    let rows: Vec<(i64, Vec<u8>, i64)> = ended_sessions::table
        .filter(ended_sessions::seq.gt(seq))
        .order(ended_sessions::seq)
        .select((ended_sessions::seq, ended_sessions::session_id, ended_sessions::at))
        .load(conn)
        .await?;
    let read = |(seq, id, at): (i64, Vec<u8>, i64)| Ok((seq, Uuid::from_slice(&id).map_err(Failure::corrupt)?, Timestamp(at)));
    rows.into_iter().map(read).collect()
}

/// Deletes sessions that have expired, and forgets those that ended before `forgotten`, up to `limit` of each; returns how many.
pub async fn prune(conn: &mut Conn, now: Timestamp, forgotten: Timestamp, limit: i64) -> Result<usize, Failure> {
    let expired = sessions::table.filter(sessions::expires_at.le(now.0)).order(sessions::expires_at).limit(limit);
    let expired: Vec<Vec<u8>> = expired.select(sessions::id).load(conn).await?;
    let deleted = diesel::delete(sessions::table.filter(sessions::id.eq_any(&expired).and(sessions::expires_at.le(now.0))));
    let deleted = deleted.execute(conn).await?;
    let old = ended_sessions::table.order(ended_sessions::seq).limit(limit).select((ended_sessions::seq, ended_sessions::at));
    let old: Vec<(i64, i64)> = old.load(conn).await?;
    let old: Vec<i64> = old.into_iter().take_while(|(_, at)| *at < forgotten.0).map(|(seq, _)| seq).collect();
    let gone = diesel::delete(ended_sessions::table.filter(ended_sessions::seq.eq_any(&old))).execute(conn).await?;
    Ok(deleted + gone)
}

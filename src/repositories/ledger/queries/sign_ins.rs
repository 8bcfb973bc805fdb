//! Signing up and in: what opens a session, and who has to wait before trying again.

use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::{
    super::super::{
        LedgerError,
        schema::{guest_arrivals, sign_in_counts},
        sign_ins::{Admitted, SignIn},
    },
    Conn, Db, Failure, account_links, accounts, audit, locks, sessions,
};
use crate::domain::{
    account::{Account, Holder, Identity, LinkPurpose, NewAccount, NewSession, Session},
    audit::{Act, Deed},
    caller::SessionId,
    ids::Noun,
    sign_in::{Count, Counts, Keys, Verdict},
    time::Timestamp,
};

/// How long guests of an address count, in seconds.
const ARRIVALS_COUNTED: i64 = 3_600;

#[derive(Queryable, Selectable)]
#[diesel(table_name = sign_in_counts, check_for_backend(Db))]
struct Row {
    failures: i64,
    wait_until: i64,
    known: bool,
    expires_at: i64,
}

async fn count(conn: &mut Conn, key: &[u8; 32], now: Timestamp) -> Result<Count, Failure> {
    let found = sign_in_counts::table.find(key.as_slice()).select(Row::as_select());
    let row: Option<Row> = found.first(conn).await.optional()?;
    let count = row.map(|row| Count {
        failures: row.failures,
        wait_until: (row.wait_until != 0).then_some(Timestamp(row.wait_until)),
        known: row.known,
        expires_at: Timestamp(row.expires_at),
    });
    Ok(count.unwrap_or_default().at(now))
}

/// What counts for an attempt.
pub async fn counts(conn: &mut Conn, keys: &Keys, now: Timestamp) -> Result<Counts, Failure> {
    let [pair, address, login] = keys;
    Ok(Counts {
        pair: count(conn, pair, now).await?,
        address: count(conn, address, now).await?,
        login: count(conn, login, now).await?,
    })
}

async fn put(conn: &mut Conn, key: &[u8; 32], count: Count) -> Result<(), Failure> {
    let values = (
        sign_in_counts::failures.eq(count.failures),
        sign_in_counts::wait_until.eq(count.wait_until.map_or(0, |until| until.0)),
        sign_in_counts::known.eq(count.known),
        sign_in_counts::expires_at.eq(count.expires_at.0),
    );
    let row = (sign_in_counts::key.eq(key.as_slice()), values);
    let put = diesel::insert_into(sign_in_counts::table).values(row).on_conflict(sign_in_counts::key);
    put.do_update().set(values).execute(conn).await?;
    Ok(())
}

/// Judges an attempt before its password is looked at. Only the first wait at an address that is new to an attacked login is
/// written.
pub async fn begin_wait(conn: &mut Conn, keys: &Keys, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    locks::counts(conn, keys).await?;
    let mut found = counts(conn, keys, now).await?;
    match found.verdict(now) {
        Verdict::Go => Ok(None),
        Verdict::Wait(until) => Ok(Some(until)),
        Verdict::Begin(until) => {
            found.begin(now, until);
            put(conn, &keys[0], found.pair).await?;
            Ok(Some(until))
        }
    }
}

/// Counts a failure, unless another one has begun a wait meanwhile: then until when.
pub async fn fail(conn: &mut Conn, keys: &Keys, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    locks::counts(conn, keys).await?;
    let mut found = counts(conn, keys, now).await?;
    if let Verdict::Wait(until) = found.verdict(now) {
        return Ok(Some(until));
    }
    found.fail(now);
    for (key, count) in keys.iter().zip([found.pair, found.address, found.login]) {
        put(conn, key, count).await?;
    }
    Ok(None)
}

/// Whether a right password counts: not while there is a wait, or those who guess many at once would learn which one is right.
async fn succeed(conn: &mut Conn, keys: &Keys, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    locks::counts(conn, keys).await?;
    if let Verdict::Wait(until) = counts(conn, keys, now).await?.verdict(now) {
        return Ok(Some(until));
    }
    forgive(conn, keys, now).await?;
    Ok(None)
}

/// Notes that whoever is at this address has proved to be the login's owner, whatever failed there before. The counts must be locked.
pub async fn forgive(conn: &mut Conn, keys: &Keys, now: Timestamp) -> Result<(), Failure> {
    let mut found = Counts::default();
    found.succeed(now);
    put(conn, &keys[0], found.pair).await
}

/// Opens a session for whoever knew the password, unless it is another one by now or the account is disabled.
pub async fn sign_in(conn: &mut Conn, attempt: &SignIn, session: &NewSession) -> Result<Admitted, Failure> {
    let now = session.at;
    if let Some(until) = succeed(conn, &attempt.keys, now).await? {
        return Ok(Admitted::Wait(until));
    }
    let (account, password) = accounts::locked(conn, &attempt.account).await?;
    if account.disabled || password.as_deref() != Some(&attempt.verified) {
        return Err(LedgerError::NotFound(Noun::Account).into());
    }
    if let Some(rehashed) = &attempt.rehashed {
        accounts::rehash(conn, &account.id, rehashed).await?;
    }
    let session = sessions::open(conn, &account.id, session).await?;
    Ok(Admitted::Session(Box::new((account, session))))
}

/// Opens a session of the account of the device with this secret, if it is still the account's when nobody else can change it:
/// a new password may have been chosen because of this very device.
pub async fn by_device(conn: &mut Conn, secret_hash: &[u8; 32], session: &NewSession) -> Result<(Account, Session), Failure> {
    let unknown = || LedgerError::NotFound(Noun::Account);
    let found = accounts::by_device(conn, secret_hash).await?.ok_or_else(unknown)?;
    let (account, _) = accounts::locked(conn, &found.id).await?;
    let still = accounts::by_device(conn, secret_hash).await?.is_some_and(|present| present.id == account.id);
    if !still || account.disabled {
        return Err(unknown().into());
    }
    let session = sessions::open(conn, &account.id, session).await?;
    Ok((account, session))
}

/// Makes an account, with the roles of an invite if there is one, and opens its first session.
pub async fn sign_up(
    conn: &mut Conn,
    new: &NewAccount,
    invite: Option<&[u8; 32]>,
    keys: &Keys,
    session: &NewSession,
    act: &Act,
) -> Result<(Account, Session), Failure> {
    locks::counts(conn, keys).await?;
    let mut new = new.clone();
    if let Some(token_hash) = invite {
        let LinkPurpose::Invite { login, roles } = account_links::take(conn, token_hash, act.at).await? else {
            return Err(LedgerError::LinkInvalid.into());
        };
        if login.is_some() && login != new.login {
            return Err(LedgerError::LinkInvalid.into());
        }
        new.roles = roles;
    }
    let account = accounts::add(conn, &new, act).await?;
    // The owner's address, which nobody who guesses elsewhere can make wait.
    forgive(conn, keys, act.at).await?;
    let session = sessions::open(conn, &account.id, session).await?;
    Ok((account, session))
}

/// Makes a guest's account, and opens its first session, unless too many have come from this address within the hour.
pub async fn arrive(
    conn: &mut Conn,
    (address, at_most): (&[u8; 32], i64),
    new: &NewAccount,
    session: &NewSession,
    act: &Act,
) -> Result<Admitted, Failure> {
    locks::counts(conn, std::slice::from_ref(address)).await?;
    let since = act.at.plus_seconds(-ARRIVALS_COUNTED);
    let lately = guest_arrivals::address.eq(address.as_slice()).and(guest_arrivals::at.gt(since.0));
    let lately = guest_arrivals::table.filter(lately).order(guest_arrivals::at.desc()).select(guest_arrivals::at);
    // The one that has to be an hour old before another one may come.
    let oldest: Option<i64> = lately.offset(at_most - 1).first(conn).await.optional()?;
    if let Some(oldest) = oldest {
        return Ok(Admitted::Wait(Timestamp(oldest).plus_seconds(ARRIVALS_COUNTED)));
    }
    let row = (guest_arrivals::address.eq(address.as_slice()), guest_arrivals::at.eq(act.at.0));
    diesel::insert_into(guest_arrivals::table).values(row).execute(conn).await?;
    let account = accounts::add(conn, new, act).await?;
    let session = sessions::open(conn, &account.id, session).await?;
    Ok(Admitted::Session(Box::new((account, session))))
}

/// Opens a session of the account of whoever a provider says somebody is; makes that account if there is none.
pub async fn by_identity(
    conn: &mut Conn,
    identity: &Identity,
    new: &NewAccount,
    session: &NewSession,
    act: &Act,
) -> Result<(Account, Session, bool), Failure> {
    if let Some(known) = accounts::by_identity(conn, identity).await? {
        // An account keeps its identities for as long as there is one.
        let (account, _) = accounts::locked(conn, &known.id).await?;
        if account.disabled {
            return Err(LedgerError::NotFound(Noun::Account).into());
        }
        let session = sessions::open(conn, &account.id, session).await?;
        return Ok((account, session, false));
    }
    let new = NewAccount { identity: Some(identity.clone()), ..new.clone() };
    let account = accounts::add(conn, &new, act).await?;
    let session = sessions::open(conn, &account.id, session).await?;
    Ok((account, session, true))
}

/// Replaces a password whose present one somebody has shown, and ends all other sessions; returns their ids.
pub async fn change_password(
    conn: &mut Conn,
    attempt: &SignIn,
    password: &str,
    kept: SessionId,
    act: &Act,
) -> Result<Result<Vec<SessionId>, Timestamp>, Failure> {
    if let Some(until) = succeed(conn, &attempt.keys, act.at).await? {
        return Ok(Err(until));
    }
    let (account, present) = accounts::held(conn, &Holder { account: attempt.account.clone(), session: kept }).await?;
    if present.as_deref() != Some(&attempt.verified) {
        return Err(LedgerError::NotFound(Noun::Account).into());
    }
    accounts::set_password(conn, &account.id, password, act.at).await?;
    let ended = sessions::end_all(conn, &account.id, Some(kept), act.at).await?;
    audit::record(conn, act, &Deed::new("account.password", accounts::target(&account.id), json!({}))).await?;
    Ok(Ok(ended))
}

/// Deletes counts that have expired and arrivals that no longer count, up to `limit` of each; returns how many.
pub async fn prune(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<usize, Failure> {
    let expired = sign_in_counts::table.filter(sign_in_counts::expires_at.le(now.0)).order(sign_in_counts::expires_at);
    let expired: Vec<Vec<u8>> = expired.limit(limit).select(sign_in_counts::key).load(conn).await?;
    let still = sign_in_counts::key.eq_any(&expired).and(sign_in_counts::expires_at.le(now.0));
    let deleted = diesel::delete(sign_in_counts::table.filter(still)).execute(conn).await?;
    let until = now.plus_seconds(-ARRIVALS_COUNTED).0;
    let old = guest_arrivals::table.filter(guest_arrivals::at.le(until)).order(guest_arrivals::at).limit(limit);
    let old: Vec<i64> = old.select(guest_arrivals::id).load(conn).await?;
    let gone = diesel::delete(guest_arrivals::table.filter(guest_arrivals::id.eq_any(&old))).execute(conn).await?;
    Ok(deleted + gone)
}

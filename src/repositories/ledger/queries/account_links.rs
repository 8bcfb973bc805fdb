//! Links that somebody was given: to choose a password, or to sign up. Each is good once.

use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use serde_json::json;
use uuid::Uuid;

use super::{
    super::super::{LedgerError, schema::account_links},
    Conn, Failure, accounts, audit, jobs, locks, sessions, sign_ins,
};
use crate::domain::{
    account::{Account, Link, LinkPurpose, Login, NewAccount},
    audit::{Act, Deed},
    caller::SessionId,
    ids::{Noun, UserId},
    job::{Mail, NewJob, SendMail},
    sign_in::Keys,
    time::Timestamp,
};

const RESET: &str = "reset";
const INVITE: &str = "invite";

/// Stores a link, or makes one that is stored good for longer.
async fn put(conn: &mut Conn, link: &Link, now: Timestamp) -> Result<(), Failure> {
    let (kind, account, login, roles) = match &link.purpose {
        LinkPurpose::Reset(account) => (RESET, Some(account.as_str()), None, String::new()),
        LinkPurpose::Invite { login, roles } => (INVITE, None, login.as_ref().map(Login::as_str), roles.to_string()),
    };
    let row = (
        account_links::token_hash.eq(link.token_hash.as_slice()),
        account_links::kind.eq(kind),
        account_links::account_id.eq(account),
        account_links::login.eq(login),
        account_links::roles.eq(roles),
        account_links::created_at.eq(now.0),
        account_links::expires_at.eq(link.expires_at.0),
    );
    let longer = account_links::expires_at.eq(link.expires_at.0);
    let put = diesel::insert_into(account_links::table).values(row).on_conflict(account_links::token_hash);
    put.do_update().set(longer).execute(conn).await?;
    Ok(())
}

/// Stores a link that an administrator asks for, and what is to be done about it. A password is reset where there is a login.
pub async fn give(conn: &mut Conn, link: &Link, job: Option<&NewJob>, act: &Act) -> Result<Option<Account>, Failure> {
    let (account, deed) = match &link.purpose {
        LinkPurpose::Reset(id) => {
            let (account, _) = accounts::locked(conn, id).await?;
            if account.login.is_none() {
                return Err(LedgerError::Conflict("a password without a login").into());
            }
            (Some(account), Deed::new("account.reset-link", accounts::target(id), json!({})))
        }
        LinkPurpose::Invite { roles, .. } => (None, Deed::new("account.invite", "accounts", json!({ "roles": roles }))),
    };
    put(conn, link, act.at).await?;
    if let Some(job) = job {
        jobs::add(conn, job, act.at).await?;
    }
    audit::record(conn, act, &deed).await?;
    Ok(account)
}

/// Stores the link of a message that is about to be sent; the login that it is for, unless the account is gone or cannot sign in,
/// or the link was used already.
pub async fn send(conn: &mut Conn, link: &Link, account: &UserId, now: Timestamp) -> Result<Option<Login>, Failure> {
    let found = accounts::find(conn, account).await?.map(|(account, _)| account).filter(|account| !account.disabled);
    let Some(login) = found.and_then(|account| account.login) else { return Ok(None) };
    put(conn, link, now).await?;
    let is_good = find(conn, &link.token_hash, now).await?.is_some();
    Ok(is_good.then_some(login))
}

/// Adds the job that sends a link to whoever has this login, unless nobody has, or asked after `since`.
pub async fn ask_for_reset(
    conn: &mut Conn,
    login: &Login,
    message: Uuid,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let Some((account, _)) = accounts::by_login(conn, login).await?.filter(|(account, _)| !account.disabled) else {
        return Ok(());
    };
    if accounts::note_asked(conn, &account.id, since, now).await? {
        let mail = SendMail { message, about: Mail::PasswordReset { account: account.id } };
        jobs::add(conn, &NewJob::new(&mail, now), now).await?;
    }
    Ok(())
}

/// What a link is good for, while it is.
pub async fn find(conn: &mut Conn, token_hash: &[u8; 32], now: Timestamp) -> Result<Option<LinkPurpose>, Failure> {
    type Row = (String, Option<String>, Option<String>, String);
    let unused = account_links::expires_at.gt(now.0).and(account_links::used_at.is_null());
    let good = account_links::table.find(token_hash.as_slice()).filter(unused);
    let row = good.select((account_links::kind, account_links::account_id, account_links::login, account_links::roles));
    let row: Option<Row> = row.first(conn).await.optional()?;
    let Some((kind, account, login, roles)) = row else { return Ok(None) };
    if kind == RESET {
        let account = account.ok_or_else(|| Failure::corrupt("a link without an account"))?;
        return Ok(Some(LinkPurpose::Reset(UserId::parse(&account).map_err(Failure::corrupt)?)));
    }
    let login = login.as_deref().map(Login::parse).transpose().map_err(Failure::corrupt)?;
    Ok(Some(LinkPurpose::Invite { login, roles: accounts::roles(&roles)? }))
}

/// Uses a link up: of several who use it at once, one does.
pub async fn take(conn: &mut Conn, token_hash: &[u8; 32], now: Timestamp) -> Result<LinkPurpose, Failure> {
    let purpose = find(conn, token_hash, now).await?.ok_or(LedgerError::LinkInvalid)?;
    let unused = account_links::token_hash.eq(token_hash.as_slice()).and(account_links::used_at.is_null());
    let taken = diesel::update(account_links::table.filter(unused)).set(account_links::used_at.eq(now.0)).execute(conn).await?;
    if taken == 0 { Err(LedgerError::LinkInvalid.into()) } else { Ok(purpose) }
}

/// The account whose password a link resets, while the link is good.
pub async fn resettable(conn: &mut Conn, token_hash: &[u8; 32], now: Timestamp) -> Result<Option<Account>, Failure> {
    let Some(LinkPurpose::Reset(id)) = find(conn, token_hash, now).await? else { return Ok(None) };
    Ok(accounts::find(conn, &id).await?.map(|(account, _)| account))
}

/// Sets a password by a link, and ends all sessions of the account; returns their ids.
pub async fn reset(
    conn: &mut Conn,
    token_hash: &[u8; 32],
    password: &str,
    keys: &Keys,
    now: Timestamp,
    request_id: Option<&str>,
) -> Result<Vec<SessionId>, Failure> {
    let Some(LinkPurpose::Reset(id)) = find(conn, token_hash, now).await? else { return Err(LedgerError::LinkInvalid.into()) };
    // Counts before the account, and that before its links, as everywhere.
    locks::counts(conn, keys).await?;
    let (account, _) = accounts::locked(conn, &id).await.map_err(|failure| match failure {
        Failure::Refused(LedgerError::NotFound(Noun::Account)) => LedgerError::LinkInvalid.into(),
        other => other,
    })?;
    take(conn, token_hash, now).await?;
    sign_ins::forgive(conn, keys, now).await?;
    accounts::set_password(conn, &account.id, password, now).await?;
    let ended = sessions::end_all(conn, &account.id, None, now).await?;
    let act = Act { at: now, subject: account.id.as_str().into(), request_id: request_id.map(Into::into) };
    audit::record(conn, &act, &Deed::new("account.reset", accounts::target(&account.id), json!({}))).await?;
    Ok(ended)
}

/// How long expired links are stored, in seconds: longer than a message may be repeated that holds one of them.
const STORED: i64 = 4 * 3_600;

/// Deletes links that expired long ago, up to `limit`; returns how many.
pub async fn prune(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<usize, Failure> {
    let now = now.plus_seconds(-STORED);
    let expired = account_links::table.filter(account_links::expires_at.le(now.0)).order(account_links::expires_at).limit(limit);
    let expired: Vec<Vec<u8>> = expired.select(account_links::token_hash).load(conn).await?;
    let still = account_links::token_hash.eq_any(&expired).and(account_links::expires_at.le(now.0));
    Ok(diesel::delete(account_links::table.filter(still)).execute(conn).await?)
}

/// Makes an account, and a link to choose its password by. `Taken`: somebody has the login.
pub async fn add_account(conn: &mut Conn, new: &NewAccount, link: &Link, act: &Act) -> Result<Account, Failure> {
    let account = accounts::add(conn, new, act).await?;
    put(conn, link, act.at).await?;
    Ok(account)
}

//! Accounts, and who they are to other providers.

use std::collections::BTreeSet;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    super::super::{
        LedgerError,
        schema::{account_identities, account_links, accounts},
    },
    Conn, Db, Failure, audit, locks, sessions, users,
};
use crate::domain::{
    account::{Account, AccountChange, AccountFilter, Holder, Identity, Login, NewAccount, Roles},
    audit::{Act, Deed},
    ids::{Noun, UserId},
    time::Timestamp,
    user::Profile,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = accounts, check_for_backend(Db))]
struct Row {
    id: String,
    login: Option<String>,
    password: Option<String>,
    roles: String,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
}

#[derive(Insertable)]
#[diesel(table_name = accounts)]
struct NewRow<'a> {
    id: &'a str,
    login: Option<&'a str>,
    password: Option<&'a str>,
    device_hash: Option<&'a [u8]>,
    roles: String,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    /// The account, and its password's hash.
    fn read(self) -> Result<(Account, Option<String>), Failure> {
        let account = Account {
            id: UserId::parse(&self.id).map_err(Failure::corrupt)?,
            login: self.login.as_deref().map(Login::parse).transpose().map_err(Failure::corrupt)?,
            roles: roles(&self.roles)?,
            disabled: self.disabled,
            created_at: Timestamp(self.created_at),
            updated_at: Timestamp(self.updated_at),
        };
        Ok((account, self.password))
    }
}

/// Roles as they are stored.
pub fn roles(text: &str) -> Result<Roles, Failure> {
    Roles::parse(text).ok_or_else(|| Failure::corrupt(format!("roles: {text}")))
}

/// What the audit trail calls an account.
pub fn target(id: &UserId) -> String {
    format!("account:{id}")
}

/// An account and its password's hash, if there is such an account.
pub async fn find(conn: &mut Conn, id: &UserId) -> Result<Option<(Account, Option<String>)>, Failure> {
    let row = accounts::table.find(id.as_str()).select(Row::as_select()).first(conn).await.optional()?;
    row.map(Row::read).transpose()
}

/// The same, by login.
pub async fn by_login(conn: &mut Conn, login: &Login) -> Result<Option<(Account, Option<String>)>, Failure> {
    let found = accounts::table.filter(accounts::login.eq(login.as_str()));
    let row: Option<Row> = found.select(Row::as_select()).first(conn).await.optional()?;
    row.map(Row::read).transpose()
}

/// The account that the holder of this device's secret signs in to.
pub async fn by_device(conn: &mut Conn, secret_hash: &[u8; 32]) -> Result<Option<Account>, Failure> {
    let found = accounts::table.filter(accounts::device_hash.eq(secret_hash.as_slice()));
    let row: Option<Row> = found.select(Row::as_select()).first(conn).await.optional()?;
    Ok(row.map(Row::read).transpose()?.map(|(account, _)| account))
}

/// The account of whoever a provider says somebody is.
pub async fn by_identity(conn: &mut Conn, identity: &Identity) -> Result<Option<Account>, Failure> {
    let key = (identity.issuer.as_str(), identity.subject.as_str());
    let id: Option<String> =
        account_identities::table.find(key).select(account_identities::account_id).first(conn).await.optional()?;
    let Some(id) = id else { return Ok(None) };
    let id = UserId::parse(&id).map_err(Failure::corrupt)?;
    Ok(find(conn, &id).await?.map(|(account, _)| account))
}

/// The account, locked until the end of the transaction.
pub async fn locked(conn: &mut Conn, id: &UserId) -> Result<(Account, Option<String>), Failure> {
    locks::account(conn, id.as_str()).await?;
    find(conn, id).await?.ok_or(Failure::Refused(LedgerError::NotFound(Noun::Account)))
}

/// The account of whoever acts in one of its sessions, locked until the end of the transaction: while it was waited for, the session
/// may have ended.
pub async fn held(conn: &mut Conn, by: &Holder) -> Result<(Account, Option<String>), Failure> {
    let found = locked(conn, &by.account).await?;
    if sessions::live(conn, &BTreeSet::from([by.session])).await?.is_empty() {
        return Err(LedgerError::SessionEnded.into());
    }
    Ok(found)
}

/// Blocks others that take this login until the end of the transaction, so that whoever comes second is told so.
async fn hold_login(conn: &mut Conn, login: &Login) -> Result<(), Failure> {
    locks::counts(conn, &[Sha256::digest(login.as_str()).into()]).await
}

/// Makes an account, and names its user. `Taken`: somebody else has the login, or is who the provider says.
pub async fn add(conn: &mut Conn, new: &NewAccount, act: &Act) -> Result<Account, Failure> {
    if let Some(login) = &new.login {
        hold_login(conn, login).await?;
    }
    let row = NewRow {
        id: new.id.as_str(),
        login: new.login.as_ref().map(Login::as_str),
        password: new.password.as_deref(),
        device_hash: new.device.as_ref().map(|hash| hash.as_slice()),
        roles: new.roles.to_string(),
        disabled: false,
        created_at: act.at.0,
        updated_at: act.at.0,
    };
    let made = diesel::insert_into(accounts::table).values(row).on_conflict_do_nothing().execute(conn).await?;
    if made == 0 {
        return Err(LedgerError::Taken.into());
    }
    if let Some(identity) = &new.identity {
        add_identity(conn, &new.id, identity, act.at).await?;
    }
    let by = json!({ "roles": new.roles, "login": new.login.is_some(), "device": new.device.is_some() });
    if let Some(name) = &new.display_name {
        let profile = Profile { display_name: Some(name.clone()), ..Profile::default() };
        users::put(conn, &new.id, act, None, "user.replace", |_| profile).await?;
    }
    audit::record(conn, act, &Deed::new("account.create", target(&new.id), by)).await?;
    find(conn, &new.id).await?.map(|(account, _)| account).ok_or(Failure::Raced)
}

async fn add_identity(conn: &mut Conn, id: &UserId, identity: &Identity, at: Timestamp) -> Result<(), Failure> {
    let row = (
        account_identities::issuer.eq(&identity.issuer),
        account_identities::subject.eq(&identity.subject),
        account_identities::account_id.eq(id.as_str()),
        account_identities::created_at.eq(at.0),
    );
    let made = diesel::insert_into(account_identities::table).values(row).on_conflict_do_nothing().execute(conn).await?;
    if made == 0 { Err(LedgerError::Taken.into()) } else { Ok(()) }
}

/// Notes that an account is who a provider says somebody is. `Taken`: another account is; the same one may be linked again.
pub async fn link_identity(conn: &mut Conn, by: &Holder, identity: &Identity, act: &Act) -> Result<Account, Failure> {
    let (id, account) = (&by.account, held(conn, by).await?.0);
    if by_identity(conn, identity).await?.is_some_and(|known| known.id == *id) {
        return Ok(account);
    }
    add_identity(conn, id, identity, act.at).await?;
    audit::record(conn, act, &Deed::new("account.link", target(id), json!({ "issuer": identity.issuer }))).await?;
    Ok(account)
}

/// Gives an account that has none a login and a password. `Taken`: another account has the login; `Conflict`: this one has a
/// login already.
pub async fn link_login(conn: &mut Conn, by: &Holder, login: &Login, password: &str, act: &Act) -> Result<Account, Failure> {
    let (id, account) = (&by.account, held(conn, by).await?.0);
    if account.login.is_some() {
        return Err(LedgerError::Conflict("the login").into());
    }
    hold_login(conn, login).await?;
    if by_login(conn, login).await?.is_some() {
        return Err(LedgerError::Taken.into());
    }
    let set = (accounts::login.eq(login.as_str()), accounts::password.eq(password), accounts::updated_at.eq(act.at.0));
    diesel::update(accounts::table.find(id.as_str())).set(set).execute(conn).await?;
    audit::record(conn, act, &Deed::new("account.link", target(id), json!({ "login": true }))).await?;
    Ok(Account { login: Some(login.clone()), updated_at: act.at, ..account })
}

/// Stores a password's hash. Links to choose one are not good any more, and devices no longer sign in: whoever had one may be the reason for the new password.
pub async fn set_password(conn: &mut Conn, id: &UserId, password: &str, at: Timestamp) -> Result<(), Failure> {
    let set = (accounts::password.eq(password), accounts::device_hash.eq(None::<Vec<u8>>), accounts::updated_at.eq(at.0));
    diesel::update(accounts::table.find(id.as_str())).set(set).execute(conn).await?;
    let links = account_links::table.filter(account_links::account_id.eq(id.as_str())).filter(account_links::used_at.is_null());
    diesel::update(links).set(account_links::used_at.eq(at.0)).execute(conn).await?;
    Ok(())
}

/// Notes that somebody asks for a link; false if somebody did after `since`. A time that is as far to come was noted
/// by a wrong clock; one that is nearer, by a request at the same moment.
pub async fn note_asked(conn: &mut Conn, id: &UserId, since: Timestamp, now: Timestamp) -> Result<bool, Failure> {
    let to_come = now.0.saturating_add(now.micros_since(since));
    let long_ago = accounts::asked_at.is_null().or(accounts::asked_at.le(since.0)).or(accounts::asked_at.gt(to_come));
    let found = accounts::table.filter(accounts::id.eq(id.as_str())).filter(long_ago);
    Ok(diesel::update(found).set(accounts::asked_at.eq(now.0)).execute(conn).await? > 0)
}

/// Stores the same password's hash by other parameters.
pub async fn rehash(conn: &mut Conn, id: &UserId, password: &str) -> Result<(), Failure> {
    diesel::update(accounts::table.find(id.as_str())).set(accounts::password.eq(password)).execute(conn).await?;
    Ok(())
}

/// Changes roles, or whether the account may sign in; if anything differs, its sessions end.
pub async fn update(conn: &mut Conn, id: &UserId, change: &AccountChange, act: &Act) -> Result<Account, Failure> {
    let (before, _) = locked(conn, id).await?;
    let after = Account {
        roles: change.roles.clone().unwrap_or_else(|| before.roles.clone()),
        disabled: change.disabled.unwrap_or(before.disabled),
        ..before.clone()
    };
    let value = |account: &Account| json!({ "roles": account.roles, "disabled": account.disabled });
    let deed = Deed::change("account.update", target(id), &value(&before), &value(&after));
    if after == before {
        audit::record(conn, act, &deed).await?;
        return Ok(before);
    }
    let set =
        (accounts::roles.eq(after.roles.to_string()), accounts::disabled.eq(after.disabled), accounts::updated_at.eq(act.at.0));
    diesel::update(accounts::table.find(id.as_str())).set(set).execute(conn).await?;
    sessions::end_all(conn, id, None, act.at).await?;
    audit::record(conn, act, &deed).await?;
    Ok(Account { updated_at: act.at, ..after })
}

/// Deletes an account, and ends its sessions. The user and the scores stay.
pub async fn delete(conn: &mut Conn, id: &UserId, act: &Act) -> Result<(), Failure> {
    locked(conn, id).await?;
    remove(conn, id, act.at).await?;
    audit::record(conn, act, &Deed::new("account.delete", target(id), json!({}))).await
}

/// Deletes the account of this user, if there is one, with all that belongs to it.
pub async fn remove(conn: &mut Conn, id: &UserId, at: Timestamp) -> Result<(), Failure> {
    locks::account(conn, id.as_str()).await?;
    sessions::end_all(conn, id, None, at).await?;
    if let Some((Account { login: Some(login), .. }, _)) = find(conn, id).await? {
        // The invite by which it signed up: a login is personal.
        diesel::delete(account_links::table.filter(account_links::login.eq(login.as_str()))).execute(conn).await?;
    }
    let id = id.as_str();
    diesel::delete(account_identities::table.filter(account_identities::account_id.eq(id))).execute(conn).await?;
    diesel::delete(account_links::table.filter(account_links::account_id.eq(id))).execute(conn).await?;
    diesel::delete(accounts::table.find(id)).execute(conn).await?;
    Ok(())
}

/// Accounts in the order of their ids, up to `limit`.
pub async fn page(conn: &mut Conn, filter: &AccountFilter, limit: i64) -> Result<Vec<Account>, Failure> {
    let after = filter.after.clone().unwrap_or_default();
    let query = accounts::table.filter(accounts::id.gt(after)).order(accounts::id).limit(limit).select(Row::as_select());
    let rows: Vec<Row> = match &filter.login {
        Some(login) => query.filter(accounts::login.eq(login.as_str())).load(conn).await?,
        None => query.load(conn).await?,
    };
    rows.into_iter().map(|row| row.read().map(|(account, _)| account)).collect()
}

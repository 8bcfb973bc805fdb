//! Accounts, for games without a backend: signing up and in, guests, refresh tokens.
//!
//! No method tells whether a login exists: an unknown one takes as long as a wrong password, is counted alike and answered
//! alike. What signs somebody in is shown once, and stored as a hash.

pub mod administration;
mod identities;
pub mod keys;
pub mod mail;
mod recovery;
mod tokens;

use std::{net::IpAddr, sync::Arc};

use url::Url;
use uuid::Uuid;

use crate::{
    config::accounts as settings,
    domain::{
        account::{Account, Holder, LinkPurpose, Login, NewAccount, NewSession, Roles, Session},
        audit::Act,
        caller::{Caller, Credential, SessionId},
        ids::{Noun, UserId},
        password::Password,
        time::{Clock, Timestamp},
    },
    repositories::ledger::{Admitted, Ledger, LedgerError, SignIn},
};

use self::keys::{AccountKeys, Opaque, RefreshToken};
use super::{
    error::{FieldError, ServiceError},
    identity_providers::IdentityProviders,
    passwords::{Passwords, Verified},
    sessions::Sessions,
    turns::Turns,
};

pub use self::{administration::Page, identities::ProviderToken};

/// The longest `User-Agent` that is stored, in characters.
const LONGEST_AGENT: usize = 200;

/// See the module's documentation.
pub struct Accounts {
    pub ledger: Ledger,
    pub sessions: Arc<Sessions>,
    pub passwords: Passwords,
    pub keys: AccountKeys,
    pub open_to: settings::Accounts,
    /// What links begin with.
    pub public_url: Option<Url>,
    /// Whether somebody passes messages on.
    pub sends_mail: bool,
    pub guests_per_address: i64,
    /// Whose ID tokens sign in, too.
    pub providers: Option<Arc<IdentityProviders>>,
    pub clock: Clock,
    pub turns: Arc<Turns>,
}

/// Whose request it is, as far as the connection shows.
#[derive(Debug, Clone)]
pub struct Client {
    /// IPv6 as its /64.
    pub address: IpAddr,
    pub user_agent: Option<String>,
    pub request_id: Arc<str>,
}

/// What somebody signs up with.
pub struct SignUp<'a> {
    pub login: &'a str,
    pub password: &'a str,
    pub display_name: Option<String>,
    pub invite: Option<&'a str>,
}

/// An open session, with the tokens that its holder keeps.
pub struct Opened {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub roles: Roles,
    pub access_token: String,
    pub expires_at: Timestamp,
    pub refresh_token: String,
    pub refresh_expires_at: Timestamp,
    /// Of a new guest: what the device keeps.
    pub device_secret: Option<String>,
}

impl Accounts {
    /// Makes an account with a login and a password, and opens its first session.
    pub async fn sign_up(&self, client: &Client, new: SignUp<'_>) -> Result<Opened, ServiceError> {
        self.offers_passwords()?;
        let (login, password) = credentials(new.login, new.password)?;
        let now = self.clock.now();
        let invite = match new.invite {
            Some(token) => Some(self.check_invite(token, &login, now).await?),
            None if self.open_to == settings::Accounts::Invited => {
                return Err(ServiceError::Forbidden("signing up needs an invite here".into()));
            }
            None => None,
        };
        // Asked for now, so that nobody waits for a hash in vain; decided when it is made.
        if self.ledger.account_by_login(&login).await?.is_some() {
            return Err(ServiceError::LoginTaken);
        }
        let password = self.passwords.hash(password.as_bytes()).await?;
        let now = self.clock.now();
        let keys = self.keys.counted(&login, client.address);
        let account = NewAccount {
            login: Some(login),
            password: Some(password),
            display_name: new.display_name,
            ..NewAccount::player(now)
        };
        let (token, session) = self.session(client, now);
        let act = act(client, &account.id, now);
        let made = self.ledger.sign_up(&account, invite, keys, &session, act).await.map_err(|error| match error {
            LedgerError::Taken => ServiceError::LoginTaken,
            other => other.into(),
        });
        let (account, session) = made?;
        self.opened(&account, &session, &token)
    }

    async fn check_invite(&self, token: &str, login: &Login, now: Timestamp) -> Result<[u8; 32], ServiceError> {
        let token_hash = keys::digest(token.as_bytes());
        match self.ledger.link(token_hash, now).await? {
            Some(LinkPurpose::Invite { login: None, .. }) => Ok(token_hash),
            Some(LinkPurpose::Invite { login: Some(invited), .. }) if invited == *login => Ok(token_hash),
            _ => Err(LedgerError::LinkInvalid.into()),
        }
    }

    /// Opens a session for whoever knows the password.
    pub async fn sign_in(&self, client: &Client, login: &str, password: &str) -> Result<Opened, ServiceError> {
        self.offers_passwords()?;
        let login = Login::parse(login).map_err(|error| ServiceError::invalid("login", "format", error.0))?;
        let attempt = self.prove(client, &login, password).await?;
        let (token, session) = self.session(client, self.clock.now());
        match self.ledger.sign_in(&attempt, &session).await {
            Ok(Admitted::Session(opened)) => self.opened(&opened.0, &opened.1, &token),
            Ok(Admitted::Wait(until)) => Err(self.too_soon(until)),
            // Disabled, or it has another password by now.
            Err(LedgerError::NotFound(_)) => Err(self.failed(attempt.keys).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// An attempt with the right password of an account that may sign in. Any other has failed, and is counted.
    async fn prove(&self, client: &Client, login: &Login, password: &str) -> Result<SignIn, ServiceError> {
        let keys = self.keys.counted(login, client.address);
        if let Some(until) = self.ledger.sign_in_wait(keys, self.clock.now()).await? {
            return Err(self.too_soon(until));
        }
        let found = self.ledger.account_by_login(login).await?;
        let stored = found.as_ref().and_then(|(_, stored)| stored.as_deref());
        let verified = self.passwords.verify(password.as_bytes(), stored).await?;
        match (verified, found) {
            (Verified::Right { rehashed }, Some((account, Some(verified)))) if !account.disabled => {
                Ok(SignIn { account: account.id, keys, verified, rehashed })
            }
            _ => Err(self.failed(keys).await?),
        }
    }

    /// Counts a failure; what its caller is told.
    async fn failed(&self, keys: crate::domain::sign_in::Keys) -> Result<ServiceError, ServiceError> {
        metrics::counter!("scoreboard_sign_in_failures_total").increment(1);
        let wait = self.ledger.sign_in_failed(keys, self.clock.now()).await?;
        Ok(wait.map_or(ServiceError::WrongCredentials, |until| self.too_soon(until)))
    }

    fn too_soon(&self, until: Timestamp) -> ServiceError {
        let detail = "too many attempts: try again later".into();
        ServiceError::TooSoon { retry_after: self.seconds_to(until), detail }
    }

    fn seconds_to(&self, until: Timestamp) -> u64 {
        let micros = until.micros_since(self.clock.now()).max(0);
        u64::try_from(micros).unwrap_or_default().div_ceil(1_000_000).max(1)
    }

    /// Makes a guest's account and opens its first session; the device keeps the secret.
    pub async fn guest(&self, client: &Client) -> Result<Opened, ServiceError> {
        self.offers_guests()?;
        let (now, secret) = (self.clock.now(), Opaque::for_device());
        let account = NewAccount { device: Some(secret.digest()), ..NewAccount::player(now) };
        let (token, session) = self.session(client, now);
        let act = act(client, &account.id, now);
        let address = self.keys.guests_of(client.address);
        match self.ledger.add_guest(address, self.guests_per_address, &account, &session, act).await? {
            Admitted::Wait(until) => {
                let detail = "as many guests as may have come from this address within an hour".into();
                Err(ServiceError::TooSoon { retry_after: self.seconds_to(until), detail })
            }
            Admitted::Session(made) => {
                let opened = self.opened(&made.0, &made.1, &token)?;
                Ok(Opened { device_secret: Some(secret.into_text()), ..opened })
            }
        }
    }

    /// Opens a session of the guest whose device this is.
    pub async fn guest_again(&self, client: &Client, secret: &str) -> Result<Opened, ServiceError> {
        self.offers_guests()?;
        let (token, session) = self.session(client, self.clock.now());
        let opened =
            self.ledger.sign_in_by_device(keys::digest(secret.as_bytes()), &session).await.map_err(|error| match error {
                LedgerError::NotFound(_) => ServiceError::WrongCredentials,
                other => other.into(),
            });
        let (account, session) = opened?;
        self.opened(&account, &session, &token)
    }

    /// Gives the caller's account a login and a password: user, scores and ranks stay the same.
    pub async fn link(&self, caller: &Caller, client: &Client, login: &str, password: &str) -> Result<Account, ServiceError> {
        let holder = holder(caller)?;
        self.offers_passwords()?;
        let (login, password) = credentials(login, password)?;
        if self.ledger.account_by_login(&login).await?.is_some() {
            return Err(ServiceError::IdentityTaken);
        }
        let hash = self.passwords.hash(password.as_bytes()).await?;
        let act = act(client, &holder.account, self.clock.now());
        self.ledger.link_login(&holder, &login, &hash, act).await.map_err(|error| match error {
            LedgerError::Taken => ServiceError::IdentityTaken,
            LedgerError::Conflict(_) => ServiceError::Conflict("this account has a login already".into()),
            other => other.into(),
        })
    }

    /// A new session with its first refresh token.
    fn session(&self, client: &Client, now: Timestamp) -> (RefreshToken, NewSession) {
        let token = self.keys.first_token(Uuid::new_v4());
        let user_agent = client.user_agent.as_deref().map(|agent| agent.chars().take(LONGEST_AGENT).collect());
        let session = NewSession { id: token.session, token_hash: token.digest(), user_agent, at: now };
        (token, session)
    }

    /// What the holder of a session is given with this refresh token.
    fn opened(&self, account: &Account, session: &Session, token: &RefreshToken) -> Result<Opened, ServiceError> {
        let (access_token, expires_at) = self.sessions.access_token(account, session)?;
        Ok(Opened {
            user_id: account.id.clone(),
            session_id: session.id,
            roles: account.roles.clone(),
            access_token,
            expires_at,
            refresh_token: self.keys.text(token),
            refresh_expires_at: session.expires_at,
            device_secret: None,
        })
    }

    /// Refuses where nobody has a password.
    fn offers_passwords(&self) -> Result<(), ServiceError> {
        match self.open_to {
            settings::Accounts::Invited | settings::Accounts::Open => Ok(()),
            settings::Accounts::Off | settings::Accounts::Guests => Err(ServiceError::NotFound(Noun::Resource)),
        }
    }

    /// Refuses where there are no guests.
    fn offers_guests(&self) -> Result<(), ServiceError> {
        match self.open_to {
            settings::Accounts::Guests | settings::Accounts::Open => Ok(()),
            settings::Accounts::Off | settings::Accounts::Invited => Err(ServiceError::NotFound(Noun::Resource)),
        }
    }

    /// The address of a page of this server, for a link that is good with this token. Relative where `PUBLIC_URL` is not set.
    fn link_to(&self, page: &str, token: &Opaque) -> String {
        link(self.public_url.as_ref(), page, token)
    }
}

/// The address of a page of this server, with a token.
pub fn link(public_url: Option<&Url>, page: &str, token: &Opaque) -> String {
    let base = public_url.map(|url| url.as_str().trim_end_matches('/')).unwrap_or_default();
    format!("{base}/account/{page}?token={}", token.clone().into_text())
}

/// Who does something, by a request of their own.
fn act(client: &Client, account: &UserId, at: Timestamp) -> Act {
    Act { at, subject: account.as_str().into(), request_id: Some(Arc::clone(&client.request_id)) }
}

/// The holder of the caller's session; whoever calls by another credential has no account.
fn holder(caller: &Caller) -> Result<Holder, ServiceError> {
    caller.authenticated()?;
    let principal = caller.principal().map(AsRef::as_ref);
    let session = principal.and_then(|principal| match principal.credential {
        Credential::Session(id) => Some((principal, id)),
        Credential::Token | Credential::Key(_) => None,
    });
    let none = || ServiceError::Forbidden("this needs the access token of a session".into());
    let (principal, session) = session.ok_or_else(none)?;
    let account = UserId::parse(&principal.subject).map_err(|_| none())?;
    Ok(Holder { account, session })
}

/// A login and a password that may be chosen together, or every reason why not.
fn credentials(login: &str, password: &str) -> Result<(Login, Password), ServiceError> {
    let login = Login::parse(login).map_err(|error| FieldError::new("login", "format", error.0));
    let password = Password::choose(password, login.as_ref().ok()).map_err(|why| FieldError::new("password", "weak", why));
    match (login, password) {
        (Ok(login), Ok(password)) => Ok((login, password)),
        (login, password) => Err(ServiceError::Invalid([login.err(), password.err()].into_iter().flatten().collect())),
    }
}

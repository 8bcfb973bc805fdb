//! Sessions of accounts: access tokens are made here, and accepted without asking the ledger.
//!
//! An access token is a JWT under a key that signs nothing else, good for ten minutes. A session that is ended before is listed in
//! the ledger; each instance reads on in that list twice a second, and remembers for as long as access tokens live. One that has
//! not read it for two seconds accepts none, because it cannot know.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::MissedTickBehavior};

use crate::{
    domain::{
        account::{Account, Roles, Session},
        caller::{Credential, Principal, SessionId},
        ids::UserId,
        time::{Clock, Timestamp},
    },
    repositories::ledger::Ledger,
};

use super::{credentials::Standing, error::ServiceError, secrets::RootSecret};

/// How long an access token is good, in seconds.
const ACCESS: i64 = 600;
/// How long an ended session is remembered, in seconds: longer than its access tokens are good by anybody's clock.
const REMEMBERED: i64 = ACCESS + 300;
/// How long ended sessions are listed, in seconds: an instance that starts reads the whole list.
pub const LISTED: i64 = 3_600;
/// How often the list is read.
const POLL: Duration = Duration::from_millis(500);
/// How long what was read is good.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);
/// What the header of an access token says it is. No other token is read here, and these are read nowhere else.
const TYPE: &str = "session+jwt";

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    sid: SessionId,
    /// Names of roles, separated by spaces.
    roles: String,
    iat: i64,
    exp: i64,
}

/// See the module's documentation.
pub struct Sessions {
    ledger: Ledger,
    clock: Clock,
    header: Header,
    /// What every access token begins with: its header.
    prefix: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// When each was ended.
    ended: RwLock<HashMap<SessionId, Timestamp>>,
    /// The last one that was read of the list. One reads at a time.
    read: Mutex<Option<(i64, SessionId)>>,
    begun: Instant,
    /// When the list was last read, in microseconds since `begun`.
    confirmed: AtomicU64,
}

impl Sessions {
    /// Reads the list for the first time.
    pub async fn begin(root: &RootSecret, ledger: Ledger, clock: Clock) -> Result<Arc<Self>, ServiceError> {
        let key = root.derive("access tokens");
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        let text = serde_json::to_vec(&header).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let mut validation = Validation::new(Algorithm::HS256);
        // By this server's clock, below.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["sub", "exp"]);
        let sessions = Arc::new(Self {
            ledger,
            clock,
            header,
            prefix: format!("{}.", URL_SAFE_NO_PAD.encode(text)),
            encoding: EncodingKey::from_secret(&key),
            decoding: DecodingKey::from_secret(&key),
            validation,
            ended: RwLock::default(),
            read: Mutex::new(None),
            begun: Instant::now(),
            confirmed: AtomicU64::new(0),
        });
        sessions.catch_up().await?;
        Ok(sessions)
    }

    /// Whether this is a token of a session, good or not.
    pub fn is_of_session(&self, token: &str) -> bool {
        token.starts_with(&self.prefix)
    }

    /// The holder of this access token.
    pub fn verify(&self, token: &str) -> Result<Arc<Principal>, ServiceError> {
        let refused = |why: &'static str| ServiceError::InvalidToken(why.into());
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation);
        let claims = decoded.map_err(|_| refused("the access token was not made here"))?.claims;
        if claims.exp <= self.clock.now().0.div_euclid(1_000_000) {
            return Err(refused("the access token has expired (exp): refresh it"));
        }
        match self.standing(claims.sid) {
            Standing::Live | Standing::Changed(_) => {}
            Standing::Ended => return Err(refused("the session has ended")),
            Standing::Unsure => return Err(ServiceError::Unconfirmed),
        }
        let roles = Roles::parse(&claims.roles).ok_or_else(|| refused("the access token names a role that is not known here"))?;
        Ok(Arc::new(Principal {
            subject: claims.sub.as_str().into(),
            expires: u64::try_from(claims.exp).unwrap_or_default(),
            scopes: roles.scopes(),
            leaderboards: None,
            credential: Credential::Session(claims.sid),
        }))
    }

    /// Whether the session goes on, as far as is known here.
    pub fn standing(&self, id: SessionId) -> Standing {
        match self.is_confirmed() {
            _ if self.ended.read().contains_key(&id) => Standing::Ended,
            true => Standing::Live,
            false => Standing::Unsure,
        }
    }

    /// The access token that goes with the session's newest refresh token, and when it expires. Whoever repeats a request gets
    /// the same one.
    pub fn access_token(&self, account: &Account, session: &Session) -> Result<(String, Timestamp), ServiceError> {
        let iat = session.last_used_at.0.div_euclid(1_000_000);
        let exp = iat + ACCESS;
        let claims = Claims { sub: account.id.clone(), sid: session.id, roles: account.roles.to_string(), iat, exp };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.encoding);
        let token = token.map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok((token, Timestamp(0).plus_seconds(exp)))
    }

    fn is_confirmed(&self) -> bool {
        let confirmed = self.begun + Duration::from_micros(self.confirmed.load(Ordering::Acquire));
        confirmed.elapsed() < CONFIRMED_FOR
    }

    /// Reads on in the list of ended sessions.
    pub async fn catch_up(&self) -> Result<(), ServiceError> {
        let mut read = self.read.lock().await;
        let asked = self.begun.elapsed();
        // From the last one on, inclusive: if that is not there any more, it is long over, or this is another ledger.
        let known = *read;
        let mut rows = self.ledger.ended_sessions(known.map_or(0, |(seq, _)| seq - 1)).await?;
        if known.is_some_and(|(seq, id)| rows.first().is_none_or(|row| (row.0, row.1) != (seq, id))) {
            rows = self.ledger.ended_sessions(0).await?;
        }
        *read = rows.last().map(|row| (row.0, row.1));
        let forgotten = self.clock.now().plus_seconds(-REMEMBERED);
        if known != *read || !self.ended.read().is_empty() {
            let mut ended = self.ended.write();
            ended.extend(rows.into_iter().map(|(_, id, at)| (id, at)));
            ended.retain(|_, at| *at > forgotten);
        }
        let asked = u64::try_from(asked.as_micros()).unwrap_or(u64::MAX);
        self.confirmed.fetch_max(asked, Ordering::AcqRel);
        Ok(())
    }

    /// Reads on in the list for as long as it is polled.
    pub async fn follow(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.catch_up().await {
                tracing::debug!(%error, "the list of ended sessions could not be read");
            }
        }
    }
}

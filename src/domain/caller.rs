//! Who acts, and what they may do: every service method takes the [`Caller`] first, decides by a [`Permission`], and can record
//! who it was.

mod scopes;

use std::{borrow::Cow, sync::Arc};

use uuid::Uuid;

pub use scopes::{Permission, Scope, Scopes};

use super::{
    api_key::KeyRate,
    ids::{KeyId, LeaderboardId},
};

/// What a principal has shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A JWT of whoever holds the key that it is signed with.
    Token,
    /// An API key.
    Key(KeyUse),
    /// The access token of an account's session.
    Session(SessionId),
}

/// Identifies a session.
pub type SessionId = Uuid;

/// An API key, and which of its secrets was shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyUse {
    pub id: KeyId,
    /// SHA-256 of the secret.
    pub secret: [u8; 32],
    /// The key's own rate limit, in place of the one for everybody.
    pub rate: Option<KeyRate>,
}

/// The holder of a valid credential.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// A token's `sub`, `key:` and the id of an API key, or an account's user id.
    pub subject: Arc<str>,
    /// The first second since 1970 in which the credential is no longer accepted.
    pub expires: u64,
    pub scopes: Scopes,
    /// The only leaderboards that it may do more with than everybody may; `None`: all.
    pub leaderboards: Option<Arc<[LeaderboardId]>>,
    pub credential: Credential,
}

impl Principal {
    /// Whether it has this permission, be it on some leaderboards alone.
    pub fn may(&self, permission: Permission) -> bool {
        permission.scopes().iter().any(|&scope| self.scopes.has(scope))
    }

    /// Whether it has this permission on this leaderboard.
    pub fn may_on(&self, permission: Permission, leaderboard: &str) -> bool {
        self.may(permission) && !self.is_kept_from(leaderboard)
    }

    /// Whether it is bound to other leaderboards than this one.
    pub fn is_kept_from(&self, leaderboard: &str) -> bool {
        self.leaderboards.as_ref().is_some_and(|bound| !bound.iter().any(|id| id.as_str() == leaderboard))
    }

    /// The API key that it is, if it is one.
    pub fn key(&self) -> Option<&KeyUse> {
        if let Credential::Key(key) = &self.credential { Some(key) } else { None }
    }

    /// The session that it acts in, if it is an account's.
    pub fn session(&self) -> Option<SessionId> {
        if let Credential::Session(session) = self.credential { Some(session) } else { None }
    }
}

/// Why a caller's request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// There is no credential. If one was sent but not accepted, and the call goes on without it: the reason.
    Unauthenticated(Option<Cow<'static, str>>),
    /// The credential allows something else; the message says which scope it lacks.
    Forbidden(String),
}

/// Who acts.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An unknown caller. `refused` says why a credential that was sent was not accepted.
    Anonymous { refused: Option<Cow<'static, str>> },
    /// The holder of a credential, and the id of the request, where that is to be recorded.
    Principal(Arc<Principal>, Option<Arc<str>>),
    /// The server itself, which may do everything: at its start, or in a job.
    Server,
}

impl Caller {
    /// An unknown caller, without a credential.
    pub const ANONYMOUS: Self = Self::Anonymous { refused: None };

    /// The holder of a credential, if there is one.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Principal(principal, _) => Some(principal),
            Self::Anonymous { .. } | Self::Server => None,
        }
    }

    /// The caller's name for the records; `None` for anonymous ones.
    pub fn subject(&self) -> Option<Arc<str>> {
        match self {
            Self::Anonymous { .. } => None,
            Self::Principal(principal, _) => Some(Arc::clone(&principal.subject)),
            Self::Server => Some("scoreboard".into()),
        }
    }

    /// The request that it acts by, if it is known.
    pub fn request_id(&self) -> Option<&Arc<str>> {
        match self {
            Self::Principal(_, request_id) => request_id.as_ref(),
            Self::Anonymous { .. } | Self::Server => None,
        }
    }

    /// The same caller, acting by this request.
    pub fn in_request(self, id: &str) -> Self {
        match self {
            Self::Principal(principal, _) => Self::Principal(principal, Some(id.into())),
            other => other,
        }
    }

    /// Whether the caller has this scope, and so can hand it on.
    pub fn has(&self, scope: Scope) -> bool {
        match self {
            Self::Anonymous { .. } => false,
            Self::Principal(principal, _) => principal.scopes.has(scope),
            Self::Server => true,
        }
    }

    /// The leaderboards that the caller's credential is bound to; `None`: all.
    pub fn bound_to(&self) -> Option<&[LeaderboardId]> {
        self.principal().and_then(|principal| principal.leaderboards.as_deref())
    }

    /// Whether the caller has this permission on this leaderboard.
    pub fn may_on(&self, permission: Permission, leaderboard: &str) -> bool {
        self.may(permission) && !self.principal().is_some_and(|principal| principal.is_kept_from(leaderboard))
    }

    /// Whether the caller has this permission on all leaderboards.
    pub fn may_everywhere(&self, permission: Permission) -> bool {
        self.may(permission) && self.bound_to().is_none()
    }

    /// Whether the caller has this permission, be it on some leaderboards alone.
    pub fn may(&self, permission: Permission) -> bool {
        match self {
            Self::Anonymous { .. } => false,
            Self::Principal(principal, _) => principal.may(permission),
            Self::Server => true,
        }
    }

    /// Refuses a caller whom nobody knows.
    pub fn authenticated(&self) -> Result<(), Denied> {
        match self {
            Self::Anonymous { refused } => Err(Denied::Unauthenticated(refused.clone())),
            Self::Principal(..) | Self::Server => Ok(()),
        }
    }

    /// Refuses a caller without this permission on this leaderboard.
    pub fn authorize_on(&self, permission: Permission, leaderboard: &str) -> Result<(), Denied> {
        self.authorize(permission)?;
        if self.may_on(permission, leaderboard) {
            return Ok(());
        }
        Err(Denied::Forbidden(format!("the key is bound to leaderboards, and {leaderboard} is not among them")))
    }

    /// Refuses a caller without this permission on one of these leaderboards, which the caller did not name: it is not told which.
    pub fn authorize_on_all(&self, permission: Permission, leaderboards: &[LeaderboardId]) -> Result<(), Denied> {
        self.authorize(permission)?;
        if leaderboards.iter().all(|id| self.may_on(permission, id.as_str())) { Ok(()) } else { Err(beyond()) }
    }

    /// Refuses a caller without this permission on all leaderboards.
    pub fn authorize_everywhere(&self, permission: Permission) -> Result<(), Denied> {
        self.authorize(permission)?;
        if self.may_everywhere(permission) { Ok(()) } else { Err(beyond()) }
    }

    /// Refuses a caller without this permission, be it on some leaderboards alone.
    pub fn authorize(&self, permission: Permission) -> Result<(), Denied> {
        match self {
            _ if self.may(permission) => Ok(()),
            Self::Anonymous { refused } => Err(Denied::Unauthenticated(refused.clone())),
            Self::Principal(..) | Self::Server => {
                let names: Vec<_> = permission.scopes().iter().map(|scope| scope.as_str()).collect();
                Err(Denied::Forbidden(format!("the token lacks scope {}", names.join(" or "))))
            }
        }
    }
}

fn beyond() -> Denied {
    Denied::Forbidden("the key is bound to leaderboards, and this concerns others, too".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(scopes: &[Scope]) -> Caller {
        let scopes = scopes.iter().copied().collect();
        Caller::Principal(
            Arc::new(Principal {
                subject: "game".into(),
                expires: u64::MAX,
                scopes,
                leaderboards: None,
                credential: Credential::Token,
            }),
            None,
        )
    }

    #[test]
    fn any_of_the_scopes_allows_it() {
        assert!(holder(&[Scope::ScoresSelf]).may(Permission::SubmitScores));
        assert!(!holder(&[Scope::ScoresSelf]).may(Permission::SubmitForAnybody));
        assert!(holder(&[Scope::LeaderboardsAdmin]).may(Permission::SeePrivateDefinitions));
        assert!(!holder(&[Scope::LeaderboardsAdmin]).may(Permission::ReadPrivate));
        assert!(!Caller::ANONYMOUS.may(Permission::ReadPrivate) && Caller::Server.may(Permission::Manage));
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let denied = holder(&[]).authorize(Permission::SubmitScores);
        assert_eq!(denied, Err(Denied::Forbidden("the token lacks scope scores:write or scores:self".into())));
        assert_eq!(Caller::ANONYMOUS.authorize(Permission::Manage), Err(Denied::Unauthenticated(None)));
        let refused = Caller::Anonymous { refused: Some("it has expired".into()) };
        assert_eq!(refused.authorize(Permission::Manage), Err(Denied::Unauthenticated(Some("it has expired".into()))));
    }
}

//! Accounts: who signs in to this server itself, and what they may do.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::{
    caller::{Scope, Scopes, SessionId},
    ids::{InvalidId, UserId},
    settlement::event_id,
    text::check_name,
    time::Timestamp,
};

/// The longest login, in characters.
const LONGEST_LOGIN: usize = 128;
/// The digits of account ids: 32 that nobody confuses, in bytewise order, so that ids sort by age.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// By what somebody signs in: 1–128 visible characters without white space, such as a name or an e-mail address. In lower
/// case, because logins ignore case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Login(Arc<str>);

impl TryFrom<String> for Login {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl Login {
    /// The login that this text means. An error completes the sentence "this field …".
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let folded = text.to_lowercase();
        let length = folded.chars().count();
        if !(1..=LONGEST_LOGIN).contains(&length) || folded.chars().any(char::is_whitespace) {
            return Err(InvalidId("must be 1 to 128 characters long, without white space"));
        }
        check_name(&folded).map_err(InvalidId)?;
        Ok(Self(folded.into()))
    }

    /// The login in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Login {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Plays, and submits its own scores.
    Player,
    /// Decides about users and scores.
    Moderator,
    /// Does everything.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Player, Self::Moderator, Self::Admin];

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    /// What the role allows.
    fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Player => &[Scope::ScoresSelf],
            Self::Moderator => {
                &[Scope::ModerationWrite, Scope::LeaderboardsRead, Scope::LeaderboardsRestricted, Scope::UsersRead]
            }
            Self::Admin => &Scope::ALL,
        }
    }
}

/// The roles of an account, each once, in the order of [`Role::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// What everybody gets who signs up.
    pub fn player() -> Self {
        Self(vec![Role::Player])
    }

    /// All scopes that any of the roles has.
    pub fn scopes(&self) -> Scopes {
        self.0.iter().flat_map(|role| role.scopes()).copied().collect()
    }

    /// The roles named in a text with spaces; `None` if one is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_ascii_whitespace().map(Role::named).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }
}

/// As it is stored: names separated by spaces.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|role| role.as_str()).collect();
        f.write_str(&names.join(" "))
    }
}

/// An account, without what it signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user whose scores it submits.
    pub id: UserId,
    /// `None`: it signs in by a device or by another provider.
    pub login: Option<Login>,
    pub roles: Roles,
    pub disabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: UserId,
    pub login: Option<Login>,
    /// Its password's hash, in the PHC format.
    pub password: Option<String>,
    /// SHA-256 of the device's secret.
    pub device: Option<[u8; 32]>,
    pub identity: Option<Identity>,
    pub roles: Roles,
    pub display_name: Option<String>,
}

impl NewAccount {
    /// A player's account with a new id and nothing to sign in with yet.
    pub fn player(now: Timestamp) -> Self {
        let (id, roles) = (new_id(now), Roles::player());
        Self { id, login: None, password: None, device: None, identity: None, roles, display_name: None }
    }
}

/// Who a provider says somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    pub subject: String,
}

/// What is to change of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountChange {
    pub roles: Option<Roles>,
    pub disabled: Option<bool>,
}

/// Which accounts are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// This one alone.
    pub login: Option<Login>,
    /// Those after this id.
    pub after: Option<String>,
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub user_agent: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    /// When it ends, unless it is used before.
    pub expires_at: Timestamp,
}

/// Whoever acts in a session of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub account: UserId,
    pub session: SessionId,
}

/// A session to be opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub id: SessionId,
    /// SHA-256 of its first refresh token's secret.
    pub token_hash: [u8; 32],
    pub user_agent: Option<String>,
    pub at: Timestamp,
}

/// How long an unused session lasts, and any session at most, in seconds.
const IDLE: i64 = 30 * 86_400;
const AT_MOST: i64 = 180 * 86_400;

/// When a session ends that was last used at this time.
pub fn session_end(created_at: Timestamp, last_used_at: Timestamp) -> Timestamp {
    last_used_at.plus_seconds(IDLE).min(created_at.plus_seconds(AT_MOST))
}

/// How long after its use a refresh token still gets the successor that it got then, in microseconds.
pub const REPEATABLE: i64 = 30_000_000;

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// To choose a password.
    Reset(UserId),
    /// To sign up; `login`: only under this one.
    Invite { login: Option<Login>, roles: Roles },
}

/// A link that somebody is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// SHA-256 of the token in it.
    pub token_hash: [u8; 32],
    pub purpose: LinkPurpose,
    pub expires_at: Timestamp,
}

/// An id that no user has: `p-` and 26 digits of base 32.
pub fn new_id(now: Timestamp) -> UserId {
    let text = format!("p-{}", base32(event_id(now)));
    UserId::parse(&text).expect("letters, digits and a hyphen")
}

fn base32(id: Uuid) -> String {
    let number = id.as_u128();
    (0..26).rev().map(|digit| char::from(DIGITS[(number >> (5 * digit)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_ignore_case() {
        let login = |text: &str| Login::parse(text).map(|login| login.as_str().to_owned());
        assert_eq!(login("Ada@Example.ORG").as_deref(), Ok("ada@example.org"));
        assert_eq!(login("ÅSA").as_deref(), Ok("åsa"));
        for bad in ["", " ", "a b", "a\tb", "a\u{a0}b", "..", "\u{200b}", "a\0", &"x".repeat(129)] {
            assert!(login(bad).is_err(), "{bad:?}");
        }
        assert!(login(&"é".repeat(128)).is_ok());
    }

    #[test]
    fn ids_are_new_and_sort_by_age() {
        let ids: Vec<_> = (0..1_000).map(|second| new_id(Timestamp(1_700_000_000_000_000).plus_seconds(second))).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.as_str().len() == 28 && UserId::parse_new(id.as_str()).is_ok()));
        assert_ne!(new_id(Timestamp(0)), new_id(Timestamp(0)));
    }

    #[test]
    fn roles_are_what_they_allow() {
        let both: Roles = [Role::Moderator, Role::Player, Role::Moderator].into_iter().collect();
        assert_eq!(both.to_string(), "player moderator");
        assert_eq!(Roles::parse("moderator player"), Some(both.clone()));
        assert_eq!(Roles::parse("player king"), None);
        assert!(both.scopes().has(Scope::ScoresSelf) && both.scopes().has(Scope::ModerationWrite));
        assert!(!both.scopes().has(Scope::AccountsAdmin) && !both.scopes().has(Scope::ScoresWrite));
        let admin: Roles = [Role::Admin].into_iter().collect();
        assert!(Scope::ALL.into_iter().all(|scope| admin.scopes().has(scope)));
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_some_day_anyway() {
        let begun = Timestamp(0);
        assert_eq!(session_end(begun, begun), begun.plus_seconds(30 * 86_400));
        assert_eq!(session_end(begun, begun.plus_seconds(170 * 86_400)), begun.plus_seconds(180 * 86_400));
    }
}

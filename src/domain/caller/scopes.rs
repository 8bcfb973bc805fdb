//! What a credential allows, by the names of its scopes, and which operations need which of them.

/// What a credential may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Submit scores for any user.
    ScoresWrite,
    /// Submit one's own scores by self-service actions.
    ScoresSelf,
    /// Read private leaderboards.
    LeaderboardsRead,
    /// Manage leaderboards, actions and users, and take entries out.
    LeaderboardsAdmin,
    /// Read the audit trail.
    AuditRead,
    /// See what is hidden or withheld.
    LeaderboardsRestricted,
    /// Make decisions about users and scores.
    ModerationWrite,
    /// Read users' profiles.
    UsersRead,
    /// Write users' profiles.
    UsersWrite,
    /// Manage the accounts of players, moderators and administrators.
    AccountsAdmin,
    /// Manage API keys.
    KeysAdmin,
}

impl Scope {
    pub const ALL: [Self; 11] = [
        Self::ScoresWrite,
        Self::ScoresSelf,
        Self::LeaderboardsRead,
        Self::LeaderboardsAdmin,
        Self::AuditRead,
        Self::LeaderboardsRestricted,
        Self::ModerationWrite,
        Self::UsersRead,
        Self::UsersWrite,
        Self::AccountsAdmin,
        Self::KeysAdmin,
    ];

    /// The scope of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// The name inside a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScoresWrite => "scores:write",
            Self::ScoresSelf => "scores:self",
            Self::LeaderboardsRead => "leaderboards:read",
            Self::LeaderboardsAdmin => "leaderboards:admin",
            Self::AuditRead => "audit:read",
            Self::LeaderboardsRestricted => "leaderboards:restricted",
            Self::ModerationWrite => "moderation:write",
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::AccountsAdmin => "accounts:admin",
            Self::KeysAdmin => "keys:admin",
        }
    }
}

/// A set of scopes, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    pub fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    /// The scopes in it, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |&scope| self.has(scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

/// An operation that needs permission. Which scopes allow it is defined here, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Submit scores, for anybody or for oneself.
    SubmitScores,
    /// Submit scores for anybody, by any action.
    SubmitForAnybody,
    /// Begin runs of one's own.
    BeginRuns,
    /// Read the entries and events of private leaderboards.
    ReadPrivate,
    /// See the definitions of private leaderboards.
    SeePrivateDefinitions,
    /// Read users' profiles.
    ReadUsers,
    /// Write users' profiles.
    WriteUsers,
    /// Write some profile: anybody's, or one's own.
    WriteProfile,
    /// Read some profile: anybody's, or one's own.
    ReadProfile,
    /// Create, change and delete leaderboards and actions.
    Manage,
    /// Read who changed what.
    ReadAudit,
    /// See what is hidden or withheld.
    ReadRestricted,
    /// Make decisions about users and scores, and read them.
    Moderate,
    /// Create, change, rotate and delete API keys.
    ManageKeys,
    /// Read, invite, change and delete accounts.
    ManageAccounts,
}

impl Permission {
    /// The scopes of which any one allows it.
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::SubmitScores => &[Scope::ScoresWrite, Scope::ScoresSelf],
            Self::SubmitForAnybody => &[Scope::ScoresWrite],
            Self::BeginRuns => &[Scope::ScoresSelf],
            Self::ReadPrivate => &[Scope::LeaderboardsRead],
            Self::SeePrivateDefinitions => &[Scope::LeaderboardsRead, Scope::LeaderboardsAdmin],
            Self::ReadUsers => &[Scope::LeaderboardsRead, Scope::LeaderboardsAdmin, Scope::UsersRead, Scope::UsersWrite],
            Self::WriteUsers => &[Scope::UsersWrite, Scope::LeaderboardsAdmin],
            Self::WriteProfile => &[Scope::UsersWrite, Scope::LeaderboardsAdmin, Scope::ScoresSelf],
            Self::ReadProfile => {
                &[Scope::LeaderboardsRead, Scope::LeaderboardsAdmin, Scope::UsersRead, Scope::UsersWrite, Scope::ScoresSelf]
            }
            Self::Manage => &[Scope::LeaderboardsAdmin],
            Self::ReadAudit => &[Scope::AuditRead],
            Self::ReadRestricted => &[Scope::LeaderboardsRestricted],
            Self::Moderate => &[Scope::ModerationWrite],
            Self::ManageKeys => &[Scope::KeysAdmin],
            Self::ManageAccounts => &[Scope::AccountsAdmin],
        }
    }
}

//! A user: the owner of scores. Created on first submission, described by `PUT /api/users/{userId}`.

use serde_json::{Map, Value};

use super::{
    entry::{Appearance, DisplayName},
    ids::UserId,
    time::Timestamp,
};

/// What clients write about a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    pub metadata: Option<Map<String, Value>>,
}

impl Profile {
    /// What rows show of it, at this revision of the user.
    pub fn shown(&self, revision: i64) -> DisplayName {
        let appearance = Appearance::of(self.avatar_url.as_deref(), self.country.as_deref());
        DisplayName { name: self.display_name.clone(), revision, appearance }
    }

    /// Whether watchers see no difference.
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.display_name == other.display_name && self.avatar_url == other.avatar_url && self.country == other.country
    }
}

/// A user as the ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub profile: Profile,
    /// Grows with every change of the profile.
    pub revision: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

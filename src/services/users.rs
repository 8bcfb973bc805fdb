//! Users: what is known about the owners of scores.

use std::sync::Arc;

use crate::{
    domain::{
        audit::Act,
        caller::{Caller, Permission},
        ids::{Noun, UserId},
        time::Clock,
        user::{Profile, User},
    },
    repositories::ledger::Ledger,
};

use super::{announcer::Announcer, error::ServiceError, turns::Turns};

/// See the module's documentation.
pub struct Users {
    pub ledger: Ledger,
    pub announcer: Arc<Announcer>,
    pub clock: Clock,
    pub turns: Arc<Turns>,
}

impl Users {
    /// One user.
    pub async fn get(&self, caller: &Caller, id: &UserId) -> Result<User, ServiceError> {
        caller.authorize(Permission::ReadUsers)?;
        let _turn = self.turns.next().await?;
        self.ledger.user(id).await?.ok_or(ServiceError::NotFound(Noun::User))
    }

    /// Sets a user's profile and creates the user if unknown; a new display name shows in every ranking at once, and is
    /// announced to watchers.
    pub async fn put(&self, caller: &Caller, id: &UserId, profile: &Profile) -> Result<User, ServiceError> {
        caller.authorize(Permission::Manage)?;
        let updated = self.ledger.put_user(id, profile, Act::of(caller, self.clock.now())).await?;
        if let Some((row, announcement)) = &updated.outbox {
            self.announcer.announce_row(*row, announcement).await;
        }
        Ok(updated.value)
    }
}

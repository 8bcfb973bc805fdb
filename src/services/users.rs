//! Users: what is known about the owners of scores.

use std::sync::Arc;

use crate::{
    domain::{
        audit::Act,
        caller::{Caller, Permission, Scope},
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
        authorize(caller, Permission::ReadProfile, Permission::ReadUsers, id)?;
        let _turn = self.turns.next().await?;
        self.ledger.user(id).await?.ok_or(ServiceError::NotFound(Noun::User))
    }

    /// Changes a user's profile and creates the user if unknown; what rows show of it is in every ranking at once, and announced to
    /// watchers. `whole`: the change names every part of it.
    pub async fn change(
        &self,
        caller: &Caller,
        id: &UserId,
        whole: bool,
        change: impl FnOnce(&Profile) -> Profile + Send + 'static,
    ) -> Result<User, ServiceError> {
        authorize(caller, Permission::WriteProfile, Permission::WriteUsers, id)?;
        // A profile shows on every leaderboard; who manages some alone does not decide about it.
        if caller.bound_to().is_some() && !caller.has(Scope::UsersWrite) {
            caller.authorize_everywhere(Permission::WriteUsers)?;
        }
        let did = if whole { "user.replace" } else { "user.update" };
        let session = caller.principal().and_then(|principal| principal.session());
        let updated = self.ledger.change_user(id, Act::of(caller, self.clock.now()), session, did, change).await?;
        if let Some((row, announcement)) = &updated.outbox {
            self.announcer.announce_row(*row, announcement).await;
        }
        Ok(updated.value)
    }
}

/// Refuses a caller who has no permission for `anybody` and is not this user, whom `some` would let do it for themselves.
fn authorize(caller: &Caller, some: Permission, anybody: Permission, id: &UserId) -> Result<(), ServiceError> {
    caller.authorize(some)?;
    if caller.may(anybody) || caller.subject().is_some_and(|subject| *subject == *id.as_str()) {
        return Ok(());
    }
    Err(ServiceError::Forbidden("scope scores:self allows only the token's own userId".into()))
}

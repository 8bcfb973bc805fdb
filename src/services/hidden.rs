//! What is not for all: who may see it, and the entries that are in no ranking because their users are hidden.

use std::sync::Arc;

use crate::{
    domain::{
        caller::{Caller, Permission},
        entry::HiddenEntry,
        ids::UserId,
        leaderboard::{Board, Leaderboard, Projection},
    },
    repositories::ledger::Ledger,
};

use super::{error::ServiceError, seasons::Chosen, turns::Turns};

/// The most hidden entries that are shown of one ranking.
const SHOWN: i64 = 1_000;

/// See the module's documentation.
pub struct Hidden {
    pub ledger: Ledger,
    pub turns: Arc<Turns>,
}

impl Hidden {
    /// The hidden entry of a user, if there is one, or all hidden entries, best first.
    pub async fn entries(&self, board: Board, user: Option<&UserId>) -> Result<Vec<HiddenEntry>, ServiceError> {
        let _turn = self.turns.next().await?;
        Ok(self.ledger.hidden_entries(board, user, SHOWN).await?)
    }

    /// The ranking that a reader has chosen of this leaderboard.
    pub async fn board(&self, leaderboard: &Leaderboard, chosen: &Chosen) -> Result<Board, ServiceError> {
        Ok(match chosen {
            Chosen::Current(leaderboard) => leaderboard.board(),
            Chosen::Ended(number) => self.ledger.season(&leaderboard.id, *number).await?.board(),
        })
    }
}

/// Refuses a caller who may not see this projection, of this user or of all, on this leaderboard or on all.
pub fn authorize(
    caller: &Caller,
    projection: Projection,
    user: Option<&UserId>,
    leaderboard: Option<&str>,
) -> Result<(), ServiceError> {
    match projection {
        Projection::Public => Ok(()),
        Projection::Restricted => Ok(match leaderboard {
            Some(leaderboard) => caller.authorize_on(Permission::ReadRestricted, leaderboard),
            None => caller.authorize_everywhere(Permission::ReadRestricted),
        }?),
        Projection::Own => {
            caller.authenticated()?;
            match (caller.subject(), user) {
                (Some(subject), Some(user)) if *subject == *user.as_str() => Ok(()),
                _ => Err(ServiceError::Forbidden("projection=own shows only the token's own user".into())),
            }
        }
    }
}

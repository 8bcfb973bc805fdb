//! Users in the ledger.

use super::{LIMIT, Ledger, LedgerError, Updated, transact};
use crate::domain::{
    audit::Act,
    ids::UserId,
    user::{Profile, User},
};

impl Ledger {
    /// The user, if there is one.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.serve(LIMIT), users::user(&id))?)
    }

    /// Creates the user or replaces the profile. The change is announced to every current ranking that has an entry of the
    /// user; the user stays locked meanwhile, so a commit announces either the old name before or the new name after.
    pub async fn put_user(&self, id: &UserId, profile: &Profile, act: impl Into<Act>) -> Result<Updated<User>, LedgerError> {
        let (id, profile, act) = (id.clone(), profile.clone(), act.into());
        Ok(transact!(self.write(LIMIT), users::put(&id, &profile, &act))?)
    }
}

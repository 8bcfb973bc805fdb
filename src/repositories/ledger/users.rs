//! Users in the ledger.

use super::{LENGTHY_LIMIT, LIMIT, Ledger, LedgerError, Updated, transact};
use crate::domain::{
    audit::Act,
    caller::SessionId,
    ids::UserId,
    leaderboard::Board,
    search::Prefix,
    user::{Profile, User},
};

impl Ledger {
    /// The user, if there is one.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.serve(LIMIT), users::known(&id))?)
    }

    /// Creates the user if unknown, and changes the profile to what `change` makes of the present one; the audit trail shows what that `did`. The change is announced to every current ranking that has an entry of the
    /// user; the user stays locked meanwhile, so a commit announces either the old name before or the new name after. `SessionEnded`: the
    /// `session` in which it is asked for has ended, if one is given.
    pub async fn change_user(
        &self,
        id: &UserId,
        act: impl Into<Act>,
        session: Option<SessionId>,
        did: &'static str,
        change: impl FnOnce(&Profile) -> Profile + Send + 'static,
    ) -> Result<Updated<User>, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), users::put(&id, &act, session, did, change))?)
    }

    /// Whether any user has a picture or a country. Looks through all users if nobody has.
    pub async fn has_appearances(&self) -> Result<bool, LedgerError> {
        Ok(transact!(self.lengthy(LENGTHY_LIMIT), users::has_appearances())?)
    }

    /// Creates the user or replaces the profile, as [`Self::change_user`] does.
    pub async fn put_user(&self, id: &UserId, profile: &Profile, act: impl Into<Act>) -> Result<Updated<User>, LedgerError> {
        let profile = profile.clone();
        self.change_user(id, act, None, "user.replace", move |_| profile).await
    }

    /// Users in a ranking whose name or id begins so, the best `limit` of them, in no particular order; `None` where too many match
    /// to look at each. A user may have another name by now.
    pub async fn find_users(&self, board: Board, prefix: &Prefix, limit: i64) -> Result<Option<Vec<UserId>>, LedgerError> {
        let prefix = prefix.clone();
        Ok(transact!(self.serve(LIMIT), search::find(board, &prefix, limit))?)
    }

    /// The best `limit` of the first `looked_up` who match, in the order of their names.
    pub async fn find_some_users(
        &self,
        board: Board,
        prefix: &Prefix,
        looked_up: usize,
        limit: i64,
    ) -> Result<Vec<UserId>, LedgerError> {
        let prefix = prefix.clone();
        Ok(transact!(self.serve(LIMIT), search::find_some(board, &prefix, looked_up, limit))?)
    }

    /// Makes the next `limit` users after an id be found by their present names; returns the last one, if there are more.
    pub async fn repair_search(&self, after: &str, limit: i64) -> Result<Option<String>, LedgerError> {
        let after = after.to_owned();
        Ok(transact!(self.relaxed(LIMIT), search::repair(&after, limit))?)
    }
}

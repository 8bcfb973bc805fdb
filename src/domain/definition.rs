//! All definitions at one revision: what the scoring rule needs to know, immutable and shared.

use std::sync::Arc;

use rpds::HashTrieMapSync;

use super::{
    action::Action,
    api_key::ApiKey,
    ids::{ActionId, KeyId, LeaderboardId},
    leaderboard::Leaderboard,
};

/// Every leaderboard, every action and every API key, at one revision of the ledger's definitions. A copy shares all that it does not change,
/// so that a change of one definition costs the same among ten and among ten thousand.
#[derive(Debug, Default, Clone)]
pub struct Definitions {
    /// Grows by one with every change of any definition; equal revisions mean equal definitions.
    pub revision: i64,
    /// Tells this revision from one of the same number in another past, where the ledger was set back. `None` where that is not known.
    pub stamp: Option<i64>,
    leaderboards: HashTrieMapSync<LeaderboardId, Arc<Leaderboard>>,
    by_pk: HashTrieMapSync<i64, Arc<Leaderboard>>,
    actions: HashTrieMapSync<ActionId, Arc<Action>>,
    keys: HashTrieMapSync<KeyId, Arc<ApiKey>>,
}

/// What a change of the definitions changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Leaderboard(LeaderboardId),
    Action(ActionId),
    Key(KeyId),
}

impl Definitions {
    /// The same definitions with another revision.
    pub fn at(self, revision: i64, stamp: Option<i64>) -> Self {
        Self { revision, stamp, ..self }
    }

    /// The leaderboard of this id.
    pub fn leaderboard(&self, id: &str) -> Option<&Leaderboard> {
        self.leaderboards.get(id).map(Arc::as_ref)
    }

    /// The leaderboard with this incarnation, if it still exists.
    pub fn leaderboard_by_pk(&self, pk: i64) -> Option<&Leaderboard> {
        self.by_pk.get(&pk).map(Arc::as_ref)
    }

    /// All leaderboards, in no order.
    pub fn leaderboards(&self) -> impl Iterator<Item = &Leaderboard> {
        self.leaderboards.values().map(Arc::as_ref)
    }

    /// The action of this id.
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.get(id).map(Arc::as_ref)
    }

    /// All actions, in no order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values().map(Arc::as_ref)
    }

    /// The API key of this id.
    pub fn key(&self, id: &str) -> Option<&Arc<ApiKey>> {
        self.keys.get(id)
    }

    /// Adds an API key, or replaces the one of its id.
    pub fn put_key(&mut self, key: ApiKey) {
        self.keys.insert_mut(key.id.clone(), Arc::new(key));
    }

    pub fn remove_key(&mut self, id: &KeyId) {
        self.keys.remove_mut(id);
    }

    /// Adds a leaderboard, or replaces the one of its id.
    pub fn put_leaderboard(&mut self, leaderboard: Leaderboard) {
        self.remove_leaderboard(&leaderboard.id);
        let leaderboard = Arc::new(leaderboard);
        self.by_pk.insert_mut(leaderboard.pk, Arc::clone(&leaderboard));
        self.leaderboards.insert_mut(leaderboard.id.clone(), leaderboard);
    }

    /// Adds an action, or replaces the one of its id.
    pub fn put_action(&mut self, action: Action) {
        self.actions.insert_mut(action.id.clone(), Arc::new(action));
    }

    pub fn remove_leaderboard(&mut self, id: &LeaderboardId) {
        if let Some(pk) = self.leaderboards.get(id).map(|leaderboard| leaderboard.pk) {
            self.by_pk.remove_mut(&pk);
            self.leaderboards.remove_mut(id);
        }
    }

    pub fn remove_action(&mut self, id: &ActionId) {
        self.actions.remove_mut(id);
    }
}

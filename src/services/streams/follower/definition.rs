//! What the hub knows of its leaderboard's definition, and the rule that nobody watches without permission: see
//! [`Access`](super::super::access::Access).

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use crate::domain::definition::Definitions;

use super::{super::frame::Described, Follower};

/// How long the ledger may take to report the definition before the hub goes on with the one it has.
const PATIENCE: Duration = Duration::from_millis(500);
/// How soon it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Follower {
    /// Asks the ledger for the leaderboard's current definition. False if it does not answer: then the adopted definition
    /// stands, and the query is repeated.
    pub(super) async fn refresh_definition(&mut self) -> bool {
        let refreshed = timeout(PATIENCE, self.sources.definitions.refresh()).await;
        let answered = matches!(refreshed, Ok(Ok(())));
        if answered {
            self.definition_due = None;
            self.adopt(self.sources.definitions.current(), true);
        } else {
            self.definition_due = Some(Instant::now() + ASK_AGAIN);
        }
        answered
    }

    /// Adopts what this instance knows, if it is new: before anything is shown, because this instance may know that a
    /// leaderboard is private before the feed announces it. The order of a leaderboard without scores can also change, and with
    /// it the representation of every score.
    pub(super) fn adopt_definition(&mut self) {
        let definitions = self.sources.definitions.current();
        if !self.adopted.as_ref().is_some_and(|adopted| Arc::ptr_eq(adopted, &definitions)) {
            self.adopt(definitions, false);
        }
    }

    fn adopt(&mut self, definitions: Arc<Definitions>, confirmed: bool) {
        if let Some(leaderboard) = definitions.leaderboard_by_pk(self.board.pk) {
            // The season is that of the ranking, which may lag behind or have gone on already.
            if leaderboard.season == self.board.season {
                self.board = leaderboard.board();
            }
            self.hub.adopt_access(leaderboard.settings.visibility, leaderboard.updated_at, confirmed);
        }
        self.adopted = Some(definitions);
    }

    /// Whether definitions have changed in a way that this instance cannot learn, while this leaderboard is open to everybody:
    /// then its streams end, and their clients reconnect to an instance that knows.
    pub(super) fn is_uncertain(&self) -> bool {
        let definitions = &self.sources.definitions;
        !self.hub.is_private() && definitions.is_outdated() && !definitions.is_confirmed(std::time::Instant::now())
    }

    /// Whether read access is confirmed at this moment, although the ledger has not answered.
    pub(super) fn is_confirmed(&self) -> bool {
        let definitions = &self.sources.definitions;
        definitions.is_confirmed(std::time::Instant::now()) && !definitions.is_outdated()
    }

    /// Adopts the definition in an event, before the event is shown. An event that cannot be parsed is shown only to clients
    /// that may see everything, until the ledger has reported more.
    pub(super) fn take_definition(&mut self, definition: &str) {
        self.definition_due = Some(Instant::now());
        match Described::read(definition) {
            Some(Described { visibility, updated_at }) => self.hub.adopt_access(visibility, updated_at, false),
            None => self.hub.doubt_access(),
        }
    }
}

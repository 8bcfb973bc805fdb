//! What the hub knows of its leaderboard's definition, and that nobody watches who may not: see [`Access`](super::super::access::Access).

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use crate::domain::definition::Definitions;

use super::{super::frame::Described, Follower};

/// How long the ledger may take to tell the definition before the hub goes on with the one it has.
const PATIENCE: Duration = Duration::from_millis(500);
/// How soon it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Follower {
    /// Asks the ledger how the leaderboard is defined now. False where it does not answer: then the definition at hand stands, and the question is
    /// repeated.
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

    /// Takes over what this instance knows, where that is something new: before anything is shown, because it may have heard that a leaderboard
    /// is private earlier than the feed tells. Also the order of a leaderboard without scores can change, and with it what every score looks
    /// like.
    pub(super) fn adopt_definition(&mut self) {
        let definitions = self.sources.definitions.current();
        if !self.adopted.as_ref().is_some_and(|adopted| Arc::ptr_eq(adopted, &definitions)) {
            self.adopt(definitions, false);
        }
    }

    fn adopt(&mut self, definitions: Arc<Definitions>, confirmed: bool) {
        if let Some(leaderboard) = definitions.leaderboard_by_pk(self.board.pk) {
            self.board = leaderboard.board();
            self.hub.adopt_access(leaderboard.settings.visibility, leaderboard.updated_at, confirmed);
        }
        self.adopted = Some(definitions);
    }

    /// Whether definitions have changed in a way that nobody can tell here, and everybody watches this leaderboard: then its streams end, and
    /// their clients come back to where it is known.
    pub(super) fn is_uncertain(&self) -> bool {
        let definitions = &self.sources.definitions;
        !self.hub.is_private() && definitions.is_outdated() && !definitions.is_confirmed(std::time::Instant::now())
    }

    /// Whether it is certain at this moment who may read, although the ledger has not answered.
    pub(super) fn is_confirmed(&self) -> bool {
        let definitions = &self.sources.definitions;
        definitions.is_confirmed(std::time::Instant::now()) && !definitions.is_outdated()
    }

    /// Takes over what an event tells, before it is shown. One that cannot be read is shown to those alone who may see everything, until the
    /// ledger has told more.
    pub(super) fn take_definition(&mut self, definition: &str) {
        self.definition_due = Some(Instant::now());
        match Described::read(definition) {
            Some(Described { visibility, updated_at }) => self.hub.adopt_access(visibility, updated_at, false),
            None => self.hub.doubt_access(),
        }
    }
}

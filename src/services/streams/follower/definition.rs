//! What the hub knows of its leaderboard's definition, and that nobody watches who may not: streams that were let in without being asked end when
//! the leaderboard is private.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, timeout};

use crate::domain::leaderboard::Visibility;

use super::{super::frame::Frame, Follower};

/// How long the ledger may take to tell the definition before the hub goes on with the one it has.
const PATIENCE: Duration = Duration::from_millis(500);
/// How soon it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Follower {
    /// Asks the ledger how the leaderboard is defined now. Where it does not answer, the definition at hand stands, and the question is repeated.
    pub(super) async fn refresh_definition(&mut self) {
        let refreshed = timeout(PATIENCE, self.sources.definitions.refresh()).await;
        if matches!(refreshed, Ok(Ok(()))) {
            self.definition_due = None;
            self.adopt_definition();
        } else {
            self.definition_due = Some(Instant::now() + ASK_AGAIN);
        }
    }

    /// Takes over what this instance knows. The order of a leaderboard without scores can change, and with it what every score looks like;
    /// one that was public can have become private.
    pub(super) fn adopt_definition(&mut self) {
        let definitions = self.sources.definitions.current();
        let Some(leaderboard) = definitions.leaderboard_by_pk(self.board.pk) else { return };
        self.board = leaderboard.board();
        if self.set_public(leaderboard.settings.visibility == Visibility::Public) {
            let definition = serde_json::to_string(leaderboard).expect("a definition always serialises");
            self.end(Frame::event(None, "leaderboard-changed", &definition));
        }
    }

    /// Whether definitions have changed in a way that nobody can tell here, and everybody watches this leaderboard: then its streams end, and
    /// their clients come back to where it is known.
    pub(super) fn is_uncertain(&self) -> bool {
        let definitions = &self.sources.definitions;
        let public = self.hub.public.load(Ordering::Acquire);
        public && definitions.is_outdated() && !definitions.is_confirmed(std::time::Instant::now())
    }

    /// Notes whether everybody may read now. True where that ended: everybody has to come back and be asked.
    pub(super) fn set_public(&self, public: bool) -> bool {
        let was_public = self.hub.public.swap(public, Ordering::AcqRel);
        was_public && !public && !self.ended
    }
}

/// Whether everybody may read the leaderboard that this definition describes.
pub(super) fn is_public(definition: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Described {
        visibility: Visibility,
    }
    serde_json::from_str(definition).is_ok_and(|described: Described| described.visibility == Visibility::Public)
}

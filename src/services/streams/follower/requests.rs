//! What only the hub can bring to its connections: fresh snapshots, older events, confirmation of the newest position.

use std::sync::{Arc, atomic::Ordering};

use crate::{domain::entry::Window, repositories::ranking_store::RankingError};

use super::{
    super::{frame::Frame, snapshot::State},
    Follower, HISTORY_PAGE, WIDEST,
};

impl Follower {
    /// Serves the requests that connections left.
    pub(super) async fn serve_requests(&mut self) {
        if self.hub.lost.swap(false, Ordering::AcqRel) {
            let filled = self.fill().await;
            if self.or_go_offline(filled).await.is_none() {
                self.hub.lost.store(true, Ordering::Release);
                return;
            }
            self.renamed();
        }
        let wanted = self.hub.events.take_wanted();
        if wanted.head {
            let filled = self.fill().await;
            if self.or_go_offline(filled).await.is_some() {
                self.hub.events.head_checked();
            }
        }
        if let Some(from) = wanted.from {
            let extended = self.extend_back(from).await;
            self.or_go_offline(extended).await;
        }
        if wanted.snapshot {
            let window = self.sources.ranking_store.window(self.board, 1, WIDEST).await;
            if let Some(window) = self.or_go_offline(window).await {
                self.offer_snapshot(window).await;
            }
        }
    }

    async fn offer_snapshot(&mut self, window: Window) {
        let Some(version) = window.head.version.clone() else { return };
        if self.position.as_ref().is_some_and(|position| position.epoch != version.epoch) {
            self.follow_epoch(Arc::clone(&version.epoch)).await;
        }
        let leaderboard_id = self.hub.leaderboard.id.clone();
        if self.position.as_ref().is_some_and(|position| position.epoch == version.epoch) {
            self.hub.events.offer_snapshot(version.seq + 1, State::Window { leaderboard_id, window: Arc::new(window) });
        } else {
            self.hub.wake.notify_one();
        }
    }

    /// Fetches events from before the log for clients that resume there.
    async fn extend_back(&mut self, from: u64) -> Result<(), RankingError> {
        let Some(position) = self.position.clone() else { return Ok(()) };
        let until = self.hub.events.first();
        let mut frames = Vec::new();
        let mut next = from;
        while next < until {
            let history = self.sources.feed.history(self.board.pk, next - 1, HISTORY_PAGE).await?;
            let contiguous = history.epoch == position.epoch && history.events.first().is_some_and(|event| event.seq == next);
            if !contiguous {
                self.hub.events.give_up_below(next.max(from) + 1);
                return Ok(());
            }
            let older = history.events.iter().filter(|event| event.seq < until);
            frames.extend(older.map(|event| Frame::of(&position.epoch, event)));
            next = history.events.last().map_or(next, |event| event.seq + 1);
        }
        self.hub.events.extend_back(from, frames);
        Ok(())
    }
}

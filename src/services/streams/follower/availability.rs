//! Whether the ranking answers: joining the feed, rejoining it, and what watchers see while the ranking is unavailable.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{repositories::ranking_store::RankingError, services::error::ServiceError};

use super::{
    super::{frame::Frame, snapshot::State},
    Follower, WIDEST,
};

/// How long the ledger may take to answer: meanwhile the hub does nothing else, and no heartbeat goes out.
const LEDGER_PATIENCE: Duration = Duration::from_secs(1);

impl Follower {
    /// Joins the feed, or rejoins it: continues at the end of the log if the epoch is still the same.
    pub(super) async fn go_live(&mut self) {
        if let Err(error) = self.try_go_live().await {
            self.go_offline(&error).await;
        }
    }

    async fn try_go_live(&mut self) -> Result<(), RankingError> {
        if !self.subscribed {
            self.sources.feed.subscribe(self.board.pk).await?;
            self.subscribed = true;
            self.hub.followed.store(true, Ordering::Release);
        }
        // The feed may be back before read access is confirmed again.
        let certain = self.sources.definitions.is_confirmed(std::time::Instant::now());
        if !certain && !self.hub.is_private() {
            return Err(RankingError::Unreachable("nobody confirms who may read it".into()));
        }
        let head = self.sources.ranking_store.head(self.board).await?;
        let Some(version) = head.version else { return Ok(()) };
        self.live = true;
        match &self.position {
            Some(position) if position.epoch == version.epoch => self.fill().await?,
            _ => self.begin(version).await,
        }
        self.hub.shared_views.touch_all();
        Ok(())
    }

    /// The ranking gave no answer: starts its rebuild if it needs one, and shows what the ledger knows to clients that have
    /// seen nothing, or else what was shown last.
    async fn go_offline(&mut self, error: &RankingError) {
        self.live = false;
        self.hub.shared_views.hide_last();
        tracing::debug!(leaderboard = %self.hub.leaderboard.id, %error, "the stream waits for the ranking");
        self.follow_season(error).await;
        if matches!(error, RankingError::Unready(_)) {
            let known = || self.sources.definitions.current().leaderboard_by_pk(self.board.pk).is_some();
            if !known() && self.sources.definitions.refresh().await.is_ok() && !known() {
                let data = serde_json::json!({ "leaderboardId": self.hub.leaderboard.id, "deleted": true });
                self.end(Frame::event(None, "leaderboard-changed", &data.to_string()));
                return;
            }
            self.rebuild();
        }
        // Another instance's change of the definition does not arrive through the feed either.
        self.adopt_definition();
        if !self.ended {
            let shown = tokio::time::timeout(LEDGER_PATIENCE, self.show_ledger()).await;
            if !matches!(shown, Ok(Ok(()))) {
                self.hub.shared_views.show_last();
            }
        }
    }

    /// Shows what the ledger knows to clients that have seen nothing, without a position.
    async fn show_ledger(&self) -> Result<(), ServiceError> {
        let (hub, rankings) = (&self.hub, &self.sources.rankings);
        let mut tops = hub.shared_views.waiting_tops();
        tops.extend(Some(&hub.events).filter(|topic| topic.wants_provisional()).cloned());
        if !tops.is_empty() {
            let window = Arc::new(rankings.window(self.board, 1, WIDEST, None).await?.value);
            if window.head.version.is_none() {
                let state = State::Window { leaderboard_id: hub.leaderboard.id.clone(), window };
                tops.iter().for_each(|topic| topic.offer_provisional(state.clone()));
            }
        }
        hub.shared_views.show_ledger_to_users(rankings, self.board, &hub.leaderboard.id).await
    }

    /// The answer; if there is none, the hub goes offline and waits for the ranking.
    pub(super) async fn or_go_offline<T>(&mut self, result: Result<T, RankingError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.go_offline(&error).await;
                None
            }
        }
    }
}

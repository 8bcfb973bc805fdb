//! [`Feed`] in process: the ring of recent events is part of the ranking, and messages are sent under the board's lock. Called
//! by the stream fan-out through `Arc<dyn Feed>`.

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::repositories::feed::{AccessChange, Feed, FeedMessage, History};
use crate::repositories::{memory::MemoryRanking, ranking_store::RankingError};

#[async_trait]
impl Feed for MemoryRanking {
    fn take_messages(&self) -> Option<mpsc::Receiver<FeedMessage>> {
        self.feed_sender.take()
    }

    async fn subscribe(&self, pk: i64) -> Result<(), RankingError> {
        self.with(pk, |slot| slot.subscribed = true);
        Ok(())
    }

    async fn unsubscribe(&self, pk: i64) {
        self.with(pk, |slot| slot.subscribed = false);
    }

    async fn history(&self, pk: i64, after: u64, limit: usize) -> Result<History, RankingError> {
        self.with(pk, |slot| {
            let ranking = slot.ready.as_ref().ok_or(RankingError::Unready(pk))?;
            Ok(ranking.history(after, limit))
        })
    }

    /// The record lives and dies with this process, so it needs no expiry.
    async fn report_watchers(&self, pk: i64, watchers: u64) -> Result<u64, RankingError> {
        self.with(pk, |slot| slot.watchers = watchers);
        Ok(watchers)
    }

    async fn watchers(&self, pks: &[i64]) -> Result<Vec<u64>, RankingError> {
        Ok(pks.iter().map(|&pk| self.with(pk, |slot| slot.watchers)).collect())
    }

    async fn definitions(&self, _: Option<(i64, Option<AccessChange>)>) -> Result<Option<i64>, RankingError> {
        Ok(None)
    }

    async fn report_behind(&self, _: i64, _: i64) {}
}

//! [`Feed`] on Redis: `PUBLISH` for speed, a capped stream beside it for gaps and resumption. Called by the stream fan-out
//! through `Arc<dyn Feed>`.

use std::sync::Arc;

use async_trait::async_trait;
use fred::types::Value;
use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use crate::repositories::feed::{AccessChange, Feed, FeedMessage, History};
use crate::{
    domain::event::Event,
    repositories::{
        ranking_store::RankingError,
        redis::{
            Lane, RedisStore,
            keys::{DEFINITIONS, ENTRIES, INSTALLATION, META, NAMES, PLACES, STREAM, WATCHERS},
            record,
            reply::{Reply, unreadable},
            scripts,
        },
    },
};

/// How long a record of watchers counts, in milliseconds.
const NOTE_MS: i64 = 30_000;

#[async_trait]
impl Feed for RedisStore {
    fn take_messages(&self) -> Option<mpsc::Receiver<FeedMessage>> {
        self.feed_sender.take()
    }

    async fn subscribe(&self, pk: i64) -> Result<(), RankingError> {
        self.subscription.add(pk).await.map_err(|error| RankingError::Unreachable(error.to_string()))
    }

    async fn unsubscribe(&self, pk: i64) {
        self.subscription.remove(pk).await;
    }

    async fn history(&self, pk: i64, after: u64, limit: usize) -> Result<History, RankingError> {
        let until = after.saturating_add(limit as u64);
        let args = [Value::from(after.to_string()), Value::from(until.to_string())];
        let answer = self.call(Lane::Read, &scripts::HISTORY, pk, &[META, PLACES, ENTRIES, NAMES, STREAM], args).await?;
        let mut reply = Reply::ready(answer, pk)?;
        let (epoch, head) = (Arc::from(&*reply.text()?), reply.number()?);
        let mut payloads = reply.array()?;
        let mut events: Vec<Event> = vec![];
        while !payloads.is_empty() {
            let (_, batch) = record::parse_events(&payloads.text()?).ok_or_else(unreadable)?;
            events.extend(batch.into_iter().filter(|event| event.seq > after));
        }
        events.truncate(limit);
        Ok(History { epoch, head, events })
    }

    async fn report_watchers(&self, pk: i64, watchers: u64) -> Result<u64, RankingError> {
        let note = [Value::from(self.instance.as_str()), watchers.to_string().into(), NOTE_MS.into()];
        sum(self.call(Lane::Read, &scripts::WATCHERS, pk, &[WATCHERS], note).await?)
    }

    async fn watchers(&self, pks: &[i64]) -> Result<Vec<u64>, RankingError> {
        let asked =
            pks.iter().map(|&pk| async move { sum(self.call(Lane::Read, &scripts::WATCHERS, pk, &[WATCHERS], []).await?) });
        try_join_all(asked).await
    }

    async fn definitions(&self, announce: Option<(i64, Option<AccessChange>)>) -> Result<Option<i64>, RankingError> {
        let told = announce.into_iter().flat_map(|(revision, change)| {
            let message = record::definitions(revision, change);
            let telling = u8::from(change.is_some()).to_string();
            [self.keys.channel(INSTALLATION), revision.to_string(), message, telling].map(Value::from)
        });
        let answer = self.call(Lane::Announce, &scripts::DEFINITIONS, INSTALLATION, &[DEFINITIONS], told).await?;
        answer.as_i64().map(Some).ok_or_else(unreadable)
    }

    async fn report_behind(&self, pk: i64, row: i64) {
        let words = [self.keys.channel(INSTALLATION), record::behind(pk, row)].map(Value::from);
        if let Err(error) = self.command("PUBLISH", INSTALLATION, words).await {
            tracing::debug!(leaderboard = pk, %error, "the other instances will learn of it from the outbox");
        }
    }
}

fn sum(answer: Value) -> Result<u64, RankingError> {
    answer.as_u64().ok_or_else(unreadable)
}

//! Repeats of submissions whose own answer is not stored (yet).

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use uuid::Uuid;

use crate::services::{error::ServiceError, receipts};

use super::{Scores, places::places};

/// How long a repeat waits for the answer to the first submission.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);
/// Answers of one request that are looked up, or settled, concurrently.
const AT_ONCE: usize = 8;

/// A repeated submission, whose key was committed earlier by `event_id`.
#[derive(Clone)]
pub(super) struct Repeat {
    pub event_id: Uuid,
    pub subject: Arc<str>,
    pub key: String,
}

impl Scores {
    /// The answer to each repeat: it waits for the one that the first submission with this key is about to be given. If that
    /// never comes (the instance that committed it died before it answered), the submission is announced now, in case it was
    /// not announced before, and the answer made from that is stored permanently, so that all later repeats agree. In a ledger
    /// used by this process alone, no other process is about to answer what an earlier process committed.
    pub(super) async fn answers_given_before(&self, repeats: Vec<Repeat>) -> Vec<Result<String, ServiceError>> {
        let deadline = Instant::now() + PATIENCE;
        let awaited = stream::iter(repeats.clone()).map(|repeat| self.awaited(repeat, deadline));
        let answers: Vec<_> = awaited.buffered(AT_ONCE).collect().await;
        let unanswered = repeats.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Ok(None)));
        let mut events: Vec<Uuid> = unanswered.map(|(repeat, _)| repeat.event_id).collect();
        events.sort_unstable();
        events.dedup();
        let made = if events.is_empty() { Ok(HashMap::new()) } else { self.made_now(events).await };
        let made = &made;
        let settled = stream::iter(repeats.into_iter().zip(answers)).map(async |(repeat, answer)| match answer {
            Ok(None) => self.settled(repeat, made).await,
            Ok(Some(body)) => Ok(body),
            Err(error) => Err(error),
        });
        settled.buffered(AT_ONCE).collect().await
    }

    /// The stored answer; if another instance may be about to store it, waits for it until the deadline.
    async fn awaited(&self, repeat: Repeat, deadline: Instant) -> Result<Option<String>, ServiceError> {
        let nobody_will = !self.ledger.is_shared() && repeat.event_id < self.begun;
        loop {
            let stored = self.ledger.receipt(&repeat.subject, &repeat.key).await?;
            if stored.is_some() || nobody_will || Instant::now() >= deadline {
                return Ok(stored);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stores the answer made now, unless one is stored already; returns the stored one.
    async fn settled(&self, repeat: Repeat, made: &Result<HashMap<Uuid, String>, ServiceError>) -> Result<String, ServiceError> {
        let Some(body) = made.as_ref().map_err(Clone::clone)?.get(&repeat.event_id) else {
            return Err(ServiceError::Conflict("this key's score was deleted with its leaderboard".into()));
        };
        Ok(self.ledger.settle_receipt(&repeat.subject, &repeat.key, repeat.event_id, body.clone()).await?)
    }

    /// Announces these events and makes their receipts; none for events whose leaderboards are all deleted. Announcing an event
    /// again changes nothing.
    async fn made_now(&self, events: Vec<Uuid>) -> Result<HashMap<Uuid, String>, ServiceError> {
        let (accepted, changes) = self.ledger.committed(events).await?;
        let mut told = self.announcer.apply(&changes).await;
        self.announcer.see_through(&changes, &mut told).await;
        let accepted: Vec<_> = accepted.iter().map(Some).collect();
        let places = places(&self.announcer, &accepted, told).await;
        let bodies = accepted.into_iter().flatten().zip(places);
        Ok(bodies.map(|(accepted, places)| (accepted.event_id, receipts::body(accepted, &places))).collect())
    }
}

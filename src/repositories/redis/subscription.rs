//! The one subscription connection of this instance, and the task that drains it. Created by `redis`, used by `redis::feed`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fred::{
    clients::SubscriberClient,
    error::Error,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{ClusterHash, CustomCommand, Message, Value, config::Options},
    util::redis_keyslot,
};
use parking_lot::Mutex;
use tokio::sync::{broadcast::error::RecvError, watch};

use super::{
    keys::{INSTALLATION, Keys},
    record,
};
use crate::repositories::feed::{FeedMessage, feed_sender::FeedSender};

/// How long the server may take to answer on this connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How soon a failed renewal of the subscriptions is retried.
const RENEW_AFTER: Duration = Duration::from_millis(200);

/// Shared by the feed and the draining task.
pub(in crate::repositories) struct Subscription {
    pub client: SubscriberClient,
    keys: Keys,
    /// The boards that are subscribed, or are being subscribed: the installation's own channel, and one entry for each watched
    /// board. Locked for single look-ups only.
    wanted: Mutex<BTreeSet<i64>>,
    /// How many times the subscriptions have been renewed; the first connection counts.
    renewals: watch::Sender<u64>,
    feed_sender: Arc<FeedSender>,
}

impl Subscription {
    pub fn new(client: SubscriberClient, keys: Keys, feed_sender: Arc<FeedSender>) -> Arc<Self> {
        let wanted = Mutex::new(BTreeSet::from([INSTALLATION]));
        Arc::new(Self { client, keys, wanted, renewals: watch::Sender::default(), feed_sender })
    }

    /// Waits for the first connection.
    pub async fn connected(&self) {
        let _ = self.renewals.subscribe().wait_for(|&renewals| renewals > 0).await;
    }

    /// Subscribes to a board. The board is added before the server is asked, so that a reconnection in between renews it as
    /// well.
    pub async fn add(&self, pk: i64) -> Result<(), Error> {
        let newly_wanted = self.wanted.lock().insert(pk);
        let subscribed = self.subscribe(vec![self.keys.channel(pk)]).await;
        if subscribed.is_err() && newly_wanted {
            self.wanted.lock().remove(&pk);
        }
        subscribed
    }

    /// Ends the subscription of a board. If the server cannot be reached, its messages keep coming until the connection ends,
    /// and the receiver ignores them.
    pub async fn remove(&self, pk: i64) {
        self.wanted.lock().remove(&pk);
        let told: Result<(), _> = self.client.with_options(&options()).unsubscribe(self.keys.channel(pk)).await;
        if let Err(error) = told {
            tracing::debug!(%error, pk, "a subscription could not be ended");
        }
    }

    /// Returns once the server has accepted the subscriptions. The client considers `SUBSCRIBE` done when it is written, and drops
    /// the server's confirmation; commands of one connection are answered in order, so the answer to a `PING` behind it serves as
    /// the confirmation.
    async fn subscribe(&self, channels: Vec<String>) -> Result<(), Error> {
        self.client.with_options(&options()).subscribe(channels).await?;
        self.ping().await
    }

    /// Switches to the channels of another installation, whose names the keys already have: `old` are the subscribed channels
    /// under the former names. If the server cannot be reached, a new connection does it.
    pub async fn move_from(&self, old: Vec<String>) {
        let left: Result<(), _> = self.client.with_options(&options()).unsubscribe(old).await;
        if left.is_err() || !self.renew().await {
            self.client.force_reconnection().await.ok();
        }
    }

    /// The channels to subscribe to.
    pub fn channels(&self) -> Vec<String> {
        self.wanted.lock().iter().map(|&pk| self.keys.channel(pk)).collect()
    }

    /// Pings the connection that carries the subscriptions: in a cluster, that is the node that the client's own name hashes
    /// to.
    pub async fn ping(&self) -> Result<(), Error> {
        let slot = redis_keyslot(self.client.id().as_bytes());
        let ping = CustomCommand::new_static("PING", ClusterHash::Custom(slot), false);
        let _: Value = self.client.with_options(&options()).custom(ping, Vec::<Value>::new()).await?;
        Ok(())
    }

    /// Delivers messages for as long as the client lives, starting with those that arrive from the moment of this call. A lag
    /// of the task, a message that cannot be parsed and a reconnection all mean that messages may be missing.
    pub fn drain(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        let (mut messages, mut connections) = (self.client.message_rx(), self.client.reconnect_rx());
        async move {
            let mut renewal_due = false;
            loop {
                tokio::select! {
                    biased;
                    connected = connections.recv() => match connected {
                        Err(RecvError::Closed) => return,
                        Ok(_) | Err(RecvError::Lagged(_)) => renewal_due = !self.renew().await,
                    },
                    () = tokio::time::sleep(RENEW_AFTER), if renewal_due => renewal_due = !self.renew().await,
                    message = messages.recv() => match message {
                        Err(RecvError::Closed) => return,
                        Err(RecvError::Lagged(_)) => self.feed_sender.deliver(FeedMessage::Lost),
                        Ok(message) => self.feed_sender.deliver(read(&message)),
                    },
                }
            }
        }
    }

    /// Renews all subscriptions on a new connection, then reports that messages were lost: in this order, so that a subscriber
    /// that fills the gap does not miss a later one. Returns whether that succeeded.
    async fn renew(&self) -> bool {
        let channels = self.channels();
        let boards = channels.len() > 1;
        match self.subscribe(channels).await {
            Ok(()) => {
                if boards {
                    self.feed_sender.deliver(FeedMessage::Lost);
                }
                self.renewals.send_modify(|renewals| *renewals += 1);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the subscriptions could not be renewed yet");
                false
            }
        }
    }
}

fn read(message: &Message) -> FeedMessage {
    let parsed = Keys::board_of(&message.channel)
        .zip(message.value.as_str())
        .and_then(|(pk, payload)| record::parse_message(pk, &payload));
    parsed.unwrap_or_else(|| {
        tracing::warn!(channel = %&*message.channel, "a message of the feed cannot be read");
        FeedMessage::Lost
    })
}

/// A command fails at once while there is no connection; queueing it would serve nothing.
fn options() -> Options {
    Options { fail_fast: true, max_attempts: Some(1), timeout: Some(ANSWER_WITHIN), ..Options::default() }
}

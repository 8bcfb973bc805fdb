//! Liveness checks: the client itself does not watch a connection that only listens, nor one whose packets vanish. Used only by
//! `redis`.

use std::{sync::Arc, time::Duration};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{ClientState, Value, config::Options},
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{CALL_WITHIN, subscription::Subscription};

/// How often the connections are pinged, and how many pings may go unanswered before a reconnection: the client itself does not
/// watch a connection that only listens, nor one whose packets vanish.
const WATCH_EVERY: Duration = Duration::from_secs(2);
const MISSES_ALLOWED: u32 = 2;

/// Reconnects a connection that is established but does not answer.
pub async fn watch(clients: [Client; 2], subscription: Arc<Subscription>) {
    let mut ticks = interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let [writer, reader] = &clients;
    let mut missed = [0; 3];
    loop {
        ticks.tick().await;
        let asked = (answers(writer.clone(), CALL_WITHIN), answers(reader.clone(), CALL_WITHIN), subscription.ping());
        let (writes, reads, listening) = tokio::join!(asked.0, asked.1, asked.2);
        revive(writer, writes, &mut missed[0]).await;
        revive(reader, reads, &mut missed[1]).await;
        revive(&subscription.client, listening.is_ok(), &mut missed[2]).await;
    }
}

/// Whether the server answers a ping in time.
pub async fn answers(client: Client, within: Duration) -> bool {
    let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(within), ..Options::default() };
    client.with_options(&options).ping::<Value>(None).await.is_ok()
}

/// Counts unanswered pings of a client that believes it is connected, and reconnects it after too many.
async fn revive<C: ClientLike>(client: &C, answered: bool, missed: &mut u32) {
    if answered || client.state() != ClientState::Connected {
        *missed = 0;
        return;
    }
    *missed += 1;
    if *missed >= MISSES_ALLOWED {
        *missed = 0;
        tracing::warn!(client = client.id(), "Redis does not answer: reconnecting");
        if timeout(WATCH_EVERY, client.force_reconnection()).await.is_err() {
            tracing::debug!(client = client.id(), "the reconnection is still in progress");
        }
    }
}

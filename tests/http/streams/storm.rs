//! Everybody comes back at once, as after a deploy or a cut of the network: served from memory, without a question to the ledger.

use std::sync::Arc;

use super::{Replay, post_batch};
use crate::{
    app::{Backend, TestApp},
    sse::Sse,
};

/// Everything in the ledger that a request could ask for.
const TABLES: &str = "leaderboards, actions, action_leaderboards, users, entries, score_events, idempotency_keys, outbox";
const CLIENTS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_reconnections_is_served_while_the_ledger_stands_still() {
    let app = Arc::new(TestApp::spawn(Backend::Shared).await);
    let mut first = Sse::open(&app, "/api/leaderboard/stream?limit=100").await;
    let begun = Replay::of(&first.expect("leaderboard").await).version;
    let last = post_batch(&app, 500, 20).await;
    let url = app.settings.storage.database_url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // Any statement waits until this connection ends.
    client.batch_execute(&format!("BEGIN; LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (app, begun, last) = (Arc::clone(&app), begun.clone(), last.clone());
            tokio::spawn(async move {
                match number % 4 {
                    0 => drop(Sse::open(&app, "/api/leaderboard/stream").await.expect("leaderboard").await),
                    1 => drop(Sse::open(&app, "/api/leaderboard/stream?view=top").await.expect("leaderboard").await),
                    2 => drop(
                        Sse::open(&app, &format!("/api/leaderboard/stream?view=user&userId=user-{number}"))
                            .await
                            .expect("standing")
                            .await,
                    ),
                    _ => {
                        let mut stream = Sse::resume(&app, "/api/leaderboard/stream", &begun).await;
                        let mut event = stream.expect("score-updated").await;
                        assert_eq!(event.data["since"], begun);
                        while event.id != last {
                            event = stream.expect("score-updated").await;
                        }
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    drop(client);
}

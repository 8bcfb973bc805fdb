//! Durable jobs: whatever dies, they are done.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    postgres::{execute, fresh_database, number},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

/// What a deleted leaderboard left is swept by an instance that was not there when it was deleted, from where the dead one had come to.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_finished_by_another_instance() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    let mut dying = Server::on(stores.clone()).await;
    dying.post_point("ann").await;
    let rows = async || number(&database, "SELECT count(*) FROM entries").await;
    assert_eq!(rows().await, 1);
    // Somebody else has it, or seems to: nobody touches it.
    let deleted = dying.request(Method::DELETE, "/api/leaderboards/main").send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    within(SOON, "it is swept", || async { rows().await == 0 }).await;
    within(SOON, "the job is over", || async {
        number(&database, "SELECT count(*) FROM jobs WHERE queue = 'sweep-leaderboard'").await == 0
    })
    .await;

    // One that died while it ran: its lease is still there, and its work half done.
    dying.kill();
    let left = "INSERT INTO entries (leaderboard_pk, season, user_id, score, sort_score, reached_at, revision) \
                SELECT 77, 1, 'user-' || n, 1, -1, 1, 1 FROM generate_series(1, 2500) n";
    execute(&database, left).await;
    let payload = json!({ "pk": 77, "sweptTo": uuid::Uuid::nil() });
    let note = "INSERT INTO jobs (queue, key, payload, noted_at, due_at, lease) VALUES ('sweep-leaderboard', '77', ";
    let lapses = "1, (extract(epoch FROM now())::bigint + 10) * 1000000, 4711)";
    execute(&database, &format!("{note} '{payload}', {lapses}")).await;
    let mut staying = Server::prepare(stores);
    staying.run().await;
    let state = |state: &str| format!("scoreboard_jobs{{queue=\"sweep-leaderboard\",state=\"{state}\"}}");
    within(SOON, "it is told of", || async { staying.metric(&state("running")).await >= 1 }).await;
    within(SOON, "it is taken over and finished", || async { rows().await == 0 }).await;
    within(SOON, "nothing is left", || async { staying.metric(&state("running")).await == 0 }).await;
    assert_eq!(number(&database, "SELECT count(*) FROM jobs WHERE dead").await, 0);
}

//! Rankings that nobody reads or feeds, and what `scoreboard verify` says of them.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::{
    postgres::{execute, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores, said, within},
};

const BOARDS: usize = 20;

async fn with_boards(redis: &RedisServer) -> (Server, String) {
    let database = fresh_database().await;
    let server = Server::on(Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) }).await;
    for board in 0..BOARDS {
        let made = server.request(Method::POST, "/api/leaderboards").json(&json!({ "id": format!("board-{board}") }));
        made.send().await.unwrap().error_for_status().unwrap();
    }
    let boards: Vec<_> = (0..BOARDS).map(|board| format!("board-{board}")).collect();
    for boards in boards.chunks(10) {
        let action = json!({ "id": boards[0], "points": 1, "leaderboards": boards });
        server.request(Method::POST, "/api/actions").json(&action).send().await.unwrap().error_for_status().unwrap();
        let score = json!({ "actionId": boards[0], "userId": "ann" });
        server.request(Method::POST, "/api/scores").json(&score).send().await.unwrap().error_for_status().unwrap();
    }
    (server, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn rankings_that_nobody_touches_are_back_within_half_a_minute() {
    let redis = RedisServer::start(&[]);
    let (server, _) = with_boards(&redis).await;
    assert_eq!(redis.command("FLUSHALL"), "+OK");
    let rebuilt = || async { server.metric("scoreboard_ranking_rebuilds_total").await };
    let before = rebuilt().await;
    within(Duration::from_secs(30), "all are rebuilt", || async { rebuilt().await - before > BOARDS as u64 }).await;
    let verified = server.command_beside(&["verify"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert!(said(&verified).contains("21 leaderboards verified"), "{}", said(&verified));
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_waits_for_what_is_being_rebuilt_and_tells_it_from_a_difference() {
    let redis = RedisServer::start(&[]);
    let (mut server, database) = with_boards(&redis).await;
    assert_eq!(redis.command("FLUSHALL"), "+OK");
    let verified = server.command_beside(&["verify"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));

    execute(&database, "UPDATE entries SET score = score + 1, sort_score = sort_score - 1 WHERE leaderboard_pk = 2").await;
    server.kill();
    let differs = server.command_beside(&["verify"]).await;
    assert_eq!(differs.status.code(), Some(1), "{}", said(&differs));
    execute(&database, "UPDATE entries SET score = score - 1, sort_score = sort_score + 1 WHERE leaderboard_pk = 2").await;

    // Nobody rebuilds it.
    assert_eq!(redis.command("FLUSHALL"), "+OK");
    let missing = server.command_beside(&["verify"]).await;
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));
    assert!(said(&missing).contains("21 rankings are still being rebuilt"), "{}", said(&missing));
}

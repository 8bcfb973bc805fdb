//! A ledger of a release that knew no fair play is taken over: its actions have no rules, and get some.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    postgres::fresh_database,
    previous::Database,
    redis_server::RedisServer,
    server::{Server, Stores},
};

async fn actions_get_rules(database: Database, stores: Stores) {
    let mut server = if stores.database_url.is_some() { Server::on(stores).await } else { Server::embedded().await };
    let database = match database {
        Database::Sqlite(_) => Database::Sqlite(server.directory.join("scoreboard.db").to_str().unwrap().to_owned()),
        postgres => postgres,
    };
    server.post_point("ann").await;
    server.kill();
    database.revert("2026-11-27-000020").await;
    server.run().await;
    let action = server.get("/api/actions/point").await;
    assert_eq!((&action["review"], &action["run"]), (&Value::Null, &Value::Null));
    server.post_point("ann").await;
    let rule = json!({ "review": { "gain": { "points": 2, "perSeconds": 3600 } } });
    let changed = server.request(Method::PATCH, "/api/actions/point").json(&rule).send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
    // Uses from before the rule are in the history alone: the gain begins with it.
    let mut receipts = Vec::new();
    for _ in 0..3 {
        receipts.push(server.post_point("ann").await);
    }
    assert_eq!(
        receipts.iter().map(|receipt| &receipt["review"]).collect::<Vec<_>>(),
        [&Value::Null, &Value::Null, &json!("pending")]
    );
    assert_eq!(server.get("/api/leaderboards/main/entries").await["entries"][0]["score"], 4);
    let approve = json!({ "verdicts": [{ "eventId": receipts[2]["eventId"], "verdict": "approve", "reason": "seen" }] });
    let judged = server.request(Method::POST, "/api/moderation/reviews").json(&approve).send().await.unwrap();
    let judged: Value = judged.json().await.unwrap();
    assert_eq!(judged["results"][0]["body"]["entries"][0]["score"], 5, "{judged}");
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_on_postgres_get_rules() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    actions_get_rules(Database::Postgres(database), stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_in_a_file_get_rules() {
    actions_get_rules(Database::Sqlite(String::new()), Stores::default()).await;
}

//! A ledger of a release that knew no fair play is taken over: its actions have no rules, and get some. One of a release that knew no names of
//! withheld scores is taken over with its open reviews.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    postgres::fresh_database,
    previous::Database,
    redis_server::RedisServer,
    server::{Server, Stores},
};

/// A server on a database of its own, and the database.
async fn on_postgres(redis: &RedisServer) -> (Server, Database) {
    let database = fresh_database().await;
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    (Server::on(stores).await, Database::Postgres(database))
}

/// A server on a file, and the file.
async fn on_a_file() -> (Server, Database) {
    let server = Server::embedded().await;
    let file = server.directory.join("scoreboard.db").to_str().unwrap().to_owned();
    (server, Database::Sqlite(file))
}

async fn actions_get_rules((mut server, database): (Server, Database)) {
    server.post_point("ann").await;
    server.kill();
    for migration in ["2026-11-28-000022", "2026-11-27-000020"] {
        database.revert(migration).await;
    }
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

async fn open_reviews_are_taken_over((mut server, database): (Server, Database)) {
    let rule = json!({ "review": { "above": 100 } });
    server.request(Method::PATCH, "/api/actions/value").json(&rule).send().await.unwrap().error_for_status().unwrap();
    let withheld = async |server: &Server, user: &str| -> Value {
        let score = json!({ "actionId": "value", "userId": user, "value": 500, "displayName": user.to_uppercase() });
        let answer = server.request(Method::POST, "/api/scores").json(&score).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    };
    let before = withheld(&server, "ann").await;
    server.kill();
    database.revert("2026-11-28-000022").await;
    server.run().await;
    let after = withheld(&server, "bob").await;
    let verdicts: Vec<_> = [before, after]
        .iter()
        .map(|receipt| json!({ "eventId": receipt["eventId"], "verdict": "approve", "reason": "seen" }))
        .collect();
    let judged = server.request(Method::POST, "/api/moderation/reviews").json(&json!({ "verdicts": verdicts })).send().await;
    judged.unwrap().error_for_status().unwrap();
    let window = server.get("/api/leaderboards/main/entries").await;
    let names: Vec<&Value> = window["entries"].as_array().unwrap().iter().map(|entry| &entry["displayName"]).collect();
    assert_eq!(names, [&json!("ann"), &json!("BOB")], "{window}");
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_on_postgres_get_rules() {
    let redis = RedisServer::start(&[]);
    actions_get_rules(on_postgres(&redis).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_in_a_file_get_rules() {
    actions_get_rules(on_a_file().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_reviews_on_postgres_are_taken_over() {
    let redis = RedisServer::start(&[]);
    open_reviews_are_taken_over(on_postgres(&redis).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_reviews_in_a_file_are_taken_over() {
    open_reviews_are_taken_over(on_a_file().await).await;
}

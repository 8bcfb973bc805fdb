//! `/readyz` while the ledger answers and takes no scores.

use std::time::Duration;

use diesel::{Connection, connection::SimpleConnection};
use reqwest::Method;
use serde_json::json;

use crate::{
    postgres::{PostgresServer, execute, fresh_database},
    server::{Server, Stores, within},
};

async fn status(server: &Server) -> u16 {
    server.anonymous(Method::GET, "/readyz").send().await.unwrap().status().as_u16()
}

async fn becomes(server: &Server, wanted: u16) {
    within(Duration::from_secs(10), &format!("/readyz says {wanted}"), || async { status(server).await == wanted }).await;
}

async fn post(server: &Server) -> u16 {
    let body = json!({ "actionId": "point", "userId": "ann" });
    server.request(Method::POST, "/api/scores").json(&body).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_ready_while_another_program_holds_sqlite_s_write_lock() {
    let server = Server::embedded().await;
    becomes(&server, 200).await;
    let file = server.directory.join("scoreboard.db");
    let mut other = diesel::SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE").unwrap();
    becomes(&server, 503).await;
    assert_eq!(post(&server).await, 503);
    assert_eq!(status(&server).await, 503);
    server.get("/api/leaderboard").await;
    other.batch_execute("ROLLBACK").unwrap();
    becomes(&server, 200).await;
    server.post_point("ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_ready_while_a_table_that_it_writes_is_locked() {
    let database_url = fresh_database().await;
    let server = Server::on(Stores { database_url: Some(database_url.clone()), redis_url: None }).await;
    becomes(&server, 200).await;
    let (other, connection) = tokio_postgres::connect(&database_url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for table in ["entries", "score_events", "outbox"] {
        other.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).await.unwrap();
        becomes(&server, 503).await;
        other.batch_execute("ROLLBACK").await.unwrap();
        becomes(&server, 200).await;
    }
    server.post_point("ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_ready_while_the_database_is_read_only() {
    let postgres = PostgresServer::start();
    let server = Server::on(Stores { database_url: Some(postgres.url()), redis_url: None }).await;
    becomes(&server, 200).await;
    execute(&postgres.url(), "ALTER SYSTEM SET default_transaction_read_only = on").await;
    execute(&postgres.url(), "SELECT pg_reload_conf()").await;
    becomes(&server, 503).await;
    assert_eq!(post(&server).await, 503);
    let writable = format!("{}?options=-c%20default_transaction_read_only%3Doff", postgres.url());
    execute(&writable, "ALTER SYSTEM RESET default_transaction_read_only").await;
    execute(&postgres.url(), "SELECT pg_reload_conf()").await;
    becomes(&server, 200).await;
    server.post_point("ann").await;
}

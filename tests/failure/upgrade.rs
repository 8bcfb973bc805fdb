//! A ledger of the previous release is taken over, with all that was going on in it, and that release goes on beside this one.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use scoreboard::domain::time::Clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    postgres::fresh_database,
    previous::{Database, Event, Key, optional, text},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(15);

/// What the previous release took for the identity of a submission.
fn fingerprint(action: &str, user: &str, value: Option<i64>) -> Vec<u8> {
    Sha256::digest(json!([action, user, value, null]).to_string()).to_vec()
}

/// A double that the previous release read with another last digit: as 121.48886955472555.
fn place() -> Value {
    json!({ "lat": 121.48886955472557 })
}

fn receipt_of(event: &Event) -> String {
    // Told by a ranking that is long gone: nobody could make it up again.
    format!(
        r#"{{"eventId":"{}","actionId":"{}","userId":"{}","leaderboardId":"main","applied":true,"delta":10,"newScore":{},"rank":7,"version":"abc-42","standings":[],"at":"then"}}"#,
        event.id, event.action, event.user, event.score
    )
}

struct Ledger {
    database: Database,
    /// Of the newest event.
    at: i64,
}

impl Ledger {
    /// The next event on `main`, where the action gives 10 points, or 1 for `daily`.
    fn event(&mut self, action: &'static str, user: &'static str, previous: Option<i64>, revision: i64) -> Event {
        self.at += 1_000;
        let score = previous.unwrap_or_default() + if action == "daily" { 1 } else { 10 };
        Event {
            id: Uuid::now_v7(),
            board: 1,
            leaderboard: "main",
            action,
            user,
            value: None,
            previous,
            score,
            sign: -1,
            revision,
            at: self.at,
            applied: true,
            limited: action == "daily",
        }
    }

    /// The next lap on `fast`, of which the shortest counts.
    fn lap(&mut self, user: &'static str, value: i64, best: Option<i64>, revision: i64) -> Event {
        let applied = best.is_none_or(|best| value < best);
        let score = if applied { value } else { best.unwrap_or(value) };
        let event = self.event("lap", user, best, revision);
        Event { board: 2, leaderboard: "fast", value: Some(value), score, sign: 1, applied, ..event }
    }

    async fn define(&self) {
        let (no, yes, at) = (self.database.boolean(false), self.database.boolean(true), self.at);
        for (id, order, operator) in [("main", "desc", "sum"), ("fast", "asc", "best")] {
            let row =
                format!("'{id}', '{id}', '', '{order}', '{operator}', 'points', 'public', NULL, 'UTC', {no}, 1, 1, {at}, {at}");
            self.database
                .execute(&format!(
                    "INSERT INTO leaderboards (id, name, description, sort_order, operator, unit, visibility, reset_schedule, timezone, \
                     frozen, season, revision, created_at, updated_at) VALUES ({row}); \
                     UPDATE installation SET leaderboards_made = leaderboards_made + 1, definitions_revision = definitions_revision + 1"
                ))
                .await;
        }
        let actions = [
            ("goal", "main", Some(10), None, 0),
            ("daily", "main", Some(1), None, 86_400),
            ("lap", "fast", None, Some((1, 1_000)), 0),
        ];
        for (id, leaderboard, points, range, cooldown) in actions {
            let (points, min, max) =
                (optional(points), optional(range.map(|range| range.0)), optional(range.map(|range| range.1)));
            self.database
                .execute(&format!(
                    "INSERT INTO actions (id, name, points, value_min, value_max, cooldown_seconds, limit_count, limit_per_seconds, \
                     self_service, enabled, created_at, updated_at) \
                     VALUES ('{id}', '{id}', {points}, {min}, {max}, {cooldown}, NULL, NULL, {no}, {yes}, {at}, {at}); \
                     INSERT INTO action_leaderboards (action_id, position, leaderboard_id) VALUES ('{id}', 0, '{leaderboard}')"
                ))
                .await;
        }
    }

    /// Commits by the previous release; answers the receipts that it gave under `first` and `where`, and the event of `died`, whose receipt
    /// was not stored any more.
    async fn fill(&mut self) -> ([String; 2], Uuid) {
        let key = |key, event: &Event| Key {
            key,
            fingerprint: fingerprint(event.action, event.user, event.value),
            event: event.id,
            at: event.at,
        };
        let first = self.event("goal", "ann", None, 1);
        self.database.commit(&["ann"], std::slice::from_ref(&first), &[key("first", &first)]).await;
        let receipt = receipt_of(&first);
        self.database.store_receipt("first", &receipt).await;
        let died = self.event("goal", "ann", Some(10), 2);
        let bob = self.event("goal", "bob", None, 1);
        let placed = Sha256::digest(json!(["goal", "bob", null, { "lat": 121.48886955472555 }]).to_string()).to_vec();
        let at_a_place = Key { fingerprint: placed, ..key("where", &bob) };
        self.database.commit(&["bob"], &[died.clone(), bob.clone()], &[key("died", &died), at_a_place]).await;
        let receipts = [receipt, receipt_of(&bob)];
        self.database.store_receipt("where", &receipts[1]).await;
        let daily = self.event("daily", "bob", Some(10), 2);
        self.database.commit(&[], &[daily], &[]).await;
        let laps = [self.lap("ann", 50, None, 1), self.lap("ann", 60, Some(50), 1)];
        for lap in laps {
            self.database.commit(&[], &[lap], &[]).await;
        }
        let profile = format!("UPDATE users SET display_name = 'Ada', revision = 1, updated_at = {} WHERE id = 'ann'", self.at);
        self.database.execute(&profile).await;
        let board = |pk, order| json!({ "pk": pk, "season": 1, "order": order });
        let renamed = json!({
            "kind": "rename", "boards": [board(1, "desc"), board(2, "asc")], "userId": "ann", "name": { "name": "Ada", "revision": 1 },
        });
        let owed = format!("INSERT INTO outbox (created_at, claimed_until, payload) VALUES ({}, 0, {})", self.at, text(renamed));
        self.database.execute(&owed).await;
        (receipts, died.id)
    }

    /// What it does beside commits.
    async fn keep_house(&self) {
        let (long_ago, claimed) = (self.at - 86_400_000_000, self.at + 5_000_000);
        let skip = if matches!(self.database, Database::Postgres(_)) { "FOR UPDATE SKIP LOCKED" } else { "" };
        for statement in [
            format!(
                "DELETE FROM idempotency_keys WHERE (subject, key) IN \
                 (SELECT subject, key FROM idempotency_keys WHERE created_at < {long_ago} ORDER BY created_at LIMIT 1000)"
            ),
            format!(
                "UPDATE outbox SET claimed_until = {claimed} WHERE id IN (SELECT id FROM outbox \
                 WHERE (created_at <= {0} OR created_at > {0}) AND (claimed_until <= {0} OR claimed_until > {0}) ORDER BY id LIMIT 32 {skip}) \
                 RETURNING id, payload",
                self.at
            ),
            "DELETE FROM outbox WHERE id = -1".to_owned(),
            format!("SELECT pk, swept_to FROM deleted_leaderboards ORDER BY pk LIMIT 1 {skip}"),
            "UPDATE leaderboards SET epoch = CASE WHEN epoch < 5 THEN 5 ELSE epoch + 1 END WHERE pk = -1 RETURNING epoch"
                .to_owned(),
            "UPDATE leaderboards SET name = 'Main', revision = revision + 1 WHERE pk = -1".to_owned(),
            format!(
                "INSERT INTO users (id, display_name, avatar_url, country, metadata, revision, created_at, updated_at) \
                 VALUES ('zoe', 'Zoe', NULL, NULL, '{{}}', 1, {0}, {0}) ON CONFLICT DO NOTHING",
                self.at
            ),
        ] {
            self.database.execute(&statement).await;
        }
    }
}

async fn submit(server: &Server, key: &str, body: Value) -> (StatusCode, bool, String) {
    let answer = server.request(Method::POST, "/api/scores").header("Idempotency-Key", key).json(&body).send().await.unwrap();
    let replayed = answer.headers().contains_key("idempotency-replayed");
    (answer.status(), replayed, answer.text().await.unwrap())
}

async fn scores(server: &Server, board: &str) -> Vec<(String, i64)> {
    let window = server.get(&format!("/api/leaderboards/{board}/entries")).await;
    let entries = window["entries"].as_array().unwrap().iter();
    entries.map(|entry| (entry["displayName"].as_str().unwrap().to_owned(), entry["score"].as_i64().unwrap())).collect()
}

fn named(scores: &[(&str, i64)]) -> Vec<(String, i64)> {
    scores.iter().map(|&(name, score)| (name.to_owned(), score)).collect()
}

async fn is_taken_over(database: Database, stores: Stores, mut server: Server) {
    let mut ledger = Ledger { database, at: Clock::system().now().0 - 3_600_000_000 };
    ledger.database.migrate().await;
    ledger.define().await;
    server.set("ACCOUNTS", "open");
    let ([receipt, placed], died) = ledger.fill().await;

    server.run().await;
    assert_eq!(scores(&server, "main").await, named(&[("Ada", 20), ("bob", 11)]));
    assert_eq!(scores(&server, "fast").await, named(&[("Ada", 50)]));
    server.assert_verified().await;
    let goal = || json!({ "actionId": "goal", "userId": "ann" });
    assert_eq!(submit(&server, "first", goal()).await, (StatusCode::OK, true, receipt.clone()));
    let at_a_place = json!({ "actionId": "goal", "userId": "bob", "metadata": place() });
    assert_eq!(submit(&server, "where", at_a_place).await, (StatusCode::OK, true, placed));
    let other = json!({ "actionId": "goal", "userId": "bob" });
    assert_eq!(submit(&server, "first", other).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _, body) = submit(&server, "died", goal()).await;
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()["eventId"].as_str()),
        (StatusCode::OK, Some(&*died.to_string()))
    );
    assert_eq!(submit(&server, "died", goal()).await, (StatusCode::OK, true, body), "and the same from now on");
    let daily = |user: &str| json!({ "actionId": "daily", "userId": user });
    assert_eq!(submit(&server, "too-soon", daily("bob")).await.0, StatusCode::TOO_MANY_REQUESTS);
    let history = server.get("/api/users/ann/scores").await;
    assert_eq!(history["scores"].as_array().unwrap().len(), 4);

    // The previous release goes on beside it, or comes back.
    let alone = stores.database_url.is_none();
    if alone {
        server.kill();
    }
    let late = ledger.event("goal", "cid", None, 1);
    let key = Key { key: "late", fingerprint: fingerprint("goal", "cid", None), event: late.id, at: late.at };
    ledger.database.commit(&["cid"], std::slice::from_ref(&late), &[key]).await;
    ledger.database.store_receipt("late", &receipt_of(&late)).await;
    let (again, used) = (ledger.event("goal", "ann", Some(20), 3), ledger.event("daily", "cid", Some(10), 2));
    ledger.database.commit(&[], &[again, used], &[]).await;
    ledger.keep_house().await;
    if alone {
        server.run().await;
    }
    let all = named(&[("Ada", 30), ("bob", 11), ("cid", 11)]);
    within(SOON, "what it committed is announced", || async { scores(&server, "main").await == all }).await;
    // The previous release says nothing of it: all users are gone through.
    let found = || async { server.get("/api/leaderboards/main/search?name=aD").await["entries"][0]["displayName"] == "Ada" };
    within(SOON, "users are found by names that it gave", found).await;
    let late = submit(&server, "late", json!({ "actionId": "goal", "userId": "cid" })).await;
    assert_eq!((late.0, late.1, late.2.contains("abc-42")), (StatusCode::OK, true, true), "{late:?}");
    assert_eq!(submit(&server, "first", goal()).await, (StatusCode::OK, true, receipt));
    assert_eq!(submit(&server, "also-too-soon", daily("cid")).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(submit(&server, "fresh", goal()).await.0, StatusCode::OK);
    server.assert_verified().await;

    // Whoever had scores before there were accounts still has them, and whoever signs up is somebody new.
    let guest: Value =
        server.anonymous(Method::POST, "/api/auth/guest").json(&json!({})).send().await.unwrap().json().await.unwrap();
    let id = guest["userId"].as_str().unwrap_or_else(|| panic!("{guest}"));
    assert!(id.starts_with("p-") && scores(&server, "main").await.len() == 3, "{guest}");

    // What it holds is a first season, which ends like any other.
    let season = |path: &str| format!("/api/leaderboards/main/seasons{path}");
    let first = server.get(&season("/current")).await;
    let created = server.get("/api/leaderboards/main").await["createdAt"].clone();
    assert_eq!((&first["season"], &first["cause"], &first["startsAt"]), (&json!(1), &json!("created"), &created));
    let ended = server.request(Method::POST, &season("")).json(&json!({ "ends": 1 })).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::CREATED);
    within(SOON, "it is archived", || async { server.get(&season("/1")).await["state"] == "final" }).await;
    let window = server.get("/api/leaderboards/main/entries?season=1").await;
    assert_eq!(window["entries"][0]["score"], 40);
    server.assert_verified().await;
}

/// The ledger of a release that knew removals and no decisions: what was removed no longer counts.
async fn removals_are_taken_over(database: Database, stores: Stores) {
    let mut server = if stores.database_url.is_some() { Server::on(stores).await } else { Server::embedded().await };
    let database = match database {
        Database::Sqlite(_) => Database::Sqlite(server.directory.join("scoreboard.db").to_str().unwrap().to_owned()),
        postgres => postgres,
    };
    for user in ["ann", "ann", "bob"] {
        server.post_point(user).await;
    }
    let removed = server.request(Method::DELETE, "/api/leaderboards/main/entries/ann").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let kept = server.post_point("ann").await;
    server.kill();
    database.revert("2026-11-27-000017").await;
    server.run().await;
    let history = server.get("/api/users/ann/scores").await;
    let counting: Vec<_> = history["scores"].as_array().unwrap().iter().map(|score| &score["eventId"]).collect();
    assert_eq!(counting, [&kept["eventId"]], "what was removed is withheld");
    assert_eq!(scores(&server, "main").await, named(&[("bob", 1), ("ann", 1)]));
    let void = json!({ "decisions": [{ "type": "void", "eventIds": [kept["eventId"]], "reason": "again" }] });
    let decided = server.request(Method::POST, "/api/moderation/decisions").json(&void).send().await.unwrap();
    let decided: Value = decided.json().await.unwrap();
    assert_eq!(decided["results"][0]["body"]["entries"][0]["score"], json!(null), "{decided}");
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_on_postgres_are_taken_over() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    removals_are_taken_over(Database::Postgres(database), stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_in_a_file_are_taken_over() {
    removals_are_taken_over(Database::Sqlite(String::new()), Stores::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_previous_release_on_postgres_is_taken_over() {
    let (redis, database) = (RedisServer::start(&[]), fresh_database().await);
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    let server = Server::prepare(stores.clone());
    is_taken_over(Database::Postgres(database), stores, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_previous_release_in_a_file_is_taken_over() {
    let server = Server::prepare(Stores::default());
    let file = server.directory.join("scoreboard.db").to_str().unwrap().to_owned();
    is_taken_over(Database::Sqlite(file), Stores::default(), server).await;
}

//! The previous release, as far as the database sees it: its schema, and the statements by which it writes, word for word.

use std::{fmt::Display, path::Path};

use diesel::{Connection, connection::SimpleConnection};
use uuid::Uuid;

use crate::postgres::execute;

/// Its last migration.
const LAST: &str = "2026-11-21-000004";

/// Where it kept its data.
pub enum Database {
    Postgres(String),
    /// The path of the file.
    Sqlite(String),
}

/// An accepted submission on one leaderboard, and what it made of the entry.
#[derive(Clone)]
pub struct Event {
    pub id: Uuid,
    pub board: i64,
    pub leaderboard: &'static str,
    pub action: &'static str,
    pub user: &'static str,
    pub value: Option<i64>,
    pub previous: Option<i64>,
    pub score: i64,
    /// Which score ranks before a smaller one: −1 where the greater is better.
    pub sign: i64,
    pub revision: i64,
    pub at: i64,
    pub applied: bool,
    pub limited: bool,
}

/// An idempotency key of the subject `game`.
pub struct Key {
    pub key: &'static str,
    pub fingerprint: Vec<u8>,
    pub event: Uuid,
    pub at: i64,
}

/// Puts literals in the place of a statement's question marks.
fn bound(sql: &str, values: &[String]) -> String {
    let mut pieces = sql.split('?');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for piece in pieces {
        text += values.next().expect("a value for each question mark");
        text += piece;
    }
    assert!(values.next().is_none(), "{sql}");
    text
}

pub fn text(text: impl Display) -> String {
    format!("'{}'", text.to_string().replace('\'', "''"))
}

pub fn optional<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

impl Database {
    /// Runs statements.
    pub async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(url) => execute(url, sql).await,
            Self::Sqlite(path) => {
                let mut connection = diesel::SqliteConnection::establish(path).unwrap();
                connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
                connection.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
        }
    }

    /// Brings an empty database to the schema of the previous release, as its migrations did.
    pub async fn migrate(&self) {
        let engine = if matches!(self, Self::Postgres(_)) { "postgres" } else { "sqlite" };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let mut migrations: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        migrations.sort();
        self.execute(
            "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
             run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        )
        .await;
        for migration in migrations.iter().map(|name| name.to_str().unwrap()).filter(|name| name[..LAST.len()] <= *LAST) {
            self.execute(&std::fs::read_to_string(folder.join(migration).join("up.sql")).unwrap()).await;
            let version = migration.split('_').next().unwrap().replace('-', "");
            self.execute(&format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}')")).await;
        }
    }

    /// Takes the migration back whose name begins so: as if it had not been made yet.
    pub async fn revert(&self, migration: &str) {
        let engine = if matches!(self, Self::Postgres(_)) { "postgres" } else { "sqlite" };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let named = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let path = named.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(migration)).unwrap();
        self.execute(&std::fs::read_to_string(path.join("down.sql")).unwrap()).await;
        let version = migration.replace('-', "");
        self.execute(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'")).await;
    }

    pub fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Postgres(_) => format!("'\\x{hex}'::bytea"),
            Self::Sqlite(_) => format!("X'{hex}'"),
        }
    }

    pub fn boolean(&self, value: bool) -> String {
        match self {
            Self::Postgres(_) => value.to_string(),
            Self::Sqlite(_) => i64::from(value).to_string(),
        }
    }

    /// One commit: submissions of users with, or without, an entry.
    pub async fn commit(&self, newcomers: &[&str], events: &[Event], keys: &[Key]) {
        let statements = match self {
            Self::Postgres(_) => self.commit_on_postgres(newcomers, events, keys),
            Self::Sqlite(_) => self.commit_on_sqlite(newcomers, events, keys),
        };
        self.execute(&format!("BEGIN; {}; COMMIT", statements.join("; "))).await;
    }

    /// The answer that it gave under a key.
    pub async fn store_receipt(&self, key: &str, body: &str) {
        let statement = match self {
            Self::Postgres(_) => bound(
                "UPDATE idempotency_keys k SET receipt = n.body FROM unnest(?, ?, ?) AS n(subject, key, body) \
                 WHERE k.subject = n.subject AND k.key = n.key AND k.receipt IS NULL",
                &[array("text", [text("game")]), array("text", [text(key)]), array("text", [text(body)])],
            ),
            Self::Sqlite(_) => bound(
                "UPDATE idempotency_keys SET receipt = coalesce(receipt, ?) WHERE subject = ? AND key = ? RETURNING receipt",
                &[text(body), text("game"), text(key)],
            ),
        };
        self.execute(&statement).await;
    }

    fn commit_on_postgres(&self, newcomers: &[&str], events: &[Event], keys: &[Key]) -> Vec<String> {
        let now = events[0].at.to_string();
        let applied = |first: bool| events.iter().filter(move |event| event.applied && (event.revision == 1) == first);
        let entries = |first: bool| {
            let column = |of: fn(&Event) -> i64| array("bigint", applied(first).map(|event| of(event).to_string()));
            let columns = [
                column(|event| event.score),
                column(|event| event.sign * event.score),
                column(|event| event.at),
                column(|event| event.revision),
                column(|event| event.board),
                column(|_| 1),
            ];
            let users = array("text", applied(first).map(|event| text(event.user)));
            (columns.into_iter().chain([users]).collect::<Vec<_>>(), column(|event| event.revision - 1))
        };
        let ((updated, before), (added, _)) = (entries(false), entries(true));
        let of_events = |kind: &str, of: &dyn Fn(&Event) -> String| array(kind, events.iter().map(of));
        let history = [
            of_events("bytea", &|event| self.bytes(event.id.as_bytes())),
            of_events("bigint", &|_| "0".to_owned()),
            of_events("bigint", &|event| event.board.to_string()),
            of_events("bigint", &|_| "1".to_owned()),
            of_events("bigint", &|event| optional(event.value)),
            of_events("bigint", &|event| event.delta().to_string()),
            of_events("bigint", &|event| optional(event.previous)),
            of_events("bigint", &|event| event.score.to_string()),
            of_events("bigint", &|event| event.revision.to_string()),
            of_events("bigint", &|event| event.at.to_string()),
            of_events("boolean", &|event| event.applied.to_string()),
            of_events("boolean", &|event| event.limited.to_string()),
            of_events("text", &|event| text(event.user)),
            of_events("text", &|event| text(event.leaderboard)),
            of_events("text", &|event| text(event.action)),
            of_events("text", &|_| text("game")),
            of_events("text", &|_| "NULL".to_owned()),
        ];
        let owed = [now.clone(), array("text", [text(owed(events))])];
        let of_keys = |kind: &str, of: &dyn Fn(&Key) -> String| array(kind, keys.iter().map(of));
        let used = [
            of_keys("text", &|_| text("game")),
            of_keys("text", &|key| text(key.key)),
            of_keys("bytea", &|key| self.bytes(&key.fingerprint)),
            of_keys("bytea", &|key| self.bytes(key.event.as_bytes())),
            of_keys("bigint", &|key| key.at.to_string()),
        ];
        let users = [now.clone(), now, array("text", newcomers.iter().map(text))];
        vec![
            bound(
                "INSERT INTO users (id, revision, created_at, updated_at) SELECT n.id, 0, ?, ? FROM unnest(?) WITH ORDINALITY AS n(id, turn) \
                 ORDER BY n.turn ON CONFLICT (id) DO NOTHING",
                &users,
            ),
            bound(WRITE_BATCH, &[updated, vec![before], history.to_vec(), owed.to_vec()].concat()),
            bound(
                "INSERT INTO entries (score, sort_score, reached_at, revision, leaderboard_pk, season, user_id) \
                 SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?) ON CONFLICT (leaderboard_pk, season, user_id) DO NOTHING",
                &added,
            ),
            bound(
                "INSERT INTO idempotency_keys (subject, key, fingerprint, event_id, created_at) SELECT * FROM unnest(?, ?, ?, ?, ?) \
                 ON CONFLICT (subject, key) DO NOTHING",
                &used,
            ),
        ]
    }

    fn commit_on_sqlite(&self, newcomers: &[&str], events: &[Event], keys: &[Key]) -> Vec<String> {
        let now = events[0].at.to_string();
        let users = newcomers.iter().map(|user| {
            let row = [text(user), now.clone(), now.clone()];
            bound("INSERT INTO users (id, revision, created_at, updated_at) VALUES (?, 0, ?, ?)", &row)
        });
        let entries = events.iter().filter(|event| event.applied).map(|event| {
            let numbers = [event.score, event.sign * event.score, event.at, event.revision].map(|number| number.to_string());
            let row = [vec![event.board.to_string(), "1".to_owned(), text(event.user)], numbers.to_vec()].concat();
            bound(PUT_ENTRY, &row)
        });
        let history = events.iter().map(|event| bound(ADD_EVENT, &self.history_row(event)));
        let used = keys.iter().map(|key| {
            let row =
                [text("game"), text(key.key), self.bytes(&key.fingerprint), self.bytes(key.event.as_bytes()), key.at.to_string()];
            bound("INSERT INTO idempotency_keys (subject, key, fingerprint, event_id, created_at) VALUES (?, ?, ?, ?, ?)", &row)
        });
        let owed = bound(
            "INSERT INTO outbox (created_at, claimed_until, payload) VALUES (?, 0, ?) RETURNING id",
            &[now.clone(), text(owed(events))],
        );
        users.chain(entries).chain(history).chain(used).chain([owed]).collect()
    }

    fn history_row(&self, event: &Event) -> Vec<String> {
        vec![
            self.bytes(event.id.as_bytes()),
            "0".to_owned(),
            event.board.to_string(),
            "1".to_owned(),
            optional(event.value),
            event.delta().to_string(),
            optional(event.previous),
            event.score.to_string(),
            event.revision.to_string(),
            event.at.to_string(),
            self.boolean(event.applied),
            self.boolean(event.limited),
            text(event.user),
            text(event.leaderboard),
            text(event.action),
            text("game"),
            "NULL".to_owned(),
        ]
    }
}

impl Event {
    fn delta(&self) -> i64 {
        self.score - self.previous.unwrap_or_default()
    }
}

/// The outbox row of a commit.
fn owed(events: &[Event]) -> String {
    let ids: Vec<_> = events.iter().filter(|event| event.applied).map(|event| event.id).collect();
    serde_json::json!({ "kind": "events", "ids": ids }).to_string()
}

fn array(kind: &str, values: impl IntoIterator<Item = String>) -> String {
    format!("ARRAY[{}]::{kind}[]", values.into_iter().collect::<Vec<_>>().join(", "))
}

const WRITE_BATCH: &str = "WITH updated AS (\
    UPDATE entries e SET score = n.score, sort_score = n.sort_score, reached_at = n.reached_at, revision = n.revision \
    FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) AS n(score, sort_score, reached_at, revision, board, season, id, before) \
    WHERE e.leaderboard_pk = n.board AND e.season = n.season AND e.user_id = n.id AND e.revision = n.before RETURNING 1), \
  told AS (\
    INSERT INTO score_events (event_id, position, leaderboard_pk, season, value, delta, previous_score, new_score, revision, at, \
    applied, limited, user_id, leaderboard_id, action_id, subject, metadata) \
    SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)), \
  owed AS (\
    INSERT INTO outbox (created_at, claimed_until, payload) SELECT ?, 0, n.payload FROM unnest(?) AS n(payload) RETURNING id) \
  SELECT (SELECT count(*) FROM updated), (SELECT id FROM owed)";

const PUT_ENTRY: &str = "INSERT INTO entries (leaderboard_pk, season, user_id, score, sort_score, reached_at, revision) VALUES (?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (leaderboard_pk, season, user_id) DO UPDATE SET \
     score = excluded.score, sort_score = excluded.sort_score, reached_at = excluded.reached_at, revision = excluded.revision";

const ADD_EVENT: &str = "INSERT INTO score_events (event_id, position, leaderboard_pk, season, value, delta, previous_score, new_score, revision, at, \
     applied, limited, user_id, leaderboard_id, action_id, subject, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

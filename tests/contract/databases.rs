//! A database of its own for every test, on either engine.
//!
//! PostgreSQL is the one that `TEST_DATABASE_URL` names (`make test` starts one). Its databases sort text by a language's rules, as
//! many in the field do: what has to be ordered bytewise proves that it is.

use std::{env, path::PathBuf};

use diesel::{Connection, connection::SimpleConnection};
use scoreboard::repositories::ledger::{Ledger, LedgerSettings};
use uuid::Uuid;

/// An empty database, dropped with this value.
pub struct Database {
    pub url: String,
    /// Where it is to be removed from: the server's own URL, or a directory.
    home: Home,
}

enum Home {
    Server { url: String, name: String },
    Directory(PathBuf),
}

impl Database {
    /// A database on the test server.
    pub async fn postgres() -> Self {
        let server = env::var("TEST_DATABASE_URL")
            .expect("TEST_DATABASE_URL does not name a PostgreSQL server to test on: run the tests by `make test`");
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute_on_postgres(
            &server,
            &format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
            ),
        )
        .await;
        let mut url = url::Url::parse(&server).expect("TEST_DATABASE_URL is a URL");
        url.set_path(&name);
        Self { url: url.into(), home: Home::Server { url: server, name } }
    }

    /// A file in a directory of its own, which is still to be made.
    pub async fn sqlite() -> Self {
        let directory = env::temp_dir().join(format!("scoreboard-{}", Uuid::new_v4().simple()));
        let file = directory.join("data").join("ledger.db");
        Self { url: format!("sqlite://{}", file.display()), home: Home::Directory(directory) }
    }

    /// Another handle on this database, with connections of its own, as another process would have.
    pub async fn connect(&self) -> Ledger {
        let settings = LedgerSettings { exclusive: false, ..LedgerSettings::new(&self.url) };
        Ledger::connect(&settings).await.expect("the test database answers")
    }

    /// A handle on this database once it is migrated.
    pub async fn ledger(&self) -> Ledger {
        let ledger = self.connect().await;
        ledger.migrate().await.expect("the migrations run");
        ledger
    }

    /// A copy of this database on PostgreSQL, made from it as from a template. Whoever is connected to it is cut off.
    pub async fn copied(&self) -> Self {
        let Home::Server { url: server, name } = &self.home else { panic!("a file is copied by other means") };
        let copy = format!("test_{}", Uuid::new_v4().simple());
        for allowed in [false, true] {
            execute_on_postgres(server, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")).await;
            if !allowed {
                let others = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
                execute_on_postgres(server, &others).await;
                execute_on_postgres(server, &format!("CREATE DATABASE {copy} TEMPLATE {name}")).await;
            }
        }
        let mut url = url::Url::parse(server).expect("TEST_DATABASE_URL is a URL");
        url.set_path(&copy);
        Self { url: url.into(), home: Home::Server { url: server.clone(), name: copy } }
    }

    /// Runs statements behind the ledger's back.
    pub async fn execute(&self, sql: &str) {
        match &self.home {
            Home::Server { .. } => execute_on_postgres(&self.url, sql).await,
            Home::Directory(_) => {
                let path = self.url.strip_prefix("sqlite://").expect("a file's URL");
                let mut connection = diesel::SqliteConnection::establish(path).expect("the file opens");
                connection.batch_execute("PRAGMA busy_timeout = 5000").expect("a pragma");
                connection.batch_execute(sql).expect("the statement runs");
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match &self.home {
            Home::Directory(directory) => {
                let _ = std::fs::remove_dir_all(directory);
            }
            Home::Server { url, name } => {
                let (url, sql) = (url.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                // A test's runtime may be on its way out: a thread brings its own.
                let dropping = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                    runtime.block_on(execute_on_postgres(&url, &sql));
                });
                let _ = dropping.join();
            }
        }
    }
}

async fn execute_on_postgres(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the test server answers");
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    drop(client);
    let _ = driver.await;
}

//! The disk that the ledger lies on is full: it is the disk's fault and nobody else's, and all is taken once there is room again.
//!
//! The disk is a small file system in memory, which takes root, or `sudo` without a password, to mount. Where neither is to be had, the
//! files of PostgreSQL may not grow instead.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    postgres::{PostgresServer, execute},
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);
/// Good scores in a batch.
const SCORES: usize = 200;
/// PostgreSQL's log comes in files of this size, so a table has to be allowed to be as large.
const LARGEST_FILE: u64 = 1024 * 1024;

fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// As root, where this process is not.
fn as_root(words: &[&str]) -> bool {
    succeeds(words) || succeeds(&[&["sudo", "-n"], words].concat())
}

/// Unmounted when it goes out of scope.
struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Of so many megabytes; `None`, said aloud, where nothing can be mounted.
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("scoreboard-disk-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let (options, path) = (format!("size={megabytes}m,mode=0777"), directory.to_str().unwrap().to_owned());
        if as_root(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", &path]) {
            return Some(Self { directory });
        }
        std::fs::remove_dir_all(&directory).ok();
        eprintln!("NO DISK CAN BE MOUNTED HERE: tests of a full disk need root, and make do with less");
        None
    }

    /// To the last byte.
    fn fill(&self) {
        let mut filler = File::create(self.directory.join("filler")).unwrap();
        for piece in [1 << 20, 4096, 1] {
            let piece = vec![0; piece];
            while filler.write_all(&piece).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.directory.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root(&["umount", "-l", self.directory.to_str().unwrap()]);
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// What keeps the database from growing.
enum Full<'a> {
    Disk(&'a SmallDisk),
    /// The processes of this server.
    Files(&'a PostgresServer),
}

impl Full<'_> {
    fn begin(&self) {
        match self {
            Self::Disk(disk) => disk.fill(),
            Self::Files(server) => server.limit_files(Some(LARGEST_FILE)),
        }
    }

    fn end(&self) {
        match self {
            Self::Disk(disk) => disk.empty(),
            Self::Files(server) => server.limit_files(None),
        }
    }
}

async fn submit(server: &Server) -> Vec<Value> {
    let note = "n".repeat(300);
    let score = |number: usize| {
        let key = format!("key-{number}");
        json!({ "actionId": "value", "userId": format!("user-{number}"), "value": 5, "metadata": { "note": note }, "idempotencyKey": key })
    };
    // Key 0 was used before; it is in the midst of the others.
    let mut submissions: Vec<_> = (1..=SCORES).map(score).collect();
    submissions.insert(SCORES / 2, score(0));
    let body = json!({ "submissions": submissions });
    let answer = server.request(Method::POST, "/api/scores/batch").json(&body).send().await.unwrap();
    let status = answer.status();
    let answer: Value = answer.json().await.unwrap();
    match answer["results"].as_array() {
        Some(results) => results.clone(),
        None => vec![json!({ "status": status.as_u16() }); SCORES + 1],
    }
}

async fn readiness(server: &Server) -> StatusCode {
    server.anonymous(Method::GET, "/readyz").send().await.unwrap().status()
}

/// `none_fits`: not even a single row finds room any more, in any table.
async fn waits_for_room(server: &Server, full: Full<'_>, none_fits: bool) {
    let body = json!({ "actionId": "value", "userId": "user-0", "value": 5, "metadata": { "note": "n".repeat(300) } });
    let first = server.request(Method::POST, "/api/scores").header("Idempotency-Key", "key-0").json(&body).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let receipt: Value = first.json().await.unwrap();
    full.begin();
    for _ in 0..3 {
        let results = submit(server).await;
        for (index, result) in results.iter().enumerate().filter(|(index, _)| *index != SCORES / 2) {
            assert_eq!(result["status"], 503, "number {index}: {result}");
        }
        assert!(results[SCORES / 2]["status"] == 503 || results[SCORES / 2]["body"] == receipt, "{}", results[SCORES / 2]);
    }
    if none_fits {
        assert_eq!(readiness(server).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(server.get("/api/leaderboard").await["total"], 1, "reads go on");
    full.end();
    within(SOON, "all are taken", || async { submit(server).await.iter().all(|result| result["status"] == 200) }).await;
    assert_eq!(submit(server).await[SCORES / 2]["body"], receipt);
    within(SOON, "it is ready again", || async { readiness(server).await == StatusCode::OK }).await;
    let window = server.get("/api/leaderboards/main/entries?limit=1000").await;
    assert_eq!(window["total"], SCORES + 1);
    assert!(window["entries"].as_array().unwrap().iter().all(|entry| entry["score"] == 5), "each once");
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tablespace_of_postgres_refuses_good_scores_for_a_while_and_none_for_good() {
    // In this order: the server stops before its disk is taken away.
    let disk = SmallDisk::mount(40);
    let postgres = PostgresServer::start_with(&["--wal-segsize=1"]);
    let database_url = match &disk {
        Some(disk) => {
            let space = disk.directory.join("space");
            postgres.make_space(&space);
            let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
            execute(&postgres.url(), &tablespace).await;
            execute(&postgres.url(), "CREATE DATABASE small TABLESPACE small").await;
            format!("{}/small", postgres.url().trim_end_matches("/postgres"))
        }
        None => postgres.url(),
    };
    let server = Server::on(Stores { database_url: Some(database_url.clone()), redis_url: None }).await;
    if disk.is_none() {
        // The history is as large as a file may be, and without room between its rows. Nobody looks at that leaderboard.
        let filler = "INSERT INTO score_events SELECT decode(md5(n::text), 'hex'), 0, -1, 1, 1, 1, NULL, 1, 1, 0, true, \
                      'nobody', 'none', 'none', 'none', repeat('x', 200), false FROM generate_series(1, 8000) AS n";
        execute(&database_url, filler).await;
        execute(&database_url, "CHECKPOINT").await;
    }
    let full = disk.as_ref().map_or(Full::Files(&postgres), Full::Disk);
    waits_for_room(&server, full, disk.is_some()).await;
}

/// Where nothing can be mounted this says so: a process whose files may not grow is ended by the kernel.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_sqlite_refuses_good_scores_for_a_while_and_none_for_good() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let mut server = Server::prepare(Stores::default());
    server.set("DATA_DIR", disk.directory.to_str().unwrap());
    let server = server.with_actions().await;
    // SQLite writes the next commit over what it had of the last one.
    waits_for_room(&server, Full::Disk(&disk), false).await;
}

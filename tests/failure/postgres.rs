//! Postgres for the tests: a new database on the common server, or a server of a test's own that can be stopped.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::ports::free_port;

/// A new, empty database on the server at `TEST_DATABASE_URL`.
pub async fn fresh_database() -> String {
    let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL is set by `make test`");
    let name = format!("failure_{}", uuid::Uuid::new_v4().simple());
    execute(&url, &format!("CREATE DATABASE {name}")).await;
    format!("{}/{name}", url.rsplit_once('/').expect("the URL names a database").0)
}

/// Runs statements.
pub async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("Postgres answers");
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}

/// The number that a query answers.
pub async fn number(url: &str, sql: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("Postgres answers");
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Stopped, and its files removed, when it goes out of scope.
pub struct PostgresServer {
    pub port: u16,
    directory: PathBuf,
}

impl PostgresServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further options of `initdb`.
    pub fn start_with(options: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("scoreboard-pg-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let port = free_port();
        if is_root() {
            assert!(Command::new("chown").args([owner(), directory.to_str().unwrap()]).status().unwrap().success());
        }
        let server = Self { port, directory };
        let locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"];
        server.program("initdb", &[&["--username=postgres", "--auth=trust"][..], &locale, options].concat());
        server.run();
        server
    }

    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The URL by way of another port, where a network is in between.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// Starts the server and waits until it takes connections.
    pub fn run(&self) {
        let options = format!("-p {} -k {} -c listen_addresses=127.0.0.1", self.port, self.directory.display());
        let log = self.directory.join("log");
        self.program("pg_ctl", &["start", "-w", "-l", log.to_str().unwrap(), "-o", &options]);
    }

    /// Stops it as a crash would: connections are cut, and the next start recovers from the log.
    pub fn crash(&self) {
        self.program("pg_ctl", &["stop", "-m", "immediate"]);
    }

    /// A copy of its files, as a snapshot of the disk is. It has to be stopped.
    pub fn back_up(&self) {
        self.copy("data", "backup");
    }

    /// The files become what they were. It has to be stopped.
    pub fn restore(&self) {
        self.copy("backup", "data");
    }

    /// Another server on a copy of its files. It has to be stopped.
    pub fn copied(&self) -> Self {
        let copy = Self { port: free_port(), directory: self.directory.with_extension("copy") };
        assert!(Command::new("cp").arg("-a").args([&self.directory, &copy.directory]).status().unwrap().success());
        copy
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.directory.join(from), self.directory.join(to));
        std::fs::remove_dir_all(&to).ok();
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }

    /// Makes a directory for a tablespace.
    pub fn make_space(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg(owner()).arg(directory).status().unwrap().success());
        }
    }

    /// From now on its processes cannot make a file grow past so many bytes, or can again.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let pids = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let postmaster = pids.lines().next().unwrap().trim().to_owned();
        // The first one passes it on to those that it starts from now on.
        let mut children = Command::new("pgrep");
        let children = children.args(["-P", &postmaster]).output().unwrap().stdout;
        for pid in String::from_utf8(children).unwrap().lines().chain([&*postmaster]) {
            let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
            let mut command = as_owner(Path::new("prlimit"));
            assert!(command.args(["--pid", pid, &format!("--fsize={limit}:")]).status().unwrap().success());
        }
    }

    fn program(&self, name: &str, words: &[&str]) {
        let mut command = self.prepare(name);
        let status = command.args(words).status().unwrap();
        assert!(status.success(), "{name} {words:?}: {status}");
    }

    fn prepare(&self, name: &str) -> Command {
        let bin = std::env::var("TEST_POSTGRES_BIN").expect("TEST_POSTGRES_BIN is set by `make test`");
        let mut command = as_owner(&Path::new(&bin).join(name));
        command.arg("-D").arg(self.directory.join("data")).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.prepare("pg_ctl").args(["stop", "-m", "immediate"]).status().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Postgres refuses to run as root.
fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let group = String::from_utf8(Command::new("id").args(["-g", owner()]).output().unwrap().stdout).unwrap();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={}", owner()), format!("--regid={}", group.trim()), "--clear-groups".to_owned()]);
    command.arg(program);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn owner() -> &'static str {
    let known = Command::new("id").arg("postgres").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if known.is_ok_and(|status| status.success()) { "postgres" } else { "nobody" }
}

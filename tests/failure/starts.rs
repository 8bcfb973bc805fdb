//! Starts: which are refused and in what words, what is made private, and which addresses are understood.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use crate::{
    ports::free_port,
    postgres::{PostgresServer, execute, fresh_database},
    redis_server::RedisServer,
    server::{Server, Stores, said, within},
};

/// Why a start with these flags fails, in one line. It has to fail at once and not when patience ends.
async fn refusal(server: &Server, flags: &[&str]) -> String {
    let anywhere: &[&str] =
        if flags.iter().any(|flag| flag.starts_with("--listen-addr")) { &[] } else { &["--listen-addr=127.0.0.1:0"] };
    let flags = [&["serve"], anywhere, flags].concat();
    let begun = std::time::Instant::now();
    let refused = server.command_beside(&flags).await;
    assert!(!refused.status.success(), "{flags:?}: {}", said(&refused));
    assert!(begun.elapsed() < Duration::from_secs(15), "{flags:?} took {:?}", begun.elapsed());
    String::from_utf8_lossy(&refused.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_can_never_work_refuses_the_start_by_the_setting_s_name() {
    let server = Server::prepare(Stores::default());
    let file = server.directory.join("log-of-nobody");
    fs::write(&file, "x").unwrap();
    let below_a_file = format!("--data-dir={}", file.join("data").display());
    for (flag, setting, why) in [
        ("--database-url=mysql://u:hunter2@h/x", "DATABASE_URL", "mysql://"),
        ("--database-url=scoreboard.db", "DATABASE_URL", "no address"),
        ("--database-url=sqlite://", "DATABASE_URL", "sqlite://path"),
        ("--database-url=postgres://u:hunter2@h:port/x", "DATABASE_URL", "port"),
        ("--database-url=postgres://u@h/x?sslmode=maybe", "DATABASE_URL", "sslmode"),
        ("--database-max-connections=0", "DATABASE_MAX_CONNECTIONS", "from 1"),
        (&below_a_file, "DATA_DIR", "log-of-nobody"),
        ("--listen-addr=8080", "LISTEN_ADDR", "127.0.0.1:8080"),
        ("--listen-addr=no-such-host.invalid:1", "LISTEN_ADDR", "no-such-host.invalid"),
        ("--internal-addr=metrics", "INTERNAL_ADDR", "127.0.0.1:8080"),
        ("--internal-addr=192.0.2.1:1", "INTERNAL_ADDR", "cannot listen"),
        ("--trusted-proxies=10.0.0.0/8,nginx", "TRUSTED_PROXIES", "nginx"),
        ("--trusted-proxies=10.0.0.0/33", "TRUSTED_PROXIES", "10.0.0.0/33"),
        ("--cors-allowed-origins=game.example", "CORS_ALLOWED_ORIGINS", "game.example"),
        ("--cors-allowed-origins=https://*", "CORS_ALLOWED_ORIGINS", "https://*"),
        ("--public-read-cors=https://game.example/path", "PUBLIC_READ_CORS", "/path"),
        ("--embed-origins=https://game.example/path", "EMBED_ORIGINS", "/path"),
        ("--embed-origins=null", "EMBED_ORIGINS", "null"),
        ("--embed-origins=http://[::1]:3000", "EMBED_ORIGINS", "[::1]"),
        ("--embed-origins=app://x;sandbox", "EMBED_ORIGINS", "x;sandbox"),
        ("--embed-origins=game.example", "EMBED_ORIGINS", "game.example"),
        ("--embed-origins=https://*", "EMBED_ORIGINS", "https://*"),
        ("--rate-limit-per-second=0", "RATE_LIMIT_PER_SECOND", "from 1"),
        ("--rate-limit-burst=many", "RATE_LIMIT_BURST", "from 1"),
        ("--max-connections=0", "MAX_CONNECTIONS", "from 1"),
        ("--connections-per-ip=0", "CONNECTIONS_PER_IP", "from 1"),
        ("--stream-history=0", "STREAM_HISTORY", "1..=1000000"),
        ("--default-leaderboard=No Such", "DEFAULT_LEADERBOARD", "must be"),
        ("--log-format=xml", "LOG_FORMAT", "json"),
        ("--tls-cert-file=cert.pem", "TLS_KEY_FILE", "need each other"),
        ("--jwt-secret=short", "JWT_SECRET", "32"),
        ("--session-secret=short", "SESSION_SECRET", "32"),
    ] {
        let reason = refusal(&server, &[flag]).await;
        assert!(reason.contains(setting) && reason.contains(why), "{flag}: {reason}");
        assert!(!reason.contains("hunter2"), "{flag}: {reason}");
    }
    let shared = Stores { database_url: Some(fresh_database().await), redis_url: None };
    let server = Server::prepare(shared);
    for url in ["memcached://h", "redis.example:6379", "redis://h:port"] {
        let reason = refusal(&server, &[&format!("--redis-url={url}")]).await;
        assert!(reason.contains("REDIS_URL"), "{url}: {reason}");
    }
    let mut server = Server::prepare(Stores::default());
    server.set("RUST_LOG", "info,scoreboard=loud=very");
    assert!(refusal(&server, &[]).await.contains("RUST_LOG"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_into_the_database_is_told_at_once() {
    let postgres = PostgresServer::start();
    execute(&postgres.url(), "CREATE ROLE someone LOGIN").await;
    let server = Server::prepare(Stores::default());
    let at = |user: &str, database: &str| format!("--database-url=postgres://{user}@127.0.0.1:{}/{database}", postgres.port);
    for (flag, why) in [(at("postgres", "nothing"), "nothing"), (at("nobody", "postgres"), "nobody")] {
        let reason = refusal(&server, &[&flag]).await;
        assert!(reason.contains("DATABASE_URL") && reason.contains(why), "{flag}: {reason}");
    }
    execute(&postgres.url(), "CREATE DATABASE closed").await;
    execute(&postgres.url(), "REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await;
    let reason = refusal(&server, &[&at("someone", "closed")]).await;
    assert!(reason.contains("DATABASE_URL") && reason.contains("closed"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_into_redis_is_told_at_once() {
    let redis = RedisServer::start(&[]);
    assert_eq!(redis.command("CONFIG SET requirepass right"), "+OK");
    let server = Server::prepare(Stores { database_url: Some(fresh_database().await), redis_url: None });
    for who in ["", ":hunter2@", "nobody:hunter2@"] {
        let reason = refusal(&server, &[&format!("--redis-url=redis://{who}127.0.0.1:{}", redis.port)]).await;
        assert!(reason.contains("REDIS_URL") && reason.contains("AUTH") | reason.contains("PASS"), "{who}: {reason}");
        assert!(!reason.contains("hunter2"), "{who}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_empty_is_not_set() {
    let mut server = Server::prepare(Stores::default());
    for name in [
        "DATABASE_URL",
        "DATABASE_MAX_CONNECTIONS",
        "REDIS_URL",
        "JWT_PUBLIC_KEY_FILE",
        "JWT_ISSUER",
        "INTERNAL_ADDR",
        "TLS_CERT_FILE",
        "TLS_KEY_FILE",
        "TRUSTED_PROXIES",
        "CORS_ALLOWED_ORIGINS",
        "PUBLIC_READ_CORS",
        "EMBED_ORIGINS",
        "RATE_LIMIT_PER_SECOND",
        "RATE_LIMIT_BURST",
        "MAX_CONNECTIONS",
        "STREAMS_PER_IP",
        "STREAM_HISTORY",
        "DEFAULT_LEADERBOARD",
        "LOG_FORMAT",
        "RUST_LOG",
    ] {
        server.set(name, if name.len() % 2 == 0 { "" } else { " " });
    }
    server.run().await;
    server.get("/api/leaderboard").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_listens_on_a_name_and_on_a_port_alone() {
    for host in ["localhost", ""] {
        let mut server = Server::prepare(Stores::default());
        server.port = free_port();
        server.set("LISTEN_ADDR", format!("{host}:{}", server.port));
        server.run().await;
        let healthy = server.command_beside(&["health"]).await;
        assert!(healthy.status.success(), "{}", said(&healthy));
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_keeps_is_readable_by_its_user_alone() {
    let mut server = Server::prepare(Stores::default());
    server.set("JWT_SECRET", "");
    let data = server.directory.join("data");
    server.set("DATA_DIR", data.display().to_string());
    server.run().await;
    let files = ["scoreboard.db", "scoreboard.db-wal", "scoreboard.db-shm", "scoreboard.db.lock", "jwt-secret"];
    let assert_private = || {
        assert_eq!(mode(&data), 0o700);
        files.iter().for_each(|name| assert_eq!(mode(&data.join(name)), 0o600, "{name}"));
    };
    assert_private();
    // An earlier release left all of it open.
    server.kill();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    for name in files {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    server.run().await;
    assert_private();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused_by_whatever_name_it_calls_the_file() {
    let server = Server::embedded().await;
    let file = server.directory.join("scoreboard.db");
    let elsewhere = server.directory.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&file, elsewhere.join("symlink.db")).unwrap();
    symlink("../scoreboard.db", elsewhere.join("relative-symlink.db")).unwrap();
    fs::hard_link(&file, elsewhere.join("hardlink.db")).unwrap();
    symlink(&server.directory, elsewhere.join("directory")).unwrap();
    for name in [
        "elsewhere/symlink.db",
        "elsewhere/relative-symlink.db",
        "elsewhere/hardlink.db",
        "elsewhere/directory/scoreboard.db",
        "./elsewhere/../scoreboard.db",
        "scoreboard.db",
    ] {
        let reason = refusal(&server, &[&format!("--database-url=sqlite://{name}")]).await;
        assert!(reason.contains("another server already runs") && reason.contains(name), "{name}: {reason}");
    }
    server.post_point("ann").await;
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_before_this_one_and_this_one_exclude_each_other() {
    let mut server = Server::embedded().await;
    server.kill();
    // What that release does: a lock on a file beside the name that it was given.
    symlink("scoreboard.db", server.directory.join("other.db")).unwrap();
    for (name, lock) in [("scoreboard.db", "scoreboard.db.lock"), ("other.db", "other.db.lock")] {
        let earlier = fs::File::create(server.directory.join(lock)).unwrap();
        earlier.try_lock().unwrap();
        let reason = refusal(&server, &[&format!("--database-url=sqlite://{name}")]).await;
        assert!(reason.contains("another server already runs"), "{name}: {reason}");
    }
    server.set("DATABASE_URL", "sqlite://other.db");
    server.run().await;
    for lock in ["scoreboard.db.lock", "other.db.lock"] {
        assert!(fs::File::open(server.directory.join(lock)).unwrap().try_lock().is_err(), "{lock}");
    }
}

const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000001')";
const NOTED: &str = "UPDATE installation SET migrated_by = '9.8.7'";

async fn assert_ahead(server: &Server, named: &str) {
    for words in [&["serve", "--listen-addr=127.0.0.1:0"][..], &["migrate"], &["verify"]] {
        let refused = server.command_beside(words).await;
        let reason = said(&refused);
        assert!(!refused.status.success() && reason.contains("20990101000001") && reason.contains(named), "{words:?}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_release_is_refused_and_named_in_postgres() {
    let database_url = fresh_database().await;
    let server = Server::on(Stores { database_url: Some(database_url.clone()), redis_url: None }).await;
    execute(&database_url, NEWER).await;
    assert_ahead(&server, "the release that has migration").await;
    execute(&database_url, NOTED).await;
    assert_ahead(&server, "scoreboard 9.8.7").await;
    // Whoever runs already goes on: a newer release was rolled out beside it.
    server.post_point("ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_release_is_refused_and_named_in_sqlite() {
    use diesel::{Connection, connection::SimpleConnection};
    let mut server = Server::embedded().await;
    server.kill();
    let file = server.directory.join("scoreboard.db");
    let mut connection = diesel::SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute(NEWER).unwrap();
    assert_ahead(&server, "the release that has migration").await;
    connection.batch_execute(NOTED).unwrap();
    assert_ahead(&server, "scoreboard 9.8.7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_file_has_no_colours_and_a_failure_is_one_line() {
    let mut server = Server::prepare(Stores::default());
    server.set("RUST_BACKTRACE", "1");
    server.run().await;
    let listening = || async { server.log().contains("listening") };
    within(Duration::from_secs(5), "the log says that it listens", listening).await;
    assert!(!server.log().contains('\u{1b}'), "{}", server.log());
    let reason = refusal(&server, &[]).await;
    let lines: Vec<_> = reason.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((lines.len(), reason.lines().next_back()), (1, lines.first().copied()), "{reason}");
    assert!(!reason.contains('\u{1b}') && !reason.to_lowercase().contains("backtrace"), "{reason}");
}

//! `reference-pgbench`: what Postgres itself reaches with the plain transaction: lock the user, update the entry, insert the history.

use std::{fs, process::Command};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use tokio::runtime;

use super::connect;
use crate::measure::report::Report;

const TABLES: &str = "
    DROP SCHEMA IF EXISTS load_pgbench CASCADE;
    CREATE SCHEMA load_pgbench;
    CREATE TABLE load_pgbench.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE load_pgbench.entries (
        leaderboard_id bigint NOT NULL, user_id bigint NOT NULL, score bigint NOT NULL, reached_at timestamptz NOT NULL,
        PRIMARY KEY (leaderboard_id, user_id));
    CREATE INDEX ON load_pgbench.entries (leaderboard_id, score DESC, reached_at);
    CREATE TABLE load_pgbench.score_events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, leaderboard_id bigint NOT NULL, user_id bigint NOT NULL,
        action text NOT NULL, delta bigint NOT NULL, at timestamptz NOT NULL);
    CREATE INDEX ON load_pgbench.score_events (user_id, at DESC);";

/// How pgbench talks to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Prepared,
    Simple,
    /// One after the other; the better one counts
    Both,
}

/// Which Postgres, and how hard.
#[derive(Args)]
pub struct PgbenchArgs {
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The program.
    #[arg(long, env = "PGBENCH", default_value = "pgbench")]
    pgbench: String,
    #[arg(long, default_value_t = 32)]
    clients: u32,
    #[arg(long, default_value_t = 1000)]
    users: u64,
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    mode: Mode,
    /// Seconds of each mode.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

/// Makes the tables, runs pgbench, reports the better mode, and leaves nothing behind.
pub fn run(args: PgbenchArgs) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fill = format!(
        "{TABLES}
         INSERT INTO load_pgbench.users SELECT n, 'user ' || n FROM generate_series(1, {0}) n;
         INSERT INTO load_pgbench.entries SELECT 1, n, 0, now() FROM generate_series(1, {0}) n;",
        args.users
    );
    let client = runtime.block_on(connect(&args.database_url))?;
    runtime.block_on(client.batch_execute(&fill))?;
    runtime.block_on(client.batch_execute("VACUUM ANALYZE load_pgbench.users, load_pgbench.entries"))?;

    let modes: &[&str] = match args.mode {
        Mode::Prepared => &["prepared"],
        Mode::Simple => &["simple"],
        Mode::Both => &["prepared", "simple"],
    };
    let mut reports = modes.iter().map(|mode| measure(&args, mode)).collect::<anyhow::Result<Vec<_>>>()?;
    runtime.block_on(client.batch_execute("DROP SCHEMA load_pgbench CASCADE"))?;
    reports.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    let figures: Vec<_> = reports.iter().map(|report| (report.settings["mode"].to_string(), report.per_second)).collect();
    let mut best = reports.pop().context("at least one mode")?;
    for (mode, per_second) in figures {
        best = best.figure(&format!("per second, {}", mode.trim_matches('"')), per_second);
    }
    best.publish(args.json.as_deref())
}

/// One run of pgbench.
fn measure(args: &PgbenchArgs, mode: &str) -> anyhow::Result<Report> {
    let script = std::env::temp_dir().join(format!("load-pgbench-{}.sql", std::process::id()));
    let transaction = format!(
        r"\set user random(1, {})
BEGIN;
SELECT name FROM load_pgbench.users WHERE id = :user FOR UPDATE;
UPDATE load_pgbench.entries SET score = score + 1, reached_at = now() WHERE leaderboard_id = 1 AND user_id = :user;
INSERT INTO load_pgbench.score_events (leaderboard_id, user_id, action, delta, at) VALUES (1, :user, 'goal', 1, now());
COMMIT;
",
        args.users
    );
    fs::write(&script, transaction)?;
    let ran = Command::new(&args.pgbench)
        .args(["--no-vacuum", "--jobs=2", "--protocol", mode, "--file"])
        .arg(&script)
        .arg(format!("--client={}", args.clients))
        .arg(format!("--time={}", args.seconds))
        .arg(&args.database_url)
        .output()
        .with_context(|| format!("running {}", args.pgbench));
    fs::remove_file(&script)?;
    let ran = ran?;
    let said = String::from_utf8_lossy(&ran.stdout);
    ensure!(ran.status.success(), "pgbench: {said}{}", String::from_utf8_lossy(&ran.stderr));
    let number = |start: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(start));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).with_context(|| format!("{start}…: {said}"))
    };
    let (per_second, mean) = (number("tps = ")?, number("latency average = ")?);
    let report = Report {
        scenario: "reference-pgbench".to_owned(),
        seconds: args.seconds as f64,
        operations: (per_second * args.seconds as f64) as u64,
        per_second,
        ..Report::default()
    };
    Ok(report.setting("clients", args.clients).setting("users", args.users).setting("mode", mode).figure("mean, ms", mean))
}

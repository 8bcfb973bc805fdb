//! `reference-sql`: the least that a batched score with its history can cost Postgres. One statement a transaction, no server in between,
//! no ranks, no keys; each client has users of its own, so that nobody waits for another's locks.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::runtime;
use tokio_postgres::Client;

use super::connect;
use crate::measure::{
    report::Report,
    tally::Tally,
    window::{MeasureArgs, Window},
};

const TABLES: &str = "
    DROP SCHEMA IF EXISTS load_sql CASCADE;
    CREATE SCHEMA load_sql;
    CREATE TABLE load_sql.entries (
        leaderboard_id bigint NOT NULL, user_id text NOT NULL COLLATE \"C\", score bigint NOT NULL, reached_at bigint NOT NULL,
        PRIMARY KEY (leaderboard_id, user_id));
    CREATE INDEX ON load_sql.entries (leaderboard_id, score DESC, reached_at);
    CREATE TABLE load_sql.score_events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, leaderboard_id bigint NOT NULL, user_id text NOT NULL COLLATE \"C\",
        delta bigint NOT NULL, new_score bigint NOT NULL, at bigint NOT NULL);
    CREATE INDEX ON load_sql.score_events (user_id, id DESC);";

const UPSERT: &str = "
    WITH changed AS (
        INSERT INTO load_sql.entries AS entry (leaderboard_id, user_id, score, reached_at)
        SELECT 1, user_id, delta, $3 FROM unnest($1::text[], $2::bigint[]) AS submitted (user_id, delta)
        ON CONFLICT (leaderboard_id, user_id) DO UPDATE SET score = entry.score + excluded.score, reached_at = excluded.reached_at
        RETURNING user_id, score)
    INSERT INTO load_sql.score_events (leaderboard_id, user_id, delta, new_score, at)
    SELECT 1, user_id, 1, score, $3 FROM changed";

/// Which Postgres, and how many rows at once.
#[derive(Args)]
pub struct SqlArgs {
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[command(flatten)]
    measure: MeasureArgs,
    /// Clients at once: one run for each number, the best one counts.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    clients: Vec<u64>,
    /// Rows of each transaction.
    #[arg(long, default_value_t = 200)]
    size: u64,
    #[arg(long, default_value_t = 10_000)]
    users: u64,
}

/// Makes the tables, measures each number of clients, reports the best, and leaves nothing behind.
pub fn run(args: SqlArgs) -> anyhow::Result<()> {
    let args = Arc::new(args);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(args.measure.threads as usize).enable_all().build()?;
    let client = runtime.block_on(connect(&args.database_url))?;
    let mut reports = Vec::new();
    for clients in args.clients.iter().copied() {
        runtime.block_on(client.batch_execute(TABLES))?;
        reports.push(measure(&runtime, &args, clients)?);
    }
    runtime.block_on(client.batch_execute("DROP SCHEMA load_sql CASCADE"))?;
    let figures: Vec<_> = reports.iter().map(|report| (report.settings["clients"].to_string(), report.per_second)).collect();
    let best = reports.into_iter().max_by(|one, other| one.per_second.total_cmp(&other.per_second));
    let mut best = best.context("at least one number of clients")?;
    for (clients, per_second) in figures {
        best = best.figure(&format!("rows per second, clients {clients}"), per_second);
    }
    best.publish(args.measure.json.as_deref())
}

fn measure(runtime: &runtime::Runtime, args: &Arc<SqlArgs>, clients: u64) -> anyhow::Result<Report> {
    let window = Window::new(&args.measure);
    let connected = (0..clients).map(|_| runtime.block_on(connect(&args.database_url))).collect::<anyhow::Result<Vec<_>>>()?;
    window.start();
    let share = (args.users / clients).max(args.size);
    let loops: Vec<_> = connected
        .into_iter()
        .zip(0..)
        .map(|(client, number)| {
            runtime.spawn(commit_until_closed(client, number * share..(number + 1) * share, args.size, window.clone()))
        })
        .collect();
    window.watch();
    let mut tally = Tally::default();
    for looped in loops {
        tally.merge(runtime.block_on(looped)??);
    }
    Ok(window.report("reference-sql", &tally).setting("clients", clients).setting("size", args.size).setting("users", args.users))
}

/// One client's transactions, each over `size` consecutive users of its own.
async fn commit_until_closed(client: Client, users: std::ops::Range<u64>, size: u64, window: Window) -> anyhow::Result<Tally> {
    let statement = client.prepare(UPSERT).await?;
    let deltas = vec![1_i64; size as usize];
    let mut tally = Tally::default();
    loop {
        let first = fastrand::u64(users.start..=users.end - size);
        let ids: Vec<_> = (first..first + size).map(|user| format!("u-{user}")).collect();
        let began = std::time::Instant::now();
        if began >= window.closes() {
            return Ok(tally);
        }
        client.execute(&statement, &[&ids, &deltas, &(tally.operations as i64)]).await?;
        if began >= window.opens() {
            tally.record(began.elapsed(), &Ok(size));
        }
        window.done.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
    }
}

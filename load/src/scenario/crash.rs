//! `crash`: clients that repeat every score blindly until it is acknowledged, while server, Redis and Postgres are killed at random. At the
//! end everything acknowledged has to be there, once, in the ledger and in the ranking.

mod clients;
mod cluster;
mod comparison;
mod service;

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use clap::Args;

use clients::Clients;
use cluster::Cluster;

/// How long, how many, and with which programs.
#[derive(Args)]
pub struct CrashArgs {
    /// The server.
    #[arg(long, default_value = "target/release/scoreboard")]
    server: PathBuf,
    /// Where `initdb` and `postgres` are.
    #[arg(long, env = "TEST_POSTGRES_BIN")]
    postgres_bin: PathBuf,
    #[arg(long, env = "TEST_REDIS_SERVER", default_value = "redis-server")]
    redis_server: PathBuf,
    /// Scoreboards on the same stores.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=8))]
    instances: u64,
    /// One Scoreboard on its embedded stores instead.
    #[arg(long)]
    embedded: bool,
    #[arg(long, default_value_t = 32)]
    clients: u64,
    /// Few, so that many scores of one user are on their way at once.
    #[arg(long, default_value_t = 50)]
    users: u64,
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The longest time between two kills, in milliseconds; half of it is the mean.
    #[arg(long, default_value_t = 3000)]
    pause: u64,
    /// Repeats the choices of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the stores are kept meanwhile; removed unless something was wrong.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Runs it; fails where anything acknowledged was lost, doubled or ranked wrongly.
pub fn run(args: CrashArgs) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::start(&args)?;
    println!("crash: seed {seed}, stores and logs in {}", cluster.directory.display());
    let clients = Clients::start(&cluster, args.clients, args.users);

    let (began, mut kills) = (Instant::now(), 0);
    let end = Duration::from_secs(args.seconds);
    while began.elapsed() < end {
        sleep(Duration::from_millis(random.u64(..=args.pause)).min(end.saturating_sub(began.elapsed())));
        let victim = random.usize(..cluster.services.len());
        let dead = Duration::from_millis(random.u64(..=1500));
        let service = &mut cluster.services[victim];
        eprintln!(
            "{:>6.1} s: kill -9 {} for {} ms; {}",
            began.elapsed().as_secs_f64(),
            service.name,
            dead.as_millis(),
            clients.so_far()
        );
        service.kill();
        sleep(dead);
        service.run()?;
        kills += 1;
    }

    let acknowledged = clients.finish()?;
    let took = began.elapsed().as_secs_f64();
    println!("       {kills} kills in {took:.0} s; {} scores acknowledged, {}", acknowledged.scores.len(), acknowledged.attempts);
    comparison::compare(&cluster, &acknowledged)?;
    println!("       history, entries and rankings hold every one of them, once");
    cluster.remove()
}

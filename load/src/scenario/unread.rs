//! `unread`: clients that ask for much over HTTP/2 and read nothing of it, beside somebody who posts scores.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{sleep, spawn},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use hyper::Request;
use tokio::{runtime, task::JoinSet};

use super::submit::Submissions;
use crate::{
    http::{
        drive::{Crew, Pace},
        sockets,
    },
    measure::{
        processes::Process,
        tally::Tally,
        window::{MeasureArgs, Window},
    },
    target::Target,
};

/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How much is asked for and not read. The first `--pid` is the server.
#[derive(Args)]
pub struct UnreadArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    /// Connections whose window stays shut; they answer every ping.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    connections: u64,
    /// Reads that each of them asks for.
    #[arg(long, default_value_t = 250)]
    reads: u64,
    /// Entries in each; the leaderboard has to have as many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Scores posted a second, quiet and beside.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds after the measured ones until what is still held is told.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=600))]
    after: u64,
}

/// What the clients have done so far.
#[derive(Default)]
struct Progress {
    asked: AtomicU64,
    open: AtomicU64,
}

/// Posts for the measured time, quiet and then beside the clients, and reports both and the growth of the server's memory.
pub fn run(args: UnreadArgs) -> anyhow::Result<()> {
    let server = args.measure.processes.first().context("--pid server=PID, please")?;
    args.target.prepare()?;
    let id = &args.target.leaderboard;
    let total = args.target.get(&format!("/api/leaderboards/{id}"))?["total"].as_u64().unwrap_or_default();
    ensure!(total >= args.limit, "the leaderboard has {total} entries only: load prefill --leaderboard {id}");
    let quiet = args.post(&Window::new(&args.measure))?;
    let (before, progress) = (server.read().rss, Arc::new(Progress::default()));
    args.ask(&progress)?;
    let watching = watch(server);
    let window = Window::new(&args.measure);
    let beside = args.post(&window)?;
    let most = watching();
    sleep(Duration::from_secs(args.after));
    let grown = |rss: u64| rss.saturating_sub(before) as f64 / f64::from(1 << 20);
    let (of_quiet, of_beside) = (quiet.latencies.quantiles(), beside.latencies.quantiles());
    window
        .report("unread", &beside)
        .setting("connections", args.connections)
        .setting("reads", args.reads)
        .setting("limit", args.limit)
        .setting("rate", args.rate)
        .figure("MiB grown, at the most", grown(most))
        .figure(&format!("MiB grown, {} s later", args.after), grown(server.read().rss))
        .figure("p95 of a score, ms, quiet", of_quiet.p95)
        .figure("p95 of a score, ms, beside", of_beside.p95)
        .figure("p95 of a score, beside : quiet", of_beside.p95 / of_quiet.p95)
        .figure("reads asked for", progress.asked.load(Relaxed) as f64)
        .figure(&format!("connections still open, {} s later", args.after), progress.open.load(Relaxed) as f64)
        .publish(args.measure.json.as_deref())
}

impl UnreadArgs {
    fn post(&self, window: &Window) -> anyhow::Result<Tally> {
        let posters = (0..16).map(|_| Submissions::new(&self.target, 1000)).collect();
        let pace = Pace::Fixed { per_second: self.rate };
        let crew = Crew::start(&[self.target.address()?], posters, pace, self.measure.threads, window)?;
        window.watch();
        crew.join()
    }

    /// Sets the clients going, on a thread of their own that lasts as long as this process.
    fn ask(&self, progress: &Arc<Progress>) -> anyhow::Result<()> {
        let (server, connections, reads) = (self.target.address()?, self.connections, self.reads);
        sockets::allow(connections as usize)?;
        let (url, id, limit) = (self.target.url.trim_end_matches('/'), &self.target.leaderboard, self.limit);
        let window = format!("{url}/api/leaderboards/{id}/entries?limit={limit}&fromRank=");
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let progress = Arc::clone(progress);
        spawn(move || {
            runtime.block_on(async {
                let mut clients = JoinSet::new();
                for index in 0..connections {
                    let (window, progress) = (window.clone(), Arc::clone(&progress));
                    clients.spawn(async move { hold(server, index as usize, reads, &window, &progress).await });
                }
                while let Some(client) = clients.join_next().await {
                    if let Err(error) = client.expect("a task that does not panic") {
                        eprintln!("a client: {error}");
                    }
                }
            })
        });
        Ok(())
    }
}

/// Asks for window after window, for as long as the server takes requests, and reads none. Over when the server has ended the connection.
async fn hold(server: SocketAddr, index: usize, reads: u64, window: &str, progress: &Progress) -> anyhow::Result<()> {
    let socket = sockets::connect(server, index).await?;
    let (mut requests, connection) = h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(socket).await?;
    progress.open.fetch_add(1, Relaxed);
    let connection = tokio::spawn(connection);
    // Their answers are kept, or they would count as taken back.
    let mut answers = Vec::new();
    for read in 0..reads {
        if poll_fn(|context| requests.poll_ready(context)).await.is_err() {
            break;
        }
        let Ok((answer, _)) = requests.send_request(Request::get(format!("{window}{}", 1 + read)).body(())?, true) else { break };
        answers.push(answer);
        progress.asked.fetch_add(1, Relaxed);
    }
    // How the server says farewell is not what is measured.
    connection.await.expect("a task that does not panic").ok();
    progress.open.fetch_sub(1, Relaxed);
    Ok(())
}

/// Follows a process's memory; the answer ends that and says how much it was at the most, in bytes.
fn watch(process: &Process) -> impl FnOnce() -> u64 {
    let (process, enough) = (process.clone(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&enough);
    let watching = spawn(move || {
        let mut most = 0;
        while !told.load(Relaxed) {
            most = process.read().rss.max(most);
            sleep(LOOK);
        }
        most
    });
    move || {
        enough.store(true, Relaxed);
        watching.join().expect("a thread that does not panic")
    }
}

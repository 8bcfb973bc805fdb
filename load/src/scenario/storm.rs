//! `storm`: everyone's connection is cut and everyone comes back within some seconds.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{runtime, sync::oneshot, task::LocalSet};

use super::streams::StreamsArgs;
use crate::{
    http::{
        pacer::Pacer,
        sockets,
        watcher::{Counters, Desk, Watcher},
    },
    measure::{
        tally::Tally,
        transactions::Transactions,
        window::{MeasureArgs, Window},
    },
    target::Target,
};

/// How many come back, in `--seconds`.
#[derive(Args)]
pub struct StormArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    streams: StreamsArgs,
    /// The server's Postgres: its transactions are counted during the storm, and before it for as long.
    #[arg(long)]
    database_url: Option<String>,
}

/// Opens the streams, cuts them, reconnects them evenly over the window, and reports the time to the first event of each.
pub fn run(args: StormArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let window = Window::new(&MeasureArgs { warm_up: 0.0, ..args.measure.clone() });
    let crowd = args.streams.gather(&args.target, args.measure.threads, &window.beside())?;
    let postgres = args.database_url.as_deref().map(Transactions::of).transpose()?;
    let mut transactions = None;
    if let Some(postgres) = &postgres {
        let before = (postgres.count()?, Instant::now());
        let quiet = postgres.rate_since(before)?;
        transactions = Some((quiet, (postgres.count()?, Instant::now())));
    }
    crowd.leave()?;
    let tally = storm(&args, &window)?;
    let mut report = window.report("storm", &tally).setting("streams", args.streams.streams).setting("view", args.streams.view());
    if let (Some(postgres), Some((quiet, before))) = (&postgres, transactions) {
        report = report
            .figure("transactions a second in Postgres, quiet", quiet)
            .figure("transactions a second in Postgres, storm", postgres.rate_since(before)?);
    }
    report.publish(args.measure.json.as_deref())
}

/// Everyone comes back.
fn storm(args: &StormArgs, window: &Window) -> anyhow::Result<Tally> {
    let (server, path) = (args.target.address()?, args.streams.path(&args.target));
    let threads = args.measure.threads;
    let start = window.start();
    let crew: Vec<_> = (0..threads)
        .map(|thread| {
            let (leave, left) = oneshot::channel();
            let (window, path) = (window.clone(), path.clone());
            let indices: Vec<_> = (0..args.streams.streams).filter(|index| index % threads == thread).collect();
            (leave, std::thread::spawn(move || come_back(server, &path, &indices, start, &window, left)))
        })
        .collect();
    window.watch();
    let deadline = Instant::now() + Duration::from_secs(30);
    while window.done.load(Relaxed) < args.streams.streams && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
    let mut tally = Tally::default();
    for (leave, thread) in crew {
        leave.send(()).ok();
        tally.merge(thread.join().expect("a thread that does not panic")?);
    }
    Ok(tally)
}

/// One thread's share: each stream at its turn, then held open until told to leave.
fn come_back(
    server: SocketAddr,
    path: &str,
    indices: &[u64],
    start: Instant,
    window: &Window,
    left: oneshot::Receiver<()>,
) -> anyhow::Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let rate = indices.len() as f64 / (window.closes() - start).as_secs_f64();
    let pacer = Rc::new(Pacer::new(start, window.closes(), rate, indices.len()));
    let desk = Rc::new(Desk::new(window.beside(), Arc::new(Counters::default())));
    let tasks = LocalSet::new();
    for index in indices.iter().map(|index| *index as usize) {
        let (tally, pacer, desk, done) = (Rc::clone(&tally), Rc::clone(&pacer), Rc::clone(&desk), Arc::clone(&window.done));
        let path = path.to_owned();
        tasks.spawn_local(async move {
            let intended = pacer.turn().await;
            let mut watcher = Watcher::new(&desk);
            let opened = watcher.open(server, index, &path).await;
            tally.borrow_mut().record(intended.elapsed(), &opened.map(|()| 1).map_err(|error| error.to_string()));
            done.fetch_add(1, Relaxed);
            watcher.read_on().await;
        });
    }
    sockets::allow(indices.len())?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tasks.run_until(left)).ok();
    Ok(tally.take())
}

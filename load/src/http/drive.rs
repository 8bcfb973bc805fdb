//! The loops that ask: a closed loop, in which each connection sends its next request when the last one is answered, or a fixed rate.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{runtime, task::LocalSet};

use super::{connection::Connection, pacer::Pacer, sockets};
use crate::measure::{tally::Tally, window::Window};

/// How late a request of a fixed rate may still be sent.
const GRACE: Duration = Duration::from_secs(10);

/// What a connection asks for, again and again.
pub trait Work: Send + 'static {
    /// Replaces what is in `request` by the next request.
    fn write(&mut self, request: &mut Vec<u8>);

    /// How many operations a successful answer stands for.
    fn operations(&self, body: &[u8]) -> u64;
}

/// When requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Whenever a connection is free.
    Closed,
    /// So many a second, evenly, over all connections. Latency counts from when a request should have been sent: a server that stalls
    /// does not get away with the requests that waited meanwhile (coordinated omission).
    Fixed { per_second: f64 },
}

impl From<Option<f64>> for Pace {
    fn from(rate: Option<f64>) -> Self {
        rate.map_or(Self::Closed, |per_second| Self::Fixed { per_second })
    }
}

/// Threads that ask until the window closes.
pub struct Crew(Vec<JoinHandle<anyhow::Result<Tally>>>);

/// Lets every worker have a connection of its own, to one server after the other, until the window closes, and answers what came of it while it was open.
pub fn drive<W: Work>(
    servers: &[SocketAddr],
    workers: Vec<W>,
    pace: Pace,
    threads: u64,
    window: &Window,
) -> anyhow::Result<Tally> {
    let crew = Crew::start(servers, workers, pace, threads, window)?;
    window.watch();
    crew.join()
}

impl Crew {
    /// The same without waiting. The window's warm-up begins now, unless it has begun.
    pub fn start<W: Work>(
        servers: &[SocketAddr],
        workers: Vec<W>,
        pace: Pace,
        threads: u64,
        window: &Window,
    ) -> anyhow::Result<Self> {
        sockets::allow(workers.len())?;
        let start = window.start();
        let mut shares: Vec<Vec<(W, usize, SocketAddr)>> = (0..threads).map(|_| Vec::new()).collect();
        for (index, worker) in workers.into_iter().enumerate() {
            shares[index % threads as usize].push((worker, index, servers[index % servers.len()]));
        }
        let crew = shares.into_iter().map(|share| {
            let window = window.clone();
            std::thread::spawn(move || {
                let pacer = match pace {
                    Pace::Closed => None,
                    Pace::Fixed { per_second } => {
                        Some(Pacer::new(start, window.closes(), per_second / threads as f64, share.len()))
                    }
                };
                Shift { pacer, tally: RefCell::default(), window }.work(share)
            })
        });
        Ok(Self(crew.collect()))
    }

    /// Waits until all have ended.
    pub fn join(self) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        for thread in self.0 {
            tally.merge(thread.join().expect("a thread that does not panic")?);
        }
        Ok(tally)
    }
}

/// What the connections of one thread share.
struct Shift {
    pacer: Option<Pacer>,
    tally: RefCell<Tally>,
    window: Window,
}

impl Shift {
    fn work<W: Work>(self, share: Vec<(W, usize, SocketAddr)>) -> anyhow::Result<Tally> {
        let shift = Rc::new(self);
        let tasks = LocalSet::new();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let looped: Vec<_> = share
            .into_iter()
            .map(|(work, index, server)| tasks.spawn_local(Rc::clone(&shift).connection(work, index, server)))
            .collect();
        runtime.block_on(tasks.run_until(async {
            for looped in looped {
                looped.await??;
            }
            anyhow::Ok(())
        }))?;
        Ok(shift.tally.take())
    }

    async fn connection<W: Work>(self: Rc<Self>, mut work: W, index: usize, server: SocketAddr) -> anyhow::Result<()> {
        let mut connection = Connection::open(server, index).await?;
        let mut request = Vec::with_capacity(4096);
        loop {
            work.write(&mut request);
            let intended = self.turn().await?;
            if intended >= self.window.closes() {
                return Ok(());
            }
            let (answered, broken) = match connection.exchange(&request).await {
                Ok(answer) if (200..400).contains(&answer.status) => (Ok(work.operations(answer.body)), false),
                Ok(answer) => (Err(answer.status.to_string()), false),
                Err(error) => (Err(error.kind().to_string()), true),
            };
            if intended >= self.window.opens() {
                self.tally.borrow_mut().record(intended.elapsed(), &answered);
            }
            self.window.done.fetch_add(answered.unwrap_or_default(), Relaxed);
            if broken {
                connection = Connection::open(server, index).await?;
            }
        }
    }

    /// Waits for the time of the next request and answers what it should have been.
    async fn turn(&self) -> anyhow::Result<Instant> {
        let Some(pacer) = &self.pacer else { return Ok(Instant::now()) };
        let intended = pacer.turn().await;
        anyhow::ensure!(intended.elapsed() < GRACE, "the server is {GRACE:?} behind the rate");
        Ok(intended)
    }
}

//! A crowd of watchers: streams held open by a few threads, every event of every one accounted for.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::{
    runtime,
    sync::{Semaphore, oneshot},
    task::LocalSet,
};

use super::{
    sockets,
    watcher::{Counters, Desk, Seen, Watcher},
};
use crate::measure::window::Window;

/// Streams of one thread that are being opened at once.
const OPENING: usize = 50;

/// How long opening all of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Streams on their threads.
pub struct Crowd {
    pub counters: Arc<Counters>,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<anyhow::Result<Seen>>)>,
    count: u64,
}

impl Crowd {
    /// Opens `count` streams of `path` and waits until each has had its first event. Deliveries while the window is open are timed.
    pub fn gather(server: SocketAddr, path: &str, count: u64, threads: u64, window: &Window) -> anyhow::Result<Self> {
        sockets::allow(count as usize)?;
        let counters = Arc::new(Counters { delivered: Arc::clone(&window.done), ..Counters::default() });
        let threads = (0..threads).map(|thread| {
            let (leave, left) = oneshot::channel();
            let (path, window, counters) = (path.to_owned(), window.clone(), Arc::clone(&counters));
            let indices = (0..count as usize).filter(move |index| *index as u64 % threads == thread);
            (leave, std::thread::spawn(move || hold(server, &path, indices, window, counters, left)))
        });
        let crowd = Self { threads: threads.collect(), counters: Arc::clone(&counters), count };
        let deadline = Instant::now() + PATIENCE;
        while counters.open.load(Relaxed) + counters.failed.load(Relaxed) < count && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
        let (open, failed) = (counters.open.load(Relaxed), counters.failed.load(Relaxed));
        let reason = counters.reason.lock().expect("no panic meanwhile");
        ensure!(open == count, "{open} of {count} streams are open, {failed} failed: {reason}");
        crowd.settle();
        Ok(crowd)
    }

    /// Waits until `events` have come to every watcher; answers whether they did in that time.
    pub fn has_all(&self, events: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.counters.delivered.load(Relaxed) < events * self.count {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(Duration::from_millis(10));
        }
        true
    }

    /// Waits until nothing comes any more, and counts anew: with its snapshot a stream may be given events that it does not hold yet.
    fn settle(&self) {
        let (mut seen, deadline) = (u64::MAX, Instant::now() + PATIENCE);
        while self.counters.delivered.load(Relaxed) != seen && Instant::now() < deadline {
            seen = self.counters.delivered.load(Relaxed);
            sleep(Duration::from_millis(300));
        }
        self.counters.delivered.store(0, Relaxed);
    }

    /// Closes all streams.
    pub fn leave(self) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        for (leave, thread) in self.threads {
            // A thread that has failed listens no more; joining it tells why.
            leave.send(()).ok();
            seen.merge(&thread.join().expect("a thread that does not panic")?);
        }
        Ok(seen)
    }
}

/// One thread's streams, until the crowd leaves.
fn hold(
    server: SocketAddr,
    path: &str,
    indices: impl Iterator<Item = usize>,
    window: Window,
    counters: Arc<Counters>,
    left: oneshot::Receiver<()>,
) -> anyhow::Result<Seen> {
    let desk = Rc::new(Desk::new(window, counters));
    let opening = Rc::new(Semaphore::new(OPENING));
    let tasks = LocalSet::new();
    for index in indices {
        let (desk, opening, path) = (Rc::clone(&desk), Rc::clone(&opening), path.to_owned());
        tasks.spawn_local(async move {
            let permit = opening.acquire().await;
            let mut watcher = Watcher::new(&desk);
            if let Err(error) = watcher.open(server, index, &path).await {
                *desk.counters.reason.lock().expect("no panic meanwhile") = error.to_string();
                desk.counters.failed.fetch_add(1, Relaxed);
                return;
            }
            desk.counters.open.fetch_add(1, Relaxed);
            drop(permit);
            watcher.read_on().await;
            desk.seen.borrow_mut().ended += 1;
        });
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tasks.run_until(left)).ok();
    Ok(RefCell::take(&desk.seen))
}

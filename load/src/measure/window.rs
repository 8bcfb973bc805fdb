//! For how long something is measured, and what the machine's processes spent meanwhile.

use std::{
    io::{IsTerminal, Write, stderr},
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    latency::Latencies,
    processes::{Cost, Process, Reading},
    report::Report,
    tally::Tally,
};

/// Names of the figures that tell whether something grows.
pub const FIRST: &str = "per second, first ten seconds";
pub const LAST: &str = "per second, last ten seconds";

/// For how long, beside which processes, and where the report goes.
#[derive(Debug, Clone, Args)]
pub struct MeasureArgs {
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds of the same before that.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub warm_up: f64,
    /// A process whose processor time and memory are told as well, its children included: NAME=PID.
    #[arg(long = "pid", value_name = "NAME=PID")]
    pub processes: Vec<Process>,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=8))]
    pub threads: u64,
    /// Writes the report as JSON to this file as well.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0 and 3600".to_owned()) }
}

/// The time that is measured. Cheap to clone; all clones are the same window.
#[derive(Clone)]
pub struct Window {
    warm_up: Duration,
    length: Duration,
    start: Arc<OnceLock<Instant>>,
    /// Operations so far, for the progress line.
    pub done: Arc<AtomicU64>,
    processes: Arc<Vec<Process>>,
    watched: Arc<Mutex<Watched>>,
}

/// What was read when the window opened and when it closed.
#[derive(Default)]
struct Watched {
    readings: Vec<(Reading, Reading)>,
    done: u64,
    /// What was done by the end of each second, and when that was.
    seconds: Vec<(Duration, u64)>,
}

impl Window {
    pub fn new(args: &MeasureArgs) -> Self {
        let mut processes = vec![Process::generator()];
        processes.extend(args.processes.iter().cloned());
        Self {
            warm_up: Duration::from_secs_f64(args.warm_up),
            length: Duration::from_secs_f64(args.seconds.max(0.1)),
            start: Arc::default(),
            done: Arc::default(),
            processes: Arc::new(processes),
            watched: Arc::default(),
        }
    }

    /// The warm-up begins now; answers when that is.
    pub fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    pub fn opens(&self) -> Instant {
        self.start() + self.warm_up
    }

    pub fn closes(&self) -> Instant {
        self.opens() + self.length
    }

    /// The same time, with operations counted apart.
    pub fn beside(&self) -> Self {
        Self { done: Arc::default(), ..self.clone() }
    }

    /// Whether the window is open at that time. Does not begin the warm-up.
    pub fn is_open(&self, now: Instant) -> bool {
        self.start.get().is_some_and(|_| (self.opens()..self.closes()).contains(&now))
    }

    /// Whether it is over by that time.
    pub fn has_closed(&self, now: Instant) -> bool {
        self.start.get().is_some_and(|_| now >= self.closes())
    }

    /// Blocks until the window closes; reads what the processes spend in it and shows how it goes where someone looks.
    pub fn watch(&self) {
        sleep(self.opens().saturating_duration_since(Instant::now()));
        let before: Vec<_> = self.processes.iter().map(Process::read).collect();
        let at_first = self.done.load(Relaxed);
        let mut seen = at_first;
        let mut seconds = vec![];
        while Instant::now() < self.closes() {
            sleep(Duration::from_secs(1).min(self.closes().saturating_duration_since(Instant::now())));
            let done = self.done.load(Relaxed);
            if stderr().is_terminal() {
                let left = self.closes().saturating_duration_since(Instant::now()).as_secs();
                eprint!("\r{:>9}/s, {left} s left ", done - seen);
                stderr().flush().ok();
            }
            seen = done;
            seconds.push((self.opens().elapsed(), done - at_first));
        }
        if stderr().is_terminal() {
            eprint!("\r                            \r");
        }
        let after = self.processes.iter().map(Process::read);
        let readings = before.into_iter().zip(after).collect();
        *self.watched.lock().expect("no panic meanwhile") =
            Watched { readings, done: self.done.load(Relaxed) - at_first, seconds };
    }

    /// Operations a second in the first and the last ten seconds of the window, where it is longer than half a minute: what grows shows there.
    fn ends(watched: &Watched) -> Option<[f64; 2]> {
        let rate = |(from, before): (Duration, u64), (to, after): (Duration, u64)| {
            (after - before) as f64 / (to.saturating_sub(from)).as_secs_f64()
        };
        let (seconds, count) = (&watched.seconds, watched.seconds.len());
        (count > 30).then(|| [rate((Duration::ZERO, 0), seconds[9]), rate(seconds[count - 11], seconds[count - 1])])
    }

    /// A report of the requests that were answered while the window was open.
    pub fn report(&self, scenario: &str, tally: &Tally) -> Report {
        Report { failed: tally.failed.clone(), ..self.report_of(scenario, tally.operations, &tally.latencies) }
    }

    /// A report of whatever was counted in `done` while the window was open.
    pub fn report_counted(&self, scenario: &str, latencies: &Latencies) -> Report {
        let done = self.watched.lock().expect("no panic meanwhile").done;
        self.report_of(scenario, done, latencies)
    }

    fn report_of(&self, scenario: &str, operations: u64, latencies: &Latencies) -> Report {
        let watched = self.watched.lock().expect("no panic meanwhile");
        let costs = self.processes.iter().zip(&watched.readings);
        let report = Report {
            scenario: scenario.to_owned(),
            seconds: self.length.as_secs_f64(),
            operations,
            per_second: operations as f64 / self.length.as_secs_f64(),
            latency_ms: (latencies.count() > 0).then(|| latencies.quantiles()),
            processes: costs.map(|(process, (before, after))| Cost::new(process, before, after, operations)).collect(),
            ..Report::default()
        };
        match Self::ends(&watched) {
            Some([first, last]) => report.figure(FIRST, first).figure(LAST, last),
            None => report,
        }
    }
}

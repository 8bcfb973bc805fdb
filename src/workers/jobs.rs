//! Runs durable jobs: those that the ledger holds and that are due.
//!
//! Each instance takes one after the other, a few at once, for the duration of a lease, and renews the lease while the job
//! runs. If an instance dies, the lease lapses and another one runs the job: at least once, so the work of a job must be
//! repeatable. A failed job is retried, later each time; one that has failed too often is dead, and stays for an operator to
//! inspect.
//!
//! A new kind of job needs its payload in `domain/job.rs`, its implementation in a file of `workers/jobs/`, and its line in
//! `KINDS`. A standing job, of which there always is one, also needs its line in `standing_jobs`, and `ATTEMPTS` of `i64::MAX`:
//! a dead job keeps its key, and no other one would take its place.

mod archive_season;
mod end_decision;
mod prune;
mod prune_accounts;
mod repair_search;
mod scrub_user;
mod send_mail;
mod sweep_leaderboard;

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use crate::{
    domain::{
        job::{
            ArchiveSeason, EndDecision, Ended, LeasedJob, NewJob, Payload, PruneAccounts, PruneKeys, PruneReceipts, RepairSearch,
            ScrubUser, SendMail, SweepLeaderboard,
        },
        time::{Clock, Timestamp},
    },
    repositories::ledger::Ledger,
    services::{accounts::mail::Postman, moderation::Moderation},
};

/// Every kind of job. Jobs of other queues are left to a release that knows them.
const KINDS: [Kind; 9] = [
    kind::<SweepLeaderboard>(),
    kind::<ArchiveSeason>(),
    kind::<EndDecision>(),
    kind::<ScrubUser>(),
    kind::<PruneKeys>(),
    kind::<PruneReceipts>(),
    kind::<SendMail>(),
    kind::<PruneAccounts>(),
    kind::<RepairSearch>(),
];

/// Jobs that an instance runs at once.
const AT_ONCE: usize = 2;
/// How often the ledger is queried for due jobs.
const POLL: Duration = Duration::from_secs(1);
/// How long an instance may fail to renew a lease before another one runs its job.
const LEASE_SECONDS: i64 = 60;
const RENEW: Duration = Duration::from_secs(20);
/// The second attempt comes after about this time, each further one after twice as long.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
/// How often jobs are counted for the metrics.
const COUNT: Duration = Duration::from_secs(5);
/// Pending reviews that are counted at the most.
const MOST_COUNTED: i64 = 100_000;

/// How a kind of job is run.
trait Job: Payload {
    /// Attempts in a row before it is dead.
    const ATTEMPTS: i64 = 20;

    /// Works for a while. Progress worth keeping is in the payload of the next run.
    fn run(self, context: &Context) -> impl Future<Output = Result<Next<Self>, JobError>> + Send;
}

/// What follows a run.
enum Next<J> {
    Done,
    Again { job: J, after: Duration },
}

/// Why a run failed, of any type: for the log and `jobs.last_error`.
type JobError = Box<dyn std::error::Error + Send + Sync>;

/// The dependencies of jobs.
pub struct Context {
    ledger: Ledger,
    clock: Clock,
    moderation: Arc<Moderation>,
    /// Where messages are sent.
    postman: Option<Arc<Postman>>,
    begun: (Instant, Timestamp),
}

impl Context {
    pub fn new(ledger: Ledger, clock: Clock, moderation: Arc<Moderation>, postman: Option<Arc<Postman>>) -> Arc<Self> {
        let begun = (Instant::now(), clock.now());
        Arc::new(Self { ledger, clock, moderation, postman, begun })
    }

    /// Whether there is anything to do in this queue.
    pub fn serves(&self, queue: &str) -> bool {
        queue != SendMail::QUEUE || self.postman.is_some()
    }

    /// The present time, as far as this process saw it pass: a clock that is set forward ages nothing.
    fn seen(&self) -> Timestamp {
        let (began, begun_at) = self.begun;
        let elapsed = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        begun_at.plus_seconds(elapsed).min(self.clock.now())
    }
}

/// A kind of job with its type erased.
struct Kind {
    queue: &'static str,
    attempts: i64,
    run: fn(String, Arc<Context>) -> Running,
}

/// What comes next: the payload to continue with, and when.
type Running = Pin<Box<dyn Future<Output = Result<Option<(String, Duration)>, JobError>> + Send>>;

const fn kind<J: Job>() -> Kind {
    Kind { queue: J::QUEUE, attempts: J::ATTEMPTS, run: run_one::<J> }
}

fn run_one<J: Job>(payload: String, context: Arc<Context>) -> Running {
    Box::pin(async move {
        let job: J = serde_json::from_str(&payload)?;
        Ok(match job.run(&context).await? {
            Next::Done => None,
            Next::Again { job, after } => Some((serde_json::to_string(&job)?, after)),
        })
    })
}

/// Queues of jobs that somebody waits for. Each has a task of its own: its jobs never wait for long ones, nor for each other's.
pub const PROMPT: [&str; 2] = [EndDecision::QUEUE, SendMail::QUEUE];

/// Runs due jobs of one queue, for as long as it is polled.
pub async fn run_prompt(context: Arc<Context>, queue: &'static str) {
    let mut polls = interval(POLL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        lease(&context, &[queue], &mut running).await;
        tokio::select! {
            _ = polls.tick() => {}
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

/// Runs the other due jobs for as long as it is polled.
pub async fn run(context: Arc<Context>) {
    let queues = KINDS.map(|kind| kind.queue);
    let patient: Vec<&'static str> = queues.into_iter().filter(|queue| !PROMPT.contains(queue)).collect();
    let (mut polls, mut counts) = (interval(POLL), interval(COUNT));
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    let mut standing = standing_jobs(context.clock.now());
    loop {
        standing = note(&context, standing).await;
        lease(&context, &patient, &mut running).await;
        tokio::select! {
            _ = polls.tick() => {}
            _ = counts.tick() => count(&context, &queues).await,
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

/// Begins due jobs of these queues, as many as may run at once.
async fn lease(context: &Arc<Context>, queues: &[&'static str], running: &mut JoinSet<()>) {
    while running.len() < AT_ONCE {
        let now = context.clock.now();
        match context.ledger.lease_job(queues, now, now.plus_seconds(LEASE_SECONDS)).await {
            Ok(Some(job)) => {
                running.spawn(work(Arc::clone(context), job));
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "no job can be leased");
                break;
            }
        }
    }
}

/// Jobs that always exist.
fn standing_jobs(now: Timestamp) -> Vec<NewJob> {
    vec![
        NewJob::new(&PruneKeys::default(), now),
        NewJob::new(&PruneReceipts {}, now),
        NewJob::new(&PruneAccounts {}, now),
        NewJob::new(&RepairSearch::default(), now),
    ]
}

/// Adds jobs, unless they exist; returns those that could not be added yet.
async fn note(context: &Context, jobs: Vec<NewJob>) -> Vec<NewJob> {
    let mut left = Vec::new();
    for job in jobs {
        if context.ledger.add_job(job.clone(), context.clock.now()).await.is_err() {
            left.push(job);
        }
    }
    left
}

/// Runs a job and records how it ended, unless the lease is lost: then the job belongs to another instance.
async fn work(context: Arc<Context>, job: LeasedJob) {
    let Some(kind) = KINDS.iter().find(|kind| kind.queue == job.queue) else { return };
    let begun = Instant::now();
    let run = AssertUnwindSafe((kind.run)(job.payload.clone(), Arc::clone(&context))).catch_unwind();
    let result = tokio::select! {
        result = run => result.unwrap_or_else(|_| Err("it panicked".into())),
        () = until_lost(&context, &job) => {
            tracing::warn!(job = job.id, queue = kind.queue, "another instance has taken over a job that took too long here");
            return;
        }
    };
    let (ended, outcome) = ended(kind, &job, result, context.clock.now());
    metrics::histogram!("scoreboard_job_seconds", "queue" => kind.queue).record(begun.elapsed());
    metrics::counter!("scoreboard_job_runs_total", "queue" => kind.queue, "outcome" => outcome).increment(1);
    if let Err(error) = context.ledger.end_job(&job, ended, context.clock.now()).await {
        tracing::warn!(job = job.id, queue = kind.queue, %error, "the end of a job could not be recorded: it will run again");
    }
}

fn ended(
    kind: &Kind,
    job: &LeasedJob,
    result: Result<Option<(String, Duration)>, JobError>,
    now: Timestamp,
) -> (Ended, &'static str) {
    let after = |delay: Duration| Timestamp(now.0.saturating_add(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX)));
    match result {
        Ok(None) => (Ended::Done, "done"),
        Ok(Some((payload, delay))) => (Ended::Again { payload, due_at: after(delay) }, "again"),
        Err(error) if job.attempts + 1 < kind.attempts => {
            tracing::warn!(job = job.id, queue = kind.queue, %error, "a job failed and will be retried");
            (Ended::Failed { error: error.to_string(), due_at: after(delay(job.attempts)) }, "failed")
        }
        Err(error) => {
            tracing::error!(job = job.id, queue = kind.queue, %error, "a job has failed too often and is given up");
            (Ended::Dead { error: error.to_string() }, "dead")
        }
    }
}

/// How long to wait after this many failures and one more: up to half as long again or shorter at random, so that jobs that
/// failed together are not retried together.
fn delay(failures: i64) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(1 << failures.clamp(0, 20)).min(LONGEST_DELAY);
    doubled.mul_f64(0.5 + fastrand::f64())
}

/// Renews the lease until it is lost.
async fn until_lost(context: &Context, job: &LeasedJob) {
    let mut renewals = interval_at(Instant::now() + RENEW, RENEW);
    loop {
        renewals.tick().await;
        let now = context.clock.now();
        if matches!(context.ledger.renew_job(job, now, now.plus_seconds(LEASE_SECONDS)).await, Ok(false)) {
            return;
        }
    }
}

/// Counts what waits, for the metrics.
async fn count(context: &Context, queues: &[&'static str]) {
    if let Ok(pending) = context.ledger.count_pending_reviews(MOST_COUNTED).await {
        metrics::gauge!("scoreboard_reviews_pending").set(pending as f64);
    }
    let Ok(sizes) = context.ledger.job_sizes(context.clock.now()).await else { return };
    for &queue in queues {
        let size = sizes.iter().find(|size| size.queue == queue).cloned().unwrap_or_default();
        for (state, jobs) in [("due", size.due), ("running", size.running), ("dead", size.dead)] {
            metrics::gauge!("scoreboard_jobs", "queue" => queue, "state" => state).set(jobs as f64);
        }
    }
}

/// How long a run may go on, in small steps that do not disturb other work.
struct Turn(Instant);

impl Turn {
    /// The pause between two steps.
    const PAUSE: Duration = Duration::from_millis(50);

    fn of(length: Duration) -> Self {
        Self(Instant::now() + length)
    }

    /// Pauses after a step; returns whether there is time for another one.
    async fn goes_on(&self) -> bool {
        tokio::time::sleep(Self::PAUSE).await;
        Instant::now() < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_retry_comes_later_up_to_a_limit() {
        let mean = |failures| (0..1000).map(|_| delay(failures)).sum::<Duration>() / 1000;
        assert!((900..1100).contains(&mean(0).as_millis()) && (7200..8800).contains(&mean(3).as_millis()));
        assert!(delay(i64::MAX) <= LONGEST_DELAY * 3 / 2 && delay(62) >= LONGEST_DELAY / 2);
        assert_ne!(delay(5), delay(5));
    }

    #[test]
    fn a_job_that_fails_too_often_is_dead() {
        let kind = kind::<SweepLeaderboard>();
        let run = |attempts| {
            let job = LeasedJob { id: 1, lease: 7, queue: kind.queue.into(), payload: "{}".into(), attempts };
            ended(&kind, &job, Err("no luck".into()), Timestamp(0))
        };
        assert!(matches!(run(0), (Ended::Failed { due_at, .. }, "failed") if due_at > Timestamp(0)));
        assert!(matches!(run(19), (Ended::Dead { error }, "dead") if error == "no luck"));
    }
}

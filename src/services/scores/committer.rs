//! Group commit: the waiting submissions become one transaction; those that arrive meanwhile form the next one.
//!
//! Large batches are cheap, so a commit does not begin while another one is still executing: it begins when the previous one is
//! written and has only the disk to wait for, or when enough submissions wait for a large batch of their own. It excludes users
//! of commits in flight: so the submissions of one user are never reordered, and commits of one instance never wait for each
//! other's row locks.
//!
//! Committed batches are announced in the order of their commits, while the next commits are in flight.

use std::{collections::HashSet, sync::Arc};

use futures_util::poll;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{self, error::SendError},
    },
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    domain::{
        ids::UserId,
        submission::{Accepted, Settled, Submission},
        time::Clock,
    },
    repositories::ledger::{Committed, Ledger, LedgerError, Progress, Receipt},
    services::{
        announcer::{Announcer, Told},
        boundaries::Boundaries,
        error::ServiceError,
        receipts::{self, Place},
    },
};

use super::{
    Answer, Reply,
    job::Job,
    places::places,
    queue::{CROWD, Queue},
    repeats::Repeat,
};

/// Submissions in one transaction, unless a single request brings more.
const BATCH: usize = 512;
/// The most commits in flight that a waiting crowd may start before the previous one is written: with more of them each would
/// be small.
const CROWDED_COMMITS: usize = 2;
/// Committed batches waiting to be announced. When full, commits wait: a ranking that falls behind slows the writers down.
const ANNOUNCE_QUEUE: usize = 8;
/// The most announcements in flight: enough to keep a ranking with slow answers busy.
const ANNOUNCEMENTS: usize = 8;

/// How often a batch is committed again because a season had ended.
const BOUNDARIES: usize = 4;

/// A committed batch: its jobs, without their submissions, which are gathered in one list.
struct Batch {
    jobs: Vec<Job>,
    submissions: Arc<[Submission]>,
    committed: Committed,
}

/// Commits and announces until the queue is closed and everything in it is answered.
pub(super) async fn run(ledger: Ledger, announcer: Arc<Announcer>, boundaries: Arc<Boundaries>, clock: Clock, queue: Arc<Queue>) {
    let (mut announce, mut announcing) = start_announcing(&ledger, &announcer);
    let mut commits: JoinSet<(Vec<UserId>, Option<Batch>)> = JoinSet::new();
    let mut busy: HashSet<UserId> = HashSet::new();
    let mut last: Option<Arc<Progress>> = None;
    while !(commits.is_empty() && queue.is_over()) {
        let waiting = queue.waiting();
        let on_their_way = commits.len();
        let written = last.as_ref().is_some_and(|progress| progress.is_written());
        let may_begin = on_their_way == 0
            || (on_their_way < ledger.commits_at_once() && (written || (waiting >= CROWD && on_their_way < CROWDED_COMMITS)));
        if waiting > 0 && may_begin {
            let jobs = queue.take(BATCH, &busy);
            // A failpoint that can only panic: nothing here can fail.
            crate::failpoints::fails("jobs-taken");
            // If all waiting submissions are of users whose commits are in flight, only the end of a commit helps.
            if !jobs.is_empty() {
                let submitted = jobs.iter().flat_map(|job| &job.submissions);
                let users: Vec<UserId> = submitted.map(|submission| submission.user_id.clone()).collect();
                busy.extend(users.iter().cloned());
                let (ledger, boundaries, clock) = (ledger.clone(), Arc::clone(&boundaries), clock.clone());
                let progress = Arc::new(Progress::default());
                last = Some(Arc::clone(&progress));
                commits.spawn(async move { (users, commit(&ledger, &boundaries, &clock, jobs, &progress).await) });
                continue;
            }
        }
        let next_may_begin = async {
            match &last {
                Some(progress) if waiting > 0 && !written => progress.written().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = commits.join_next() => {
                let Ok((users, batch)) = ended else {
                    // A commit that panicked has dropped its jobs, and so answered them; its users are no longer known.
                    busy.clear();
                    continue;
                };
                if let Some(batch) = batch
                    && let Err(SendError(batch)) = announce.send(batch).await
                {
                    // It can only have panicked. The changes that it had taken are in the outbox.
                    tracing::error!("the announcing task ended and is started again");
                    (announce, announcing) = start_announcing(&ledger, &announcer);
                    announce.send(batch).await.ok();
                }
                // Only now, so that the next commit of these users is announced after this one.
                users.iter().for_each(|user| { busy.remove(user); });
            }
            () = queue.changed() => {}
            () = next_may_begin => {}
        }
    }
    drop(announce);
    announcing.await.ok();
}

/// Starts the task that announces committed batches; returns the channel to it.
fn start_announcing(ledger: &Ledger, announcer: &Arc<Announcer>) -> (mpsc::Sender<Batch>, JoinHandle<()>) {
    let (announce, batches) = mpsc::channel(ANNOUNCE_QUEUE);
    (announce, tokio::spawn(announce_in_order(ledger.clone(), Arc::clone(announcer), batches)))
}

/// Commits the jobs as one transaction; answers them itself if that fails.
async fn commit(
    ledger: &Ledger,
    boundaries: &Boundaries,
    clock: &Clock,
    mut jobs: Vec<Job>,
    progress: &Arc<Progress>,
) -> Option<Batch> {
    let submissions: Arc<[Submission]> = jobs.iter_mut().flat_map(|job| std::mem::take(&mut job.submissions)).collect();
    let started = Instant::now();
    if let Some(oldest) = jobs.iter().map(Job::since).min() {
        metrics::histogram!("scoreboard_commit_wait_seconds").record(oldest.elapsed());
    }
    let result = commit_in_season(ledger, boundaries, clock, &submissions, progress).await;
    metrics::histogram!("scoreboard_commit_seconds").record(started.elapsed());
    metrics::histogram!("scoreboard_commit_batch_size").record(submissions.len() as f64);
    match result {
        Ok(committed) => {
            let withheld =
                committed.outcomes.iter().filter_map(Settled::accepted).filter(|accepted| accepted.is_withheld()).count();
            if withheld > 0 {
                metrics::counter!("scoreboard_reviews_opened_total").increment(withheld as u64);
            }
            for outcome in &committed.outcomes {
                if let Settled::Accepted(Accepted { event_id, user_id, .. }) = outcome {
                    tracing::trace!(event = %event_id, user = %user_id, elapsed = ?started.elapsed(), "committed");
                }
            }
            Some(Batch { jobs, submissions, committed })
        }
        Err(error) => {
            tracing::debug!(%error, submissions = submissions.len(), "a batch could not be committed");
            for job in jobs {
                job.answer(std::iter::repeat_with(|| Reply::Failed(error.clone())));
            }
            None
        }
    }
}

/// Commits to the seasons that are current: where one has ended by the schedule, the next one is begun first.
async fn commit_in_season(
    ledger: &Ledger,
    boundaries: &Boundaries,
    clock: &Clock,
    submissions: &Arc<[Submission]>,
    progress: &Arc<Progress>,
) -> Result<Committed, ServiceError> {
    for _ in 0..BOUNDARIES {
        match ledger.commit(submissions, clock, progress).await {
            Err(LedgerError::BoundaryDue(pks)) => boundaries.carry_out(Some(pks)).await?,
            committed => return Ok(committed?),
        };
    }
    Err(ServiceError::NotYet)
}

/// Sends each batch's changes to the ranking in order, without waiting for the answers to the previous ones: the first poll
/// sends. Where sending in order is not enough (another instance is involved, a ranking has to be rebuilt), the revisions keep
/// the order.
async fn announce_in_order(ledger: Ledger, announcer: Arc<Announcer>, mut batches: mpsc::Receiver<Batch>) {
    let on_their_way = Arc::new(Semaphore::new(ANNOUNCEMENTS));
    let mut finishing = JoinSet::new();
    while let Some(batch) = batches.recv().await {
        crate::failpoints::fails("batch-received");
        let permit = Arc::clone(&on_their_way).acquire_owned().await.expect("the semaphore is never closed");
        let (ledger, announcer) = (ledger.clone(), Arc::clone(&announcer));
        let mut finish = Box::pin(async move {
            let started = Instant::now();
            let told = announcer.apply(&batch.committed.changes).await;
            metrics::histogram!("scoreboard_announce_seconds").record(started.elapsed());
            // A change that has to wait for another instance or a rebuild must not delay the others.
            drop(permit);
            finish(&ledger, &announcer, batch, told).await;
        });
        if poll!(&mut finish).is_pending() {
            finishing.spawn(finish);
        }
        while finishing.try_join_next().is_some() {}
    }
    finishing.join_all().await;
}

async fn finish(ledger: &Ledger, announcer: &Announcer, batch: Batch, mut told: Vec<Told>) {
    let Batch { jobs, submissions, committed } = batch;
    announcer.see_through(&committed.changes, &mut told).await;
    for (change, told) in committed.changes.iter().zip(&told) {
        tracing::trace!(event = %change.event_id, leaderboard = change.board.pk, ?told, "told");
    }
    if let Some(outbox) = committed.outbox {
        announcer.close_scores(outbox, &committed.changes, &told);
    }
    for (row, announcement) in &committed.renames {
        announcer.announce_row(*row, announcement).await;
    }
    let accepted: Vec<Option<&Accepted>> = committed.outcomes.iter().map(Settled::accepted).collect();
    let places = places(announcer, &accepted, told).await;
    let to_store = to_store(&committed.outcomes);
    let mut replies = replies(committed.outcomes, &submissions, places);
    store_receipts(ledger, &to_store, &mut replies).await;
    let mut replies = replies.into_iter();
    for job in jobs {
        let count = job.count();
        job.answer(replies.by_ref().take(count));
    }
    // A failpoint that can only panic: nothing is left to fail.
    crate::failpoints::fails("answered");
}

fn replies(outcomes: Vec<Settled>, submissions: &[Submission], places: Vec<Vec<Option<Place>>>) -> Vec<Reply> {
    let replies = outcomes.into_iter().zip(submissions).zip(places).map(|((outcome, submission), places)| match outcome {
        Settled::Accepted(accepted) => Reply::Receipt(Answer { body: receipts::body(&accepted, &places), replayed: false }),
        Settled::Replayed { receipt: Some(body), .. } => Reply::Receipt(Answer { body, replayed: true }),
        Settled::Replayed { event_id, receipt: None } => Reply::Repeat(Repeat {
            event_id,
            subject: submission.shared_key_owner(),
            key: submission.idempotency.as_ref().map(|idempotency| idempotency.key.clone()).unwrap_or_default(),
        }),
        Settled::Refused(refusal) => Reply::Refused(refusal),
    });
    replies.collect()
}

/// Stores the receipts of submissions with a key before they are sent, so that a repeat gets the identical one even if this
/// process dies right after answering. The first receipt stored decides the answer; an answer that could not be stored must not
/// be sent.
async fn store_receipts(ledger: &Ledger, to_store: &[Option<(Uuid, Uuid)>], replies: &mut [Reply]) {
    let mut spots = Vec::new();
    let mut receipts = Vec::new();
    for (index, (to_store, reply)) in to_store.iter().zip(replies.iter_mut()).enumerate() {
        if let (Some((batch, event_id)), Reply::Receipt(Answer { body, replayed: false })) = (to_store, reply) {
            spots.push(index);
            receipts.push(Receipt { batch: *batch, event_id: *event_id, body: std::mem::take(body) });
        }
    }
    if receipts.is_empty() {
        return;
    }
    match store(ledger, receipts).await {
        Ok(stored) => {
            for (index, body) in spots.into_iter().zip(stored) {
                replies[index] = Reply::Receipt(Answer { body, replayed: false });
            }
        }
        Err(error) => {
            for index in spots {
                replies[index] = Reply::Failed(error.clone());
            }
        }
    }
}

/// For the accepted submissions that brought a key: the batch that the receipt is stored in, and the event.
fn to_store(outcomes: &[Settled]) -> Vec<Option<(Uuid, Uuid)>> {
    let of = |accepted: &Accepted| Some((accepted.receipt_batch?, accepted.event_id));
    outcomes.iter().map(|outcome| outcome.accepted().and_then(of)).collect()
}

async fn store(ledger: &Ledger, receipts: Vec<Receipt>) -> Result<Vec<String>, ServiceError> {
    crate::failpoints::failpoint!("changes-told", ServiceError::LedgerAway);
    let stored = ledger.store_receipts(receipts).await?;
    crate::failpoints::failpoint!("receipts-stored", ServiceError::LedgerAway);
    Ok(stored)
}

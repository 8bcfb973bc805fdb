//! Group commit: everything that waits becomes one transaction; what gathers meanwhile is the next one.
//!
//! Batches are announced in the order of their commits, each while the next one is on its way to the ledger.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use crate::{
    domain::{
        leaderboard::Board,
        submission::{Accepted, Settled, Submission},
        time::Clock,
    },
    repositories::{
        ledger::{Committed, Ledger, Receipt},
        standings::Standings,
    },
    services::{
        announcer::{Announcer, Told, all_settled},
        error::ServiceError,
        receipts::{self, Place},
    },
};

use super::{Answer, Job, Reply};

/// Submissions in one transaction, unless a single request brings more.
const BATCH: usize = 512;
/// Committed batches that wait to be announced. When full, commits wait: a ranking that falls behind slows the writers down.
const ANNOUNCE_QUEUE: usize = 8;

struct Batch {
    jobs: Vec<Job>,
    committed: Committed,
}

/// Commits and announces until every sender of `jobs` is gone and all that was sent is answered.
pub(super) async fn run(ledger: Ledger, announcer: Arc<Announcer>, clock: Clock, mut jobs: mpsc::Receiver<Job>) {
    let (announce, batches) = mpsc::channel(ANNOUNCE_QUEUE);
    let announcing = tokio::spawn(announce_in_order(ledger.clone(), announcer, batches));
    while let Some(waiting) = next_batch(&mut jobs).await {
        if let Some(batch) = commit(&ledger, &clock, waiting).await
            && announce.send(batch).await.is_err()
        {
            break;
        }
    }
    drop(announce);
    announcing.await.ok();
}

async fn next_batch(jobs: &mut mpsc::Receiver<Job>) -> Option<Vec<Job>> {
    let mut waiting = vec![jobs.recv().await?];
    let mut count = waiting[0].submissions.len();
    while count < BATCH
        && let Ok(job) = jobs.try_recv()
    {
        count += job.submissions.len();
        waiting.push(job);
    }
    Some(waiting)
}

/// Commits the jobs as one transaction; answers them itself where that fails.
async fn commit(ledger: &Ledger, clock: &Clock, mut jobs: Vec<Job>) -> Option<Batch> {
    let submissions: Vec<Submission> = jobs.iter_mut().flat_map(|job| job.submissions.iter().cloned()).collect();
    let started = Instant::now();
    let result = ledger.commit(&submissions, clock).await;
    metrics::histogram!("scoreboard_commit_seconds").record(started.elapsed());
    metrics::histogram!("scoreboard_commit_batch_size").record(submissions.len() as f64);
    match result {
        Ok(committed) => Some(Batch { jobs, committed }),
        Err(error) => {
            tracing::error!(%error, submissions = submissions.len(), "a batch could not be committed");
            let error = ServiceError::from(error);
            for job in jobs {
                let replies = job.submissions.iter().map(|_| Reply::Failed(error.clone())).collect();
                job.reply.send(replies).ok();
            }
            None
        }
    }
}

async fn announce_in_order(ledger: Ledger, announcer: Arc<Announcer>, mut batches: mpsc::Receiver<Batch>) {
    let mut finishing = tokio::task::JoinSet::new();
    while let Some(batch) = batches.recv().await {
        let started = Instant::now();
        let told = announcer.apply(&batch.committed.changes).await;
        metrics::histogram!("scoreboard_announce_seconds").record(started.elapsed());
        // Only the first attempt keeps the order: a change that has to wait for another instance must not hold up the others.
        finishing.spawn(finish(ledger.clone(), announcer.clone(), batch, told));
        while finishing.try_join_next().is_some() {}
    }
    finishing.join_all().await;
}

async fn finish(ledger: Ledger, announcer: Arc<Announcer>, batch: Batch, mut told: Vec<Told>) {
    let Batch { jobs, committed } = batch;
    announcer.wait_for_earlier(&committed.changes, &mut told).await;
    if let Some(outbox) = committed.outbox
        && all_settled(&told)
    {
        announcer.mark_done(outbox);
    }
    let places = places(announcer.standings(), &committed, told).await;
    let mut replies = replies(committed.outcomes, places);
    let kept = keep_receipts(&ledger, &jobs, &mut replies).await;
    for job in jobs {
        let rest = replies.split_off(job.submissions.len());
        let of_job = std::mem::replace(&mut replies, rest);
        let of_job = of_job.into_iter().zip(&job.submissions).map(|(reply, submission)| match (&kept, reply) {
            (Err(error), Reply::Receipt(_)) if submission.idempotency.is_some() => Reply::Failed(error.clone()),
            (_, reply) => reply,
        });
        job.reply.send(of_job.collect()).ok();
    }
    // Only to die at: nothing is left to fail.
    crate::failpoints::fails("answered");
}

/// The place of each standing of each accepted submission: of the changed ones as it was told, of the unchanged ones as it is.
async fn places(standings: &dyn Standings, committed: &Committed, told: Vec<Told>) -> Vec<Vec<Option<Place>>> {
    let mut told = told.into_iter();
    let mut places = Vec::with_capacity(committed.outcomes.len());
    let mut unchanged: Vec<(Board, Vec<(usize, usize)>)> = Vec::new();
    for (index, outcome) in committed.outcomes.iter().enumerate() {
        let Settled::Accepted(accepted) = outcome else {
            places.push(Vec::new());
            continue;
        };
        let mut of_submission = Vec::with_capacity(accepted.standings.len());
        for (position, standing) in accepted.standings.iter().enumerate() {
            of_submission.push(match standing.applied {
                true => told.next().and_then(|told| if let Told::Applied(applied) = told { Place::of(applied) } else { None }),
                false => {
                    match unchanged.iter_mut().find(|(board, _)| *board == standing.board) {
                        Some((_, spots)) => spots.push((index, position)),
                        None => unchanged.push((standing.board, vec![(index, position)])),
                    }
                    None
                }
            });
        }
        places.push(of_submission);
    }
    for (board, spots) in unchanged {
        let users: Vec<_> = spots.iter().map(|&(index, _)| accepted(&committed.outcomes[index]).user_id.clone()).collect();
        let Ok((head, found)) = standings.neighbourhoods(board, &users, 0).await else { continue };
        for ((index, position), neighbourhood) in spots.into_iter().zip(found) {
            places[index][position] = neighbourhood.entry.zip(head.version.clone()).map(|(entry, version)| Place {
                version,
                rank: entry.rank,
                previous_rank: Some(entry.rank),
                total: head.total,
            });
        }
    }
    places
}

fn accepted(outcome: &Settled) -> &Accepted {
    match outcome {
        Settled::Accepted(accepted) => accepted,
        _ => unreachable!("only accepted submissions have standings"),
    }
}

fn replies(outcomes: Vec<Settled>, places: Vec<Vec<Option<Place>>>) -> Vec<Reply> {
    let replies = outcomes.into_iter().zip(places).map(|(outcome, places)| match outcome {
        Settled::Accepted(accepted) => Reply::Receipt(Answer { body: receipts::body(&accepted, &places), replayed: false }),
        Settled::Replayed { receipt: Some(body), .. } => Reply::Receipt(Answer { body, replayed: true }),
        Settled::Replayed { event_id, receipt: None } => Reply::Repeat { event_id },
        Settled::Refused(refusal) => Reply::Refused(refusal),
    });
    replies.collect()
}

/// Stores the receipts of submissions with a key before they are given out, so that a repeat gets the very same one even when this
/// process dies right after answering. Whoever stored first decides what is answered.
async fn keep_receipts(ledger: &Ledger, jobs: &[Job], replies: &mut [Reply]) -> Result<(), ServiceError> {
    crate::failpoints::failpoint!("changes-told", ServiceError::LedgerAway);
    let submissions = jobs.iter().flat_map(|job| &job.submissions);
    let mut spots = Vec::new();
    let mut receipts = Vec::new();
    for (index, (submission, reply)) in submissions.zip(replies.iter()).enumerate() {
        if let (Some(idempotency), Reply::Receipt(Answer { body, replayed: false })) = (&submission.idempotency, reply) {
            spots.push(index);
            receipts.push(Receipt { subject: submission.subject.clone(), key: idempotency.key.clone(), body: body.clone() });
        }
    }
    if receipts.is_empty() {
        return Ok(());
    }
    let stored = ledger.store_receipts(&receipts).await?;
    crate::failpoints::failpoint!("receipts-stored", ServiceError::LedgerAway);
    for (index, body) in spots.into_iter().zip(stored) {
        replies[index] = Reply::Receipt(Answer { body, replayed: false });
    }
    Ok(())
}

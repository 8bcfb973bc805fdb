//! Accepts submissions, and answers each after its commit.
//!
//! A submission joins the bounded queue of this instance; `scores/committer.rs` commits what is waiting, announces it, and
//! answers.

mod committer;
mod fingerprint;
mod job;
mod places;
mod queue;
mod repeats;

use std::{pin::Pin, sync::Arc};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    domain::{
        caller::{Caller, Credential, Permission},
        ids::{ActionId, UserId},
        run::RunFault,
        settlement::event_id,
        submission::{Idempotency, Refusal, Submission},
        time::Clock,
    },
    repositories::ledger::Ledger,
};

use super::{
    announcer::Announcer,
    boundaries::Boundaries,
    error::ServiceError,
    receipts::unless_erased,
    runs::{Run, RunTokens},
};
use fingerprint::{fingerprint, former_fingerprint};
use queue::Queue;
use repeats::Repeat;

/// A score to be submitted.
#[derive(Debug, Clone)]
pub struct Score {
    pub action_id: ActionId,
    pub user_id: UserId,
    pub value: Option<i64>,
    pub metadata: Option<Map<String, Value>>,
    /// The season of the action's first leaderboard that it is meant for.
    pub season: Option<i64>,
    /// Names the user if nobody has yet.
    pub display_name: Option<String>,
    /// 1–128 visible ASCII characters.
    pub idempotency_key: Option<String>,
    /// That of the run that it ends. It is an idempotency key itself, and comes without another one.
    pub run_token: Option<String>,
}

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The receipt, JSON.
    pub body: String,
    /// Whether this receipt was given before, to the same idempotency key.
    pub replayed: bool,
}

/// The committer's reply to one submission.
enum Reply {
    Receipt(Answer),
    Refused(Refusal),
    /// Committed earlier under the same key, but its receipt is not stored yet.
    Repeat(Repeat),
    /// The transaction failed.
    Failed(ServiceError),
}

/// See the module's documentation.
pub struct Scores {
    ledger: Ledger,
    announcer: Arc<Announcer>,
    queue: Arc<Queue>,
    clock: Clock,
    runs: Arc<RunTokens>,
    /// An event id made when this service was created: those of an earlier process come before it.
    begun: Uuid,
}

impl Drop for Scores {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Scores {
    /// The service, and a function that makes the future of its committer, which has to run, and be made again if it panics.
    /// The committer ends once the service is closed and everything that was waiting is committed.
    pub fn new(
        ledger: Ledger,
        announcer: Arc<Announcer>,
        boundaries: Arc<Boundaries>,
        clock: Clock,
        runs: Arc<RunTokens>,
    ) -> (Arc<Self>, impl Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send) {
        let queue = Arc::new(Queue::default());
        let begun = event_id(clock.now());
        let scores = Self {
            ledger: ledger.clone(),
            announcer: Arc::clone(&announcer),
            queue: Arc::clone(&queue),
            clock: clock.clone(),
            runs,
            begun,
        };
        let committer = move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(committer::run(
                ledger.clone(),
                Arc::clone(&announcer),
                Arc::clone(&boundaries),
                clock.clone(),
                Arc::clone(&queue),
            ))
        };
        (Arc::new(scores), committer)
    }

    /// Accepts no more submissions; waiting ones are still committed.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Commits scores, those of one user in order, each judged by itself, and answers once they are durable. One result per
    /// score; if some were committed and others failed, the latter have an error of their own.
    pub async fn submit(&self, caller: &Caller, scores: Vec<Score>) -> Result<Vec<Result<Answer, ServiceError>>, ServiceError> {
        caller.authorize(Permission::SubmitScores)?;
        let (mut submissions, mut results) = (Vec::with_capacity(scores.len()), Vec::with_capacity(scores.len()));
        for score in scores {
            // The result of one that is committed is filled in below.
            results.push(match self.submission(caller, score) {
                Ok(submission) => {
                    submissions.push(submission);
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        let mut committed = self.commit(submissions).await?.into_iter();
        let missing = || Err(ServiceError::Internal("a submission has no answer".into()));
        Ok(results.into_iter().map(|refused| refused.or_else(|| committed.next()).unwrap_or_else(missing)).collect())
    }

    /// Commits submissions of one subject; one result for each.
    async fn commit(&self, submissions: Vec<Submission>) -> Result<Vec<Result<Answer, ServiceError>>, ServiceError> {
        let Some(first) = submissions.first() else { return Ok(Vec::new()) };
        let (subject, count) = (first.subject.clone(), submissions.len());
        let replies = self.queue.push(subject, submissions).ok_or_else(|| {
            metrics::counter!("scoreboard_submissions_rejected_total", "reason" => "queue_full").increment(count as u64);
            ServiceError::Overloaded
        })?;
        let replies = replies.await.map_err(|_| ServiceError::LedgerAway("the server is shutting down".into()))?;

        // If the transaction as a whole failed, so does the request.
        if let Some(error) = failed_as_one(&replies) {
            return Err(error);
        }
        let (mut answers, mut repeats) = (Vec::with_capacity(count), Vec::new());
        for reply in replies {
            answers.push(match reply {
                Reply::Receipt(answer) => Ok(answer),
                Reply::Refused(refusal) => Err(refused(refusal)),
                Reply::Failed(error) => Err(error),
                Reply::Repeat(repeat) => {
                    repeats.push((answers.len(), repeat));
                    Err(ServiceError::NotYet)
                }
            });
        }
        if !repeats.is_empty() {
            let (spots, repeats): (Vec<usize>, Vec<Repeat>) = repeats.into_iter().unzip();
            // On the heap, because this future is rare and large, and every request would move it about inside its own.
            let bodies = Box::pin(self.answers_given_before(repeats)).await;
            for (spot, body) in spots.into_iter().zip(bodies) {
                answers[spot] = body.map(|body| Answer { body, replayed: true });
            }
        }
        let told = |Answer { body, replayed }| unless_erased(body).map(|body| Answer { body, replayed });
        Ok(answers.into_iter().map(|answer| answer.and_then(told)).collect())
    }

    /// The submission, if this caller may make it.
    fn submission(&self, caller: &Caller, score: Score) -> Result<Submission, ServiceError> {
        let Score { action_id, user_id, value, metadata, season, display_name, idempotency_key, run_token } = score;
        let subject = caller.subject().ok_or(ServiceError::Unauthenticated)?;
        let self_service_only = !caller.may(Permission::SubmitForAnybody);
        if self_service_only && *subject != *user_id.as_str() {
            return Err(ServiceError::Forbidden("scope scores:self allows only the token's own userId".into()));
        }
        let (idempotency_key, run) = match run_token.map(|token| self.runs.open(&token, &user_id, &action_id)).transpose()? {
            Some(Run { key, began }) => {
                // It began before now, whatever clock said when.
                self.clock.witness(began);
                (Some(key), Some(began))
            }
            None => (idempotency_key, None),
        };
        let idempotency = idempotency_key.map(|key| {
            let fingerprint = fingerprint(&action_id, &user_id, value, metadata.as_ref(), season, display_name.as_deref());
            // The previous release knew neither season nor name.
            let former = former_fingerprint(&action_id, &user_id, value, metadata.as_ref());
            let former = former.filter(|_| season.is_none() && display_name.is_none());
            Idempotency { key, fingerprint, former }
        });
        let credential = caller.principal().map_or(Credential::Token, |principal| principal.credential.clone());
        Ok(Submission {
            subject,
            credential,
            self_service_only,
            action_id,
            user_id,
            value,
            metadata,
            season,
            display_name,
            idempotency,
            run,
        })
    }
}

fn failed_as_one(replies: &[Reply]) -> Option<ServiceError> {
    let failed = replies.iter().map(|reply| if let Reply::Failed(error) = reply { Some(error) } else { None });
    failed.collect::<Option<Vec<_>>>()?.first().map(|&error| error.clone())
}

/// The refusal as a service error.
fn refused(refusal: Refusal) -> ServiceError {
    use crate::domain::action::ValueError;
    match refusal {
        Refusal::UnknownAction => ServiceError::invalid("actionId", "unknown", "there is no such action"),
        Refusal::DisabledAction => ServiceError::Conflict("this action is disabled".into()),
        Refusal::NoLeaderboard => {
            ServiceError::invalid("actionId", "no-leaderboard", "this action feeds no leaderboard that exists")
        }
        Refusal::NotSelfService => {
            ServiceError::Forbidden("this action is not open to self-service; scope scores:write is needed".into())
        }
        Refusal::Closed(id) => ServiceError::Closed(id),
        Refusal::Value(ValueError::Required) => ServiceError::invalid("value", "required", "this action needs a value"),
        Refusal::Value(ValueError::NotAllowed) => {
            ServiceError::invalid("value", "not-allowed", "this action has fixed points and takes no value")
        }
        Refusal::Value(ValueError::OutOfRange { min, max }) => {
            ServiceError::invalid("value", "range", format!("must be between {min} and {max}"))
        }
        Refusal::ScoreOutOfRange(id) => {
            let message = format!("the score in leaderboard {id} would leave ±(2^53 − 1), or change by more than that");
            ServiceError::invalid("value", "score-range", message)
        }
        Refusal::OutOfBounds(id) => {
            ServiceError::invalid("value", "out-of-bounds", format!("the score in leaderboard {id} would leave its bounds"))
        }
        Refusal::OtherSeason { id: _, named, current } if named < current => ServiceError::SeasonEnded { current },
        Refusal::OtherSeason { id, current, .. } => {
            let message = format!("has not begun: the current season of leaderboard {id} is {current}");
            ServiceError::invalid("season", "not-begun", message)
        }
        Refusal::Banned { until } => ServiceError::Banned { until },
        Refusal::TooSoon { retry_after } => {
            ServiceError::TooSoon { retry_after, detail: format!("this user may submit this action again in {retry_after} s") }
        }
        Refusal::KeyEnded => {
            ServiceError::InvalidToken("the API key was deleted or rotated, or has expired, before this was committed".into())
        }
        Refusal::KeyLacksScope => ServiceError::Forbidden("the API key no longer has the scope for this submission".into()),
        Refusal::KeyBound => {
            ServiceError::Forbidden("the API key is bound to leaderboards, and this action also feeds others".into())
        }
        Refusal::SessionEnded => ServiceError::InvalidToken("the session ended before this was committed".into()),
        Refusal::Unstorable => ServiceError::invalid("body", "unstorable", "the ledger cannot store this submission"),
        Refusal::RunRequired => ServiceError::run("run-required", "this action needs the runToken of a run, see POST /api/runs"),
        Refusal::Run(RunFault::TooShort { wait }) => {
            ServiceError::run("run-too-short", format!("the run is too short: its score is accepted in {wait} s"))
        }
        Refusal::Run(RunFault::Expired { max_seconds }) => {
            ServiceError::run("run-expired", format!("the run began more than {max_seconds} s ago"))
        }
        Refusal::Run(RunFault::TooFast { most }) => {
            ServiceError::run("run-too-fast", format!("a run of this length brings {most} points at the most"))
        }
        Refusal::RunUsed => ServiceError::RunUsed,
        Refusal::KeyReused => ServiceError::invalid("Idempotency-Key", "reused", "this key was used before with another body"),
    }
}

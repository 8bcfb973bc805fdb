//! Reviews: what moderators are shown of suspicious scores, and their verdicts, carried out in the ledger and announced like
//! scores.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    domain::{
        audit::Act,
        caller::{Caller, Permission},
        decision::CorrectedEntry,
        ids::UserId,
        leaderboard::Board,
        review::{Judgement, PendingScore, Review, ReviewCase, ReviewFilter},
    },
    repositories::ledger::{Judged, JudgedTogether, Ledger, LedgerError},
};

use super::{
    error::ServiceError,
    moderation::{FOLDED_AT_ONCE, Moderation, rank_all},
    turns::Turns,
};

/// How often verdicts are tried again because a season had ended.
const ATTEMPTS: usize = 3;
/// The most pending scores that users are shown of themselves.
const SHOWN: i64 = 100;

/// See the module's documentation.
pub struct Reviews {
    pub ledger: Ledger,
    pub moderation: Arc<Moderation>,
    pub turns: Arc<Turns>,
}

/// One page of the list.
pub struct Page {
    /// Those of the newest events first.
    pub cases: Vec<ReviewCase>,
    /// The event after which there are more, if there are.
    pub next: Option<Uuid>,
}

/// A verdict that is in force, and the entries that it changed.
#[derive(Debug)]
pub struct Outcome {
    pub review: Review,
    pub entries: Vec<CorrectedEntry>,
}

impl Reviews {
    /// Reviews, those of the newest events first. A review shows what its user did anywhere, and a verdict may concern several
    /// leaderboards: a key that is bound to some may do neither.
    pub async fn page(&self, caller: &Caller, filter: &ReviewFilter, limit: usize) -> Result<Page, ServiceError> {
        caller.authorize_everywhere(Permission::Moderate)?;
        let _turn = self.turns.next().await?;
        let (cases, next) = self.ledger.reviews(filter, limit as i64, self.moderation.clock.now()).await?;
        Ok(Page { cases, next })
    }

    /// Carries out verdicts in their order, each for itself; one result for each.
    pub async fn judge(
        &self,
        caller: &Caller,
        judgements: &[Judgement],
    ) -> Result<Vec<Result<Outcome, ServiceError>>, ServiceError> {
        caller.authorize_everywhere(Permission::Moderate)?;
        let mut results = Vec::with_capacity(judgements.len());
        for some in judgements.chunks(FOLDED_AT_ONCE) {
            match self.judge_some(caller, some).await {
                Ok(judged) => results.extend(self.announce(judged).await),
                Err(error) => results.extend(some.iter().map(|_| Err(error.clone()))),
            }
        }
        Ok(results)
    }

    async fn judge_some(&self, caller: &Caller, some: &[Judgement]) -> Result<JudgedTogether, ServiceError> {
        for _ in 0..ATTEMPTS {
            let act = Act::of(caller, self.moderation.clock.now());
            match self.ledger.judge(some.to_vec(), act).await {
                Err(LedgerError::BoundaryDue(pks)) => self.moderation.boundaries.carry_out(Some(pks)).await?,
                judged => return Ok(judged?),
            };
        }
        Err(ServiceError::NotYet)
    }

    /// Announces what was committed, and completes the entries by the ranks that came of it.
    async fn announce(&self, committed: JudgedTogether) -> Vec<Result<Outcome, ServiceError>> {
        let JudgedTogether { judged, changes, outbox } = committed;
        let told = self.moderation.tell(&changes, &outbox).await;
        let outcome = |judged: Result<Judged, LedgerError>| {
            let Judged { review, mut entries, changes } = judged?;
            rank_all(&mut entries, &changes, &told);
            metrics::counter!("scoreboard_reviews_judged_total", "state" => review.state.as_str()).increment(1);
            Ok(Outcome { review, entries })
        };
        judged.into_iter().map(outcome).collect()
    }

    /// A user's pending scores of one board, newest first. For the user alone: whoever calls this has made sure of it.
    pub async fn pending(&self, board: Board, user: &UserId) -> Result<Vec<PendingScore>, ServiceError> {
        let _turn = self.turns.next().await?;
        Ok(self.ledger.pending_scores(board, user, SHOWN).await?)
    }
}

//! Decisions of moderators: carried out in the ledger, then announced like scores.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::{
    domain::{
        account::Roles,
        announcement::{Announcement, Change},
        audit::Act,
        caller::{Caller, Permission},
        decision::{CorrectedEntry, Decision, DecisionFilter, Measure, NewDecision},
        ids::{LeaderboardId, Noun, UserId},
        settlement::{event_id, first_event_id},
        submission::RequestKey,
        time::{Clock, Timestamp},
    },
    repositories::{
        ledger::{Decided, Ledger, LedgerError, Moderated, Ranked},
        ranking_store::Applied,
    },
};

use super::{
    announcer::{Announcer, Told},
    boundaries::Boundaries,
    definitions::DefinitionCache,
    error::ServiceError,
    receipts::unless_erased,
};

/// Decisions in one transaction: many share the wait for the disk, and few keep commits waiting, which wait for all those that fold
/// entries again.
const AT_ONCE: usize = 32;
pub(super) const FOLDED_AT_ONCE: usize = 8;
/// How long an erasure waits for the rankings that begin anew because of it.
const ERASED_WITHIN: Duration = Duration::from_secs(20);
/// How often they are tried again because a season had ended.
const ATTEMPTS: usize = 3;

/// See the module's documentation.
pub struct Moderation {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub announcer: Arc<Announcer>,
    pub boundaries: Arc<Boundaries>,
    pub clock: Clock,
}

/// A decision that is asked for.
#[derive(Debug, Clone)]
pub struct Ruling {
    pub measure: Measure,
    pub reason: String,
}

/// One page of the list.
pub struct Page {
    /// Newest first.
    pub decisions: Vec<Decision>,
    /// The last of these, if there are more.
    pub next: Option<i64>,
    pub now: Timestamp,
}

impl Moderation {
    /// Carries out decisions in their order, each for itself; one result for each. With a key they are carried out once: whatever
    /// of them was made under it before stays as it is. If they are only tried, nothing changes.
    pub async fn decide(
        &self,
        caller: &Caller,
        rulings: Vec<Ruling>,
        key: Option<&RequestKey>,
        dry: bool,
    ) -> Result<Vec<Result<Decision, ServiceError>>, ServiceError> {
        rulings.iter().try_for_each(|ruling| moderates(caller, &ruling.measure))?;
        caller.authorize(Permission::Moderate)?;
        self.may_erase(caller, &rulings).await?;
        let numbered = rulings.into_iter().enumerate();
        let new: Vec<NewDecision> = numbered
            .map(|(index, Ruling { measure, reason })| {
                let id = key.map_or_else(|| event_id(self.clock.now()), |key| id_under(key, index));
                NewDecision { id, measure, reason }
            })
            .collect();
        let mut results = Vec::with_capacity(new.len());
        let folds = new.iter().any(|decision| decision.measure.folds_again());
        let most = if folds { FOLDED_AT_ONCE } else { AT_ONCE };
        // An erasure stands alone: nothing else may tell of its user after it.
        let alone = |decision: &NewDecision| matches!(decision.measure, Measure::Erase { .. });
        let groups = new.chunk_by(|one, other| !alone(one) && !alone(other)).flat_map(|group| group.chunks(most));
        for some in groups {
            match self.decide_some(caller, some, dry).await {
                Ok(moderated) if dry => results.extend(moderated.decided.into_iter().map(tried)),
                Ok(moderated) => {
                    let made = self.announce(moderated).await;
                    self.scrub(some, &made).await;
                    results.extend(made);
                }
                Err(error) => results.extend(some.iter().map(|_| Err(error.clone()))),
            }
        }
        Ok(results)
    }

    /// Refuses the erasure of whoever decides or administers here, unless the caller manages accounts: the account goes along.
    async fn may_erase(&self, caller: &Caller, rulings: &[Ruling]) -> Result<(), ServiceError> {
        if caller.may(Permission::ManageAccounts) {
            return Ok(());
        }
        for ruling in rulings {
            let Measure::Erase { user_id, .. } = &ruling.measure else { continue };
            if self.ledger.account(user_id).await?.is_some_and(|(account, _)| account.roles != Roles::player()) {
                let needed = "the user is a moderator or an administrator: erasing the account, too, needs accounts:admin";
                return Err(ServiceError::Forbidden(needed.into()));
            }
        }
        Ok(())
    }

    /// Removes stored answers about whoever was just erased. What this does not reach, a job does.
    async fn scrub(&self, new: &[NewDecision], made: &[Result<Decision, ServiceError>]) {
        for (decision, made) in new.iter().zip(made) {
            let (Measure::Erase { user_id, .. }, Ok(made)) = (&decision.measure, made) else { continue };
            let Some(pseudonym) = made.measure.user() else { continue };
            if let Err(error) = self.ledger.scrub_answers(user_id, pseudonym, first_event_id(made.at)).await {
                tracing::debug!(%error, "stored answers about an erased user are removed later");
            }
        }
    }

    async fn decide_some(&self, caller: &Caller, new: &[NewDecision], dry: bool) -> Result<Moderated, ServiceError> {
        for _ in 0..ATTEMPTS {
            let act = Act::of(caller, self.clock.now());
            match self.ledger.decide(new.to_vec(), act, dry).await {
                Err(LedgerError::BoundaryDue(pks)) => self.boundaries.carry_out(Some(pks)).await?,
                moderated => return Ok(moderated?),
            };
        }
        Err(ServiceError::NotYet)
    }

    /// The answer that was given under a key; without one, the key is this request's from now on. `Erased` if it told of somebody who was
    /// erased since.
    pub async fn answered(&self, caller: &Caller, key: &RequestKey) -> Result<Option<String>, ServiceError> {
        caller.authorize(Permission::Moderate)?;
        self.ledger.begin_request(key, self.clock.now()).await?.map(unless_erased).transpose()
    }

    /// Stores the answer under its key, unless there is one; returns the stored one. `Erased` as above.
    pub async fn store_answer(&self, caller: &Caller, key: &RequestKey, body: String) -> Result<String, ServiceError> {
        caller.authorize(Permission::Moderate)?;
        unless_erased(self.ledger.answer_request(key, body).await?)
    }

    /// Takes a decision back; returns it with what that changed.
    pub async fn take_back(&self, caller: &Caller, id: Uuid) -> Result<Decision, ServiceError> {
        caller.authorize(Permission::Moderate)?;
        if caller.bound_to().is_some() {
            let decision = self.ledger.decision(id).await?.ok_or(ServiceError::NotFound(Noun::Decision))?;
            match decision.measure.leaderboard() {
                Some(id) => caller.authorize_on_all(Permission::Moderate, std::slice::from_ref(id))?,
                None => caller.authorize_everywhere(Permission::Moderate)?,
            }
        }
        self.end(caller, id, false).await
    }

    /// Ends a decision that has lapsed by itself; returns when it lapses, if that is to come.
    pub async fn lapse(&self, id: Uuid) -> Result<Option<Timestamp>, ServiceError> {
        match self.end(&Caller::Server, id, true).await {
            Ok(decision) => Ok(decision.measure.until().filter(|_| decision.ended_at.is_none())),
            Err(ServiceError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn end(&self, caller: &Caller, id: Uuid, lapsed: bool) -> Result<Decision, ServiceError> {
        for _ in 0..ATTEMPTS {
            match self.ledger.take_back(id, Act::of(caller, self.clock.now()), lapsed).await {
                Err(LedgerError::BoundaryDue(pks)) => {
                    self.boundaries.carry_out(Some(pks)).await?;
                }
                Err(LedgerError::Conflict(_)) => return Err(ServiceError::Conflict("nothing brings back who was erased".into())),
                Err(error) => return Err(error.into()),
                Ok(moderated) => {
                    let ended = self.announce(moderated).await.pop();
                    return ended.unwrap_or(Err(ServiceError::NotFound(Noun::Decision)));
                }
            }
        }
        Err(ServiceError::NotYet)
    }

    /// Removes a user's entry from a leaderboard, and announces that to its watchers. Its scores no longer count, and the user's
    /// next score is a first one.
    pub async fn remove_entry(&self, caller: &Caller, id: &LeaderboardId, user: &UserId) -> Result<(), ServiceError> {
        caller.authorize_on(Permission::Manage, id.as_str())?;
        let leaderboard = self.definitions.leaderboard(id.as_str()).await?;
        for _ in 0..ATTEMPTS {
            match self.ledger.remove_entry(&leaderboard.id, user, Act::of(caller, self.clock.now())).await {
                Err(LedgerError::BoundaryDue(pks)) => {
                    self.boundaries.carry_out(Some(pks)).await?;
                }
                removed => {
                    self.announce(removed?.ok_or(ServiceError::NotFound(Noun::Entry))?).await;
                    return Ok(());
                }
            }
        }
        Err(ServiceError::NotYet)
    }

    /// Decisions, newest first.
    pub async fn page(&self, caller: &Caller, filter: &DecisionFilter, limit: usize) -> Result<Page, ServiceError> {
        caller.authorize_everywhere(Permission::Moderate)?;
        let now = self.clock.now();
        let mut decisions = self.ledger.decisions(filter, now, limit as i64 + 1).await?;
        let more = decisions.len() > limit;
        decisions.truncate(limit);
        let next = decisions.last().filter(|_| more).map(|decision| decision.seq);
        Ok(Page { decisions, next, now })
    }

    /// Announces what was committed; what was told of each change.
    pub(super) async fn tell(&self, changes: &[Change], outbox: &[(i64, Announcement)]) -> Vec<Told> {
        let mut told = self.announcer.apply(changes).await;
        self.announcer.see_through(changes, &mut told).await;
        for (row, announcement) in outbox {
            match announcement {
                Announcement::Scores { .. } => self.announcer.close_scores(*row, changes, &told),
                Announcement::Erase { .. } => self.announcer.see_row_through(*row, announcement, ERASED_WITHIN).await,
                announcement => self.announcer.announce_row(*row, announcement).await,
            }
        }
        told
    }

    /// Announces what was committed, and completes the decisions by the ranks that came of it.
    pub(super) async fn announce(&self, moderated: Moderated) -> Vec<Result<Decision, ServiceError>> {
        let Moderated { decided, changes, outbox } = moderated;
        let told = self.tell(&changes, &outbox).await;
        let mut ranked = Vec::new();
        let mut results = Vec::with_capacity(decided.len());
        for decided in decided {
            results.push(match decided {
                Ok(Decided { mut decision, changes }) => {
                    let before = decision.entries.clone();
                    rank_all(&mut decision.entries, &changes, &told);
                    if !changes.is_empty() && decision.ended_at.is_none() {
                        ranked.push(Ranked { id: decision.id, before, after: decision.entries.clone() });
                    }
                    Ok(decision)
                }
                Err(error) => Err(error.into()),
            });
        }
        if !ranked.is_empty()
            && let Err(error) = self.ledger.store_corrected(ranked).await
        {
            tracing::debug!(%error, "decisions are stored without the ranks that came of them");
        }
        results
    }
}

/// Refuses a caller who may not do this: whose credential is bound to leaderboards decides what concerns one of them alone.
fn moderates(caller: &Caller, measure: &Measure) -> Result<(), ServiceError> {
    Ok(match measure.leaderboard() {
        Some(id) => caller.authorize_on(Permission::Moderate, id.as_str()),
        None => caller.authorize_everywhere(Permission::Moderate),
    }?)
}

/// Completes entries by what the rankings told: for each that was announced, its place among them and that of its change.
pub(super) fn rank_all(entries: &mut [CorrectedEntry], changes: &[(usize, usize)], told: &[Told]) {
    for (entry, change) in changes {
        if let (Some(entry), Some(Told::Applied(applied))) = (entries.get_mut(*entry), told.get(*change)) {
            rank(entry, applied);
        }
    }
}

/// The id of a decision under an idempotency key, by its place in the request.
fn id_under(key: &RequestKey, index: usize) -> Uuid {
    let hash = Sha256::new().chain_update(serde_json::json!(["decision", key.subject, key.key, index]).to_string()).finalize();
    Builder::from_custom_bytes(hash.first_chunk().copied().unwrap_or_default()).into_uuid()
}

fn tried(decided: Result<Decided, LedgerError>) -> Result<Decision, ServiceError> {
    Ok(decided?.decision)
}

/// Completes an entry by what the ranking told.
fn rank(entry: &mut CorrectedEntry, applied: &Applied) {
    let seen = |rank: u64| (rank > 0).then_some(rank);
    match applied {
        Applied::Ranked { version, rank, previous_rank, .. } => {
            (entry.rank, entry.previous_rank, entry.version) = (seen(*rank), *previous_rank, Some(version.to_string()));
        }
        Applied::Known { version, rank, .. } if *rank > 0 => {
            (entry.rank, entry.version) = (seen(*rank), Some(version.to_string()));
        }
        Applied::Known { .. } | Applied::Early { .. } | Applied::Conflict { .. } => {}
    }
}

//! Settles a batch: every submission in order against the state that the batch uses. Pure, so that both ledgers commit exactly
//! the same outcomes.

mod credentials;
mod event_ids;
mod fair_play;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

pub use self::event_ids::{event_id, first_event_id, time_of_event};
use super::{
    announcement::Change,
    caller::SessionId,
    definition::Definitions,
    entry::{DisplayName, TAKEN_OUT},
    ids::{ActionId, UserId},
    leaderboard::{Leaderboard, Order, Visibility},
    receipt_batches::ReceiptBatches,
    sanction::Sanctions,
    score::{self, Exceeded},
    submission::{Accepted, EntryOutcome, Refusal, Settled, Submission},
    time::{Clock, Timestamp},
};

/// Identifies one entry: incarnation, season, user.
pub type EntryKey = (i64, i64, UserId);

/// An entry's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryState {
    /// `None` if it was removed from the ranking: the next score is a first one.
    pub score: Option<i64>,
    pub reached_at: Timestamp,
    pub revision: i64,
    /// Whether it has a score and is in no ranking.
    pub hidden: bool,
}

impl EntryState {
    /// See [`RankKey::sort_score`](super::entry::RankKey::sort_score); [`TAKEN_OUT`] if it is in no ranking.
    pub fn sort_score(&self, order: Order) -> i64 {
        match self.score {
            Some(score) if !self.hidden => order.sort_score(score),
            _ => TAKEN_OUT,
        }
    }
}

/// An idempotency key that was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedKey {
    pub fingerprint: Vec<u8>,
    pub event_id: Uuid,
    pub receipt: Option<String>,
}

/// Everything in the ledger that a batch may use, read under the locks of the transaction that will write it.
#[derive(Debug, Default)]
pub struct State {
    pub entries: HashMap<EntryKey, EntryState>,
    /// Absent: the user has no row yet, which is the same as no name at revision 0.
    pub names: HashMap<UserId, DisplayName>,
    /// By subject and key.
    pub keys: HashMap<(Arc<str>, String), UsedKey>,
    /// Times of accepted submissions, newest first, for the pairs of user and action that have a cooldown or a limit.
    pub recent: HashMap<(UserId, ActionId), Vec<Timestamp>>,
    /// Users without a name whose name nobody but a moderator may set.
    pub locked_names: BTreeSet<UserId>,
    /// Times and points of accepted submissions, newest first, for the pairs of user and action whose gain is watched.
    pub gains: HashMap<(UserId, ActionId), Vec<(Timestamp, i64)>>,
    /// Since when users are known, for those of whom an action asks it; absent: with this batch.
    pub known_since: HashMap<UserId, Timestamp>,
    /// Users against whom there are sanctions.
    pub sanctioned: BTreeSet<UserId>,
    /// Those sanctions.
    pub sanctions: HashMap<UserId, Sanctions>,
    /// Those of the batch's sessions that go on.
    pub live_sessions: HashSet<SessionId>,
    /// The time of the newest score event in the ledger, whichever instance wrote it.
    pub newest: Option<Timestamp>,
    /// The ledger's own time, if it has a clock: it decides which season is the current one.
    pub ledger_time: Option<Timestamp>,
}

/// The effect of a batch on one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryChange {
    pub key: EntryKey,
    /// The revision that the outcome depends on; `None` if there was no entry.
    pub before: Option<i64>,
    pub after: EntryState,
}

/// What the transaction has to write, and the answers.
#[derive(Debug, Default)]
pub struct Settlement {
    /// One per submission, in order.
    pub outcomes: Vec<Settled>,
    /// Each entry that changed, once, sorted by key.
    pub entries: Vec<EntryChange>,
    /// Index of the submission and its result, for the history and the idempotency keys.
    pub accepted: Vec<(usize, Accepted)>,
    /// For the outbox, in order.
    pub changes: Vec<Change>,
    /// Users who are named by a submission, each once.
    pub named: Vec<Naming>,
}

/// A user who has no name yet gets one with a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    pub user_id: UserId,
    pub name: String,
    /// The revision of the user before.
    pub revision: i64,
}

impl Settlement {
    /// Whether a submission with an idempotency key was refused.
    pub fn refuses_a_key(&self, batch: &[Submission]) -> bool {
        let refused = |outcome: &Settled| matches!(outcome, Settled::Refused(_));
        self.outcomes.iter().zip(batch).any(|(outcome, submission)| submission.idempotency.is_some() && refused(outcome))
    }
}

/// The leaderboards that a submission feeds, or why it cannot be accepted whatever the state is.
pub fn fed_by<'a>(submission: &Submission, definitions: &'a Definitions) -> Result<Vec<&'a Leaderboard>, Refusal> {
    let action = definitions.action(submission.action_id.as_str()).ok_or(Refusal::UnknownAction)?;
    let fed: Vec<_> = action.settings.leaderboards.iter().filter_map(|id| definitions.leaderboard(id.as_str())).collect();
    if submission.self_service_only && !action.settings.self_service {
        // A caller that may not know about private leaderboards must not learn of actions that feed only those.
        let known = fed.iter().any(|leaderboard| leaderboard.settings.visibility == Visibility::Public);
        return Err(if known { Refusal::NotSelfService } else { Refusal::UnknownAction });
    }
    if !action.settings.enabled {
        return Err(Refusal::DisabledAction);
    }
    if fed.is_empty() {
        return Err(Refusal::NoLeaderboard);
    }
    Ok(fed)
}

/// Settles the submissions in order, each seeing the effects of those before it.
pub fn settle_batch<'a>(
    batch: impl IntoIterator<Item = &'a Submission>,
    definitions: &Definitions,
    mut state: State,
    clock: &Clock,
) -> Settlement {
    let mut settlement = Settlement::default();
    let mut changed: HashMap<EntryKey, EntryChange> = HashMap::new();
    let mut receipts = ReceiptBatches::default();
    for (index, submission) in batch.into_iter().enumerate() {
        if let Err(refusal) = credentials::judge(submission, definitions, &state, clock) {
            settlement.outcomes.push(Settled::Refused(refusal));
            continue;
        }
        let outcome = match replay(submission, &state) {
            Some(outcome) => outcome,
            None => match settle_one(submission, definitions, &state, clock) {
                Ok(mut accepted) => {
                    accepted.receipt_batch = submission.idempotency.is_some().then(|| receipts.of_next(&accepted));
                    take_over(submission, &accepted, definitions, &mut state, &mut changed, &mut settlement);
                    settlement.accepted.push((index, accepted.clone()));
                    Settled::Accepted(accepted)
                }
                Err(refusal) => Settled::Refused(refusal),
            },
        };
        settlement.outcomes.push(outcome);
    }
    settlement.entries = changed.into_values().collect();
    settlement.entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    settlement
}

fn replay(submission: &Submission, state: &State) -> Option<Settled> {
    let idempotency = submission.idempotency.as_ref()?;
    let used = state.keys.get(&(submission.shared_key_owner(), idempotency.key.clone()))?;
    let same = |print: &[u8; 32]| used.fingerprint == print;
    Some(if same(&idempotency.fingerprint) || idempotency.former.as_ref().is_some_and(same) {
        Settled::Replayed { event_id: used.event_id, receipt: used.receipt.clone() }
    } else if submission.run.is_some() {
        Settled::Refused(Refusal::RunUsed)
    } else {
        Settled::Refused(Refusal::KeyReused)
    })
}

fn settle_one(submission: &Submission, definitions: &Definitions, state: &State, clock: &Clock) -> Result<Accepted, Refusal> {
    let fed = fed_by(submission, definitions)?;
    let sanctions = state.sanctions.get(&submission.user_id);
    let judged_at = || state.ledger_time.unwrap_or_else(|| clock.now());
    if let Some(until) = sanctions.and_then(|sanctions| sanctions.ban(fed.iter().map(|board| board.pk), judged_at())) {
        return Err(Refusal::Banned { until });
    }
    if let Some(closed) = fed.iter().find(|leaderboard| leaderboard.settings.closed) {
        return Err(Refusal::Closed(closed.id.clone()));
    }
    let action = &definitions.action(submission.action_id.as_str()).ok_or(Refusal::UnknownAction)?.settings;
    let (leading, current) = (&fed[0].id, fed[0].season);
    if let Some(named) = submission.season.filter(|named| *named != current) {
        return Err(Refusal::OtherSeason { id: leading.clone(), named, current });
    }
    let points = action.points.of(submission.value).map_err(Refusal::Value)?;
    let now = clock.now();
    let recent = state.recent.get(&(submission.user_id.clone(), submission.action_id.clone()));
    if let Some(retry_after) = recent.and_then(|recent| action.wait_seconds(recent, now)) {
        return Err(Refusal::TooSoon { retry_after });
    }
    fair_play::judge_run(submission, action, points, now)?;
    let tripped = fair_play::tripped(submission, action, points, now, state);
    let withheld = !tripped.is_empty();

    let entries: Vec<_> = fed.iter().map(|board| state.entries.get(&entry_key(board, &submission.user_id)).copied()).collect();
    // An entry's time never runs backwards, even where another instance's clock was ahead of ours.
    let at = entries.iter().flatten().map(|entry| Timestamp(entry.reached_at.0 + 1)).fold(now, Timestamp::max);
    let Some(at) = within_seasons(at, &fed) else {
        // One of them was ended by a clock that ran ahead: its season begins when another one's is over.
        return Err(Refusal::TooSoon { retry_after: 1 });
    };
    let standings = fed.iter().zip(entries).map(|(leaderboard, entry)| {
        let rules = leaderboard.settings.rules();
        let scored = entry.filter(|entry| entry.score.is_some());
        let outcome = score::settle(rules, scored.and_then(|entry| entry.score), points).map_err(|exceeded| match exceeded {
            Exceeded::Range => Refusal::ScoreOutOfRange(leaderboard.id.clone()),
            Exceeded::Bounds => Refusal::OutOfBounds(leaderboard.id.clone()),
        })?;
        let applied = outcome.applied && !withheld;
        Ok(EntryOutcome {
            leaderboard_id: leaderboard.id.clone(),
            board: leaderboard.board(),
            applied,
            previous_score: outcome.previous,
            new_score: outcome.new,
            delta: outcome.delta,
            revision: entry.map_or(0, |entry| entry.revision) + i64::from(applied),
            // What is withheld was never applied, so its outcome tells nothing for sure.
            points: (submission.value.is_none() && (withheld || outcome.points(rules.operator) != points)).then_some(points),
            hidden: match scored {
                Some(entry) => entry.hidden,
                None => sanctions.is_some_and(|sanctions| sanctions.hide(leaderboard.pk, judged_at())),
            },
        })
    });
    Ok(Accepted {
        event_id: event_id(at),
        action_id: submission.action_id.clone(),
        user_id: submission.user_id.clone(),
        at,
        standings: standings.collect::<Result<_, Refusal>>()?,
        receipt_batch: None,
        tripped,
    })
}

/// The time, moved into the present seasons of these leaderboards, whatever an instance's clock says: a score is of the season
/// in which it is committed. `None` if they have no time in common.
fn within_seasons(at: Timestamp, fed: &[&Leaderboard]) -> Option<Timestamp> {
    let last = fed.iter().filter_map(|leaderboard| leaderboard.next_boundary_at).map(|end| Timestamp(end.0 - 1)).min();
    let first = fed.iter().map(|leaderboard| leaderboard.season_starts_at).max();
    let at = last.map_or(at, |last| at.min(last));
    let at = first.map_or(at, |first| at.max(first));
    last.is_none_or(|last| at <= last).then_some(at)
}

fn take_over(
    submission: &Submission,
    accepted: &Accepted,
    definitions: &Definitions,
    state: &mut State,
    changed: &mut HashMap<EntryKey, EntryChange>,
    settlement: &mut Settlement,
) {
    let user_id = &accepted.user_id;
    if !accepted.is_withheld() {
        settlement.named.extend(name_user(submission, state));
    }
    for standing in accepted.standings.iter().filter(|standing| standing.applied) {
        let key = (standing.board.pk, standing.board.season, user_id.clone());
        let entry = EntryState {
            score: Some(standing.new_score),
            reached_at: accepted.at,
            revision: standing.revision,
            hidden: standing.hidden,
        };
        let before = state.entries.insert(key.clone(), entry).map(|before| before.revision);
        changed.entry(key.clone()).or_insert(EntryChange { key, before, after: entry }).after = entry;
        let name = state.names.get(user_id).cloned().unwrap_or(DisplayName::NONE);
        settlement.changes.push(Change::new(accepted.event_id, user_id, Some(&accepted.action_id), accepted.at, standing, name));
    }
    if let Some(idempotency) = &submission.idempotency {
        let used = UsedKey { fingerprint: idempotency.fingerprint.to_vec(), event_id: accepted.event_id, receipt: None };
        state.keys.insert((submission.shared_key_owner(), idempotency.key.clone()), used);
    }
    let Some(action) = definitions.action(accepted.action_id.as_str()) else { return };
    fair_play::remember(submission, accepted, &action.settings, state);
    let lookback = action.settings.lookback();
    if lookback > 0 {
        let recent = state.recent.entry((user_id.clone(), accepted.action_id.clone())).or_default();
        recent.insert(0, accepted.at);
        recent.truncate(lookback as usize);
    }
}

/// Names the user of an accepted submission, if it brings a name and there is none yet.
fn name_user(submission: &Submission, state: &mut State) -> Option<Naming> {
    let (name, user_id) = (submission.display_name.clone()?, submission.user_id.clone());
    let shown = state.names.get(&user_id).cloned().unwrap_or(DisplayName::NONE);
    if shown.name.is_some() || state.locked_names.contains(&user_id) {
        return None;
    }
    let revision = shown.revision;
    let shown = DisplayName { name: Some(name.clone()), revision: revision + 1, ..shown };
    state.names.insert(user_id.clone(), shown);
    Some(Naming { user_id, name, revision })
}

fn entry_key(leaderboard: &Leaderboard, user_id: &UserId) -> EntryKey {
    (leaderboard.pk, leaderboard.season, user_id.clone())
}

#[cfg(test)]
mod tests;

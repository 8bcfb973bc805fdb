//! The commit of a batch of submissions: the way of every score into the ledger.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{super::super::scores::Written, Conn, Failure, batch, definitions};
use crate::domain::{
    announcement::{Announcement, Change},
    definition::Definitions,
    entry::DisplayName,
    ids::{ActionId, UserId},
    leaderboard::Order,
    settlement::{EntryKey, Settlement, fed_by, settle_batch},
    submission::{Accepted, Idempotency, Standing, Submission},
    time::{Clock, Timestamp},
};

/// What a batch wants to know of the ledger before it can be settled. Sorted, so that rows are always touched in one order.
pub struct Needs<'a> {
    /// Subject and key.
    pub keys: BTreeSet<(&'a str, &'a str)>,
    pub entries: BTreeSet<EntryKey>,
    /// For each user and action that has a cooldown or a limit: how far back it reaches, and how many times are wanted.
    pub recent: BTreeMap<(&'a UserId, &'a ActionId), (Timestamp, i64)>,
}

/// What a commit finds when it has its locks.
pub struct Opening {
    /// The definitions' revision.
    pub revision: i64,
    /// The names of those users of the batch that have a row, now locked.
    pub names: HashMap<UserId, DisplayName>,
}

/// What a batch writes, apart from what its settlement says.
pub struct Writes<'a> {
    pub batch: &'a [Submission],
    pub settlement: &'a Settlement,
    /// Users that get their row with this commit, sorted.
    pub newcomers: BTreeSet<&'a UserId>,
    /// The order of each board, by pk.
    pub orders: HashMap<i64, Order>,
    pub now: Timestamp,
    /// The outbox row's payload, where anything changed.
    pub payload: Option<String>,
}

/// One row of the history.
pub struct EventRow<'a> {
    pub submission: &'a Submission,
    pub accepted: &'a Accepted,
    pub position: i64,
    pub standing: &'a Standing,
}

impl<'a> Writes<'a> {
    /// The rows of the history, in the order in which they were settled.
    pub fn events(&self) -> impl Iterator<Item = EventRow<'a>> {
        let (batch, settlement) = (self.batch, self.settlement);
        settlement.accepted.iter().flat_map(move |(index, accepted)| {
            let submission = &batch[*index];
            let standings = (0..).zip(&accepted.standings);
            standings.map(move |(position, standing)| EventRow { submission, accepted, position, standing })
        })
    }

    /// The idempotency keys that were used, each with its submission; sorted, so that two instances never wait for each other's.
    pub fn keys(&self) -> Vec<(&'a Submission, &'a Idempotency)> {
        let batch = self.batch;
        let submissions = self.settlement.accepted.iter().map(|(index, _)| &batch[*index]);
        let keyed = submissions.filter_map(|submission| Some((submission, submission.idempotency.as_ref()?)));
        let mut keys: Vec<_> = keyed.collect();
        keys.sort_by_key(|(submission, idempotency)| (&submission.subject, &idempotency.key));
        keys
    }
}

impl EventRow<'_> {
    /// The metadata as JSON text, on the leading row only. JSON escapes control characters, so any text column takes it.
    pub fn metadata(&self) -> Result<Option<String>, Failure> {
        let metadata = self.submission.metadata.as_ref().filter(|_| self.position == 0);
        metadata.map(serde_json::to_string).transpose().map_err(Failure::corrupt)
    }
}

/// Settles the batch under its locks and writes it.
///
/// The order of steps is what makes it right: definitions are held still first; then the users are locked, which orders
/// everything that concerns one user (entries, cooldowns, names) across all instances; only then is read what the outcome rests on. Keys
/// are not locked: two users' submissions may carry the same key at once, and the second to write it finds that it raced.
pub async fn commit(
    conn: &mut Conn,
    submissions: &[Submission],
    known: &Arc<Definitions>,
    clock: &Clock,
    keep: bool,
) -> Result<Written, Failure> {
    let users: BTreeSet<&UserId> = submissions.iter().map(|submission| &submission.user_id).collect();
    let opening = batch::open(conn, &users).await?;
    crate::failpoints::failpoint!("batch-begun", Failure::Unreachable);
    let definitions = if opening.revision == known.revision { known.clone() } else { Arc::new(definitions::load(conn).await?) };
    let now = clock.now();
    let mut state = batch::load(conn, &needs_of(submissions, &definitions, now)).await?;
    state.names = opening.names;
    let known_users: BTreeSet<UserId> = state.names.keys().cloned().collect();
    let mut settlement = settle_batch(submissions, &definitions, state, clock);
    let changes = std::mem::take(&mut settlement.changes);
    let (payload, changes) = payload_of(changes)?;
    let accepted = || settlement.accepted.iter().map(|(_, accepted)| accepted);
    let newcomers = accepted().map(|accepted| &accepted.user_id).filter(|user| !known_users.contains(*user)).collect();
    let boards = accepted().flat_map(|accepted| &accepted.standings).map(|standing| standing.board);
    let orders = boards.map(|board| (board.pk, board.order)).collect();
    let outbox = if settlement.accepted.is_empty() {
        None
    } else {
        batch::write(conn, &Writes { batch: submissions, settlement: &settlement, newcomers, orders, now, payload }).await?
    };
    if !keep {
        return Err(Failure::Trial);
    }
    crate::failpoints::failpoint!("batch-written", Failure::Unreachable);
    Ok(Written { outcomes: settlement.outcomes, changes, outbox, definitions })
}

fn needs_of<'a>(submissions: &'a [Submission], definitions: &Definitions, now: Timestamp) -> Needs<'a> {
    let mut needs = Needs { keys: BTreeSet::new(), entries: BTreeSet::new(), recent: BTreeMap::new() };
    for submission in submissions {
        if let Some(idempotency) = &submission.idempotency {
            needs.keys.insert((&submission.subject, &idempotency.key));
        }
        let Ok(fed) = fed_by(submission, definitions) else { continue };
        for leaderboard in fed {
            needs.entries.insert((leaderboard.pk, leaderboard.season, submission.user_id.clone()));
        }
        let Some(found) = definitions.actions.get(&submission.action_id) else { continue };
        let action = &found.settings;
        if action.lookback() > 0 {
            let longest = action.cooldown_seconds.max(action.limit.map_or(0, |limit| limit.per_seconds));
            // What an earlier action of the same id allowed or forbade is no business of this one.
            let since = now.plus_seconds(longest.saturating_neg()).max(Timestamp(found.created_at.0 - 1));
            needs.recent.insert((&submission.user_id, &submission.action_id), (since, action.lookback()));
        }
    }
    needs
}

/// The outbox row for these changes. Takes them and gives them back, because an announcement owns what it tells.
fn payload_of(changes: Vec<Change>) -> Result<(Option<String>, Vec<Change>), Failure> {
    if changes.is_empty() {
        return Ok((None, changes));
    }
    let announcement = Announcement::Scores { changes };
    let payload = serde_json::to_string(&announcement).map_err(Failure::corrupt)?;
    match announcement {
        Announcement::Scores { changes } => Ok((Some(payload), changes)),
        _ => Ok((Some(payload), Vec::new())),
    }
}

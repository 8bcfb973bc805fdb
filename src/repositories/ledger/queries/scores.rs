//! The commit of a batch of submissions: the path of every score into the ledger.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use diesel::ExpressionMethods;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        LedgerError,
        schema::{entries, score_events, users},
        scores::{Mode, Progress, Written},
    },
    Conn, Failure, batch, definitions,
    outbox::{self, AddToOutbox},
    reviews, sanctions, search, sessions, users as profiles,
};
use crate::domain::{
    announcement::{Announcement, Change},
    caller::{Credential, SessionId},
    definition::Definitions,
    ids::{ActionId, UserId},
    leaderboard::Order,
    settlement::{EntryKey, Naming, Settlement, fed_by, settle_batch},
    submission::{Accepted, EntryOutcome, Idempotency, Submission},
    time::{Clock, Timestamp},
};

/// What a batch has to read from the ledger before it can be settled. Sorted, so that rows are always accessed in the same
/// order.
pub struct Needs<'a> {
    /// Subject and key.
    pub keys: BTreeSet<(&'a str, &'a str)>,
    pub entries: BTreeSet<EntryKey>,
    /// For each user and action that has a cooldown or a limit: how far back it reaches, and how many times are needed.
    pub recent: BTreeMap<(&'a UserId, &'a ActionId), (Timestamp, i64)>,
    /// For each user and action whose gain is watched: how far back it reaches.
    pub gains: BTreeMap<(&'a UserId, &'a ActionId), Timestamp>,
    /// Users of whom an action asks since when they are known.
    pub known_since: BTreeSet<&'a UserId>,
    /// Sessions that submissions were sent in.
    pub sessions: BTreeSet<SessionId>,
    /// The first scheduled end of a season among the leaderboards that are fed.
    pub boundary: Option<Timestamp>,
    /// Whether everything is locked before it is read, because another instance recently wrote the same entries: waiting for it
    /// is cheaper than losing another race.
    pub cautious: bool,
}

/// What a batch writes, in addition to its settlement.
pub struct Writes<'a> {
    pub batch: &'a [Submission],
    pub settlement: &'a Settlement,
    pub definitions: &'a Definitions,
    /// Users whose row is created by this commit, sorted.
    pub newcomers: BTreeSet<&'a UserId>,
    /// The order of each board, by pk.
    pub orders: HashMap<i64, Order>,
    pub now: Timestamp,
    /// The outbox row's payload, if anything changed.
    pub payload: Option<String>,
}

/// One row of the history.
pub struct EventRow<'a> {
    pub submission: &'a Submission,
    pub accepted: &'a Accepted,
    pub position: i64,
    pub standing: &'a EntryOutcome,
    /// Whether the action has a cooldown, a limit or a gain that this event counts for.
    pub limited: bool,
}

impl<'a> Writes<'a> {
    /// The rows of the history, in the order in which they were settled.
    pub fn events(&self) -> impl Iterator<Item = EventRow<'a>> {
        let (batch, settlement, definitions) = (self.batch, self.settlement, self.definitions);
        settlement.accepted.iter().flat_map(move |(index, accepted)| {
            let submission = &batch[*index];
            let limited = is_remembered(definitions, submission);
            let standings = (0..).zip(&accepted.standings);
            standings.map(move |(position, standing)| EventRow { submission, accepted, position, standing, limited })
        })
    }

    /// The idempotency keys that were used, each with its submission and its outcome; sorted, so that two instances never
    /// deadlock.
    pub fn keys(&self) -> Vec<(&'a Submission, &'a Idempotency, &'a Accepted)> {
        let batch = self.batch;
        let accepted = self.settlement.accepted.iter().map(|(index, accepted)| (&batch[*index], accepted));
        let keyed = accepted.filter_map(|(submission, accepted)| Some((submission, submission.idempotency.as_ref()?, accepted)));
        let mut keys: Vec<_> = keyed.collect();
        keys.sort_by_key(|(submission, idempotency, _)| (submission.key_owner(), &idempotency.key));
        keys
    }

    /// The accepted submissions that a cooldown, a limit or a gain counts.
    pub fn uses(&self) -> impl Iterator<Item = &'a Accepted> {
        let (batch, definitions) = (self.batch, self.definitions);
        let counted = self.settlement.accepted.iter().filter(move |(index, _)| is_remembered(definitions, &batch[*index]));
        counted.map(|(_, accepted)| accepted)
    }
}

fn is_remembered(definitions: &Definitions, submission: &Submission) -> bool {
    definitions.action(submission.action_id.as_str()).is_some_and(|action| action.settings.remembers(submission.value))
}

impl EventRow<'_> {
    /// The metadata as JSON text, on the leading row only. JSON escapes control characters, so any text column takes it.
    pub fn metadata(&self) -> Result<Option<String>, Failure> {
        let metadata = self.submission.metadata.as_ref().filter(|_| self.position == 0);
        metadata.map(serde_json::to_string).transpose().map_err(Failure::corrupt)
    }
}

/// Settles the batch and writes it.
///
/// Correctness: first the definitions are locked against changes; then everything is read that the outcome depends on; and each
/// write applies only if the row is still as it was read, else the whole batch is rolled back and settled again. So every entry
/// goes from one revision to the next, whichever instance wrote it. Keys are not locked either: two users' submissions may
/// carry the same key at once, and the second to write it finds that it raced.
pub async fn commit(
    conn: &mut Conn,
    submissions: &[Submission],
    known: &Arc<Definitions>,
    clock: &Clock,
    progress: &Progress,
    mode: Mode,
) -> Result<Written, Failure> {
    let mut definitions = known.clone();
    let now = clock.now();
    let mut needs = needs_of(submissions, &definitions, now, mode);
    let (revision, mut state) = batch::open(conn, &needs).await?;
    crate::failpoints::failpoint!("batch-begun", Failure::Unreachable);
    if revision != definitions.revision {
        definitions = Arc::new(definitions::load_since(conn, &definitions).await?);
        needs = needs_of(submissions, &definitions, now, mode);
        (_, state) = batch::reopen(conn, &needs).await?;
    }
    if let Some(boundary) = needs.boundary {
        let time = state.ledger_time.unwrap_or_else(|| clock.now());
        if boundary <= time {
            return Err(LedgerError::BoundaryDue(due(submissions, &definitions, time)).into());
        }
    }
    if !needs.cautious {
        // A rename is announced to the rankings in which the user has an entry; a first entry must not be half visible to it.
        let placed = |key: &EntryKey| state.entries.get(key).is_some_and(|entry| entry.score.is_some());
        let unplaced = needs.entries.iter().filter(|key| !placed(key)).map(|key| &key.2).collect();
        let limited = needs.recent.keys().map(|(user, _)| *user);
        let unknown: Vec<&UserId> = limited.filter(|user| !state.names.contains_key(*user)).collect();
        batch::lock(conn, &unplaced, &mut state).await?;
        if unknown.into_iter().any(|user| state.names.contains_key(user)) {
            // Somebody who begins to exist now may have used up the limit since it was read, without an entry that would tell.
            return Err(Failure::Raced);
        }
    }
    state.live_sessions = sessions::live(conn, &needs.sessions).await?;
    let live_sessions = state.live_sessions.clone();
    sanctions::read(conn, &needs, &mut state).await?;
    reviews::read(conn, &needs, &definitions, &mut state).await?;
    if let Some(newest) = state.newest {
        // What another instance wrote is in the past, whatever its clock and ours say.
        clock.witness(newest);
    }
    let known_users: HashSet<UserId> = state.names.keys().cloned().collect();
    let mut settlement = settle_batch(submissions, &definitions, state, clock);
    if !mode.look_up_keys && settlement.refuses_a_key(submissions) {
        // A repeat gets its first answer, whatever the outcome would be now.
        return Err(Failure::KeyUsed);
    }
    let changes = std::mem::take(&mut settlement.changes);
    let payload = payload_of(&changes)?;
    let accepted = || settlement.accepted.iter().map(|(_, accepted)| accepted);
    let newcomers: BTreeSet<&UserId> =
        accepted().map(|accepted| &accepted.user_id).filter(|user| !known_users.contains(*user)).collect();
    let boards = accepted().flat_map(|accepted| &accepted.standings).map(|standing| standing.board);
    let orders = boards.map(|board| (board.pk, board.order)).collect();
    let found: Vec<UserId> = newcomers.iter().filter(|user| search::folds(user.as_str())).map(|&user| user.clone()).collect();
    let mut renames = Vec::new();
    let outbox = if settlement.accepted.is_empty() {
        None
    } else {
        let (settlement, definitions) = (&settlement, &*definitions);
        let now = clock.now();
        let row =
            batch::write(conn, &Writes { batch: submissions, settlement, definitions, newcomers, orders, now, payload }).await?;
        sanctions::write(conn, settlement).await?;
        reviews::write(conn, submissions, settlement).await?;
        search::add(conn, found.iter().map(|user| (user, None))).await?;
        renames = name_users(conn, &settlement.named, &known_users, &changes, now).await?;
        if sessions::live(conn, &needs.sessions).await? != live_sessions {
            // It may have ended because its user was erased, who must not be made anew.
            return Err(Failure::SessionEnded);
        }
        row
    };
    progress.set_written();
    if mode.trial {
        return Err(Failure::Trial);
    }
    crate::failpoints::failpoint!("batch-written", Failure::Unreachable);
    Ok(Written { outcomes: settlement.outcomes, changes, outbox, renames, definitions })
}

/// Names users; returns what has to be announced of those who may stand in other rankings, beside their scores.
async fn name_users(
    conn: &mut Conn,
    named: &[Naming],
    known: &HashSet<UserId>,
    changes: &[Change],
    now: Timestamp,
) -> Result<Vec<(i64, Announcement)>, Failure> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let mut named = named.to_vec();
    // In one order, or two instances could wait for each other.
    named.sort_by(|a, b| a.user_id.as_str().cmp(b.user_id.as_str()));
    if !batch::name_users(conn, &named, now).await? {
        return Err(Failure::Raced);
    }
    search::add(conn, named.iter().map(|naming| (&naming.user_id, Some(naming.name.as_str())))).await?;
    // A newcomer, too, may have entered a ranking without the name, by an earlier submission of this batch.
    let nameless = changes.iter().filter(|change| change.name.name.is_none()).map(|change| &change.user_id);
    let elsewhere: HashSet<&UserId> = known.iter().chain(nameless).collect();
    let mut renames = Vec::new();
    for Naming { user_id, .. } in named.iter().filter(|naming| elsewhere.contains(&naming.user_id)) {
        let user = profiles::user(conn, user_id).await?.ok_or(Failure::Raced)?;
        if let Some(announcement) = profiles::name_changed(conn, &user).await? {
            renames.push((outbox::add(conn, now, &announcement).await?, announcement));
        }
    }
    Ok(renames)
}

/// Writes a row of each kind that every submission writes, of the largest size, and requests a rollback of all of it.
pub async fn known_good(conn: &mut Conn, now: Timestamp) -> Result<(), Failure> {
    const LARGE: usize = 2048;
    let id = Uuid::new_v4();
    let user = id.to_string();
    let row = (users::id.eq(&user), users::revision.eq(0), users::created_at.eq(now.0), users::updated_at.eq(now.0));
    diesel::insert_into(users::table).values(row).execute(conn).await?;
    let of_entry = (
        (entries::leaderboard_pk.eq(0), entries::season.eq(0), entries::user_id.eq(&user), entries::score.eq(1)),
        (entries::sort_score.eq(-1), entries::reached_at.eq(now.0), entries::revision.eq(1)),
    );
    diesel::insert_into(entries::table).values(of_entry).execute(conn).await?;
    let of_event = (
        (score_events::event_id.eq(id.as_bytes().as_slice()), score_events::position.eq(0), score_events::leaderboard_pk.eq(0)),
        (score_events::season.eq(0), score_events::delta.eq(1), score_events::new_score.eq(1), score_events::revision.eq(1)),
        (score_events::at.eq(now.0), score_events::applied.eq(true), score_events::limited.eq(false)),
        (score_events::user_id.eq(&user), score_events::leaderboard_id.eq(""), score_events::action_id.eq("")),
        (score_events::subject.eq(""), score_events::metadata.eq("x".repeat(LARGE))),
    );
    diesel::insert_into(score_events::table).values(of_event).execute(conn).await?;
    AddToOutbox { created_at: &now.0, payload: &"x".repeat(LARGE) }.get_result::<i64>(conn).await?;
    Err(Failure::Trial)
}

fn needs_of<'a>(submissions: &'a [Submission], definitions: &Definitions, now: Timestamp, mode: Mode) -> Needs<'a> {
    let (keys, entries, known_since, sessions) = Default::default();
    let (recent, gains) = Default::default();
    let mut needs = Needs { keys, entries, recent, gains, known_since, sessions, boundary: None, cautious: mode.cautious };
    for submission in submissions {
        if let Some(idempotency) = &submission.idempotency
            && mode.look_up_keys
        {
            needs.keys.insert((submission.key_owner(), &idempotency.key));
        }
        if let Credential::Session(session) = submission.credential {
            needs.sessions.insert(session);
        }
        let Ok(fed) = fed_by(submission, definitions) else { continue };
        for leaderboard in fed {
            needs.entries.insert((leaderboard.pk, leaderboard.season, submission.user_id.clone()));
            needs.boundary = match (needs.boundary, leaderboard.next_boundary_at) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let Some(found) = definitions.action(submission.action_id.as_str()) else { continue };
        let action = &found.settings;
        if action.lookback() > 0 {
            let longest = action.cooldown_seconds.max(action.limit.map_or(0, |limit| limit.per_seconds));
            // Uses of an earlier action with the same id do not count for this one.
            let since = |seconds: i64| now.plus_seconds(seconds.saturating_neg()).max(Timestamp(found.created_at.0 - 1));
            needs.recent.insert((&submission.user_id, &submission.action_id), (since(longest), action.lookback()));
            if let Some(gain) = action.review.and_then(|rule| rule.gain) {
                needs.gains.insert((&submission.user_id, &submission.action_id), since(gain.per_seconds));
            }
        }
        if action.review.is_some_and(|rule| rule.new_user_seconds > 0) {
            needs.known_since.insert(&submission.user_id);
        }
    }
    needs
}

/// The leaderboards fed by these submissions whose season has ended by the schedule.
fn due(submissions: &[Submission], definitions: &Definitions, time: Timestamp) -> Vec<i64> {
    let fed = submissions.iter().filter_map(|submission| fed_by(submission, definitions).ok()).flatten();
    let due = fed.filter(|leaderboard| leaderboard.next_boundary_at.is_some_and(|boundary| boundary <= time));
    due.map(|leaderboard| leaderboard.pk).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The outbox row for these changes.
fn payload_of(changes: &[Change]) -> Result<Option<String>, Failure> {
    if changes.is_empty() {
        return Ok(None);
    }
    // A submission that feeds several leaderboards makes consecutive changes.
    let mut ids: Vec<Uuid> = changes.iter().map(|change| change.event_id).collect();
    ids.dedup();
    serde_json::to_string(&Announcement::Events { ids }).map(Some).map_err(Failure::corrupt)
}

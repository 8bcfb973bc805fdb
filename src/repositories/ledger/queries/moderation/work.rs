//! The work of a few decisions that are committed together. Entries are written at its end, in the order of their keys, as a
//! commit of scores does: so neither waits for the other in a circle. Until then later decisions see them here.

use std::collections::{BTreeMap, BTreeSet};

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::super::{
    super::super::{LedgerError, statement::statement},
    Conn, Db, Failure, accounts, audit,
    corrections::{self, Correction},
    jobs, locks, outbox, sanctions,
    targets::{self, Target},
    users,
};
use super::ranks;
use crate::domain::{
    announcement::{Announcement, Change},
    audit::{Act, Deed},
    decision::CorrectedEntry,
    entry::DisplayName,
    event::Cause,
    fold::fold,
    ids::{LeaderboardId, UserId},
    job::{ArchiveSeason, NewJob},
    sanction::Sanctions,
    season::Season,
    settlement::{EntryKey, EntryState, event_id},
    time::Timestamp,
    user::User,
};

/// How long an ended season that was corrected waits to be read again: more corrections may follow.
const READ_AGAIN_SECONDS: i64 = 2;

statement!(
    /// Counts one more correction of an ended season. Whoever waited for the row counts on.
    Db, ReviseSeason { at: BigInt = i64, board: BigInt = i64, season: BigInt = i64 } -> BigInt,
    "UPDATE seasons SET corrections = corrections + 1, revised_at = ? WHERE leaderboard_pk = ? AND season = ? RETURNING corrections"
);

/// An entry to be written.
struct Pending {
    /// The revision that it had; `None` if there was none.
    before: Option<i64>,
    target: Target,
}

/// See the module's documentation.
pub struct Work<'a> {
    pub act: &'a Act,
    /// The ledger's time.
    pub time: Timestamp,
    /// Whether it is rolled back: then nobody will rank what it changes, and it is ranked here.
    dry: bool,
    /// The users that are locked.
    pub users: BTreeMap<UserId, User>,
    entries: BTreeMap<EntryKey, Pending>,
    /// Ended seasons that were corrected.
    revised: BTreeMap<(i64, i64), (LeaderboardId, Season)>,
    /// What was changed since a decision began: each entry, and the change that announces it.
    pub corrected: Vec<(CorrectedEntry, Option<usize>)>,
    /// Ended seasons that this decision corrects.
    revises: BTreeSet<(i64, i64)>,
    /// What is to be announced.
    pub changes: Vec<Change>,
    pub announcements: Vec<Announcement>,
    /// Users who are no more.
    pub erased: BTreeSet<UserId>,
    pub deeds: Vec<Deed>,
}

impl<'a> Work<'a> {
    pub fn new(act: &'a Act, time: Timestamp, dry: bool) -> Self {
        Self {
            act,
            time,
            dry,
            users: BTreeMap::new(),
            entries: BTreeMap::new(),
            revised: BTreeMap::new(),
            corrected: Vec::new(),
            revises: BTreeSet::new(),
            changes: Vec::new(),
            announcements: Vec::new(),
            erased: BTreeSet::new(),
            deeds: Vec::new(),
        }
    }

    /// Locks users, in their order. Whoever has an account is one, also without a score or a name.
    pub async fn lock_users(&mut self, conn: &mut Conn, concerned: &BTreeSet<UserId>) -> Result<(), Failure> {
        for id in concerned {
            let mut found = locks::user(conn, id).await?;
            if found.is_none() && accounts::find(conn, id).await?.is_some() {
                users::add_nameless(conn, id, self.time).await?;
                found = locks::user(conn, id).await?;
            }
            self.users.extend(found.map(|user| (id.clone(), user)));
        }
        Ok(())
    }

    /// The entries that it will write.
    pub fn keys(&self) -> impl Iterator<Item = &EntryKey> {
        self.entries.keys()
    }

    /// The user's entries, on one leaderboard or on all.
    pub async fn entries_of(&self, conn: &mut Conn, user: &UserId, only: Option<i64>) -> Result<Vec<EntryKey>, Failure> {
        let mut keys = targets::of_user(conn, user, only).await?;
        let made = self.entries.keys().filter(|(pk, _, of)| of == user && only.is_none_or(|only| only == *pk));
        keys.extend(made.cloned());
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// An entry as this work leaves it so far. `BoundaryDue` if its season has ended by the schedule: that comes first.
    pub async fn target(&self, conn: &mut Conn, key: &EntryKey) -> Result<Option<Target>, Failure> {
        let Some(mut target) = targets::find(conn, key).await? else { return Ok(None) };
        if target.is_current() && target.leaderboard.next_boundary_at.is_some_and(|boundary| boundary <= self.time) {
            return Err(LedgerError::BoundaryDue(vec![target.leaderboard.pk]).into());
        }
        if let Some(pending) = self.entries.get(key) {
            target.entry = pending.target.entry;
        }
        if let Some((_, season)) = self.revised.get(&(key.0, key.1)) {
            target.season = season.clone();
        }
        Ok(Some(target))
    }

    /// Folds an entry again, after other events of it count than before.
    pub async fn refold(&mut self, conn: &mut Conn, key: &EntryKey, cause: &str) -> Result<(), Failure> {
        let Some(target) = self.target(conn, key).await? else { return Ok(()) };
        // All that there is of an entry may be in review.
        let none = EntryState { score: None, reached_at: Timestamp(0), revision: 0, hidden: false };
        let before = target.entry.unwrap_or(none);
        let folded = fold(target.season.rules, targets::log(conn, &target).await?);
        if folded == before.score.map(|score| (score, before.reached_at)) {
            return Ok(());
        }
        let after = match folded {
            Some((score, reached_at)) => {
                let hidden = match before.score {
                    Some(_) => before.hidden,
                    None => self.sanctions_of(conn, &key.2).await?.hide(key.0, self.time),
                };
                EntryState { score: Some(score), reached_at, revision: before.revision + 1, hidden }
            }
            None => EntryState {
                score: None,
                reached_at: self.time.max(Timestamp(before.reached_at.0 + 1)),
                revision: before.revision + 1,
                hidden: false,
            },
        };
        self.correct(conn, target, before, after, cause).await.map(drop)
    }

    /// The sanctions against a user.
    pub async fn sanctions_of(&self, conn: &mut Conn, user: &UserId) -> Result<Sanctions, Failure> {
        Ok(sanctions::of(conn, &BTreeSet::from([user.clone()])).await?.remove(user).unwrap_or_default())
    }

    /// Brings an entry from one state to another, for this reason; returns the event.
    pub async fn correct(
        &mut self,
        conn: &mut Conn,
        target: Target,
        before: EntryState,
        after: EntryState,
        cause: &str,
    ) -> Result<Uuid, Failure> {
        let correction = Correction::new(event_id(self.time), &target, &before, &after, cause);
        correction.record(conn, &self.act.subject).await?;
        let (previous_score, score) = correction.scores();
        let ranks = ranks::of(conn, self, &target, &after).await?;
        let (event, change) = (correction.event_id, correction.change(self.name_of(&target.user_id)));
        self.put(conn, target, after, (previous_score, score), ranks, change).await?;
        Ok(event)
    }

    /// Brings an entry from one state to another, of which no ranking is told: it begins anew.
    pub async fn correct_unannounced(
        &mut self,
        conn: &mut Conn,
        target: Target,
        before: EntryState,
        after: EntryState,
    ) -> Result<(), Failure> {
        let mut correction = Correction::new(event_id(self.time), &target, &before, &after, Cause::Void.as_str());
        correction.silent = true;
        correction.record(conn, &self.act.subject).await?;
        corrections::store(conn, &target.key(), target.board(), Some(before.revision), &after).await?;
        let entry = CorrectedEntry {
            leaderboard_id: target.leaderboard.id.clone(),
            season: target.season.number,
            user_id: target.user_id.clone(),
            previous_score: before.score.filter(|_| !before.hidden),
            score: None,
            previous_rank: None,
            rank: None,
            version: None,
        };
        self.corrected.push((entry, None));
        self.revise(&target);
        Ok(())
    }

    /// Notes that the season of an entry is another one than was read at its end, if it has ended.
    pub fn revise(&mut self, target: &Target) {
        if !target.is_current() {
            let season = (target.season.pk, target.season.number);
            self.revised.entry(season).or_insert_with(|| (target.leaderboard.id.clone(), target.season.clone()));
            self.revises.insert(season);
        }
    }

    /// Takes over what became of an entry, with its scores and ranks before and after.
    pub(super) async fn put(
        &mut self,
        conn: &mut Conn,
        mut target: Target,
        after: EntryState,
        (previous_score, score): (Option<i64>, Option<i64>),
        (previous_rank, rank): (Option<u64>, Option<u64>),
        change: Change,
    ) -> Result<(), Failure> {
        let entry = CorrectedEntry {
            leaderboard_id: target.leaderboard.id.clone(),
            season: target.season.number,
            user_id: target.user_id.clone(),
            previous_score,
            score,
            previous_rank,
            rank,
            version: None,
        };
        let announced = target.is_current().then(|| {
            self.changes.push(change);
            self.changes.len() - 1
        });
        self.corrected.push((entry, announced));
        let (key, before) = (target.key(), target.entry.map(|entry| entry.revision));
        self.revise(&target);
        if self.ranks_itself(&target) {
            // No commit writes it as well, and whatever is ranked next has to see it.
            return corrections::store(conn, &key, target.board(), before, &after).await;
        }
        target.entry = Some(after);
        match self.entries.get_mut(&key) {
            Some(pending) => pending.target = target,
            None => drop(self.entries.insert(key, Pending { before, target })),
        }
        Ok(())
    }

    /// Whether no ranking will tell how an entry is ranked: it is of an ended season, or all of this is only tried.
    pub(super) fn ranks_itself(&self, target: &Target) -> bool {
        self.dry || !target.is_current()
    }

    /// Whether this decision has corrected the season of an entry already.
    pub(super) fn revises(&self, target: &Target) -> bool {
        self.revises.contains(&(target.season.pk, target.season.number))
    }

    /// The name of a locked user.
    pub(super) fn name_of(&self, user: &UserId) -> DisplayName {
        let known = self.users.get(user);
        known.map_or(DisplayName::NONE, |user| user.profile.shown(user.revision))
    }

    /// What has to be announced of a user's new name; `None` if the user is in no ranking as this work leaves it.
    pub async fn name_changed(&self, conn: &mut Conn, user: &User) -> Result<Option<Announcement>, Failure> {
        let mut leaderboards = users::leaderboards_of(conn, &user.id).await?;
        for Pending { target, .. } in self.entries.values().filter(|pending| pending.target.user_id == user.id) {
            leaderboards.retain(|(_, board)| board.pk != target.leaderboard.pk);
            if target.entry.is_some_and(|entry| entry.score.is_some() && !entry.hidden) {
                leaderboards.push((target.leaderboard.id.clone(), target.board()));
            }
        }
        Ok((!leaderboards.is_empty()).then(|| Announcement::user_changed(user, &leaderboards)))
    }

    /// Ends one decision: notes the seasons that it corrected, and returns its entries with the changes that announce them.
    pub async fn end_decision(&mut self, conn: &mut Conn) -> Result<Vec<(CorrectedEntry, Option<usize>)>, Failure> {
        let mut corrected = std::mem::take(&mut self.corrected);
        for (pk, number) in std::mem::take(&mut self.revises) {
            let revise = ReviseSeason { at: &self.time.0, board: &pk, season: &number };
            let corrections = revise.get_result(conn).await?;
            let Some((leaderboard, season)) = self.revised.get_mut(&(pk, number)) else { continue };
            season.corrections = corrections;
            let version = season.archived_version().map(|version| version.to_string());
            for (entry, _) in &mut corrected {
                if entry.season == number && entry.leaderboard_id == *leaderboard {
                    entry.version.clone_from(&version);
                }
            }
        }
        Ok(corrected)
    }

    /// Writes what is left to write at the end: entries, jobs, the outbox, and the audit trail. Returns the outbox rows.
    pub async fn finish(&mut self, conn: &mut Conn) -> Result<Vec<(i64, Announcement)>, Failure> {
        for (key, Pending { before, target }) in &self.entries {
            let Some(after) = &target.entry else { continue };
            corrections::store(conn, key, target.board(), *before, after).await?;
        }
        crate::failpoints::failpoint!("decisions-written", Failure::Unreachable);
        for (_, season) in std::mem::take(&mut self.revised).into_values() {
            let archive = ArchiveSeason { pk: season.pk, season: season.number, correction: season.corrections };
            jobs::add(conn, &NewJob::new(&archive, self.time.plus_seconds(READ_AGAIN_SECONDS)), self.time).await?;
        }
        let mut announcements = std::mem::take(&mut self.announcements);
        if !self.changes.is_empty() {
            announcements.insert(0, Announcement::Scores { changes: self.changes.clone() });
        }
        let mut rows = Vec::with_capacity(announcements.len());
        for announcement in announcements {
            rows.push((outbox::add(conn, self.act.at, &announcement).await?, announcement));
        }
        audit::record_all(conn, self.act, &std::mem::take(&mut self.deeds)).await?;
        Ok(rows)
    }
}

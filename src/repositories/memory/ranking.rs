//! One complete ranking in process: an order-statistic index beside the entries by user. Pure and synchronous; the slot that
//! holds it ([`MemoryRanking`](super::MemoryRanking)) provides the lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use indexset::BTreeSet;

use crate::{
    domain::{
        announcement::Change,
        entry::{DisplayName, Head, Neighbourhood, RankKey, RankedEntry, StoredEntry, Window},
        event::{Event, EventKind},
        ids::UserId,
        leaderboard::Board,
        season::Boundary,
        time::Timestamp,
        version::Version,
    },
    repositories::{
        feed::History,
        ranking_store::{Applied, Survey, worth_keeping},
    },
};

/// The data of one entry beside its key in the index.
struct Held {
    sort_score: i64,
    reached_at: Timestamp,
    revision: i64,
}

/// The present season of one board, with its version and its recent history.
pub(in crate::repositories) struct Ranking {
    pub season: i64,
    pub epoch: Arc<str>,
    pub seq: u64,
    /// All entries in ranking order; rank of a key and key at a rank in O(log n).
    places: BTreeSet<RankKey>,
    entries: HashMap<UserId, Held>,
    /// The revisions of removed entries.
    removed: HashMap<UserId, i64>,
    /// Names by user, also of users whose entry has not arrived yet, so that a change that was settled before the renaming does
    /// not bring back the old name.
    names: HashMap<UserId, DisplayName>,
    /// The revisions of users' profiles that were announced to watchers.
    told: HashMap<UserId, i64>,
    /// The latest events, oldest first; at most `history_cap` of them, the oldest are evicted.
    history: VecDeque<Event>,
    history_cap: usize,
}

impl Ranking {
    pub fn new(season: i64, history_cap: usize) -> Self {
        Self {
            season,
            epoch: "".into(),
            seq: 0,
            places: BTreeSet::new(),
            entries: HashMap::new(),
            removed: HashMap::new(),
            names: HashMap::new(),
            told: HashMap::new(),
            history: VecDeque::new(),
            history_cap,
        }
    }

    /// This ranking, with the name of its epoch.
    pub fn begin(self, epoch: Arc<str>) -> Self {
        Self { epoch, ..self }
    }

    pub fn total(&self) -> u64 {
        self.places.len() as u64
    }

    pub fn version(&self) -> Version {
        Version::new(self.epoch.clone(), self.seq)
    }

    pub fn head(&self) -> Head {
        Head { season: self.season, version: Some(self.version()), total: self.total() }
    }

    /// Inserts an entry without an event.
    pub fn load(&mut self, board: Board, entry: &StoredEntry) {
        match entry.score {
            Some(score) => drop(self.place(&entry.user_id, board.order.sort_score(score), entry.reached_at, entry.revision)),
            None => drop(self.removed.insert(entry.user_id.clone(), entry.revision)),
        }
        self.name(&entry.user_id, &entry.name);
    }

    /// Applies one change; returns an event if it was applied.
    pub fn apply(&mut self, board: Board, change: &Change) -> (Applied, Option<Event>) {
        let held = self.entries.get(&change.user_id);
        let revision = held.map_or_else(|| self.removed.get(&change.user_id).copied().unwrap_or(0), |held| held.revision);
        if change.revision > revision + 1 {
            return (Applied::Early { version: self.version(), held: revision }, None);
        }
        let placed = change.score.map(|score| (board.order.sort_score(score), Timestamp(change.reached_at)));
        if change.revision == revision && held.map(|held| (held.sort_score, held.reached_at)) != placed {
            return (Applied::Conflict { version: self.version() }, None);
        }
        let previous_rank = self.rank(&change.user_id);
        if change.revision <= revision {
            let rank = previous_rank.unwrap_or(0);
            return (Applied::Known { version: self.version(), rank, total: self.total(), revision }, None);
        }
        if change.is_silent() {
            let (version, total) = (self.version(), self.total());
            self.remove(&change.user_id, change.revision);
            return (Applied::Known { version, rank: 0, total, revision: change.revision }, None);
        }
        let rank = match placed {
            Some((sort_score, reached_at)) => self.place(&change.user_id, sort_score, reached_at, change.revision),
            None => self.remove(&change.user_id, change.revision),
        };
        self.name(&change.user_id, &change.name);
        let event = self.tell(change.kind(), rank, previous_rank, change.event.clone());
        (Applied::Ranked { version: self.version(), rank, previous_rank, total: self.total() }, Some(event))
    }

    /// Allots the next sequence number and stores the event.
    pub fn tell(&mut self, kind: EventKind, rank: u64, previous_rank: Option<u64>, fields: String) -> Event {
        self.seq += 1;
        let event = Event { seq: self.seq, kind, rank, previous_rank, total: self.total(), fields };
        self.history.push_back(event.clone());
        if self.history.len() > self.history_cap {
            self.history.pop_front();
        }
        event
    }

    /// Goes on to the next season, if this boundary is next; returns its events.
    pub fn turn(&mut self, boundary: &Boundary) -> Vec<Event> {
        if self.season != boundary.ended {
            return Vec::new();
        }
        let ended = self.tell(EventKind::SeasonEnded, 0, None, boundary.ended_fields.clone());
        self.season += 1;
        self.places.clear();
        self.entries.clear();
        self.removed.clear();
        // Whoever scores in the new season brings a name.
        self.names.clear();
        self.told.clear();
        vec![ended, self.tell(EventKind::SeasonStarted, 0, None, boundary.started_fields.clone())]
    }

    /// Takes a name that is newer than the stored one; returns whether it was.
    pub fn name(&mut self, user_id: &UserId, name: &DisplayName) -> bool {
        let newer = self.names.get(user_id).is_none_or(|held| name.revision > held.revision);
        let taken = newer && worth_keeping(name);
        if taken {
            self.names.insert(user_id.clone(), name.clone());
        }
        taken
    }

    /// Announces a user's new profile, once per revision.
    pub fn announce_user(&mut self, user_id: &UserId, revision: i64, body: &str) -> Option<Event> {
        // Whoever was removed or is hidden is in no ranking that could be told.
        if self.removed.contains_key(user_id) || self.told.get(user_id).is_some_and(|told| *told >= revision) {
            return None;
        }
        self.told.insert(user_id.clone(), revision);
        let rank = self.rank(user_id);
        Some(self.tell(EventKind::UserChanged, rank.unwrap_or(0), rank, body.to_owned()))
    }

    pub fn window(&self, board: Board, from_rank: u64, limit: u64) -> Window {
        Window { head: self.head(), entries: self.rows(board, from_rank.max(1), limit) }
    }

    pub fn neighbourhood(&self, board: Board, user_id: &UserId, around: u64) -> Neighbourhood {
        let Some(rank) = self.rank(user_id) else {
            return Neighbourhood { user_id: user_id.clone(), entry: None, around: vec![] };
        };
        let from_rank = rank.saturating_sub(around).max(1);
        let around = self.rows(board, from_rank, rank + around - from_rank + 1);
        let entry = around.get((rank - from_rank) as usize).cloned();
        Neighbourhood { user_id: user_id.clone(), entry, around }
    }

    pub fn dump(&self, board: Board, from_rank: u64, limit: u64) -> Vec<StoredEntry> {
        self.keys(from_rank.max(1), limit)
            .map(|(_, key)| StoredEntry {
                user_id: key.user_id.clone(),
                score: Some(board.order.sort_score(key.sort_score)),
                reached_at: key.reached_at,
                revision: self.entries.get(&key.user_id).map_or(0, |held| held.revision),
                name: self.names.get(&key.user_id).cloned().unwrap_or(DisplayName::NONE),
            })
            .collect()
    }

    /// See [`RankingStore::survey`](crate::repositories::ranking_store::RankingStore::survey).
    pub fn survey(&self, events: usize) -> Survey {
        let newest_events = self.history.iter().rev().filter_map(Event::event_id).take(events).collect();
        Survey { version: self.version(), total: self.total(), newest_events, has_appearances: true }
    }

    pub fn history(&self, after: u64, limit: usize) -> History {
        let oldest = self.seq + 1 - self.history.len() as u64;
        let skip = (after + 1).saturating_sub(oldest) as usize;
        let events = self.history.iter().skip(skip).take(limit).cloned().collect();
        History { epoch: self.epoch.clone(), head: self.seq, events }
    }

    fn rank(&self, user_id: &UserId) -> Option<u64> {
        let held = self.entries.get(user_id)?;
        let key = RankKey { sort_score: held.sort_score, reached_at: held.reached_at, user_id: user_id.clone() };
        Some(self.places.rank(&key) as u64 + 1)
    }

    fn place(&mut self, user_id: &UserId, sort_score: i64, reached_at: Timestamp, revision: i64) -> u64 {
        let key = RankKey { sort_score, reached_at, user_id: user_id.clone() };
        self.removed.remove(user_id);
        if let Some(old) = self.entries.insert(user_id.clone(), Held { sort_score, reached_at, revision }) {
            let old = RankKey { sort_score: old.sort_score, reached_at: old.reached_at, user_id: user_id.clone() };
            self.places.remove(&old);
        }
        let rank = self.places.rank(&key) as u64 + 1;
        self.places.insert(key);
        rank
    }

    /// Removes an entry and remembers its revision, which the next one follows; returns 0, the rank for none.
    fn remove(&mut self, user_id: &UserId, revision: i64) -> u64 {
        if let Some(Held { sort_score, reached_at, .. }) = self.entries.remove(user_id) {
            self.places.remove(&RankKey { sort_score, reached_at, user_id: user_id.clone() });
        }
        self.removed.insert(user_id.clone(), revision);
        0
    }

    fn rows(&self, board: Board, from_rank: u64, limit: u64) -> Vec<RankedEntry> {
        self.keys(from_rank, limit)
            .map(|(rank, key)| {
                let (shown, score) = (self.names.get(&key.user_id), board.order.sort_score(key.sort_score));
                RankedEntry::new(rank, key.user_id.clone(), shown, score, key.reached_at)
            })
            .collect()
    }

    fn keys(&self, from_rank: u64, limit: u64) -> impl Iterator<Item = (u64, &RankKey)> {
        let end = self.total().min((from_rank - 1).saturating_add(limit));
        (from_rank..=end).filter_map(|rank| Some((rank, self.places.get_index(rank as usize - 1)?)))
    }
}

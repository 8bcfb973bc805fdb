//! Which rankings lack something that is committed, as far as this instance knows: the store refused it, did not answer, or is
//! not the one that the ledger knows of. Such a ranking still answers, but is not trusted: reads come from the ledger until
//! everything is announced.
//!
//! The announcer and the sweeper note what could not be announced; the feed reports what other instances could not announce;
//! the sweeper clears the notes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use tokio::time::Instant;

use super::changes::Changes;

/// Rows remembered per board. Rows are announced in order, so the newest are the ones to wait for: beyond this the oldest are
/// forgotten.
const ROWS: usize = 1_024;

/// What a ranking lacks.
#[derive(Debug, Default)]
struct Lacking {
    /// Outbox rows.
    rows: BTreeSet<i64>,
    /// The epoch of the ranking that has superseded it elsewhere, and since when that is known.
    superseded: Option<(i64, Instant)>,
}

/// See the module's documentation.
pub struct Backlog {
    changes: Arc<Changes>,
    /// Whether there is any such board: almost always there is none, and readers look no further.
    any: AtomicBool,
    /// By incarnation. The lock is held for look-ups only.
    boards: RwLock<HashMap<i64, Lacking>>,
}

impl Backlog {
    pub fn new(changes: Arc<Changes>) -> Arc<Self> {
        Arc::new(Self { changes, any: AtomicBool::new(false), boards: RwLock::default() })
    }

    /// Whether there is any ranking that lacks something.
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether this ranking lacks something.
    pub fn is_behind(&self, pk: i64) -> bool {
        !self.is_empty() && self.boards.read().contains_key(&pk)
    }

    /// The ranking lacks what this outbox row announces; returns whether it lacked nothing before.
    pub fn add(&self, pk: i64, row: i64) -> bool {
        let mut boards = self.boards.write();
        let before = boards.len();
        let rows = &mut boards.entry(pk).or_default().rows;
        rows.insert(row);
        if rows.len() > ROWS {
            rows.pop_first();
        }
        self.any.store(true, Ordering::Release);
        let newly = boards.len() > before;
        drop(boards);
        // Cached answers of this ranking must not be served any more.
        self.changes.untold(pk);
        newly
    }

    /// Another ranking, with this epoch, has superseded it elsewhere; returns whether that is news.
    pub fn supersede(&self, pk: i64, epoch: i64) -> bool {
        let mut boards = self.boards.write();
        let superseded = &mut boards.entry(pk).or_default().superseded;
        let newly = superseded.is_none();
        let since = superseded.map_or_else(Instant::now, |(_, since)| since);
        *superseded = Some((epoch, since));
        self.any.store(true, Ordering::Release);
        drop(boards);
        self.changes.untold(pk);
        newly
    }

    /// The ranking answered with this epoch.
    pub fn note_epoch(&self, pk: i64, epoch: i64) {
        if !self.is_behind(pk) {
            return;
        }
        self.retain(|of, lacking| {
            if of == pk && lacking.superseded.is_some_and(|(superseded, _)| epoch >= superseded) {
                lacking.superseded = None;
            }
        });
    }

    /// Whether another ranking has superseded this one.
    pub fn is_superseded(&self, pk: i64) -> bool {
        !self.is_empty() && self.boards.read().get(&pk).is_some_and(|lacking| lacking.superseded.is_some())
    }

    /// The boards whose ranking was superseded, and when that was found.
    pub fn superseded(&self) -> Vec<(i64, Instant)> {
        let boards = self.boards.read();
        boards.iter().filter_map(|(pk, lacking)| Some((*pk, lacking.superseded?.1))).collect()
    }

    /// The rows still waited for.
    pub fn rows(&self) -> Vec<i64> {
        if self.is_empty() {
            return Vec::new();
        }
        let rows: BTreeSet<i64> = self.boards.read().values().flat_map(|lacking| lacking.rows.iter().copied()).collect();
        rows.into_iter().collect()
    }

    /// Of the rows in `asked`, only those in `left` still exist.
    pub fn keep(&self, asked: &[i64], left: &[i64]) {
        let left: HashSet<i64> = left.iter().copied().collect();
        let gone: HashSet<i64> = asked.iter().copied().filter(|row| !left.contains(row)).collect();
        self.retain(|_, lacking| lacking.rows.retain(|row| !gone.contains(row)));
    }

    /// Discards all notes about this board: it was rebuilt from everything that is committed, or it is gone.
    pub fn forget(&self, pk: i64) {
        if self.is_behind(pk) {
            self.retain(|of, lacking| {
                if of == pk {
                    *lacking = Lacking::default();
                }
            });
        }
    }

    fn retain(&self, change: impl Fn(i64, &mut Lacking)) {
        let mut boards = self.boards.write();
        let mut caught_up = Vec::new();
        boards.retain(|pk, lacking| {
            change(*pk, lacking);
            let behind = !lacking.rows.is_empty() || lacking.superseded.is_some();
            if !behind {
                caught_up.push(*pk);
            }
            behind
        });
        self.any.store(!boards.is_empty(), Ordering::Release);
        drop(boards);
        caught_up.into_iter().for_each(|pk| self.changes.untold(pk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_behind_until_every_row_is_gone_and_its_ranking_is_current() {
        let backlog = Backlog::new(Arc::default());
        assert!(backlog.is_empty() && !backlog.is_behind(1));
        assert!(backlog.add(1, 7) && !backlog.add(1, 9) && backlog.add(2, 9));
        assert!(backlog.supersede(1, 100) && !backlog.supersede(1, 100));
        assert!(backlog.is_superseded(1) && !backlog.is_superseded(2));
        assert_eq!(backlog.rows(), [7, 9]);
        backlog.keep(&[7, 9], &[7]);
        assert!(backlog.is_behind(1) && !backlog.is_behind(2));
        backlog.keep(&[7], &[]);
        backlog.note_epoch(1, 99);
        assert!(backlog.is_behind(1), "superseded");
        backlog.note_epoch(1, 100);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_row_added_meanwhile_is_not_taken_for_gone() {
        let backlog = Backlog::new(Arc::default());
        backlog.add(1, 7);
        let asked = backlog.rows();
        backlog.add(1, 8);
        backlog.keep(&asked, &[]);
        assert_eq!(backlog.rows(), [8]);
    }

    #[test]
    fn the_number_of_remembered_rows_is_bounded() {
        let backlog = Backlog::new(Arc::default());
        (0..2 * ROWS as i64).for_each(|row| {
            backlog.add(1, row);
        });
        assert_eq!(backlog.rows().first(), Some(&(ROWS as i64)));
    }
}

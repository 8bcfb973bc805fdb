//! Announces the outbox rows that a dead instance, a lost ranking or one that refused left behind: rows older than a few
//! seconds, and all rows if something was found to be missing.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crate::{
    domain::{
        announcement::Announcement,
        time::{Clock, Timestamp},
    },
    repositories::ledger::{Announced, Ledger, LedgerError},
    services::{
        announcer::{Announcer, Outcome},
        backlog::Backlog,
    },
};

/// Younger rows are still being announced by the instance that committed them.
const AGE_SECONDS: i64 = 4;
/// The same while a ranking lacks something that could not be announced to it: the sooner it is retried, the sooner the ranking
/// is trusted.
const AGE_SECONDS_BEHIND: i64 = 1;
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows claimed at once: few enough to be announced before other instances may claim them.
const ROWS: i64 = 32;
/// After this many consecutive rows that no ranking applied, the rest waits for the next round: the store is unavailable.
const IN_VAIN: usize = 64;

/// Sweeps for as long as it is polled.
pub async fn run(ledger: Ledger, announcer: Arc<Announcer>, backlog: Arc<Backlog>, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sweep = Sweep { ledger, announcer, backlog, clock, after: 0 };
    loop {
        let age = if sweep.backlog.is_empty() { AGE_SECONDS } else { AGE_SECONDS_BEHIND };
        // Fixed for the whole round: new rows never keep it from ending.
        let made_before = tokio::select! {
            _ = ticks.tick() => sweep.clock.now().plus_seconds(-age),
            () = sweep.announcer.overdue() => sweep.clock.now(),
        };
        let announced = sweep.round(made_before).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the outbox could not be swept");
            0
        });
        let asked = sweep.backlog.rows();
        if !asked.is_empty()
            && let Ok(left) = sweep.ledger.outbox_left(&asked).await
        {
            sweep.backlog.keep(&asked, &left);
        }
        // The ranking takes what it lacks, and what was committed meanwhile has to wait for that: until nothing has to wait, the
        // rounds follow one another.
        if announced > 0 && !sweep.backlog.is_empty() {
            sweep.announcer.hurry();
        }
    }
}

struct Sweep {
    ledger: Ledger,
    announcer: Arc<Announcer>,
    backlog: Arc<Backlog>,
    clock: Clock,
    /// The row after which the next round continues: an interrupted round is resumed at its end, so that no row blocks others
    /// for ever.
    after: i64,
}

/// The outcomes of rows that were claimed together.
#[derive(Default)]
struct Swept {
    announced: Vec<Announced>,
    /// They have to wait for something else.
    stuck: Vec<i64>,
    /// This instance can do nothing about them now.
    left: Vec<i64>,
}

impl Sweep {
    /// Announces the rows after the end of the last round, each once; returns how many are announced for good.
    async fn round(&mut self, made_before: Timestamp) -> Result<usize, LedgerError> {
        crate::failpoints::failpoint!("outbox-swept", LedgerError::Unavailable);
        let (mut in_vain, mut announced) = (0, 0);
        // Boards whose ranking applies nothing here, or is not the ledger's: their other rows need not be tried in this round.
        let mut away = HashSet::new();
        loop {
            let rows = self.ledger.outbox_due(self.clock.now(), made_before, self.after, ROWS).await?;
            let last = rows.last().map(|(row, _)| *row);
            let full = rows.len() as i64 == ROWS;
            let swept = self.announce(rows, &mut away).await;
            let told = self.finish(swept, &mut away).await?;
            announced += told;
            in_vain = if told == 0 { in_vain + ROWS as usize } else { 0 };
            self.after = last.filter(|_| full).unwrap_or(0);
            if self.after == 0 || (in_vain >= IN_VAIN && !away.is_empty()) {
                return Ok(announced);
            }
        }
    }

    async fn announce(&self, rows: Vec<(i64, Option<Announcement>)>, away: &mut HashSet<i64>) -> Swept {
        let mut swept = Swept::default();
        let mut tried = Vec::with_capacity(rows.len());
        for (row, announcement) in rows {
            let Some(announcement) = announcement else {
                swept.stuck.push(row);
                continue;
            };
            let lacking: Vec<i64> = announcement.boards().map(|board| board.pk).filter(|pk| away.contains(pk)).collect();
            if lacking.is_empty() {
                tried.push((row, announcement));
            } else {
                // It is not tried, but the rankings lack it nevertheless.
                self.announcer.leave_row(row, lacking);
                swept.left.push(row);
            }
        }
        for ((row, announcement), outcome) in tried.iter().zip(self.announcer.announce_again(&tried).await) {
            match outcome {
                Outcome::Announced(epochs) => swept.announced.push(Announced { row: *row, epochs }),
                Outcome::Away(boards) => {
                    away.extend(boards);
                    swept.left.push(*row);
                }
                // What it waits for may have been announced to the ranking that superseded this one.
                Outcome::Stuck if announcement.boards().any(|board| self.backlog.is_superseded(board.pk)) => {
                    away.extend(announcement.boards().map(|board| board.pk));
                    swept.left.push(*row);
                }
                Outcome::Stuck => swept.stuck.push(*row),
            }
        }
        swept
    }

    /// Returns how many rows are announced for good. The others are released: as long as this instance held them, no instance
    /// that reaches the ledger's ranking could announce them.
    async fn finish(&self, swept: Swept, away: &mut HashSet<i64>) -> Result<usize, LedgerError> {
        let Swept { announced, stuck, left } = swept;
        let refused = self.announcer.delete(&announced).await;
        let told = announced.iter().filter(|row| !row.epochs.iter().any(|(pk, _)| refused.contains(pk))).count();
        away.extend(refused);
        self.ledger.outbox_unclaim(&left).await?;
        self.ledger.outbox_postpone(&stuck, self.clock.now()).await?;
        if told > 0 {
            metrics::counter!("scoreboard_outbox_swept_total").increment(told as u64);
            tracing::info!(rows = told, "announced pending outbox rows");
            // Otherwise a user who keeps scoring would stay behind for as long as its rows wait, each for the previous one.
            self.ledger.outbox_release_postponed().await?;
        }
        Ok(told)
    }
}

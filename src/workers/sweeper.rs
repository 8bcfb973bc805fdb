//! Announces what a dead instance, a dead ranking or one that refused left in the outbox: rows older than a few seconds, and all there are
//! where something was found to be missing.

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

/// Younger rows are still being announced by whoever committed them.
const AGE_SECONDS: i64 = 4;
/// The same while a ranking lacks something that it could not be told: the sooner it is tried again, the sooner the ranking is believed.
const AGE_SECONDS_BEHIND: i64 = 1;
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows taken at once: few enough to be announced before other instances may take them over.
const ROWS: i64 = 32;
/// After so many rows in a row that no ranking took, the rest waits for the next round: the store is away.
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
        if let Err(error) = sweep.round(made_before).await {
            tracing::debug!(%error, "the outbox could not be swept");
        }
        let asked = sweep.backlog.rows();
        if !asked.is_empty()
            && let Ok(left) = sweep.ledger.outbox_left(&asked).await
        {
            sweep.backlog.keep(&asked, &left);
        }
    }
}

struct Sweep {
    ledger: Ledger,
    announcer: Arc<Announcer>,
    backlog: Arc<Backlog>,
    clock: Clock,
    /// The row at which the next round goes on: one that was cut off begins where it ended, so that no row keeps others from their turn.
    after: i64,
}

/// What became of the rows that were claimed together.
#[derive(Default)]
struct Swept {
    announced: Vec<Announced>,
    /// They have to wait for something else.
    stuck: Vec<i64>,
    /// This instance can do nothing about them now.
    left: Vec<i64>,
}

impl Sweep {
    /// Announces the rows from where the last round ended on, each once.
    async fn round(&mut self, made_before: Timestamp) -> Result<(), LedgerError> {
        crate::failpoints::failpoint!("outbox-swept", LedgerError::Unavailable);
        let mut in_vain = 0;
        // Boards whose ranking takes nothing here, or is not the ledger's: their other rows need not be tried in this round.
        let mut away = HashSet::new();
        loop {
            let rows = self.ledger.outbox_due(self.clock.now(), made_before, self.after, ROWS).await?;
            let last = rows.last().map(|(row, _)| *row);
            let full = rows.len() as i64 == ROWS;
            let swept = self.announce(rows, &mut away).await;
            let told = self.finish(swept, &mut away).await?;
            in_vain = if told == 0 { in_vain + ROWS as usize } else { 0 };
            self.after = last.filter(|_| full).unwrap_or(0);
            if self.after == 0 || (in_vain >= IN_VAIN && !away.is_empty()) {
                return Ok(());
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
                // It is not tried, and the rankings lack it all the same.
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
                // What it waits for may have been announced to the ranking that has taken this one's place.
                Outcome::Stuck if announcement.boards().any(|board| self.backlog.is_superseded(board.pk)) => {
                    away.extend(announcement.boards().map(|board| board.pk));
                    swept.left.push(*row);
                }
                Outcome::Stuck => swept.stuck.push(*row),
            }
        }
        swept
    }

    /// Answers how many rows are announced for good. The others are given back: for as long as this instance kept them, none that
    /// reaches the ledger's ranking could announce them.
    async fn finish(&self, swept: Swept, away: &mut HashSet<i64>) -> Result<usize, LedgerError> {
        let Swept { announced, stuck, left } = swept;
        let refused = self.announcer.delete(&announced).await;
        let told = announced.iter().filter(|row| !row.epochs.iter().any(|(pk, _)| refused.contains(pk))).count();
        away.extend(refused);
        self.ledger.outbox_unclaim(&left).await?;
        self.ledger.outbox_postpone(&stuck, self.clock.now()).await?;
        if told > 0 {
            metrics::counter!("scoreboard_outbox_swept_total").increment(told as u64);
            tracing::info!(rows = told, "announced what was left in the outbox");
            // A user who keeps scoring would otherwise stay behind for as long as its rows wait, each for the one before.
            self.ledger.outbox_release_postponed().await?;
        }
        Ok(told)
    }
}

//! Reads an ended season from its first entry to its last, once, so that it can be read in any part afterwards.

use super::{Context, Job, JobError, Next};
use crate::domain::{archive::Reading, entry::RankKey, job::ArchiveSeason, season::SeasonResult};

/// Entries in one read.
const PAGE: i64 = 5_000;

impl Job for ArchiveSeason {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        loop {
            let Some(season) = context.ledger.season_to_archive(self.pk, self.season).await? else { return Ok(Next::Done) };
            let (board, mut reading, mut after) = (season.board(), Reading::default(), None);
            loop {
                let page = context.ledger.entries_in_rank_order(board, after.as_ref(), PAGE).await?;
                page.iter().for_each(|entry| reading.read(board.order, entry));
                match page.last() {
                    Some(last) if page.len() as i64 == PAGE => {
                        let sort_score = board.order.sort_score(last.score.ok_or("an entry without a score")?);
                        after = Some(RankKey { sort_score, reached_at: last.reached_at, user_id: last.user_id.clone() });
                    }
                    _ => break,
                }
            }
            let (total, digest, marks) = reading.end();
            let result = SeasonResult { total, digest, finalized_at: context.clock.now() };
            crate::failpoints::failpoint!("season-read", |why: String| JobError::from(why));
            // A correction meanwhile: what was read is outdated.
            if context.ledger.store_archive(&season, &result, marks).await? {
                return Ok(Next::Done);
            }
        }
    }
}

//! Reads an ended season from its first entry to its last, once, so that it can be read in any part afterwards.

use super::{Context, Job, JobError, Next};
use crate::{
    domain::{job::ArchiveSeason, season::SeasonResult},
    services::archive,
};

impl Job for ArchiveSeason {
    const ATTEMPTS: i64 = i64::MAX;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        loop {
            let Some(season) = context.ledger.season_to_archive(self.pk, self.season).await? else { return Ok(Next::Done) };
            // A later correction has a job of its own.
            if season.corrections > self.correction {
                return Ok(Next::Done);
            }
            let (total, digest, marks) = archive::read(&context.ledger, season.board()).await?.end();
            let result = SeasonResult { total, digest, finalized_at: context.clock.now() };
            crate::failpoints::failpoint!("season-read", |why: String| JobError::from(why));
            // A correction meanwhile: what was read is outdated.
            if context.ledger.store_archive(&season, &result, marks).await? {
                return Ok(Next::Done);
            }
        }
    }
}

//! Seasons in the ledger.

use super::{LENGTHY_LIMIT, LIMIT, Ledger, LedgerError, Updated, transact};
use crate::domain::{
    announcement::Announcement,
    archive::Mark,
    audit::Act,
    entry::{Head, Neighbourhood, Window},
    ids::{LeaderboardId, UserId},
    season::{Season, SeasonResult},
    submission::RequestKey,
    time::Timestamp,
};

/// How a request to end a season was answered.
#[derive(Debug)]
pub enum SeasonAnswer {
    /// Now: the season that began, and the answer.
    Now(Box<Updated<(Season, String)>>),
    /// It was carried out before, under the same key, and this was the answer.
    Before(String),
}

impl Ledger {
    /// A season. `NotFound`.
    pub async fn season(&self, id: &LeaderboardId, number: i64) -> Result<Season, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.read(LIMIT), seasons::find_reviewed(&id, number))?)
    }

    /// Up to `limit` seasons before number `before`, newest first. `NotFound`.
    pub async fn seasons(&self, id: &LeaderboardId, before: Option<i64>, limit: i64) -> Result<Vec<Season>, LedgerError> {
        let id = id.clone();
        Ok(transact!(self.serve(LIMIT), seasons::list(&id, before, limit))?)
    }

    /// Gives a season another name, or none. `NotFound`.
    pub async fn rename_season(
        &self,
        id: &LeaderboardId,
        number: i64,
        name: Option<String>,
        act: impl Into<Act>,
    ) -> Result<Season, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), seasons::rename(&id, number, name.as_deref(), &act))?)
    }

    /// Carries out scheduled boundaries that have come by the ledger's clock, of these leaderboards or of all, for up to `limit`
    /// of them: while it does, no commit is in progress, and each boundary is carried out once, whoever calls. `own_time` is the
    /// caller's clock, for a ledger without one. Returns the outbox rows that announce them.
    pub async fn turn_due(
        &self,
        own_time: Timestamp,
        only: Option<Vec<i64>>,
        limit: i64,
    ) -> Result<Vec<(i64, Announcement)>, LedgerError> {
        Ok(transact!(self.write(LIMIT), boundaries::turn_due(own_time, only.as_deref(), limit))?)
    }

    /// Ends season `ends` now and begins the next one, once for each key. `answer` makes the answer from the season that begins.
    /// `NotFound`; `OtherSeason` if another one is current; `BoundaryDue` if the schedule ends it first; `KeyReused`.
    pub async fn end_season(
        &self,
        id: &LeaderboardId,
        ends: i64,
        name: Option<String>,
        act: impl Into<Act>,
        key: Option<RequestKey>,
        answer: impl FnOnce(&Season) -> String + Send + 'static,
    ) -> Result<SeasonAnswer, LedgerError> {
        let (id, act) = (id.clone(), act.into());
        Ok(transact!(self.write(LIMIT), requests::end_season(&id, ends, name, &act, key.as_ref(), answer))?)
    }

    /// A season, and up to `limit` entries of it from `from_rank` on, in time that hardly depends on the rank once the season
    /// is final. `NotFound`.
    pub async fn archived_window(
        &self,
        id: &LeaderboardId,
        number: i64,
        from_rank: u64,
        limit: u64,
    ) -> Result<(Season, Window), LedgerError> {
        let id = id.clone();
        Ok(transact!(self.serve(LIMIT), archive::window(&id, number, from_rank, limit))?)
    }

    /// A season, and each user's entry in it, with up to `around` entries on each side. `NotFound`.
    pub async fn archived_neighbourhoods(
        &self,
        id: &LeaderboardId,
        number: i64,
        users: &[UserId],
        around: u64,
    ) -> Result<(Season, Head, Vec<Neighbourhood>), LedgerError> {
        let (id, users) = (id.clone(), users.to_vec());
        Ok(transact!(self.serve(LIMIT), archive::neighbourhoods(&id, number, &users, around))?)
    }

    /// An ended season, for whoever archives it; `None` if its leaderboard is gone.
    pub async fn season_to_archive(&self, pk: i64, number: i64) -> Result<Option<Season>, LedgerError> {
        Ok(transact!(self.read(LIMIT), archive::due(pk, number))?)
    }

    /// Stores the result of a season, unless it was corrected since it was read; returns whether it was stored.
    pub async fn store_archive(&self, season: &Season, result: &SeasonResult, marks: Vec<Mark>) -> Result<bool, LedgerError> {
        let (season, result) = (season.clone(), result.clone());
        Ok(transact!(self.write(LENGTHY_LIMIT), archive::store(&season, &result, &marks))?)
    }
}

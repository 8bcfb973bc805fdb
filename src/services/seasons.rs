//! Seasons of a leaderboard: their list, ending one by hand, and reading those that have ended.

use std::sync::Arc;

use crate::{
    domain::{
        audit::Act,
        caller::{Caller, Permission},
        entry::{Head, Neighbourhood, Window},
        ids::{LeaderboardId, Noun, UserId},
        leaderboard::Leaderboard,
        season::{Season, SeasonChoice, SeasonState},
        submission::RequestKey,
        time::Clock,
        version::Version,
    },
    repositories::ledger::{Ledger, LedgerError, SeasonAnswer},
};

use super::{
    announcer::Announcer,
    boundaries::Boundaries,
    definitions::DefinitionCache,
    error::ServiceError,
    ranking_reader::{RankingReader, Served, Source},
    turns::Turns,
};

/// How often a request is tried again that met a scheduled boundary.
const ATTEMPTS: usize = 3;

/// See the module's documentation.
pub struct Seasons {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub announcer: Arc<Announcer>,
    pub boundaries: Arc<Boundaries>,
    pub rankings: Arc<RankingReader>,
    pub clock: Clock,
    pub turns: Arc<Turns>,
}

/// A season with what is known of its ranking.
#[derive(Debug, Clone)]
pub struct SeasonOverview {
    pub season: Season,
    /// Entries; `None` if the ledger did not count them in time.
    pub total: Option<u64>,
    pub version: Option<Version>,
}

/// Which ranking a reader asks for.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// That of the current season.
    Current(Box<Leaderboard>),
    /// That of a season which has ended.
    Ended(i64),
}

/// One page of the list.
pub struct Page {
    /// Newest first.
    pub seasons: Vec<SeasonOverview>,
    /// The last of these, if there are more.
    pub next: Option<i64>,
}

/// A season that a manager ended.
pub struct EndSeason {
    /// The one to end: it has to be the current one.
    pub ends: i64,
    /// The name of the next one.
    pub name: Option<String>,
    pub key: Option<RequestKey>,
}

impl Seasons {
    /// The ranking that a reader of this leaderboard asks for. Another instance may have begun a season just now.
    pub async fn choose(&self, leaderboard: Leaderboard, choice: SeasonChoice) -> Result<Chosen, ServiceError> {
        let known = |leaderboard: Leaderboard| match choice.number(leaderboard.season) {
            Some(number) if number == leaderboard.season => Some(Chosen::Current(Box::new(leaderboard))),
            Some(number) => Some(Chosen::Ended(number)),
            None => None,
        };
        let id = leaderboard.id.clone();
        if let Some(chosen) = known(leaderboard) {
            return Ok(chosen);
        }
        self.definitions.refresh().await.ok();
        let leaderboard = self.definitions.leaderboard(id.as_str()).await?;
        known(leaderboard).ok_or(ServiceError::NotFound(Noun::Season))
    }

    /// A season of this leaderboard.
    pub async fn get(&self, leaderboard: &Leaderboard, choice: SeasonChoice) -> Result<SeasonOverview, ServiceError> {
        let number = match self.choose(leaderboard.clone(), choice).await? {
            Chosen::Current(leaderboard) => leaderboard.season,
            Chosen::Ended(number) => number,
        };
        let season = self.ledger.season(&leaderboard.id, number).await?;
        Ok(self.overview(&leaderboard.id, season).await)
    }

    /// Up to `limit` seasons before number `before`, newest first.
    pub async fn page(&self, leaderboard: &Leaderboard, before: Option<i64>, limit: usize) -> Result<Page, ServiceError> {
        let _turn = self.turns.next().await?;
        let mut seasons = self.ledger.seasons(&leaderboard.id, before, limit as i64 + 1).await?;
        let more = seasons.len() > limit;
        seasons.truncate(limit);
        let next = seasons.last().filter(|_| more).map(|season| season.number);
        let mut overviews = Vec::with_capacity(seasons.len());
        for season in seasons {
            overviews.push(self.overview(&leaderboard.id, season).await);
        }
        Ok(Page { seasons: overviews, next })
    }

    async fn overview(&self, id: &LeaderboardId, season: Season) -> SeasonOverview {
        match season.state() {
            SeasonState::Open => {
                let head = self.rankings.head(season.board()).await.map(|served| served.value);
                let total = match &head {
                    Some(head) => head.total,
                    None => self.rankings.total(season.board()).await,
                };
                SeasonOverview { total: Some(total), version: head.and_then(|head| head.version), season }
            }
            SeasonState::Ended | SeasonState::Final => {
                let total = match season.known_total() {
                    Some(total) => Some(total),
                    None => {
                        let window = self.ledger.archived_window(id, season.number, 1, 1).await;
                        window.ok().map(|(_, window)| window.head.total)
                    }
                };
                SeasonOverview { total, version: season.archived_version(), season }
            }
        }
    }

    /// Ends the current season now; returns the answer, made from the season that begins, and whether it was given before to
    /// the same key.
    pub async fn end(
        &self,
        caller: &Caller,
        id: &LeaderboardId,
        request: EndSeason,
        answer: impl FnOnce(&Season) -> String + Clone + Send + 'static,
    ) -> Result<(String, bool), ServiceError> {
        caller.authorize_on(Permission::Manage, id.as_str())?;
        let EndSeason { ends, name, key } = request;
        for _ in 0..ATTEMPTS {
            let act = Act::of(caller, self.clock.now());
            match self.ledger.end_season(id, ends, name.clone(), act, key.clone(), answer.clone()).await {
                Err(LedgerError::BoundaryDue(pks)) => {
                    self.boundaries.carry_out(Some(pks)).await?;
                }
                Err(error) => return Err(error.into()),
                Ok(SeasonAnswer::Before(body)) => return Ok((body, true)),
                Ok(SeasonAnswer::Now(updated)) => {
                    self.definitions.refresh().await?;
                    self.definitions.announce().await;
                    self.boundaries.note_change();
                    self.announcer.announce_turns(updated.outbox.into_iter().collect()).await;
                    return Ok((updated.value.1, false));
                }
            }
        }
        Err(ServiceError::NotYet)
    }

    /// Gives a season another name, or none.
    pub async fn rename(
        &self,
        caller: &Caller,
        leaderboard: &Leaderboard,
        choice: SeasonChoice,
        name: Option<String>,
    ) -> Result<SeasonOverview, ServiceError> {
        caller.authorize_on(Permission::Manage, leaderboard.id.as_str())?;
        let number = match self.choose(leaderboard.clone(), choice).await? {
            Chosen::Current(leaderboard) => leaderboard.season,
            Chosen::Ended(number) => number,
        };
        let season = self.ledger.rename_season(&leaderboard.id, number, name, Act::of(caller, self.clock.now())).await?;
        Ok(self.overview(&leaderboard.id, season).await)
    }

    /// Entries of a season that has ended.
    pub async fn window(
        &self,
        leaderboard: &Leaderboard,
        number: i64,
        from_rank: u64,
        limit: u64,
    ) -> Result<Served<Window>, ServiceError> {
        let _turn = self.turns.next().await?;
        let (season, value) = self.ledger.archived_window(&leaderboard.id, number, from_rank, limit).await?;
        Ok(Served { value, source: source(&season) })
    }

    /// Users' entries in a season that has ended, each with up to `around` entries on each side.
    pub async fn neighbourhoods(
        &self,
        leaderboard: &Leaderboard,
        number: i64,
        users: &[UserId],
        around: u64,
    ) -> Result<Served<(Head, Vec<Neighbourhood>)>, ServiceError> {
        let _turn = self.turns.next().await?;
        let (season, head, found) = self.ledger.archived_neighbourhoods(&leaderboard.id, number, users, around).await?;
        Ok(Served { value: (head, found), source: source(&season) })
    }

    /// Users' entries in whichever ranking of this leaderboard was chosen, each with up to `around` entries on each side.
    pub async fn neighbourhoods_in(
        &self,
        leaderboard: &Leaderboard,
        chosen: &Chosen,
        users: &[UserId],
        around: u64,
    ) -> Result<Served<(Head, Vec<Neighbourhood>)>, ServiceError> {
        match chosen {
            Chosen::Current(leaderboard) => self.rankings.neighbourhoods(leaderboard.board(), users, around).await,
            Chosen::Ended(number) => self.neighbourhoods(leaderboard, *number, users, around).await,
        }
    }
}

fn source(season: &Season) -> Source {
    if season.state() == SeasonState::Final { Source::Archive } else { Source::Ledger }
}

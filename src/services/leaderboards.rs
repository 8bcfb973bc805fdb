//! Leaderboards: creating, changing and deleting them, and who may read them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    domain::{
        audit::Act,
        caller::{Caller, Permission},
        ids::LeaderboardId,
        leaderboard::{InvalidSetting, Leaderboard, LeaderboardSettings, Visibility},
        time::{Clock, Timestamp},
    },
    repositories::{
        feed::Feed,
        ledger::{Ledger, LedgerError, Updated},
    },
};

use super::{
    announcer::Announcer, boundaries::Boundaries, census::Census, definitions::DefinitionCache, error::ServiceError,
    ranking_reader::RankingReader, rebuild::Rebuilder,
};

/// How long creating a leaderboard waits for its (empty) ranking, so that the first score finds it ready.
const PREPARATION: Duration = Duration::from_secs(1);

/// A leaderboard with its counts.
#[derive(Debug, Clone)]
pub struct Overview {
    pub leaderboard: Leaderboard,
    /// Entries of the current season.
    pub total: u64,
    /// Open streams, over all instances.
    pub watchers: u64,
}

/// See the module's documentation.
pub struct Leaderboards {
    pub ledger: Ledger,
    pub definitions: Arc<DefinitionCache>,
    pub announcer: Arc<Announcer>,
    pub boundaries: Arc<Boundaries>,
    pub rebuilder: Arc<Rebuilder>,
    pub rankings: Arc<RankingReader>,
    pub feed: Arc<dyn Feed>,
    pub census: Census,
    pub clock: Clock,
}

impl Leaderboards {
    /// The leaderboard, if this caller may read its entries. The status distinguishes a private leaderboard from one that does
    /// not exist, so ids must not contain secrets.
    pub async fn readable(&self, caller: &Caller, id: &str) -> Result<Leaderboard, ServiceError> {
        self.open_to(caller, Permission::ReadPrivate, id).await
    }

    /// The leaderboard, if this caller may see its definition: callers that manage leaderboards may, too.
    pub async fn definition(&self, caller: &Caller, id: &str) -> Result<Leaderboard, ServiceError> {
        self.open_to(caller, Permission::SeePrivateDefinitions, id).await
    }

    async fn open_to(&self, caller: &Caller, permission: Permission, id: &str) -> Result<Leaderboard, ServiceError> {
        let leaderboard = self.definitions.leaderboard(id).await?;
        self.check(caller, permission, &leaderboard, Instant::now())?;
        Ok(leaderboard)
    }

    /// Refuses a caller that may not read this leaderboard's entries at this moment; for code that already has its definition.
    pub fn check_readable(&self, caller: &Caller, leaderboard: &Leaderboard, now: Instant) -> Result<(), ServiceError> {
        self.check(caller, Permission::ReadPrivate, leaderboard, now)
    }

    fn check(
        &self,
        caller: &Caller,
        permission: Permission,
        leaderboard: &Leaderboard,
        now: Instant,
    ) -> Result<(), ServiceError> {
        if self.definitions.is_public(leaderboard, now) || caller.may_on(permission, leaderboard.id.as_str()) {
            return Ok(());
        }
        if leaderboard.settings.visibility == Visibility::Public {
            return Err(uncertain());
        }
        Ok(caller.authorize_on(permission, leaderboard.id.as_str())?)
    }

    /// Every leaderboard whose definition this caller may see, by id.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Overview>, ServiceError> {
        let seen = seen_by(caller, &self.definitions)?;
        let definitions = self.definitions.current();
        let mut leaderboards: Vec<_> = definitions.leaderboards().filter(|leaderboard| seen(leaderboard)).cloned().collect();
        leaderboards.sort_by(|a, b| a.id.cmp(&b.id));
        let boards = definitions.leaderboards().map(Leaderboard::board).collect();
        let numbers = self.census.of(boards).await;
        let overviews = leaderboards.into_iter().map(|leaderboard| {
            let (total, watchers) = numbers.get(&leaderboard.pk).copied().unwrap_or_default();
            Overview { leaderboard, total, watchers }
        });
        Ok(overviews.collect())
    }

    /// The leaderboard with its counts, if this caller may see its definition.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Overview, ServiceError> {
        let leaderboard = self.definition(caller, id).await?;
        self.overview(leaderboard).await
    }

    async fn overview(&self, leaderboard: Leaderboard) -> Result<Overview, ServiceError> {
        let watchers = self.feed.watchers(&[leaderboard.pk]).await.ok().and_then(|watchers| watchers.first().copied());
        let total = self.rankings.total(leaderboard.board()).await;
        Ok(Overview { leaderboard, total, watchers: watchers.unwrap_or_default() })
    }

    /// Creates a leaderboard, ready for scores.
    pub async fn create(
        &self,
        caller: &Caller,
        id: &LeaderboardId,
        settings: &LeaderboardSettings,
    ) -> Result<Overview, ServiceError> {
        caller.authorize_on(Permission::Manage, id.as_str())?;
        let now = self.clock.now();
        check_schedule(settings, now).map_err(LedgerError::Invalid)?;
        let leaderboard = self.ledger.create_leaderboard(id, settings, Act::of(caller, now)).await?;
        self.definitions.refresh().await?;
        self.rebuilder.prepare(leaderboard.board(), PREPARATION).await;
        Ok(Overview { leaderboard, total: 0, watchers: 0 })
    }

    /// Changes a leaderboard, and announces the change to its watchers.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &LeaderboardId,
        change: impl FnOnce(&Leaderboard) -> LeaderboardSettings + Clone + Send + 'static,
    ) -> Result<Overview, ServiceError> {
        caller.authorize_on(Permission::Manage, id.as_str())?;
        let now = self.clock.now();
        let checked = move |before: &Leaderboard| {
            let settings = change(before);
            let rescheduled = (&settings.reset_schedule, &settings.timezone);
            if rescheduled != (&before.settings.reset_schedule, &before.settings.timezone) {
                check_schedule(&settings, now)?;
            }
            Ok(settings)
        };
        let act = Act::of(caller, now);
        let updated = match self.ledger.update_leaderboard(id, act.clone(), checked.clone()).await {
            Err(LedgerError::BoundaryDue(pks)) => {
                self.boundaries.carry_out(Some(pks)).await?;
                self.ledger.update_leaderboard(id, act, checked).await?
            }
            updated => updated?,
        };
        self.boundaries.note_change();
        let leaderboard = self.tell(updated).await?;
        self.overview(leaderboard).await
    }

    /// Deletes a leaderboard with its entries and its history, announces that to its watchers and ends their streams.
    pub async fn delete(&self, caller: &Caller, id: &LeaderboardId) -> Result<(), ServiceError> {
        caller.authorize_on(Permission::Manage, id.as_str())?;
        let deleted = self.ledger.delete_leaderboard(id, Act::of(caller, self.clock.now())).await?;
        self.tell(deleted).await?;
        Ok(())
    }

    /// Creates the default leaderboard at the very first start.
    pub async fn ensure_default(&self, caller: &Caller, id: &LeaderboardId) -> Result<(), ServiceError> {
        caller.authorize_on(Permission::Manage, id.as_str())?;
        let settings = LeaderboardSettings::named(id.as_str());
        if self.ledger.ensure_default_leaderboard(id, &settings, Act::of(caller, self.clock.now())).await?.is_some() {
            tracing::info!(leaderboard = %id, "created the default leaderboard");
        }
        self.definitions.refresh().await
    }

    async fn tell(&self, updated: Updated<Leaderboard>) -> Result<Leaderboard, ServiceError> {
        self.definitions.refresh().await?;
        if let Some((row, announcement)) = &updated.outbox {
            self.announcer.announce_row(*row, announcement).await;
        }
        Ok(updated.value)
    }
}

/// Refuses a schedule that could not be followed from now on.
fn check_schedule(settings: &LeaderboardSettings, now: Timestamp) -> Result<(), InvalidSetting> {
    let Some(schedule) = &settings.reset_schedule else { return Ok(()) };
    let zone = settings.timezone.parse().unwrap_or_default();
    schedule.check(zone, now).map_err(|error| InvalidSetting::in_schedule(error.field, error.reason))
}

/// Which leaderboards' definitions this caller is shown: public ones, and private ones by its permission. An error if that would hold
/// something back, and it is uncertain which ones are private.
pub(super) fn seen_by<'a>(
    caller: &'a Caller,
    definitions: &DefinitionCache,
) -> Result<impl Fn(&Leaderboard) -> bool + 'a, ServiceError> {
    const SEE: Permission = Permission::SeePrivateDefinitions;
    if !caller.may_everywhere(SEE) && !definitions.is_confirmed(Instant::now()) {
        return Err(uncertain());
    }
    Ok(|leaderboard: &Leaderboard| {
        leaderboard.settings.visibility == Visibility::Public || caller.may_on(SEE, leaderboard.id.as_str())
    })
}

/// A caller that may read private leaderboards may read any; all others are refused while it is uncertain whether the
/// leaderboard is public.
fn uncertain() -> ServiceError {
    ServiceError::LedgerAway("nobody confirms that it may still be read without a token".into())
}

//! An action: the server-side rule that turns "this happened" into points.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ActionId, LeaderboardId},
    review::ReviewRule,
    run::RunRule,
    time::Timestamp,
};

/// Where the points of an action come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Points {
    /// Always the same number of points.
    Fixed(i64),
    /// The submission brings a value between these bounds, both included, and the value is the points.
    Range { min: i64, max: i64 },
}

/// Why a submission yields no points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueError {
    Required,
    NotAllowed,
    OutOfRange { min: i64, max: i64 },
}

impl Points {
    /// The points of a submission with this value.
    pub fn of(self, value: Option<i64>) -> Result<i64, ValueError> {
        match (self, value) {
            (Self::Fixed(points), None) => Ok(points),
            (Self::Fixed(_), Some(_)) => Err(ValueError::NotAllowed),
            (Self::Range { .. }, None) => Err(ValueError::Required),
            (Self::Range { min, max }, Some(value)) if (min..=max).contains(&value) => Ok(value),
            (Self::Range { min, max }, Some(_)) => Err(ValueError::OutOfRange { min, max }),
        }
    }
}

/// At most `count` accepted submissions of one user in any `per_seconds` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    pub count: i64,
    pub per_seconds: i64,
}

/// The settings of an action that clients write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionSettings {
    pub name: String,
    /// The leaderboards it feeds, the first one leading; by id, so that an action outlives a leaderboard that is created again.
    pub leaderboards: Vec<LeaderboardId>,
    pub points: Points,
    /// 0: none.
    pub cooldown_seconds: i64,
    pub limit: Option<Limit>,
    /// Whether a token with `scores:self` may submit it.
    pub self_service: bool,
    pub enabled: bool,
    /// Which submissions wait for a moderator. `None`: none.
    pub review: Option<ReviewRule>,
    /// How long the game takes that a submission ends. `None`: that is not known.
    pub run: Option<RunRule>,
}

/// An action as the ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub id: ActionId,
    pub settings: ActionSettings,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl ActionSettings {
    /// Seconds until this user may submit again, `None` if it is allowed now. `recent` holds the times of the user's accepted
    /// submissions of this action, newest first, at least as many as [`Self::lookback`] requires.
    pub fn wait_seconds(&self, recent: &[Timestamp], now: Timestamp) -> Option<u64> {
        let until = |at: Timestamp, seconds: i64| {
            // Never longer than its own length, whatever clock wrote the time.
            let left = at.plus_seconds(seconds).micros_since(now).min(seconds.saturating_mul(1_000_000));
            (left > 0).then(|| (left as u64).div_ceil(1_000_000))
        };
        let cooldown = recent.first().filter(|_| self.cooldown_seconds > 0).and_then(|&at| until(at, self.cooldown_seconds));
        let limit =
            self.limit.and_then(|limit| recent.get(limit.count as usize - 1).and_then(|&at| until(at, limit.per_seconds)));
        cooldown.max(limit)
    }

    /// How many of the user's newest submissions [`Self::wait_seconds`] has to see; 0 if no use of the action has to be
    /// remembered. Gains are made of uses as well.
    pub fn lookback(&self) -> i64 {
        self.limit.map_or(0, |limit| limit.count).max(i64::from(self.cooldown_seconds > 0 || self.watches_gains()))
    }

    /// Whether an accepted submission with this value is a use to be remembered. Of those that change nothing, no gain is made: they
    /// would push what it is made of out of the newest [`GAIN_EVENTS`](super::review::GAIN_EVENTS).
    pub fn remembers(&self, value: Option<i64>) -> bool {
        let gains = || self.watches_gains() && self.points.of(value).is_ok_and(|points| points != 0);
        self.cooldown_seconds > 0 || self.limit.is_some() || gains()
    }

    fn watches_gains(&self) -> bool {
        self.review.is_some_and(|rule| rule.gain.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cooldown_seconds: i64, limit: Option<Limit>) -> ActionSettings {
        ActionSettings {
            name: "Goal".into(),
            leaderboards: vec![],
            points: Points::Fixed(1),
            cooldown_seconds,
            limit,
            self_service: false,
            enabled: true,
            review: None,
            run: None,
        }
    }

    fn seconds(at: i64) -> Timestamp {
        Timestamp(at * 1_000_000)
    }

    #[test]
    fn an_absent_value_is_never_zero() {
        assert_eq!(Points::Range { min: 0, max: 9 }.of(None), Err(ValueError::Required));
        assert_eq!(Points::Range { min: 0, max: 9 }.of(Some(0)), Ok(0));
        assert_eq!(Points::Fixed(0).of(Some(0)), Err(ValueError::NotAllowed));
    }

    #[test]
    fn a_cooldown_ends_to_the_microsecond() {
        let action = settings(10, None);
        assert_eq!(action.wait_seconds(&[], seconds(0)), None);
        assert_eq!(action.wait_seconds(&[seconds(100)], Timestamp(109_999_999)), Some(1));
        assert_eq!(action.wait_seconds(&[seconds(100)], seconds(110)), None);
    }

    #[test]
    fn nobody_waits_longer_than_the_cooldown_or_the_limit_period() {
        let action = settings(10, Some(Limit { count: 1, per_seconds: 60 }));
        assert_eq!(action.wait_seconds(&[seconds(86_400)], seconds(0)), Some(60));
        assert_eq!(settings(10, None).wait_seconds(&[seconds(86_400)], seconds(0)), Some(10));
    }

    #[test]
    fn a_limit_slides() {
        let action = settings(0, Some(Limit { count: 2, per_seconds: 60 }));
        assert_eq!(action.wait_seconds(&[seconds(100)], seconds(101)), None);
        assert_eq!(action.wait_seconds(&[seconds(130), seconds(100)], seconds(131)), Some(29));
        assert_eq!(action.wait_seconds(&[seconds(130), seconds(100)], seconds(160)), None);
    }
}

//! Runs: how long a game has to take before its score is accepted. A run token tells when it began.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// The longest run, in seconds: a used token is remembered for longer than this, so it is never accepted twice.
pub const LONGEST_RUN: i64 = 86_400;

/// The times of an action's runs. Submissions of such an action need a run token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRule {
    pub min_seconds: i64,
    /// At most [`LONGEST_RUN`].
    pub max_seconds: i64,
    /// `None`: as many as the action gives.
    pub points_per_second: Option<i64>,
}

/// Why a run's score is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFault {
    /// It may be submitted in this many seconds.
    TooShort { wait: i64 },
    /// It took longer than this many seconds.
    Expired { max_seconds: i64 },
    /// It brings more points than its time allows.
    TooFast { most: i64 },
}

impl RunRule {
    /// Judges a run that began then and ends now with these points. To the microsecond; both limits are fair.
    pub fn judge(&self, began: Timestamp, now: Timestamp, points: i64) -> Result<(), RunFault> {
        let elapsed = now.micros_since(began);
        let missing = micros(self.min_seconds) - i128::from(elapsed);
        if missing > 0 {
            let wait = i64::try_from((missing + MICROS - 1) / MICROS).unwrap_or(i64::MAX);
            return Err(RunFault::TooShort { wait });
        }
        within(self.max_seconds, began, now)?;
        let Some(rate) = self.points_per_second else { return Ok(()) };
        let most = i128::from(rate) * i128::from(elapsed) / MICROS;
        if i128::from(points) > most {
            return Err(RunFault::TooFast { most: i64::try_from(most).unwrap_or(i64::MAX) });
        }
        Ok(())
    }
}

/// Refuses a run that took longer.
pub fn within(max_seconds: i64, began: Timestamp, now: Timestamp) -> Result<(), RunFault> {
    let over = i128::from(now.micros_since(began)) > micros(max_seconds);
    if over { Err(RunFault::Expired { max_seconds }) } else { Ok(()) }
}

const MICROS: i128 = 1_000_000;

fn micros(seconds: i64) -> i128 {
    i128::from(seconds) * MICROS
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RunRule = RunRule { min_seconds: 20, max_seconds: 60, points_per_second: Some(3) };

    fn judged(micros: i64, points: i64) -> Result<(), RunFault> {
        RULE.judge(Timestamp(5), Timestamp(5 + micros), points)
    }

    #[test]
    fn times_are_judged_to_the_microsecond() {
        assert_eq!(judged(19_999_999, 0), Err(RunFault::TooShort { wait: 1 }));
        assert_eq!(judged(-1, 0), Err(RunFault::TooShort { wait: 21 }), "begun by a clock that is ahead");
        assert_eq!(judged(20_000_000, 0), Ok(()));
        assert_eq!(judged(60_000_000, 0), Ok(()));
        assert_eq!(judged(60_000_001, 0), Err(RunFault::Expired { max_seconds: 60 }));
    }

    #[test]
    fn points_need_their_time() {
        assert_eq!(judged(20_000_000, 60), Ok(()));
        assert_eq!(judged(20_000_000, 61), Err(RunFault::TooFast { most: 60 }));
        assert_eq!(judged(20_333_333, 61), Err(RunFault::TooFast { most: 60 }));
        assert_eq!(judged(20_333_334, 61), Ok(()));
        assert_eq!(judged(20_000_000, -9), Ok(()));
        let any = RunRule { points_per_second: None, ..RULE };
        assert_eq!(any.judge(Timestamp(0), Timestamp(20_000_000), i64::MAX), Ok(()));
    }
}

//! The rules of fair play in an action, as clients write them.

use serde::Deserialize;
use validator::{Validate, ValidationError};

use crate::domain::{
    ids::MAX_SCORE,
    review::{Gain, ReviewRule},
    run::{LONGEST_RUN, RunRule},
};

use super::{
    body::{broken, nullable_object},
    whole::Whole,
};

/// The longest time in which points are added up: a day.
const LONGEST_GAIN: i64 = 86_400;
/// The longest time for which users are new: a year.
const LONGEST_NEW: i64 = 31_536_000;

/// Which submissions wait for a moderator. Each part may be absent or null.
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[validate(schema(function = "leaves_something"))]
pub struct ReviewBody {
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    above: Option<Whole>,
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    below: Option<Whole>,
    #[serde(default, deserialize_with = "nullable_object")]
    #[validate(nested)]
    gain: Option<Option<GainBody>>,
    #[validate(range(min = 0, max = "LONGEST_NEW"))]
    new_user_seconds: Option<Whole>,
}

/// More than `points` within `perSeconds`.
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GainBody {
    #[validate(range(min = 0, max = "MAX_SCORE"))]
    points: Whole,
    #[validate(range(min = 1, max = "LONGEST_GAIN"))]
    per_seconds: Whole,
}

/// How long a game takes.
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[validate(schema(function = "takes_time"))]
pub struct RunBody {
    #[validate(range(min = 0, max = "LONGEST_RUN"))]
    min_seconds: Option<Whole>,
    #[validate(range(min = 1, max = "LONGEST_RUN"))]
    max_seconds: Whole,
    #[validate(range(min = 1, max = "MAX_SCORE"))]
    points_per_second: Option<Whole>,
}

fn leaves_something(rule: &ReviewBody) -> Result<(), ValidationError> {
    let nothing = rule.below.zip(rule.above).is_some_and(|(below, above)| below > above);
    if nothing { Err(broken("range", "below must not be greater than above")) } else { Ok(()) }
}

fn takes_time(rule: &RunBody) -> Result<(), ValidationError> {
    let never = rule.min_seconds.is_some_and(|min| min > rule.max_seconds);
    if never { Err(broken("range", "minSeconds must not be greater than maxSeconds")) } else { Ok(()) }
}

impl ReviewBody {
    /// The rule, unless it suspects nobody.
    pub fn rule(self) -> Option<ReviewRule> {
        let number = |given: Option<Whole>| given.map(|Whole(number)| number);
        let gain = self.gain.flatten().map(|gain| Gain { points: gain.points.0, per_seconds: gain.per_seconds.0 });
        let new_user_seconds = number(self.new_user_seconds).unwrap_or(0);
        let rule = ReviewRule { above: number(self.above), below: number(self.below), gain, new_user_seconds };
        Some(rule).filter(|rule| !rule.is_empty())
    }
}

impl RunBody {
    pub fn rule(self) -> RunRule {
        let number = |given: Option<Whole>| given.map(|Whole(number)| number);
        RunRule {
            min_seconds: number(self.min_seconds).unwrap_or(0),
            max_seconds: self.max_seconds.0,
            points_per_second: number(self.points_per_second),
        }
    }
}

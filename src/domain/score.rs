//! The scoring rule: how a submission changes a score. The only place that knows it.

use super::{
    ids::MAX_SCORE,
    leaderboard::{OnExceed, Operator, Rules},
};

/// The effect of a submission on a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// False if the score stays as it was: then the entry, its time and its revision stay too.
    pub applied: bool,
    pub previous: Option<i64>,
    pub new: i64,
    /// `new − previous`, a newcomer's previous score counting as 0.
    pub delta: i64,
}

impl Outcome {
    /// The points, as far as the outcome tells: what was added, or what the score is now.
    pub fn points(&self, operator: Operator) -> i64 {
        match operator {
            Operator::Sum => self.delta,
            Operator::Best | Operator::Last => self.new,
        }
    }
}

/// Why points cannot be applied to a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// The new score, or the step to it, would leave ±(2^53 − 1), and browsers would round it.
    Range,
    /// The new score would leave the leaderboard's bounds.
    Bounds,
}

/// Applies points to a score. A newcomer always gets an entry, with a first score of 0 as well.
pub fn settle(rules: Rules, previous: Option<i64>, points: i64) -> Result<Outcome, Exceeded> {
    let better = |score: i64| rules.order.sort_score(points) < rules.order.sort_score(score);
    let new = match (previous, rules.operator) {
        (None, _) | (Some(_), Operator::Last) => bounded(rules, points)?,
        (Some(score), Operator::Sum) => bounded(rules, score.checked_add(points).ok_or(Exceeded::Range)?)?,
        (Some(score), Operator::Best) if better(score) => bounded(rules, points)?,
        (Some(score), Operator::Best) => score,
    };
    if new.abs() > MAX_SCORE {
        return Err(Exceeded::Range);
    }
    let delta = new - previous.unwrap_or(0);
    if delta.abs() > MAX_SCORE {
        return Err(Exceeded::Range);
    }
    Ok(Outcome { applied: previous != Some(new), previous, new, delta })
}

/// Applies points that were accepted once, after a score that is another one now. What would leave the range or the bounds stops
/// there: an accepted event is never refused afterwards.
pub fn settle_again(rules: Rules, previous: Option<i64>, points: i64) -> Outcome {
    settle(rules, previous, points).unwrap_or_else(|_| {
        let aim = match (previous, rules.operator) {
            (Some(score), Operator::Sum) => score.saturating_add(points),
            _ => points,
        };
        let (min, max) = rules.bounds.map_or((-MAX_SCORE, MAX_SCORE), |bounds| (bounds.min, bounds.max));
        let new = aim.clamp(min, max);
        Outcome { applied: previous != Some(new), previous, new, delta: new - previous.unwrap_or(0) }
    })
}

fn bounded(rules: Rules, score: i64) -> Result<i64, Exceeded> {
    match rules.bounds {
        Some(bounds) if !(bounds.min..=bounds.max).contains(&score) => match bounds.on_exceed {
            OnExceed::Refuse => Err(Exceeded::Bounds),
            OnExceed::Clamp => Ok(score.clamp(bounds.min, bounds.max)),
        },
        _ => Ok(score),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::leaderboard::{Bounds, Order};

    fn settle(operator: Operator, order: Order, previous: Option<i64>, points: i64) -> Result<Outcome, Exceeded> {
        super::settle(Rules { order, operator, bounds: None }, previous, points)
    }

    fn new_score(operator: Operator, order: Order, previous: Option<i64>, points: i64) -> (bool, i64, i64) {
        let outcome = settle(operator, order, previous, points).unwrap();
        (outcome.applied, outcome.new, outcome.delta)
    }

    #[test]
    fn sum_adds_up_and_zero_moves_nobody() {
        assert_eq!(new_score(Operator::Sum, Order::Desc, Some(100), 30), (true, 130, 30));
        assert_eq!(new_score(Operator::Sum, Order::Desc, Some(100), 0), (false, 100, 0));
        assert_eq!(new_score(Operator::Sum, Order::Desc, None, 0), (true, 0, 0));
    }

    #[test]
    fn best_follows_the_order() {
        assert_eq!(new_score(Operator::Best, Order::Desc, Some(10), 12), (true, 12, 2));
        assert_eq!(new_score(Operator::Best, Order::Desc, Some(10), 10), (false, 10, 0));
        assert_eq!(new_score(Operator::Best, Order::Asc, Some(10), 12), (false, 10, 0));
        assert_eq!(new_score(Operator::Best, Order::Asc, Some(10), 8), (true, 8, -2));
    }

    #[test]
    fn last_replaces() {
        assert_eq!(new_score(Operator::Last, Order::Desc, Some(10), -4), (true, -4, -14));
        assert_eq!(new_score(Operator::Last, Order::Desc, Some(10), 10), (false, 10, 0));
    }

    #[test]
    fn a_score_never_leaves_the_exact_range() {
        assert_eq!(settle(Operator::Sum, Order::Desc, Some(MAX_SCORE), 1), Err(Exceeded::Range));
        assert_eq!(settle(Operator::Sum, Order::Desc, Some(-MAX_SCORE), -1), Err(Exceeded::Range));
        assert!(settle(Operator::Sum, Order::Desc, Some(MAX_SCORE - 1), 1).is_ok());
    }

    #[test]
    fn a_step_never_leaves_the_exact_range() {
        for operator in [Operator::Last, Operator::Best] {
            assert_eq!(settle(operator, Order::Desc, Some(-MAX_SCORE), MAX_SCORE), Err(Exceeded::Range));
            assert_eq!(settle(operator, Order::Desc, Some(-1), MAX_SCORE), Err(Exceeded::Range));
            assert_eq!(new_score(operator, Order::Desc, Some(0), MAX_SCORE), (true, MAX_SCORE, MAX_SCORE));
        }
        assert_eq!(settle(Operator::Last, Order::Desc, Some(MAX_SCORE), -1), Err(Exceeded::Range));
        assert_eq!(new_score(Operator::Best, Order::Desc, Some(MAX_SCORE), -MAX_SCORE), (false, MAX_SCORE, 0));
    }

    #[test]
    fn a_score_stays_in_its_bounds() {
        let bounded =
            |operator, on_exceed| Rules { order: Order::Desc, operator, bounds: Some(Bounds { min: 0, max: 100, on_exceed }) };
        let clamped = super::settle(bounded(Operator::Sum, OnExceed::Clamp), Some(90), 30).unwrap();
        assert_eq!((clamped.new, clamped.delta, clamped.applied), (100, 10, true));
        assert!(!super::settle(bounded(Operator::Sum, OnExceed::Clamp), Some(100), 30).unwrap().applied);
        assert_eq!(super::settle(bounded(Operator::Sum, OnExceed::Clamp), None, -5).unwrap().new, 0);
        let refuse = |operator, previous, points| super::settle(bounded(operator, OnExceed::Refuse), previous, points);
        assert_eq!(refuse(Operator::Sum, Some(90), 11), Err(Exceeded::Bounds));
        assert_eq!(refuse(Operator::Last, Some(90), -1), Err(Exceeded::Bounds));
        assert_eq!(refuse(Operator::Best, None, 101), Err(Exceeded::Bounds));
        assert!(!refuse(Operator::Best, Some(90), -7).unwrap().applied, "only the score itself is bounded");
    }
}

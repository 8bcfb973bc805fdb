//! The scoring rule: how a submission changes a score. The only place that knows it.

use super::{
    ids::MAX_SCORE,
    leaderboard::{Operator, Order},
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

/// The new score, or the step to it, would leave ±(2^53 − 1), and browsers would round it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange;

/// Applies points to a score. A newcomer always gets an entry, with a first score of 0 as well.
pub fn settle(operator: Operator, order: Order, previous: Option<i64>, points: i64) -> Result<Outcome, OutOfRange> {
    let new = match (previous, operator) {
        (None, _) | (Some(_), Operator::Last) => points,
        (Some(score), Operator::Sum) => score.checked_add(points).ok_or(OutOfRange)?,
        (Some(score), Operator::Best) if order.sort_score(points) < order.sort_score(score) => points,
        (Some(score), Operator::Best) => score,
    };
    if new.abs() > MAX_SCORE {
        return Err(OutOfRange);
    }
    let delta = new - previous.unwrap_or(0);
    if delta.abs() > MAX_SCORE {
        return Err(OutOfRange);
    }
    Ok(Outcome { applied: previous != Some(new), previous, new, delta })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(settle(Operator::Sum, Order::Desc, Some(MAX_SCORE), 1), Err(OutOfRange));
        assert_eq!(settle(Operator::Sum, Order::Desc, Some(-MAX_SCORE), -1), Err(OutOfRange));
        assert!(settle(Operator::Sum, Order::Desc, Some(MAX_SCORE - 1), 1).is_ok());
    }

    #[test]
    fn a_step_never_leaves_the_exact_range() {
        for operator in [Operator::Last, Operator::Best] {
            assert_eq!(settle(operator, Order::Desc, Some(-MAX_SCORE), MAX_SCORE), Err(OutOfRange));
            assert_eq!(settle(operator, Order::Desc, Some(-1), MAX_SCORE), Err(OutOfRange));
            assert_eq!(new_score(operator, Order::Desc, Some(0), MAX_SCORE), (true, MAX_SCORE, MAX_SCORE));
        }
        assert_eq!(settle(Operator::Last, Order::Desc, Some(MAX_SCORE), -1), Err(OutOfRange));
        assert_eq!(new_score(Operator::Best, Order::Desc, Some(MAX_SCORE), -MAX_SCORE), (false, MAX_SCORE, 0));
    }
}

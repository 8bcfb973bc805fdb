//! The fold: what an entry is by its score events. Corrections change which of them count, and fold again.

use super::{
    leaderboard::{Operator, Rules},
    score,
    time::Timestamp,
};

/// A score event of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// The entry's revision after it; together with `applied` and the event's id it gives the order.
    pub revision: i64,
    pub applied: bool,
    pub points: i64,
    /// How it adds to the score: by the leaderboard's operator, if it is a submission.
    pub operator: Option<Operator>,
    pub counts: bool,
    pub at: Timestamp,
}

/// The score, and when it was reached, by the events that count; they have to be in their order. `None` if none counts.
pub fn fold(rules: Rules, events: impl IntoIterator<Item = Logged>) -> Option<(i64, Timestamp)> {
    let counting = events.into_iter().filter(|event| event.counts);
    counting.fold(None, |reached: Option<(i64, Timestamp)>, event| {
        let rules = Rules { operator: event.operator.unwrap_or(rules.operator), ..rules };
        let outcome = score::settle_again(rules, reached.map(|(score, _)| score), event.points);
        if outcome.applied { Some((outcome.new, event.at)) } else { reached }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::leaderboard::{Bounds, OnExceed, Order};

    fn rules(operator: Operator) -> Rules {
        Rules { order: Order::Desc, operator, bounds: None }
    }

    fn event(points: i64, at: i64, counts: bool) -> Logged {
        Logged { revision: at, applied: true, points, operator: None, counts, at: Timestamp(at) }
    }

    #[test]
    fn the_last_legitimate_best_is_back_with_its_own_time() {
        let events = [event(50, 1, true), event(90, 2, false), event(50, 3, true), event(70, 4, false)];
        assert_eq!(fold(rules(Operator::Best), events), Some((50, Timestamp(1))));
        assert_eq!(fold(rules(Operator::Sum), events), Some((100, Timestamp(3))));
        assert_eq!(fold(rules(Operator::Last), [event(5, 1, true), event(6, 2, false)]), Some((5, Timestamp(1))));
        assert_eq!(fold(rules(Operator::Sum), [event(5, 1, false)]), None);
    }

    #[test]
    fn an_adjustment_adds_or_sets_whatever_the_operator() {
        let set = Logged { operator: Some(Operator::Last), ..event(10, 2, true) };
        let add = Logged { operator: Some(Operator::Sum), ..event(-3, 3, true) };
        assert_eq!(fold(rules(Operator::Best), [event(90, 1, true), set, add]), Some((7, Timestamp(3))));
    }

    #[test]
    fn what_was_accepted_is_never_refused_afterwards() {
        let bounds = Some(Bounds { min: 0, max: 100, on_exceed: OnExceed::Refuse });
        let rules = Rules { bounds, ..rules(Operator::Sum) };
        assert_eq!(fold(rules, [event(80, 1, true), event(-50, 2, false), event(60, 3, true)]), Some((100, Timestamp(3))));
    }
}

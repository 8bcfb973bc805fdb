//! The rules of a batch, on plain values.

use super::*;
use crate::domain::{
    action::{Action, ActionSettings, Limit, Points},
    caller::Credential,
    ids::LeaderboardId,
    leaderboard::{LeaderboardSettings, Operator},
    review::{Gain, ReviewRule, Suspicion},
    run::{RunFault, RunRule},
    submission::Idempotency,
};

fn leaderboard(pk: i64, id: &str, operator: Operator) -> Leaderboard {
    let settings = LeaderboardSettings { operator, ..LeaderboardSettings::named(id) };
    let id = LeaderboardId::parse(id).unwrap();
    let (season_starts_at, next_boundary_at) = (Timestamp(0), None);
    let (created_at, updated_at) = (Timestamp(0), Timestamp(0));
    Leaderboard { pk, id, settings, season: 1, season_starts_at, next_boundary_at, revision: 1, created_at, updated_at }
}

fn definitions(limit: Option<Limit>) -> Definitions {
    let mut definitions = Definitions::default();
    for board in [leaderboard(1, "main", Operator::Sum), leaderboard(2, "best", Operator::Best)] {
        definitions.put_leaderboard(board);
    }
    let settings = ActionSettings {
        name: "Goal".into(),
        leaderboards: vec![LeaderboardId::parse("main").unwrap(), LeaderboardId::parse("best").unwrap()],
        points: Points::Range { min: -100, max: 100 },
        cooldown_seconds: 0,
        limit,
        self_service: false,
        enabled: true,
        review: None,
        run: None,
    };
    let action = Action { id: ActionId::parse("goal").unwrap(), settings, created_at: Timestamp(0), updated_at: Timestamp(0) };
    definitions.put_action(action);
    definitions
}

fn submission(user: &str, value: i64, key: Option<(&str, u8)>) -> Submission {
    Submission {
        subject: "game-1".into(),
        credential: Credential::Token,
        self_service_only: false,
        action_id: ActionId::parse("goal").unwrap(),
        user_id: UserId::parse(user).unwrap(),
        value: Some(value),
        metadata: None,
        season: None,
        display_name: None,
        idempotency: key.map(|(key, print)| Idempotency { key: key.into(), fingerprint: [print; 32], former: None }),
        run: None,
    }
}

fn settle(batch: &[Submission], limit: Option<Limit>) -> Settlement {
    settle_batch(batch, &definitions(limit), State::default(), &Clock::system())
}

#[test]
fn each_submission_sees_what_those_before_it_did() {
    let batch = [submission("ann", 5, None), submission("ann", 3, None)];
    let settlement = settle(&batch, None);
    let Settled::Accepted(second) = &settlement.outcomes[1] else { panic!("refused") };
    assert_eq!(
        (second.standings[0].previous_score, second.standings[0].new_score, second.standings[0].revision),
        (Some(5), 8, 2)
    );
    assert!(!second.standings[1].applied, "3 does not beat 5");
    assert_eq!(second.standings[1].revision, 1);
    assert_eq!(settlement.entries.len(), 2, "one row per entry");
    assert_eq!(settlement.changes.len(), 3);
}

#[test]
fn a_key_counts_once_within_a_batch() {
    let batch =
        [submission("ann", 5, Some(("k", 1))), submission("ann", 5, Some(("k", 1))), submission("ann", 5, Some(("k", 2)))];
    let settlement = settle(&batch, None);
    assert!(
        matches!(settlement.outcomes[1], Settled::Replayed { event_id, receipt: None } if event_id == settlement.accepted[0].1.event_id)
    );
    assert!(matches!(settlement.outcomes[2], Settled::Refused(Refusal::KeyReused)));
    assert_eq!(settlement.accepted.len(), 1);
}

#[test]
fn one_bad_submission_does_not_spoil_its_neighbours() {
    let batch = [submission("ann", 5, None), submission("ann", 500, None), submission("bob", 1, None)];
    let settlement = settle(&batch, None);
    assert!(matches!(settlement.outcomes[1], Settled::Refused(Refusal::Value(_))));
    assert_eq!(settlement.accepted.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_limit_holds_within_a_batch() {
    let batch = [submission("ann", 5, None), submission("ann", 5, None), submission("bob", 5, None)];
    let settlement = settle(&batch, Some(Limit { count: 1, per_seconds: 60 }));
    assert!(matches!(settlement.outcomes[1], Settled::Refused(Refusal::TooSoon { retry_after: 60 })));
    assert!(matches!(settlement.outcomes[2], Settled::Accepted(_)));
}

#[test]
fn event_ids_are_in_the_order_of_their_times() {
    let ids: Vec<_> = (0..5000).map(|n| event_id(Timestamp(1_790_000_000_000_000 + n))).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
}

#[test]
fn an_entry_s_time_never_runs_backwards() {
    let mut state = State::default();
    let ahead = EntryState { score: Some(1), reached_at: Timestamp(i64::MAX / 2), revision: 1, hidden: false };
    state.entries.insert((1, 1, UserId::parse("ann").unwrap()), ahead);
    let settlement = settle_batch(&[submission("ann", 5, None)], &definitions(None), state, &Clock::system());
    assert_eq!(settlement.accepted[0].1.at, Timestamp(i64::MAX / 2 + 1));
}

/// The definitions with other rules for `goal`.
fn ruled(review: Option<ReviewRule>, run: Option<RunRule>) -> Definitions {
    let mut definitions = definitions(None);
    let mut action = definitions.action("goal").unwrap().clone();
    (action.settings.review, action.settings.run) = (review, run);
    definitions.put_action(action);
    definitions
}

fn above(limit: i64) -> Option<ReviewRule> {
    Some(ReviewRule { above: Some(limit), ..ReviewRule::default() })
}

#[test]
fn what_trips_a_rule_changes_nothing_and_is_remembered() {
    let batch = [submission("ann", 5, None), submission("ann", 50, Some(("k", 1))), submission("ann", 7, None)];
    let settlement = settle_batch(&batch, &ruled(above(10), None), State::default(), &Clock::system());
    let Settled::Accepted(withheld) = &settlement.outcomes[1] else { panic!("refused") };
    assert_eq!(withheld.tripped.iter().map(|trip| trip.rule).collect::<Vec<_>>(), [Suspicion::Above]);
    let [sum, best] = withheld.standings.as_slice() else { panic!("two boards") };
    assert_eq!((sum.applied, sum.previous_score, sum.new_score, sum.delta, sum.revision), (false, Some(5), 55, 50, 1));
    assert_eq!((best.applied, best.new_score, best.revision), (false, 50, 1));
    assert!(withheld.receipt_batch.is_some(), "its receipt is stored like others");
    assert!(settlement.changes.iter().all(|change| change.event_id != withheld.event_id), "nobody is told");
    let Settled::Accepted(next) = &settlement.outcomes[2] else { panic!("refused") };
    assert_eq!((next.standings[0].previous_score, next.standings[0].new_score, next.standings[0].revision), (Some(5), 12, 2));
    let named = |value| Submission { display_name: Some("New".into()), ..submission("new", value, None) };
    let settlement = settle_batch(&[named(50), named(5)], &ruled(above(10), None), State::default(), &Clock::system());
    assert_eq!(settlement.named.len(), 1, "what is withheld names nobody");
    assert_eq!(settlement.changes[0].name.name.as_deref(), Some("New"));
    let again = settle_batch(&[submission("new", 50, None)], &ruled(above(10), None), State::default(), &Clock::system());
    assert!(again.entries.is_empty() && again.changes.is_empty() && again.accepted[0].1.is_withheld());
}

#[test]
fn a_gain_is_added_up_within_a_batch() {
    let gain = ReviewRule { gain: Some(Gain { points: 100, per_seconds: 60 }), ..ReviewRule::default() };
    let batch = [60, 40, 1, -20, 19].map(|value| submission("ann", value, None));
    let settlement = settle_batch(&batch, &ruled(Some(gain), None), State::default(), &Clock::system());
    let withheld: Vec<_> = settlement.accepted.iter().map(|(_, accepted)| accepted.is_withheld()).collect();
    assert_eq!(withheld, [false, false, true, false, false], "what waits is part of the gain, what is taken away is none");
    let new = ReviewRule { new_user_seconds: 60, ..ReviewRule::default() };
    let settlement = settle_batch(&batch, &ruled(Some(new), None), State::default(), &Clock::system());
    assert!(settlement.accepted.iter().all(|(_, accepted)| accepted.is_withheld()), "the first one makes nobody old");
}

#[test]
fn fixed_points_of_what_is_withheld_are_noted() {
    let mut definitions = ruled(above(1), None);
    let mut action = definitions.action("goal").unwrap().clone();
    action.settings.points = Points::Fixed(3);
    definitions.put_action(action);
    let fixed = Submission { value: None, ..submission("ann", 0, None) };
    let settlement = settle_batch(&[fixed], &definitions, State::default(), &Clock::system());
    assert_eq!(settlement.accepted[0].1.standings.iter().map(|standing| standing.points).collect::<Vec<_>>(), [Some(3); 2]);
}

#[test]
fn a_run_is_judged_by_the_clock_and_its_token_counts_once() {
    let now = Timestamp(1_790_000_000_000_000);
    let rule = RunRule { min_seconds: 10, max_seconds: 60, points_per_second: Some(2) };
    let ended = |seconds: i64, value: i64, print: u8| {
        let run = Some(now.plus_seconds(-seconds));
        Submission { run, ..submission("ann", value, Some(("run 1", print))) }
    };
    let settle = |batch: &[Submission]| {
        settle_batch(batch, &ruled(None, Some(rule)), State::default(), &Clock::from_fn(move || now)).outcomes
    };
    let refused = |submission: Submission| match settle(&[submission]).remove(0) {
        Settled::Refused(refusal) => Some(refusal),
        _ => None,
    };
    assert_eq!(refused(submission("ann", 1, None)), Some(Refusal::RunRequired));
    assert_eq!(refused(ended(9, 1, 1)), Some(Refusal::Run(RunFault::TooShort { wait: 1 })));
    assert_eq!(refused(ended(61, 1, 1)), Some(Refusal::Run(RunFault::Expired { max_seconds: 60 })));
    assert_eq!(refused(ended(10, 21, 1)), Some(Refusal::Run(RunFault::TooFast { most: 20 })));
    let other = Submission { subject: "ann".into(), ..ended(10, 20, 1) };
    let outcomes = settle(&[ended(10, 20, 1), other, ended(10, 19, 2), submission("ann", 1, Some(("run 1", 1)))]);
    assert!(matches!(outcomes[1], Settled::Replayed { .. }), "whoever brings it");
    assert!(matches!(outcomes[2], Settled::Refused(Refusal::RunUsed)));
    assert!(matches!(outcomes[3], Settled::Refused(Refusal::RunRequired)), "a client's key is another one, whatever it says");
}

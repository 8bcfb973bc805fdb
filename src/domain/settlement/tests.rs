//! The rules of a batch, on plain values.

use super::*;
use crate::domain::{
    action::{Action, ActionSettings, Limit, Points},
    ids::LeaderboardId,
    leaderboard::{LeaderboardSettings, Operator},
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
    };
    let action = Action { id: ActionId::parse("goal").unwrap(), settings, created_at: Timestamp(0), updated_at: Timestamp(0) };
    definitions.put_action(action);
    definitions
}

fn submission(user: &str, value: i64, key: Option<(&str, u8)>) -> Submission {
    Submission {
        subject: "game-1".into(),
        key: None,
        self_service_only: false,
        action_id: ActionId::parse("goal").unwrap(),
        user_id: UserId::parse(user).unwrap(),
        value: Some(value),
        metadata: None,
        season: None,
        display_name: None,
        idempotency: key.map(|(key, print)| Idempotency { key: key.into(), fingerprint: [print; 32], former: None }),
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

//! The scoring rule: what a commit computes between its reading and its writing.

use std::sync::Arc;

use divan::{Bencher, black_box, counter::ItemsCount};
use scoreboard::domain::{
    action::{Action, ActionSettings, Points},
    caller::Credential,
    definition::Definitions,
    ids::ActionId,
    settlement::{EntryState, State, settle_batch},
    submission::Submission,
    time::{Clock, Timestamp},
};

use crate::{BOARD, leaderboard, user};

/// Submissions of a commit.
const SIZES: [u64; 3] = [1, 32, 512];

fn definitions() -> Definitions {
    let (leaderboard, at) = (leaderboard(), Timestamp(1_763_722_800_000_000));
    let settings = ActionSettings {
        name: "Goal".to_owned(),
        leaderboards: vec![leaderboard.id.clone()],
        points: Points::Fixed(10),
        cooldown_seconds: 0,
        limit: None,
        self_service: false,
        enabled: true,
        review: None,
        run: None,
    };
    let id = ActionId::parse("goal").expect("an id");
    let action = Action { id, settings, created_at: at, updated_at: at };
    let mut definitions = Definitions::default().at(1, None);
    definitions.put_leaderboard(leaderboard);
    definitions.put_action(action);
    definitions
}

/// Ten points each for users who have some already.
#[divan::bench(args = SIZES)]
fn settle(bencher: Bencher, size: u64) {
    let (definitions, clock) = (definitions(), Clock::system());
    let subject: Arc<str> = "game-1".into();
    let action_id = ActionId::parse("goal").expect("an id");
    let batch: Vec<_> = (0..size)
        .map(|number| Submission {
            subject: Arc::clone(&subject),
            credential: Credential::Token,
            self_service_only: false,
            action_id: action_id.clone(),
            user_id: user(number),
            value: None,
            metadata: None,
            idempotency: None,
            run: None,
            season: None,
            display_name: None,
        })
        .collect();
    let before = EntryState { score: Some(100), reached_at: Timestamp(1_763_722_800_000_000), revision: 10, hidden: false };
    bencher
        .counter(ItemsCount::new(size))
        .with_inputs(|| {
            let entries = batch.iter().map(|one| ((BOARD.pk, BOARD.season, one.user_id.clone()), before)).collect();
            State { entries, ..State::default() }
        })
        .bench_local_values(|state| settle_batch(black_box(&batch), &definitions, state, &clock));
}

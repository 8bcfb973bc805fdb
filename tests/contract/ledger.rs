//! The ledger's promises, kept on both engines.

use std::sync::Arc;

use scoreboard::{
    domain::{
        action::{ActionSettings, Points},
        announcement::{Announcement, Change},
        caller::Credential,
        definition::Definitions,
        ids::{ActionId, LeaderboardId, UserId},
        leaderboard::{Board, Leaderboard, LeaderboardSettings, Operator, Order, Projection, Readable, Visibility},
        submission::{Accepted, Idempotency, Refusal, Settled, Submission},
        time::{Clock, Timestamp},
    },
    repositories::ledger::{Committed, Ledger, LedgerError},
};
use uuid::Uuid;

use super::databases::Database;

/// Runs each of these tests on PostgreSQL and on SQLite.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::contract::databases::Database::postgres().await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::contract::databases::Database::sqlite().await).await;
            })*
        }
    };
}

mod accounts;
mod api_keys;
mod audit;
mod corrections;
mod decisions;
mod definitions;
mod history;
mod installation;
mod jobs;
mod migrations;
mod outbox;
mod reading;
mod rebuilding;
mod receipts;
mod retries;
mod reviews;
mod scores;
mod seasons;
mod users;

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

fn slug(id: &str) -> LeaderboardId {
    LeaderboardId::parse(id).unwrap()
}

fn action_id(id: &str) -> ActionId {
    ActionId::parse(id).unwrap()
}

fn user_id(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn leaderboard_settings(operator: Operator, order: Order) -> LeaderboardSettings {
    LeaderboardSettings { description: "All goals".into(), order, operator, ..LeaderboardSettings::named("Main") }
}

/// An action that takes any value within ±2^53 and feeds these leaderboards.
fn action_settings(leaderboards: &[&str]) -> ActionSettings {
    ActionSettings {
        name: "Goal".into(),
        leaderboards: leaderboards.iter().map(|id| slug(id)).collect(),
        points: Points::Range { min: -scoreboard::domain::ids::MAX_SCORE, max: scoreboard::domain::ids::MAX_SCORE },
        cooldown_seconds: 0,
        limit: None,
        self_service: false,
        enabled: true,
        review: None,
        run: None,
    }
}

/// A leaderboard `main` and an action `goal` that feeds it.
async fn main_and_goal(ledger: &Ledger, operator: Operator, order: Order) -> Board {
    let main = ledger.create_leaderboard(&slug("main"), &leaderboard_settings(operator, order), NOW).await.unwrap();
    ledger.create_action(&action_id("goal"), &action_settings(&["main"]), NOW).await.unwrap();
    main.board()
}

fn goal(user: &str, value: i64) -> Submission {
    Submission {
        subject: "game-1".into(),
        credential: Credential::Token,
        self_service_only: false,
        action_id: action_id("goal"),
        user_id: user_id(user),
        value: Some(value),
        metadata: None,
        season: None,
        display_name: None,
        idempotency: None,
        run: None,
    }
}

fn keyed_goal(user: &str, value: i64, key: &str) -> Submission {
    let fingerprint = [value as u8; 32];
    Submission { idempotency: Some(Idempotency { key: key.into(), fingerprint, former: None }), ..goal(user, value) }
}

/// Commits a batch as the server does; how far it is interests nobody here.
async fn commit(ledger: &Ledger, batch: &[Submission], clock: &Clock) -> Result<Committed, LedgerError> {
    ledger.commit(&batch.into(), clock, &Arc::default()).await
}

/// Claims outbox rows made before that moment, at that moment.
async fn claim(ledger: &Ledger, at: Timestamp, after: i64, limit: i64) -> Result<Vec<(i64, Option<Announcement>)>, LedgerError> {
    ledger.outbox_due(at, at, after, limit).await
}

async fn commit_one(ledger: &Ledger, submission: Submission) -> Settled {
    let mut committed = commit(ledger, &[submission], &Clock::system()).await.unwrap();
    committed.outcomes.remove(0)
}

#[track_caller]
fn accepted(outcome: Settled) -> Accepted {
    match outcome {
        Settled::Accepted(accepted) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

#[track_caller]
fn refusal(outcome: Settled) -> Refusal {
    match outcome {
        Settled::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn leaderboard<'a>(definitions: &'a Definitions, id: &str) -> &'a Leaderboard {
    definitions.leaderboard(id).unwrap()
}

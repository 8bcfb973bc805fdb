//! Micro-benchmarks of what runs for every score, every event and every read: `cargo bench -p load`.

mod frames; // the frame encoder
mod ranking; // the in-process index
mod rule; // the scoring rule

use scoreboard::domain::{
    ids::{LeaderboardId, UserId},
    leaderboard::{Board, Leaderboard, LeaderboardSettings, Order},
    time::Timestamp,
};

fn main() {
    divan::main();
}

const BOARD: Board = Board { pk: 1, season: 1, order: Order::Desc };

fn leaderboard() -> Leaderboard {
    let (id, settings) = (LeaderboardId::parse("main").expect("an id"), LeaderboardSettings::named("main"));
    let at = Timestamp(1_763_722_800_000_000);
    Leaderboard {
        pk: BOARD.pk,
        id,
        settings,
        season: BOARD.season,
        season_starts_at: at,
        next_boundary_at: None,
        revision: 1,
        created_at: at,
        updated_at: at,
    }
}

fn user(number: u64) -> UserId {
    UserId::parse(&format!("user-{number}")).expect("an id")
}

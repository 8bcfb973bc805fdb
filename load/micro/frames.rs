//! The frame encoder: once for each event, however many watch.

use std::sync::Arc;

use divan::{Bencher, black_box};
use scoreboard::{
    domain::event::{Event, EventKind},
    services::streams::frame::Frame,
};

#[divan::bench]
fn score_updated(bencher: Bencher) {
    let epoch: Arc<str> = "0hodc2eoie4".into();
    let body = r#""leaderboardId":"main","season":1,"eventId":"019aa5d1-7c3e-7cc0-9a53-2f0c5d1f3a11","userId":"user-4711","displayName":"Ada Lovelace","actionId":"goal","delta":30,"score":130,"previousScore":100,"at":"2026-11-21T14:21:44.306651Z""#;
    let event = Event {
        seq: 4711,
        kind: EventKind::ScoreUpdated,
        rank: 4,
        previous_rank: Some(7),
        total: 1_000_000,
        fields: body.to_owned(),
    };
    bencher.bench_local(|| Frame::of(black_box(&epoch), black_box(&event)));
}

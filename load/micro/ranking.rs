//! The in-process index, at several sizes: a changed score with its ranks, the top, a neighbourhood. With the board's lock and the port's future,
//! as every caller pays for them.

use std::{cell::Cell, sync::Arc};

use divan::{Bencher, black_box};
use futures_util::FutureExt;
use scoreboard::{
    domain::{
        announcement::Change,
        entry::{DisplayName, StoredEntry},
        time::{Clock, Timestamp},
    },
    repositories::{
        memory::MemoryRanking,
        ranking_store::{Begun, RankingStore, Replaces},
    },
};
use uuid::Uuid;

use crate::{BOARD, user};

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

/// A call that never waits for anything.
fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("the in-process ranking never waits")
}

/// A ranking of users with random scores, each at revision 1.
fn filled(size: u64) -> Arc<MemoryRanking> {
    let ranking = MemoryRanking::new(10_000, Clock::system());
    let Ok(Begun::Yours(rebuild)) = now(ranking.begin_rebuild(BOARD, Replaces::Any)) else { panic!("nobody else rebuilds") };
    let mut random = fastrand::Rng::with_seed(size);
    let entries: Vec<_> = (0..size).map(|number| entry(number, random.i64(0..1_000_000))).collect();
    now(ranking.load(&rebuild, &entries)).expect("it is loaded");
    now(ranking.finish_rebuild(rebuild, 1)).expect("it is ready");
    ranking
}

fn entry(number: u64, score: i64) -> StoredEntry {
    let (user_id, reached_at) = (user(number), Timestamp(1_763_722_800_000_000 + number as i64));
    StoredEntry {
        user_id,
        score: Some(score),
        reached_at,
        revision: 1,
        name: DisplayName { name: None, revision: 0, appearance: None },
    }
}

/// Applied once to each user, so that each change is the next one of its entry.
#[divan::bench(args = SIZES, sample_count = 500, sample_size = 1)]
fn apply(bencher: Bencher, size: u64) {
    let (ranking, next, mut random) = (filled(size), Cell::new(0), fastrand::Rng::with_seed(7));
    bencher
        .with_inputs(|| {
            let number = next.replace(next.get() + 1) * 997 % size;
            let score = random.i64(0..1_000_000);
            let event = format!("\"userId\":\"user-{number}\",\"score\":{score},\"at\":\"2026-11-21T14:21:44.306651Z\"");
            let (name, reached_at) = (DisplayName { name: None, revision: 0, appearance: None }, 1_763_722_900_000_000);
            Change {
                board: BOARD,
                event_id: Uuid::nil(),
                user_id: user(number),
                score: Some(score),
                reached_at,
                revision: 2,
                name,
                event,
            }
        })
        .bench_local_values(|change| now(ranking.apply(BOARD, std::slice::from_ref(&change))));
}

#[divan::bench(args = SIZES)]
fn top_ten(bencher: Bencher, size: u64) {
    let ranking = filled(size);
    bencher.bench_local(|| now(ranking.window(BOARD, 1, black_box(10))));
}

#[divan::bench(args = SIZES)]
fn five_on_each_side(bencher: Bencher, size: u64) {
    let (ranking, mut random) = (filled(size), fastrand::Rng::with_seed(7));
    bencher
        .with_inputs(|| [user(random.u64(0..size))])
        .bench_local_refs(|users| now(ranking.neighbourhoods(BOARD, users, black_box(5))));
}

//! A fixed rate to within a tenth of a millisecond. Tokio's own timer counts in milliseconds and would add one to every latency that is
//! measured from an intended time, so a thread of its own sleeps and gives out turns.

use std::{
    cell::Cell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// Gives out turns at a fixed rate; whichever connection is free takes the next one.
pub struct Pacer {
    start: Instant,
    per_second: f64,
    taken: Cell<u64>,
    /// A permit for every turn whose time has come.
    due: Arc<Semaphore>,
}

impl Pacer {
    /// Turns from `start` on. Once `end` has come there are `waiting` more than the rate allows, so that nobody waits for ever.
    pub fn new(start: Instant, end: Instant, per_second: f64, waiting: usize) -> Self {
        let due = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&due);
        thread::spawn(move || {
            let turns = (end - start).as_secs_f64() * per_second;
            let mut given = 0;
            while given < turns as usize {
                let passed = (start.elapsed().as_secs_f64() * per_second).min(turns) as usize + 1;
                permits.add_permits(passed - given);
                given = passed;
                let next = start + Duration::from_secs_f64(given as f64 / per_second);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            thread::sleep(end.saturating_duration_since(Instant::now()));
            permits.add_permits(waiting + 1);
        });
        Self { start, per_second, taken: Cell::new(0), due }
    }

    /// Waits for a turn and answers when it should have been.
    pub async fn turn(&self) -> Instant {
        self.due.acquire().await.expect("a semaphore that nobody closes").forget();
        let turn = self.taken.get();
        self.taken.set(turn + 1);
        self.start + Duration::from_secs_f64(turn as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_their_time_and_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let start = Instant::now();
        let end = start + Duration::from_millis(50);
        let pacer = Pacer::new(start, end, 1000.0, 1);
        let turns = runtime.block_on(async {
            let mut turns = 0;
            while pacer.turn().await < end {
                turns += 1;
                assert!(start.elapsed() >= Duration::from_millis(turns - 1), "turn {turns} came early");
            }
            turns
        });
        assert_eq!(turns, 50);
    }
}

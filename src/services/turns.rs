//! Permits for reads from the ledger. Few reads run at once, so that commits have the database, its processors and its disk to
//! themselves; other readers wait for a while and are then refused. Used by every service that queries the ledger on behalf of
//! a reader.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::error::ServiceError;

/// How long a reader waits in all, for others' answers and for a permit.
pub const WAIT: Duration = Duration::from_secs(2);
/// The most readers that may wait. One more is refused at once: it would be refused after its wait anyway.
const WAITING: usize = 1024;

/// See the module's documentation.
pub struct Turns {
    free: Semaphore,
    /// Slots in the queue, including those of readers that hold a permit.
    places: Semaphore,
}

/// A permit, held until dropped.
pub struct Turn<'a> {
    _turn: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
}

impl Turns {
    /// With this many permits.
    pub fn new(at_once: usize) -> Self {
        Self { free: Semaphore::new(at_once), places: Semaphore::new(at_once + WAITING) }
    }

    /// The next permit, in the order of requests. [`ServiceError::Overloaded`] if there is none within [`WAIT`].
    pub async fn next(&self) -> Result<Turn<'_>, ServiceError> {
        self.before(Instant::now() + WAIT).await
    }

    /// The same for a reader that has already waited for something else.
    pub async fn before(&self, deadline: Instant) -> Result<Turn<'_>, ServiceError> {
        let place = self.places.try_acquire();
        let turn = async { timeout_at(deadline, self.free.acquire()).await.ok()?.ok() };
        match place {
            Ok(place) => turn.await.map(|turn| Turn { _turn: turn, _place: place }),
            Err(_) => None,
        }
        .ok_or_else(|| {
            metrics::counter!("scoreboard_ledger_reads_refused_total").increment(1);
            ServiceError::Overloaded
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_who_gets_no_permit_in_time_is_refused() {
        let turns = Turns::new(1);
        let first = turns.next().await.unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert!(matches!(turns.before(soon).await, Err(ServiceError::Overloaded)));
        drop(first);
        turns.next().await.unwrap();
    }

    #[tokio::test]
    async fn the_queue_of_readers_is_bounded() {
        let turns = Turns::new(1);
        let _first = turns.next().await.unwrap();
        let soon = Instant::now() + Duration::from_millis(200);
        let waiting = futures_util::future::join_all((0..WAITING).map(|_| turns.before(soon)));
        let one_more = async {
            assert!(matches!(turns.before(soon).await, Err(ServiceError::Overloaded)));
            assert!(Instant::now() < soon, "refused at once");
        };
        assert!(tokio::join!(waiting, one_more).0.iter().all(Result::is_err));
    }
}

//! Long-lived tasks that outlive a panic: whoever starts one hands over how to make it, and it is made again when it breaks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long a task that broke rests before it is made again; twice as long each time, unless it has held for a while.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);
const HELD: Duration = Duration::from_secs(60);

/// How many tasks are broken at this moment: an instance that lacks one is not ready.
#[derive(Debug, Clone, Default)]
pub struct Broken(Arc<AtomicUsize>);

impl Broken {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// A task has ended for good that should not have.
    pub fn note_loss(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Runs what `make` makes until it ends by itself; makes it again where it panics. Dropping the future ends the task.
pub async fn supervised<F>(name: &'static str, make: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    supervised_as(name, &Broken::default(), make).await;
}

/// The same, counted among the broken ones while it rests.
pub async fn supervised_as<F>(name: &'static str, broken: &Broken, make: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut rest = FIRST_REST;
    loop {
        let begun = Instant::now();
        if AbortOnDropHandle::new(tokio::spawn(make())).await.is_ok() {
            return;
        }
        if begun.elapsed() >= HELD {
            rest = FIRST_REST;
        }
        tracing::error!(task = name, ?rest, "a task panicked and is started again");
        metrics::counter!("scoreboard_task_restarts_total", "task" => name).increment(1);
        let resting = Resting::among(broken);
        tokio::time::sleep(rest).await;
        drop(resting);
        rest = (rest * 2).min(LONGEST_REST);
    }
}

/// Counted for as long as it lives, also where nobody waits any more.
struct Resting(Broken);

impl Resting {
    fn among(broken: &Broken) -> Self {
        broken.0.fetch_add(1, Ordering::AcqRel);
        Self(broken.clone())
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_made_again_and_counted_while_it_rests() {
        let (broken, times) = (Broken::default(), Arc::new(AtomicUsize::new(0)));
        let (seen, counted) = (broken.clone(), times.clone());
        let (began, mut begins) = mpsc::unbounded_channel();
        let running = tokio::spawn(async move {
            supervised_as("a test", &seen, || {
                let (time, began) = (counted.fetch_add(1, Ordering::AcqRel), began.clone());
                async move {
                    began.send(()).unwrap();
                    assert!(time >= 3, "this time it breaks");
                }
            })
            .await;
        });
        begins.recv().await.unwrap();
        while broken.count() == 0 {
            tokio::task::yield_now().await;
        }
        running.await.unwrap();
        assert_eq!((times.load(Ordering::Acquire), broken.count()), (4, 0));
    }

    #[tokio::test]
    async fn a_task_ends_with_whoever_watches_over_it() {
        let (alive, mut watched) = mpsc::channel::<()>(1);
        let watching = tokio::spawn(supervised("a test", move || {
            let alive = alive.clone();
            async move {
                let _alive = alive;
                std::future::pending::<()>().await;
            }
        }));
        tokio::task::yield_now().await;
        watching.abort();
        assert!(watched.recv().await.is_none());
    }
}

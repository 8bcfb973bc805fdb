//! Long-lived tasks, under one supervisor: a task that panics is restarted, and the instance is not ready while one is missing.

pub mod boundaries;
pub mod inspector;
pub mod jobs;
pub mod sweeper;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::supervisor::{Broken, supervised_as};

/// Runs tasks until it is stopped.
pub struct Workers {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    broken: Broken,
}

impl Workers {
    pub fn new(stop: CancellationToken, broken: Broken) -> Self {
        Self { tasks: JoinSet::new(), stop, broken }
    }

    /// Runs the task that `make` makes until the workers are stopped; makes it again if it panics. It must not end by itself.
    pub fn spawn<F>(&mut self, name: &'static str, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, broken) = (self.stop.clone(), self.broken.clone());
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                () = stop.cancelled() => false,
                () = supervised_as(name, &broken, make) => true,
            };
            // During a stop, channels may close in any order.
            if ended && !stop.is_cancelled() {
                tracing::error!(task = name, "a worker ended");
                broken.note_loss();
            }
        });
    }

    /// Waits for all of them, after the token was cancelled.
    pub async fn join(self) {
        self.tasks.join_all().await;
    }
}

//! Long-lived tasks, under one supervisor.

pub mod pruner;
pub mod sweeper;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs tasks until it is told to stop. A task that ends early is reported; none of them may.
pub struct Workers {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Workers {
    pub fn new(stop: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), stop }
    }

    /// Runs a task until the workers are stopped.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let work = tokio::spawn(task);
            let abort = work.abort_handle();
            tokio::select! {
                () = stop.cancelled() => abort.abort(),
                result = work => {
                    // Channels close in any order while everything stops.
                    if !stop.is_cancelled() {
                        tracing::error!(task = name, panicked = result.is_err(), "a worker ended");
                    }
                }
            }
        });
    }

    /// Waits for all of them, after the token was cancelled.
    pub async fn join(self) {
        self.tasks.join_all().await;
    }
}

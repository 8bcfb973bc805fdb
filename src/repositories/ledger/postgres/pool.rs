//! How the pool opens connections and checks whether one is still good. diesel-async's own manager would store the connection
//! alone, without the errors that were read beside it.

use deadpool::managed::{Metrics, RecycleError, RecycleResult};
use diesel_async::pooled_connection::PoolableConnection;

use super::connection::{Dialled, Server};
use crate::repositories::ledger::LedgerError;

pub type Pool = deadpool::managed::Pool<Manager>;

/// See the module's documentation.
pub struct Manager {
    server: Server,
}

impl Manager {
    pub fn new(server: Server) -> Self {
        Self { server }
    }
}

impl deadpool::managed::Manager for Manager {
    type Type = Dialled;
    type Error = LedgerError;

    async fn create(&self) -> Result<Dialled, LedgerError> {
        // Boxed, so that a future that may need a connection does not contain the whole future of opening it.
        Box::pin(self.server.dial()).await
    }

    /// A closed socket is noticed without a query; a server that hangs is noticed by the time-outs.
    async fn recycle(&self, dialled: &mut Dialled, _: &Metrics) -> RecycleResult<LedgerError> {
        if std::thread::panicking() || dialled.conn.is_broken() {
            return Err(RecycleError::message("the connection is broken"));
        }
        Ok(())
    }
}

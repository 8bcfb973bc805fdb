//! Durable jobs in the ledger.

use super::{LIMIT, Ledger, LedgerError, transact};
use crate::domain::{
    job::{Ended, LeasedJob, NewJob, QueueSize},
    time::Timestamp,
};

impl Ledger {
    /// Adds a job by itself, unless its queue has one with this key; returns whether it was added. A job that another change
    /// makes necessary is added in that change's own transaction (`queries::jobs::add`).
    pub async fn add_job(&self, job: NewJob, now: Timestamp) -> Result<bool, LedgerError> {
        Ok(transact!(self.write(LIMIT), jobs::add(&job, now))?)
    }

    /// Leases the job of these queues that has been due for longest, until then: no other instance gets it meanwhile.
    pub async fn lease_job(&self, queues: &[&str], now: Timestamp, until: Timestamp) -> Result<Option<LeasedJob>, LedgerError> {
        let (queues, lease) = (format!(",{},", queues.join(",")), fastrand::i64(1..));
        Ok(transact!(self.relaxed(LIMIT), jobs::lease(&queues, lease, now, until))?)
    }

    /// Renews the lease of a job until then; false if it had lapsed and another instance has taken the job.
    pub async fn renew_job(&self, job: &LeasedJob, now: Timestamp, until: Timestamp) -> Result<bool, LedgerError> {
        let job = job.clone();
        Ok(transact!(self.relaxed(LIMIT), jobs::renew(&job, now, until))?)
    }

    /// Records how a run ended; false if another instance has the job by now, and this run does not count.
    pub async fn end_job(&self, job: &LeasedJob, ended: Ended, now: Timestamp) -> Result<bool, LedgerError> {
        let job = job.clone();
        Ok(transact!(self.write(LIMIT), jobs::end(&job, &ended, now))?)
    }

    /// How many jobs are due, running and dead, by queue.
    pub async fn job_sizes(&self, now: Timestamp) -> Result<Vec<QueueSize>, LedgerError> {
        Ok(transact!(self.read(LIMIT), jobs::sizes(now))?)
    }
}

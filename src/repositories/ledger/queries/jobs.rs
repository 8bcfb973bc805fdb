//! Durable jobs.

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{schema::jobs, statement::statement},
    Conn, Db, Failure, batch,
};
use crate::domain::{
    job::{Ended, LeasedJob, NewJob, QueueSize},
    time::Timestamp,
};

/// How far, in seconds, the clocks of instances may be apart before the times of one count for nothing with another.
const CLOCKS_APART: i64 = 3_600;

statement!(
    Db, AddJob { queue: Text = str, key: Text = str, payload: Text = str, noted_at: BigInt = i64, due_at: BigInt = i64 } -> BigInt,
    "INSERT INTO jobs (queue, key, payload, noted_at, due_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (queue, key) DO NOTHING"
);

statement!(
    /// Leases the job that has been due for longest, of one of the queues in a comma-separated list. Jobs that another instance
    /// is leasing at this moment are skipped, not waited for.
    Db, LeaseJob {
        due_at: BigInt = i64, lease: BigInt = i64, noted_at: BigInt = i64, now: BigInt = i64, beyond: BigInt = i64, queues: Text = str,
    } -> (BigInt, BigInt, Text, Text, BigInt),
    format!(
        "UPDATE jobs SET due_at = ?, lease = ?, noted_at = ? WHERE id = (SELECT id FROM jobs \
         WHERE NOT dead AND (due_at <= ? OR noted_at > ?) AND ? LIKE '%,' || queue || ',%' ORDER BY due_at LIMIT 1 {}) \
         RETURNING id, lease, queue, payload, attempts",
        batch::SKIP_CLAIMED
    )
);

statement!(
    Db, CountJobs { now: BigInt = i64, still: BigInt = i64 } -> (Text, BigInt, BigInt, BigInt),
    "SELECT queue, \
       CAST(sum(CASE WHEN NOT dead AND due_at <= ? THEN 1 ELSE 0 END) AS bigint), \
       CAST(sum(CASE WHEN NOT dead AND lease <> 0 AND due_at > ? THEN 1 ELSE 0 END) AS bigint), \
       CAST(sum(CASE WHEN dead THEN 1 ELSE 0 END) AS bigint) \
     FROM jobs GROUP BY queue ORDER BY queue"
);

/// Adds a job, unless its queue has one with this key; returns whether it was added.
pub async fn add(conn: &mut Conn, job: &NewJob, now: Timestamp) -> Result<bool, Failure> {
    let NewJob { queue, key, payload, due_at } = job;
    let add = AddJob { queue, key, payload, noted_at: &now.0, due_at: &due_at.0 };
    Ok(add.execute(conn).await? > 0)
}

/// Leases the next job of these queues until then, under this number.
pub async fn lease(
    conn: &mut Conn,
    queues: &str,
    lease: i64,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<LeasedJob>, Failure> {
    let statement = LeaseJob {
        due_at: &until.0,
        lease: &lease,
        noted_at: &now.0,
        now: &now.0,
        beyond: &now.plus_seconds(CLOCKS_APART).0,
        queues,
    };
    let found: Option<(i64, i64, String, String, i64)> = statement.get_result(conn).await.optional()?;
    Ok(found.map(|(id, lease, queue, payload, attempts)| LeasedJob { id, lease, queue, payload, attempts }))
}

/// Renews the lease of a job until then; false if another instance has it by now.
pub async fn renew(conn: &mut Conn, job: &LeasedJob, now: Timestamp, until: Timestamp) -> Result<bool, Failure> {
    let held = jobs::table.find(job.id).filter(jobs::lease.eq(job.lease));
    Ok(diesel::update(held).set((jobs::due_at.eq(until.0), jobs::noted_at.eq(now.0))).execute(conn).await? > 0)
}

/// Records how a run ended; false if another instance has the job by now.
pub async fn end(conn: &mut Conn, job: &LeasedJob, ended: &Ended, now: Timestamp) -> Result<bool, Failure> {
    let held = jobs::table.find(job.id).filter(jobs::lease.eq(job.lease));
    let free = (jobs::lease.eq(0), jobs::noted_at.eq(now.0));
    let rows = match ended {
        Ended::Done => diesel::delete(held).execute(conn).await?,
        Ended::Again { payload, due_at } => {
            let went_on = (jobs::payload.eq(payload), jobs::due_at.eq(due_at.0), jobs::attempts.eq(0));
            diesel::update(held).set((went_on, free, jobs::last_error.eq(None::<String>))).execute(conn).await?
        }
        Ended::Failed { error, due_at } => {
            let failed = (jobs::due_at.eq(due_at.0), jobs::attempts.eq(job.attempts + 1), jobs::last_error.eq(error));
            diesel::update(held).set((failed, free)).execute(conn).await?
        }
        Ended::Dead { error } => {
            let failed = (jobs::dead.eq(true), jobs::attempts.eq(job.attempts + 1), jobs::last_error.eq(error));
            diesel::update(held).set((failed, free)).execute(conn).await?
        }
    };
    Ok(rows > 0)
}

/// How many jobs there are, by queue.
pub async fn sizes(conn: &mut Conn, now: Timestamp) -> Result<Vec<QueueSize>, Failure> {
    let rows: Vec<(String, i64, i64, i64)> = CountJobs { now: &now.0, still: &now.0 }.load(conn).await?;
    Ok(rows.into_iter().map(|(queue, due, running, dead)| QueueSize { queue, due, running, dead }).collect())
}

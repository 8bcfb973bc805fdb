//! Transactions that share a commit, and those that make it fail.

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use futures_util::future::{FutureExt, join_all};

use super::{super::connection, *};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn run(connection: &mut Conn, sql: &str) -> Result<usize, Failure> {
    Ok(sql_query(sql).execute(connection).now_or_never().unwrap()?)
}

fn count_of(connection: &mut Conn) -> i64 {
    let counted = sql_query("SELECT count(*) AS n FROM numbers").get_result::<Count>(connection);
    counted.now_or_never().unwrap().unwrap().n
}

async fn count(writer: &Writer) -> i64 {
    writer.write(|connection| Ok(count_of(connection))).await.unwrap()
}

async fn writer() -> Writer {
    let writer = Writer::new(connection::open(":memory:".as_ref()).unwrap());
    writer.write(|connection| run(connection, "CREATE TABLE numbers (n integer PRIMARY KEY)")).await.unwrap();
    writer
}

/// Polls the futures while the connection is held, so that all of them are in the queue, and then releases it.
async fn together<T>(writer: &Writer, wrote: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let held = writer.alone().await;
    let (wrote, ()) = tokio::join!(join_all(wrote), async {
        tokio::task::yield_now().await;
        drop(held);
    });
    wrote
}

#[tokio::test]
async fn an_error_rolls_back_only_its_own_transaction() {
    let writer = writer().await;
    let wrote = (0..40).map(|n| {
        writer.write(move |connection| {
            run(connection, &format!("INSERT INTO numbers VALUES ({n})"))?;
            match n % 4 {
                1 => run(connection, "INSERT INTO numbers VALUES (0)"),
                2 => Err(Failure::Trial),
                3 if n < 8 => panic!("on purpose"),
                _ => Ok(1),
            }
        })
    });
    let wrote = together(&writer, wrote).await;
    for (n, wrote) in wrote.iter().enumerate() {
        assert_eq!(wrote.is_ok(), n % 4 == 0 || (n % 4 == 3 && n >= 8), "{n}: {wrote:?}");
    }
    assert_eq!(count(&writer).await, wrote.iter().filter(|wrote| wrote.is_ok()).count() as i64);
}

/// As a full disk does: SQLite rolls the whole transaction back by itself.
#[tokio::test]
async fn an_error_that_ends_the_transaction_reports_the_earlier_ones_as_lost() {
    let writer = writer().await;
    let insert = |sql: &'static str| writer.write(move |connection| run(connection, sql));
    let wrote = [
        insert("INSERT INTO numbers VALUES (1)"),
        insert("INSERT INTO numbers VALUES (2)"),
        insert("INSERT OR ROLLBACK INTO numbers VALUES (1)"),
        insert("INSERT INTO numbers VALUES (4)"),
    ];
    let wrote = together(&writer, wrote.into_iter()).await;
    let lost = wrote.iter().map(|wrote| matches!(wrote, Err(Failure::Lost))).collect::<Vec<_>>();
    assert_eq!(lost, [true, true, false, false], "{wrote:?}");
    assert!(wrote[2].is_err() && wrote[3].is_ok());
    assert_eq!(count(&writer).await, 1);
}

#[tokio::test]
async fn a_commit_that_fails_for_several_is_repeated_by_each_alone() {
    let writer = writer().await;
    let owed = "CREATE TABLE owed (n integer REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)";
    writer.write(|connection| run(connection, owed)).await.unwrap();
    let insert = |sql: &'static str| writer.write(move |connection| run(connection, sql));
    let all = || [insert("INSERT INTO numbers VALUES (1)"), insert("INSERT INTO owed VALUES (9)")].into_iter();
    let wrote = together(&writer, all()).await;
    assert!(wrote.iter().all(|wrote| matches!(wrote, Err(Failure::Lost))), "{wrote:?}");
    let wrote = together(&writer, all()).await;
    assert!(wrote[0].is_ok() && matches!(wrote[1], Err(Failure::Database { .. })), "{wrote:?}");
    assert_eq!(count(&writer).await, 1);
}

/// Another process holds the file for longer than a caller waits: a refused caller has written nothing, and never will.
#[tokio::test]
async fn a_transaction_that_cannot_begin_writes_nothing_later() {
    let path = std::env::temp_dir().join(format!("scoreboard-writer-{}.db", uuid::Uuid::new_v4().simple()));
    let writer = Writer::new(connection::open(&path).unwrap());
    writer.write(|connection| run(connection, "PRAGMA busy_timeout = 200")).await.ok();
    writer.write(|connection| run(connection, "CREATE TABLE numbers (n integer PRIMARY KEY)")).await.unwrap();
    let mut other = connection::open(&path).unwrap();
    for round in 0..8 {
        plain(&mut other, "BEGIN IMMEDIATE").unwrap();
        let wrote = (0..4).map(|n| {
            let insert = format!("INSERT INTO numbers VALUES ({})", round * 4 + n);
            writer.write(move |connection| run(connection, &insert))
        });
        let before = count_of(&mut other);
        let (wrote, ()) = tokio::join!(join_all(wrote), async {
            tokio::time::sleep(std::time::Duration::from_millis(450)).await;
            plain(&mut other, "COMMIT").unwrap();
        });
        let succeeded = wrote.iter().filter(|wrote| wrote.is_ok()).count() as i64;
        assert!(succeeded < 4, "somebody was refused");
        assert_eq!(count_of(&mut other) - before, succeeded, "{wrote:?}");
    }
    drop((writer, other));
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", path.display())).ok();
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_in_the_queue_writes_nothing() {
    let writer = writer().await;
    let held = writer.alone().await;
    let given_up = writer.write(|connection| run(connection, "INSERT INTO numbers VALUES (1)"));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(10), given_up).await.is_err());
    assert!(writer.line.waiting.lock().is_empty());
    drop(held);
    assert_eq!(count(&writer).await, 0);
}

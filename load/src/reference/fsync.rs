//! `reference-fsync`: an embedded database used the plain way: one durable transaction (WAL, `synchronous=FULL`) for each score, with its
//! history.

use std::{fs, path::PathBuf, time::Instant};

use clap::Args;
use diesel::{connection::SimpleConnection, prelude::*, sqlite::SqliteConnection, upsert::excluded};
use libsqlite3_sys as _;

use crate::measure::{
    tally::Tally,
    window::{MeasureArgs, Window},
};

diesel::table! {
    entries (leaderboard_id, user_id) {
        leaderboard_id -> BigInt,
        user_id -> Text,
        score -> BigInt,
        reached_at -> BigInt,
    }
}

diesel::table! {
    score_events (id) {
        id -> BigInt,
        leaderboard_id -> BigInt,
        user_id -> Text,
        delta -> BigInt,
        new_score -> BigInt,
        at -> BigInt,
    }
}

const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE entries (
        leaderboard_id integer NOT NULL, user_id text NOT NULL, score integer NOT NULL, reached_at integer NOT NULL,
        PRIMARY KEY (leaderboard_id, user_id)) STRICT, WITHOUT ROWID;
    CREATE INDEX entries_in_rank_order ON entries (leaderboard_id, score DESC, reached_at);
    CREATE TABLE score_events (
        id integer PRIMARY KEY, leaderboard_id integer NOT NULL, user_id text NOT NULL, delta integer NOT NULL,
        new_score integer NOT NULL, at integer NOT NULL) STRICT;
    CREATE INDEX score_events_of_a_user ON score_events (user_id, id DESC);";

/// Where, and over how many users.
#[derive(Args)]
pub struct FsyncArgs {
    /// The directory for the database, on the disk that is to be measured.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    #[command(flatten)]
    measure: MeasureArgs,
    #[arg(long, default_value_t = 1000)]
    users: u64,
}

/// Makes a database, commits one score after the other, reports, and removes it.
pub fn run(args: FsyncArgs) -> anyhow::Result<()> {
    let directory = args.directory.join(format!("load-fsync-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let measured = measure(&args, &directory.join("scores.db"));
    fs::remove_dir_all(&directory)?;
    let (window, tally) = measured?;
    window.report("reference-fsync", &tally).setting("users", args.users).publish(args.measure.json.as_deref())
}

fn measure(args: &FsyncArgs, file: &std::path::Path) -> anyhow::Result<(Window, Tally)> {
    let mut database = SqliteConnection::establish(&file.to_string_lossy())?;
    database.batch_execute(TABLES)?;
    let window = Window::new(&args.measure);
    window.start();
    let commits = {
        let (window, users) = (window.clone(), args.users);
        std::thread::spawn(move || commit_until_closed(database, users, &window))
    };
    window.watch();
    let tally = commits.join().expect("the thread that commits")?;
    Ok((window, tally))
}

fn commit_until_closed(mut database: SqliteConnection, users: u64, window: &Window) -> QueryResult<Tally> {
    let (mut tally, mut at) = (Tally::default(), 0_i64);
    loop {
        let user = format!("u-{}", fastrand::u64(..users));
        let began = Instant::now();
        if began >= window.closes() {
            return Ok(tally);
        }
        at += 1;
        database.immediate_transaction(|database| {
            let row =
                (entries::leaderboard_id.eq(1), entries::user_id.eq(&user), entries::score.eq(1), entries::reached_at.eq(at));
            let new_score: i64 = diesel::insert_into(entries::table)
                .values(row)
                .on_conflict((entries::leaderboard_id, entries::user_id))
                .do_update()
                .set((entries::score.eq(entries::score + excluded(entries::score)), entries::reached_at.eq(at)))
                .returning(entries::score)
                .get_result(database)?;
            diesel::insert_into(score_events::table)
                .values((
                    score_events::leaderboard_id.eq(1),
                    score_events::user_id.eq(&user),
                    score_events::delta.eq(1),
                    score_events::new_score.eq(new_score),
                    score_events::at.eq(at),
                ))
                .execute(database)
        })?;
        if began >= window.opens() {
            tally.record(began.elapsed(), &Ok(1));
        }
        window.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

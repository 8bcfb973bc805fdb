//! `scoreboard verify`: does the history add up to the entries, and does the ranking hold exactly those entries, in the right order?
//!
//! A ranking that is being rebuilt is waited for, and is no difference: the exit status tells one from the other.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    app::Stores,
    domain::{
        audit::GENESIS,
        entry::{RankKey, StoredEntry, TAKEN_OUT},
        ids::{LeaderboardId, UserId},
        leaderboard::{Board, Leaderboard},
        season::Season,
        time::Clock,
    },
    repositories::{
        ledger::Ledger,
        ranking_store::{RankingError, RankingStore},
    },
    services::{archive, backlog::Backlog, rebuild::Rebuilder},
};

use super::{StoreArgs, counted};

const PAGE: u64 = 5_000;
/// Entries of the audit trail that are read at once.
const AUDIT_PAGE: i64 = 1_000;
/// Seasons that are listed at once.
const SEASONS: i64 = 500;
/// Differences told per leaderboard.
const TOLD: usize = 20;
/// A difference counts when it is seen this often, this far apart: what is on its way is no difference.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// How long rankings that are being rebuilt are waited for, all together.
const REBUILT_WITHIN: Duration = Duration::from_secs(30);
/// The exit status where nothing differs, and rankings are still missing.
const STILL_REBUILDING: i32 = 3;

/// What is verified.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    stores: StoreArgs,
    /// Only the audit trail: that nothing in it was altered or taken out
    #[arg(long)]
    audit: bool,
}

/// What was found of one leaderboard.
enum Found {
    Agreement,
    Differences(usize),
    /// Its ranking is not there.
    Rebuilding,
}

/// Prints what differs; an error where anything does.
pub async fn run(VerifyArgs { stores: args, audit }: &VerifyArgs) -> anyhow::Result<()> {
    let clock = Clock::system();
    let stores = Stores::open(&args.storage, args.streams.stream_history, &clock, false).await?;
    if *audit {
        let walked = walk_audit(&stores.ledger).await;
        stores.close().await;
        return walked;
    }
    let definitions = stores.ledger.definitions().await?;
    let mut leaderboards: Vec<_> = definitions.leaderboards().collect();
    leaderboards.sort_by(|a, b| a.id.cmp(&b.id));
    let embedded = args.storage.redis_url().is_none();
    let (mut differences, mut rebuilding) = (0, 0);
    let deadline = Instant::now() + REBUILT_WITHIN;
    for leaderboard in &leaderboards {
        if embedded {
            // The server's own ranking lives in its memory; this checks that the ledger makes a right one.
            let (ledger, backlog) = (stores.ledger.clone(), Backlog::new(Arc::default()));
            let rebuilder = Rebuilder::new(stores.ranking_store.clone(), ledger, clock.clone(), backlog);
            rebuilder.build_apart(leaderboard.board()).await?;
        }
        match verify(&stores, leaderboard, deadline).await? {
            Found::Agreement => {}
            Found::Differences(found) => differences += found,
            Found::Rebuilding => rebuilding += 1,
        }
    }
    stores.close().await;
    if differences > 0 {
        bail!(counted(differences, "difference"));
    }
    if rebuilding > 0 {
        println!("nothing differs; {} still being rebuilt: is a server running?", are(rebuilding, "ranking"));
        std::process::exit(STILL_REBUILDING);
    }
    println!("{} verified: history, ledger and ranking agree", counted(leaderboards.len(), "leaderboard"));
    Ok(())
}

/// Walks through the audit trail; an error at the first entry that does not follow from the one before.
async fn walk_audit(ledger: &Ledger) -> anyhow::Result<()> {
    let (mut seq, mut hash) = (0, GENESIS.to_owned());
    // No number is too small to be an entry that somebody put in.
    let mut after = i64::MIN;
    loop {
        let (entries, _) = ledger.audit(after, AUDIT_PAGE).await?;
        for entry in &entries {
            if let Some(fault) = entry.fault(seq, &hash) {
                bail!("audit entry {}: {fault}", entry.seq);
            }
            (seq, hash) = (entry.seq, entry.hash.clone());
            after = seq;
        }
        if (entries.len() as i64) < AUDIT_PAGE {
            println!("{} of the audit trail verified; the head is {seq} {hash}", counted(seq.unsigned_abs() as usize, "entry"));
            return Ok(());
        }
    }
}

fn are(count: usize, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

async fn verify(stores: &Stores, leaderboard: &Leaderboard, deadline: Instant) -> anyhow::Result<Found> {
    let mut board = leaderboard.board();
    let mut attempt = 1;
    loop {
        let mut found = stores.ledger.history_mismatches(board, TOLD as i64).await?;
        let compared = compare(&stores.ledger, &*stores.ranking_store, board).await?;
        let missing = compared.is_none();
        found.extend(compared.unwrap_or_default());
        found.extend(past_seasons(&stores.ledger, &leaderboard.id, board.season).await?);
        if found.is_empty() && !missing {
            println!("{}: ok", leaderboard.id);
            return Ok(Found::Agreement);
        }
        // Where the history itself is wrong, nobody waits for a ranking.
        let wait = if missing && found.is_empty() { Instant::now() < deadline } else { attempt < ATTEMPTS };
        if !wait {
            if found.is_empty() {
                println!("{}: its ranking is being rebuilt", leaderboard.id);
                return Ok(Found::Rebuilding);
            }
            found.iter().take(TOLD).for_each(|difference| println!("{}: {difference}", leaderboard.id));
            return Ok(Found::Differences(found.len()));
        }
        attempt += u32::from(!missing || !found.is_empty());
        tokio::time::sleep(PAUSE).await;
        // A season may have ended meanwhile.
        board = stores.ledger.definitions().await?.leaderboard_by_pk(board.pk).map_or(board, Leaderboard::board);
    }
}

/// What is wrong with the list of seasons, and which ended ones do not have the entries that their result was made of.
async fn past_seasons(ledger: &Ledger, id: &LeaderboardId, current: i64) -> anyhow::Result<Vec<String>> {
    let (mut differences, mut before) = (Vec::new(), None);
    let mut following: Option<Season> = None;
    loop {
        let seasons = ledger.seasons(id, before, SEASONS).await?;
        let full = seasons.len() as i64 == SEASONS;
        for season in seasons {
            let in_order = match &following {
                None => season.number == current && season.ends_at.is_none(),
                Some(next) => season.number + 1 == next.number && season.ends_at.is_some_and(|end| end <= next.starts_at),
            };
            if !in_order || season.ends_at.is_some_and(|end| end < season.starts_at) {
                differences.push(format!("season {}: it does not lead to the one after it", season.number));
            }
            // After a correction its result follows within a minute.
            if let Some(result) = season.result.as_ref().filter(|_| season.archived == season.corrections) {
                let (total, digest, _) = archive::read(ledger, season.board()).await?.end();
                if total != result.total || digest != result.digest {
                    differences.push(format!("season {}: its entries are not those of its result", season.number));
                }
            }
            before = Some(season.number);
            following = Some(season);
        }
        if !full {
            break;
        }
    }
    if following.is_none_or(|first| first.number != 1) {
        differences.push("its first season is missing".to_owned());
    }
    Ok(differences)
}

/// What differs; `None` where the ranking is not there.
async fn compare(ledger: &Ledger, ranking_store: &dyn RankingStore, board: Board) -> anyhow::Result<Option<Vec<String>>> {
    let ranked = match all_ranked(ranking_store, board).await {
        Ok(ranked) => ranked,
        Err(RankingError::Unready(_) | RankingError::EarlierSeason { .. } | RankingError::LaterSeason { .. }) => return Ok(None),
        Err(error) => return Ok(Some(vec![error.to_string()])),
    };
    let mut differences = Vec::new();
    let keys: Vec<RankKey> = ranked.iter().map(|entry| key(board, entry)).collect();
    for (index, pair) in keys.windows(2).enumerate() {
        if pair[0] >= pair[1] {
            differences.push(format!("rank {} and the next are in the wrong order", index + 1));
        }
    }
    let mut ranked: HashMap<UserId, StoredEntry> = ranked.into_iter().map(|entry| (entry.user_id.clone(), entry)).collect();
    let mut after = None;
    loop {
        let page = ledger.entries_after(board, after.as_ref(), PAGE as i64).await?;
        for entry in &page {
            match ranked.remove(&entry.user_id) {
                None if entry.score.is_none() => {}
                None => differences.push(format!("{} is missing from the ranking", entry.user_id)),
                Some(held) if !same(&held, entry) => differences.push(format!(
                    "{}: ledger has {}, ranking has {}",
                    entry.user_id,
                    described(entry),
                    described(&held)
                )),
                Some(_) => {}
            }
        }
        match page.last() {
            Some(last) if page.len() as u64 == PAGE => after = Some(last.user_id.clone()),
            _ => break,
        }
    }
    differences.extend(ranked.into_keys().map(|user| format!("{user} is in the ranking but not in the ledger")));
    Ok(Some(differences))
}

async fn all_ranked(ranking_store: &dyn RankingStore, board: Board) -> Result<Vec<StoredEntry>, RankingError> {
    let mut ranked = Vec::new();
    loop {
        let page = ranking_store.dump(board, ranked.len() as u64 + 1, PAGE).await?;
        let last = (page.len() as u64) < PAGE;
        ranked.extend(page);
        if last {
            return Ok(ranked);
        }
    }
}

fn key(board: Board, entry: &StoredEntry) -> RankKey {
    let sort_score = entry.score.map_or(TAKEN_OUT, |score| board.order.sort_score(score));
    RankKey { sort_score, reached_at: entry.reached_at, user_id: entry.user_id.clone() }
}

fn described(entry: &StoredEntry) -> String {
    let StoredEntry { score, revision, reached_at, .. } = entry;
    let score = score.map_or_else(|| "no score".to_owned(), |score| format!("score {score}"));
    format!("{score} revision {revision} at {reached_at}")
}

fn same(a: &StoredEntry, b: &StoredEntry) -> bool {
    let shown = |entry: &StoredEntry| (entry.name.name.clone(), entry.name.appearance.clone());
    (a.score, a.reached_at, a.revision, shown(a)) == (b.score, b.reached_at, b.revision, shown(b))
}

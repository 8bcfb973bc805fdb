//! `scoreboard verify`: does the history add up to the entries, and does the ranking hold exactly those entries, in the right order?

use std::{collections::HashMap, time::Duration};

use anyhow::bail;

use crate::{
    app::Stores,
    domain::{
        entry::{RankKey, StoredEntry},
        ids::UserId,
        leaderboard::{Board, Leaderboard},
        time::Clock,
    },
    repositories::{ledger::Ledger, standings::Standings},
    services::rebuild::Rebuilder,
};

use super::StoreArgs;

const PAGE: u64 = 5_000;
/// Differences told per leaderboard.
const TOLD: usize = 20;
/// A difference counts when it is seen this often, this far apart: what is on its way is no difference.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// Prints what differs; an error where anything does.
pub async fn run(args: &StoreArgs) -> anyhow::Result<()> {
    let stores = Stores::open(&args.storage, args.streams.stream_history, false).await?;
    let definitions = stores.ledger.definitions().await?;
    let mut leaderboards: Vec<_> = definitions.leaderboards.values().collect();
    leaderboards.sort_by(|a, b| a.id.cmp(&b.id));
    let embedded = args.storage.redis_url().is_none();
    let mut differences = 0;
    for leaderboard in &leaderboards {
        if embedded {
            // The server's own ranking lives in its memory; this checks that the ledger makes a right one.
            Rebuilder::new(stores.standings.clone(), stores.ledger.clone(), Clock::system()).force(leaderboard.board()).await?;
        }
        differences += verify(&stores, leaderboard).await?;
    }
    stores.close().await;
    if differences > 0 {
        bail!("{differences} differences");
    }
    println!("{} leaderboards verified: history, ledger and ranking agree", leaderboards.len());
    Ok(())
}

async fn verify(stores: &Stores, leaderboard: &Leaderboard) -> anyhow::Result<usize> {
    let board = leaderboard.board();
    let mut found = Vec::new();
    for attempt in 1..=ATTEMPTS {
        found = stores.ledger.history_mismatches(board, TOLD as i64).await?;
        found.extend(compare(&stores.ledger, &*stores.standings, board).await?);
        if found.is_empty() {
            println!("{}: ok", leaderboard.id);
            return Ok(0);
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(PAUSE).await;
        }
    }
    found.iter().take(TOLD).for_each(|difference| println!("{}: {difference}", leaderboard.id));
    Ok(found.len())
}

async fn compare(ledger: &Ledger, standings: &dyn Standings, board: Board) -> anyhow::Result<Vec<String>> {
    let ranked = match all_ranked(standings, board).await {
        Ok(ranked) => ranked,
        Err(error) => return Ok(vec![error.to_string()]),
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
                None => differences.push(format!("{} is missing from the ranking", entry.user_id)),
                Some(held) if !same(&held, entry) => differences.push(format!(
                    "{}: ledger has score {} revision {} at {}, ranking has score {} revision {} at {}",
                    entry.user_id, entry.score, entry.revision, entry.reached_at, held.score, held.revision, held.reached_at
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
    Ok(differences)
}

async fn all_ranked(standings: &dyn Standings, board: Board) -> anyhow::Result<Vec<StoredEntry>> {
    let mut ranked = Vec::new();
    loop {
        let page = standings.dump(board, ranked.len() as u64 + 1, PAGE).await?;
        let last = (page.len() as u64) < PAGE;
        ranked.extend(page);
        if last {
            return Ok(ranked);
        }
    }
}

fn key(board: Board, entry: &StoredEntry) -> RankKey {
    RankKey { sort_score: board.order.sort_score(entry.score), reached_at: entry.reached_at, user_id: entry.user_id.clone() }
}

fn same(a: &StoredEntry, b: &StoredEntry) -> bool {
    (a.score, a.reached_at, a.revision, &a.name.name) == (b.score, b.reached_at, b.revision, &b.name.name)
}

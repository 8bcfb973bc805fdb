//! What was acknowledged against what is kept: the history of every user, every entry, and the ranking of every instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{clients::Acknowledged, cluster::Cluster};
use crate::target::Target;

/// How soon the rankings have to show what could not be told at once.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Fails at the first difference.
pub fn compare(cluster: &Cluster, acknowledged: &Acknowledged) -> anyhow::Result<()> {
    let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
    let mut events: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for score in &acknowledged.scores {
        *sums.entry(score.user).or_default() += score.value;
        let new = events.entry(score.user).or_default().insert(&score.event_id);
        ensure!(new, "two scores of u-{} were acknowledged as the same event {}", score.user, score.event_id);
    }
    for (user, told) in &events {
        let kept = history(&cluster.targets[0], *user)?;
        let (lost, extra) =
            (told.iter().filter(|id| !kept.contains(**id)).count(), kept.iter().filter(|id| !told.contains(id.as_str())).count());
        ensure!(
            lost == 0 && extra == 0,
            "u-{user}: {lost} acknowledged scores are lost, {extra} are there that nobody was told of"
        );
    }
    for target in &cluster.targets {
        let deadline = Instant::now() + CATCH_UP;
        while let Err(difference) = ranked(target, &sums) {
            ensure!(Instant::now() < deadline, "{}: {difference:#}", target.url);
            sleep(Duration::from_millis(100));
        }
    }
    let verified = cluster.a_server().command(&["verify"]).output()?;
    let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    ensure!(verified.status.success(), "scoreboard verify: {said}");
    Ok(())
}

/// Whether an instance ranks everyone by what was acknowledged.
fn ranked(target: &Target, sums: &BTreeMap<u64, u64>) -> anyhow::Result<()> {
    let window = target.get(&format!("/api/leaderboards/{}/entries?limit=1000", target.leaderboard))?;
    let entries = window["entries"].as_array().context("a window without entries")?;
    ensure!(entries.len() == sums.len(), "{} entries of {}", entries.len(), sums.len());
    let mut last = u64::MAX;
    for (index, entry) in entries.iter().enumerate() {
        let (user, score) = (entry["userId"].as_str().unwrap_or_default(), entry["score"].as_u64().unwrap_or_default());
        let wanted = user.strip_prefix("u-").and_then(|user| sums.get(&user.parse().ok()?));
        ensure!(wanted == Some(&score), "{user} stands at {score}, acknowledged were {wanted:?}");
        ensure!(entry["rank"] == index + 1 && score <= last, "{user} stands at the wrong place: {entry}");
        last = score;
    }
    Ok(())
}

/// The ids of a user's events; each may be there only once.
fn history(target: &Target, user: u64) -> anyhow::Result<BTreeSet<String>> {
    let (mut events, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = target.get_with_token(&format!("/api/users/u-{user}/scores?limit=100{cursor}"))?;
        for event in page["scores"].as_array().context("a page without scores")? {
            let id = event["eventId"].as_str().unwrap_or_default();
            ensure!(events.insert(id.to_owned()), "u-{user} has the event {id} twice");
        }
        match &page["nextCursor"] {
            Value::Null => return Ok(events),
            Value::String(next) => cursor = format!("&cursor={next}"),
            other => bail!("a cursor that is no text: {other}"),
        }
    }
}

//! All definitions at one revision.

use std::collections::{HashMap, HashSet};

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    dsl::max,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    super::super::{
        schema::{self, action_leaderboards, corrections, definition_changes, installation, score_events},
        statement::statement,
    },
    Conn, Db, Failure,
    actions::ActionRow,
    leaderboards::LeaderboardRow,
};
use crate::domain::{
    definition::{Changed, Definitions},
    ids::{ActionId, LeaderboardId},
    time::Timestamp,
};

/// The revision alone: a caller compares it before it requests all definitions.
pub async fn revision(conn: &mut Conn) -> Result<i64, Failure> {
    Ok(installation::table.select(installation::definitions_revision).first(conn).await?)
}

statement!(
    Db, AddChange { revision: BigInt = i64, stamp: BigInt = i64, kind: Text = str, id: Text = str } -> BigInt,
    "INSERT INTO definition_changes (revision, stamp, kind, id) VALUES (?, ?, ?, ?)"
);

/// How many of the newest events are searched for the newest time. More than a queue holds: an earlier release numbered events
/// when they arrived, and dated them when they were committed.
const NEWEST: i64 = 40_000;

/// The newest time in the ledger.
pub async fn newest_time(conn: &mut Conn) -> Result<Option<Timestamp>, Failure> {
    let newest = score_events::table
        .order((score_events::event_id.desc(), score_events::position.desc()))
        .limit(NEWEST)
        .select(score_events::at);
    let times: Vec<i64> = newest.load(conn).await?;
    let of_corrections: Option<i64> =
        corrections::table.order(corrections::event_id.desc()).select(corrections::at).first(conn).await.optional()?;
    let of_leaderboards: Option<i64> =
        schema::leaderboards::table.select(max(schema::leaderboards::updated_at)).first(conn).await?;
    // A season that was ended by hand begins after everything else.
    let of_seasons: Option<i64> =
        schema::leaderboards::table.select(max(schema::leaderboards::season_starts_at)).first(conn).await?;
    let of_actions: Option<i64> = schema::actions::table.select(max(schema::actions::updated_at)).first(conn).await?;
    Ok(times.into_iter().max().max(of_corrections).max(of_leaderboards).max(of_seasons).max(of_actions).map(Timestamp))
}

/// All definitions. The transaction must read from one snapshot, or hold the lock that keeps definitions from changing.
pub async fn load(conn: &mut Conn) -> Result<Definitions, Failure> {
    let revision = revision(conn).await?;
    let stamp = definition_changes::table
        .filter(definition_changes::revision.eq(revision))
        .select(definition_changes::stamp)
        .first(conn)
        .await
        .optional()?;
    let mut definitions = Definitions::default().at(revision, stamp);
    put_leaderboards(conn, &mut definitions, None).await?;
    put_actions(conn, &mut definitions, None).await?;
    Ok(definitions)
}

/// Puts the leaderboards of these ids there, or all.
async fn put_leaderboards(conn: &mut Conn, definitions: &mut Definitions, ids: Option<&[&str]>) -> Result<(), Failure> {
    let mut rows = schema::leaderboards::table.select(LeaderboardRow::as_select()).into_boxed();
    if let Some(ids) = ids {
        rows = rows.filter(schema::leaderboards::id.eq_any(ids.to_vec()));
    }
    for row in rows.load(conn).await? {
        definitions.put_leaderboard(row.into_leaderboard()?);
    }
    Ok(())
}

/// Puts the actions of these ids there, or all.
async fn put_actions(conn: &mut Conn, definitions: &mut Definitions, ids: Option<&[&str]>) -> Result<(), Failure> {
    let mut pairs = action_leaderboards::table
        .order((action_leaderboards::action_id, action_leaderboards::position))
        .select((action_leaderboards::action_id, action_leaderboards::leaderboard_id))
        .into_boxed();
    let mut rows = schema::actions::table.select(ActionRow::as_select()).into_boxed();
    if let Some(ids) = ids {
        pairs = pairs.filter(action_leaderboards::action_id.eq_any(ids.to_vec()));
        rows = rows.filter(schema::actions::id.eq_any(ids.to_vec()));
    }
    let mut fed: HashMap<String, Vec<String>> = HashMap::new();
    for (action, leaderboard) in pairs.load::<(String, String)>(conn).await? {
        fed.entry(action).or_default().push(leaderboard);
    }
    for row in rows.load(conn).await? {
        let leaderboards = fed.remove(&row.id).unwrap_or_default();
        definitions.put_action(row.into_action(leaderboards)?);
    }
    Ok(())
}

/// Revisions whose changes are stored. A caller with an earlier revision reads everything.
const REMEMBERED: i64 = 1_000;

const LEADERBOARD: &str = "leaderboard";
const ACTION: &str = "action";

/// All definitions; what has not changed since `known` is taken from there. The transaction must meet the same conditions as
/// for [`load`].
pub async fn load_since(conn: &mut Conn, known: &Definitions) -> Result<Definitions, Failure> {
    let revision = revision(conn).await?;
    if revision == known.revision {
        return Ok(known.clone());
    }
    let Some(stamp) = known.stamp.filter(|_| (1..=REMEMBERED).contains(&(revision - known.revision))) else {
        return load(conn).await;
    };
    let changes = definition_changes::table
        .filter(definition_changes::revision.ge(known.revision).and(definition_changes::revision.le(revision)))
        .order(definition_changes::revision)
        .select((definition_changes::revision, definition_changes::stamp, definition_changes::kind, definition_changes::id));
    let changes: Vec<(i64, i64, String, String)> = changes.load(conn).await?;
    // Each revision from the known one on, and that one from the same past. One revision may have changed several.
    let mut revisions: Vec<i64> = changes.iter().map(|(revision, ..)| *revision).collect();
    revisions.dedup();
    let complete = revisions.into_iter().eq(known.revision..=revision);
    let same_past = matches!(changes.as_slice(), [(_, of_known, ..), ..] if *of_known == stamp);
    if !complete || !same_past {
        return load(conn).await;
    }
    let mut definitions = known.clone().at(revision, changes.iter().next_back().map(|(_, stamp, ..)| *stamp));
    let (mut leaderboards, mut actions) = (HashSet::new(), HashSet::new());
    for (_, _, kind, id) in changes.iter().filter(|(of, ..)| *of > known.revision) {
        if kind == LEADERBOARD {
            leaderboards.insert(id.as_str())
        } else {
            actions.insert(id.as_str())
        };
    }
    // What is not found again was deleted.
    for id in &leaderboards {
        definitions.remove_leaderboard(&LeaderboardId::parse(id).map_err(Failure::corrupt)?);
    }
    for id in &actions {
        definitions.remove_action(&ActionId::parse(id).map_err(Failure::corrupt)?);
    }
    if !leaderboards.is_empty() {
        put_leaderboards(conn, &mut definitions, Some(&Vec::from_iter(leaderboards))).await?;
    }
    if !actions.is_empty() {
        put_actions(conn, &mut definitions, Some(&Vec::from_iter(actions))).await?;
    }
    Ok(definitions)
}

/// Takes the lock that blocks commits, increments the revision and records what it changes. Every change of definitions starts
/// with this. Returns the revision.
pub async fn begin_change(conn: &mut Conn, changed: &[Changed]) -> Result<i64, Failure> {
    super::locks::definitions_exclusively(conn).await?;
    diesel::update(installation::table)
        .set(installation::definitions_revision.eq(installation::definitions_revision + 1))
        .execute(conn)
        .await?;
    let revision = revision(conn).await?;
    let stamp = fastrand::i64(..);
    for changed in changed {
        let (kind, id) = match changed {
            Changed::Leaderboard(id) => (LEADERBOARD, id.as_str()),
            Changed::Action(id) => (ACTION, id.as_str()),
        };
        AddChange { revision: &revision, stamp: &stamp, kind, id }.execute(conn).await?;
    }
    let forgotten = definition_changes::table.filter(definition_changes::revision.le(revision - REMEMBERED));
    diesel::delete(forgotten).execute(conn).await?;
    Ok(revision)
}

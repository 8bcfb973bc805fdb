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
        schema::{
            self, action_leaderboards, api_key_changes, api_keys, corrections, definition_changes, installation, score_events,
        },
        statement::statement,
    },
    Conn, Db, Failure,
    actions::ActionRow,
    api_keys::ApiKeyRow,
    leaderboards::LeaderboardRow,
};
use crate::domain::{
    definition::{Changed, Definitions},
    ids::{ActionId, KeyId, LeaderboardId},
    time::Timestamp,
};

/// The revision alone: a caller compares it before it requests all definitions.
pub async fn revision(conn: &mut Conn) -> Result<i64, Failure> {
    Ok(installation::table.select(installation::definitions_revision).first(conn).await?)
}

statement!(
    Db, AddKeyChange { revision: BigInt = i64, stamp: BigInt = i64, id: Text = str } -> BigInt,
    "INSERT INTO api_key_changes (revision, stamp, id) VALUES (?, ?, ?)"
);

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
    let of_keys: Option<i64> = api_keys::table.select(max(api_keys::created_at)).first(conn).await?;
    Ok(times
        .into_iter()
        .max()
        .max(of_keys)
        .max(of_corrections)
        .max(of_leaderboards)
        .max(of_seasons)
        .max(of_actions)
        .map(Timestamp))
}

/// All definitions. The transaction must read from one snapshot, or hold the lock that keeps definitions from changing.
pub async fn load(conn: &mut Conn) -> Result<Definitions, Failure> {
    let revision = revision(conn).await?;
    let of_newest = changes(conn, revision, revision).await?;
    let stamp = <[Change]>::first(&of_newest).map(|change| change.stamp);
    let mut definitions = Definitions::default().at(revision, stamp);
    put_leaderboards(conn, &mut definitions, None).await?;
    put_actions(conn, &mut definitions, None).await?;
    put_keys(conn, &mut definitions, None).await?;
    Ok(definitions)
}

/// What one revision changed.
struct Change {
    revision: i64,
    stamp: i64,
    kind: String,
    id: String,
}

/// What the revisions between these two changed, both included, in their order.
async fn changes(conn: &mut Conn, first: i64, last: i64) -> Result<Vec<Change>, Failure> {
    let noted = definition_changes::table
        .filter(definition_changes::revision.ge(first).and(definition_changes::revision.le(last)))
        .select((definition_changes::revision, definition_changes::stamp, definition_changes::kind, definition_changes::id));
    let noted: Vec<(i64, i64, String, String)> = noted.load(conn).await?;
    let of_keys = api_key_changes::table
        .filter(api_key_changes::revision.ge(first).and(api_key_changes::revision.le(last)))
        .select((api_key_changes::revision, api_key_changes::stamp, api_key_changes::id));
    let of_keys: Vec<(i64, i64, String)> = of_keys.load(conn).await?;
    let of_keys = of_keys.into_iter().map(|(revision, stamp, id)| (revision, stamp, KEY.to_owned(), id));
    let changes = noted.into_iter().chain(of_keys).map(|(revision, stamp, kind, id)| Change { revision, stamp, kind, id });
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by_key(|change| change.revision);
    Ok(changes)
}

/// Puts the keys of these ids there, or all.
async fn put_keys(conn: &mut Conn, definitions: &mut Definitions, ids: Option<&[&str]>) -> Result<(), Failure> {
    let mut rows = api_keys::table.select(ApiKeyRow::as_select()).into_boxed();
    if let Some(ids) = ids {
        rows = rows.filter(api_keys::id.eq_any(ids.to_vec()));
    }
    for row in rows.load(conn).await? {
        definitions.put_key(row.into_key()?.0);
    }
    Ok(())
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
const KEY: &str = "key";

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
    let changes = changes(conn, known.revision, revision).await?;
    // Each revision from the known one on, and that one from the same past. One revision may have changed several.
    let mut revisions: Vec<i64> = changes.iter().map(|change| change.revision).collect();
    revisions.dedup();
    let complete = revisions.into_iter().eq(known.revision..=revision);
    let same_past = <[Change]>::first(&changes).is_some_and(|of_known| of_known.stamp == stamp);
    if !complete || !same_past {
        return load(conn).await;
    }
    let mut definitions = known.clone().at(revision, changes.iter().next_back().map(|change| change.stamp));
    let (mut leaderboards, mut actions, mut keys) = (HashSet::new(), HashSet::new(), HashSet::new());
    for change in changes.iter().filter(|change| change.revision > known.revision) {
        let of_kind = match change.kind.as_str() {
            LEADERBOARD => &mut leaderboards,
            KEY => &mut keys,
            _ => &mut actions,
        };
        of_kind.insert(change.id.as_str());
    }
    // What is not found again was deleted.
    for id in &leaderboards {
        definitions.remove_leaderboard(&LeaderboardId::parse(id).map_err(Failure::corrupt)?);
    }
    for id in &actions {
        definitions.remove_action(&ActionId::parse(id).map_err(Failure::corrupt)?);
    }
    for id in &keys {
        definitions.remove_key(&KeyId::parse(id).map_err(Failure::corrupt)?);
    }
    if !keys.is_empty() {
        put_keys(conn, &mut definitions, Some(&Vec::from_iter(keys))).await?;
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
            Changed::Key(id) => {
                AddKeyChange { revision: &revision, stamp: &stamp, id: id.as_str() }.execute(conn).await?;
                continue;
            }
        };
        AddChange { revision: &revision, stamp: &stamp, kind, id }.execute(conn).await?;
    }
    let forgotten = definition_changes::table.filter(definition_changes::revision.le(revision - REMEMBERED));
    diesel::delete(forgotten).execute(conn).await?;
    let forgotten = api_key_changes::table.filter(api_key_changes::revision.le(revision - REMEMBERED));
    diesel::delete(forgotten).execute(conn).await?;
    Ok(revision)
}

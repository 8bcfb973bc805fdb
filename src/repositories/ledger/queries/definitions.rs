//! All definitions at one revision.

use std::collections::{HashMap, HashSet};

use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper, dsl::max};
use diesel_async::RunQueryDsl;

use super::{
    super::super::schema::{self, action_leaderboards, definition_changes, installation, score_events},
    Conn, Failure,
    actions::{self, ActionRow},
    leaderboards::{self, LeaderboardRow},
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
    let of_leaderboards: Option<i64> =
        schema::leaderboards::table.select(max(schema::leaderboards::updated_at)).first(conn).await?;
    let of_actions: Option<i64> = schema::actions::table.select(max(schema::actions::updated_at)).first(conn).await?;
    Ok(times.into_iter().max().max(of_leaderboards).max(of_actions).map(Timestamp))
}

/// All definitions. The transaction reads from one snapshot, or holds the lock that keeps definitions from changing.
pub async fn load(conn: &mut Conn) -> Result<Definitions, Failure> {
    let mut definitions = Definitions::default().at(revision(conn).await?);
    for row in schema::leaderboards::table.select(LeaderboardRow::as_select()).load(conn).await? {
        let leaderboard = row.into_leaderboard()?;
        definitions.put_leaderboard(leaderboard);
    }
    let pairs: Vec<(String, String)> = action_leaderboards::table
        .order((action_leaderboards::action_id, action_leaderboards::position))
        .select((action_leaderboards::action_id, action_leaderboards::leaderboard_id))
        .load(conn)
        .await?;
    let mut fed: HashMap<String, Vec<String>> = HashMap::new();
    for (action, leaderboard) in pairs {
        fed.entry(action).or_default().push(leaderboard);
    }
    for row in schema::actions::table.select(ActionRow::as_select()).load(conn).await? {
        let leaderboards = fed.remove(&row.id).unwrap_or_default();
        let action = row.into_action(leaderboards)?;
        definitions.put_action(action);
    }
    Ok(definitions)
}

/// Revisions whose changes are stored. A caller with an earlier revision reads everything, which costs no more than this many
/// look-ups.
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
    let missing = revision - known.revision;
    if known.revision < 0 || !(1..=REMEMBERED).contains(&missing) {
        return load(conn).await;
    }
    let changes = definition_changes::table
        .filter(definition_changes::revision.gt(known.revision).and(definition_changes::revision.le(revision)))
        .select((definition_changes::revision, definition_changes::kind, definition_changes::id));
    let changes: Vec<(i64, String, String)> = changes.load(conn).await?;
    let told: HashSet<i64> = changes.iter().map(|(revision, ..)| *revision).collect();
    if told.len() as i64 != missing {
        return load(conn).await;
    }
    let mut definitions = known.clone().at(revision);
    let changed: HashSet<(String, String)> = changes.into_iter().map(|(_, kind, id)| (kind, id)).collect();
    for (kind, id) in changed {
        if kind == LEADERBOARD {
            let id = LeaderboardId::parse(&id).map_err(Failure::corrupt)?;
            match leaderboards::find(conn, &id).await? {
                Some(leaderboard) => definitions.put_leaderboard(leaderboard),
                None => definitions.remove_leaderboard(&id),
            }
        } else {
            let id = ActionId::parse(&id).map_err(Failure::corrupt)?;
            match actions::find(conn, &id).await? {
                Some(action) => definitions.put_action(action),
                None => definitions.remove_action(&id),
            }
        }
    }
    Ok(definitions)
}

/// Takes the lock that blocks commits, increments the revision and records what it changes. Every change of definitions starts
/// with this. Returns the revision.
pub async fn begin_change(conn: &mut Conn, changed: &Changed) -> Result<i64, Failure> {
    super::locks::definitions_exclusively(conn).await?;
    diesel::update(installation::table)
        .set(installation::definitions_revision.eq(installation::definitions_revision + 1))
        .execute(conn)
        .await?;
    let revision = revision(conn).await?;
    let (kind, id) = match changed {
        Changed::Leaderboard(id) => (LEADERBOARD, id.as_str()),
        Changed::Action(id) => (ACTION, id.as_str()),
    };
    let row: (_, _, _) =
        (definition_changes::revision.eq(revision), definition_changes::kind.eq(kind), definition_changes::id.eq(id));
    diesel::insert_into(definition_changes::table).values(row).execute(conn).await?;
    let forgotten = definition_changes::table.filter(definition_changes::revision.le(revision - REMEMBERED));
    diesel::delete(forgotten).execute(conn).await?;
    Ok(revision)
}

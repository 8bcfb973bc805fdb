//! All definitions at one revision.

use std::collections::HashMap;

use diesel::{ExpressionMethods, QueryDsl, SelectableHelper, dsl::max};
use diesel_async::RunQueryDsl;

use super::{
    super::super::schema::{action_leaderboards, actions, installation, leaderboards, score_events},
    Conn, Failure,
    actions::ActionRow,
    leaderboards::LeaderboardRow,
};
use crate::domain::{definition::Definitions, time::Timestamp};

/// The revision alone: what a caller compares before it asks for all.
pub async fn revision(conn: &mut Conn) -> Result<i64, Failure> {
    Ok(installation::table.select(installation::definitions_revision).first(conn).await?)
}

/// How many of the newest events are looked at for the newest time. More than a queue holds: an earlier release numbered events when they
/// came, and dated them when they were committed.
const NEWEST: i64 = 40_000;

/// The newest time that anything in the ledger carries.
pub async fn newest_time(conn: &mut Conn) -> Result<Option<Timestamp>, Failure> {
    let newest = score_events::table
        .order((score_events::event_id.desc(), score_events::position.desc()))
        .limit(NEWEST)
        .select(score_events::at);
    let times: Vec<i64> = newest.load(conn).await?;
    let of_leaderboards: Option<i64> = leaderboards::table.select(max(leaderboards::updated_at)).first(conn).await?;
    let of_actions: Option<i64> = actions::table.select(max(actions::updated_at)).first(conn).await?;
    Ok(times.into_iter().max().max(of_leaderboards).max(of_actions).map(Timestamp))
}

/// Everything. The transaction reads from one snapshot, or holds the lock that keeps definitions from changing.
pub async fn load(conn: &mut Conn) -> Result<Definitions, Failure> {
    let mut definitions = Definitions { revision: revision(conn).await?, ..Definitions::default() };
    for row in leaderboards::table.select(LeaderboardRow::as_select()).load(conn).await? {
        let leaderboard = row.into_leaderboard()?;
        definitions.leaderboards.insert(leaderboard.id.clone(), leaderboard);
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
    for row in actions::table.select(ActionRow::as_select()).load(conn).await? {
        let leaderboards = fed.remove(&row.id).unwrap_or_default();
        let action = row.into_action(leaderboards)?;
        definitions.actions.insert(action.id.clone(), action);
    }
    Ok(definitions)
}

/// Takes the lock that keeps commits away and counts the revision up. Every change of definitions starts with this. Answers the revision.
pub async fn begin_change(conn: &mut Conn) -> Result<i64, Failure> {
    super::locks::definitions_exclusively(conn).await?;
    diesel::update(installation::table)
        .set(installation::definitions_revision.eq(installation::definitions_revision + 1))
        .execute(conn)
        .await?;
    revision(conn).await
}

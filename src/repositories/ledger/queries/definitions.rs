//! All definitions at one revision.

use std::collections::HashMap;

use diesel::{ExpressionMethods, QueryDsl, SelectableHelper};
use diesel_async::RunQueryDsl;

use super::{
    super::super::schema::{action_leaderboards, actions, installation, leaderboards},
    Conn, Failure,
    actions::ActionRow,
    leaderboards::LeaderboardRow,
};
use crate::domain::definition::Definitions;

/// The revision alone: what a caller compares before it asks for all.
pub async fn revision(conn: &mut Conn) -> Result<i64, Failure> {
    Ok(installation::table.select(installation::definitions_revision).first(conn).await?)
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

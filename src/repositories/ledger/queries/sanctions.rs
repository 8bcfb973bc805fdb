//! What is in force against users, as commits and corrections see it, and what they write because of it.

use std::collections::{BTreeSet, HashMap};

use diesel::{
    ExpressionMethods, QueryDsl,
    sql_types::{BigInt, Binary, Text},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::super::{
        schema::{entries, sanctions, silent_events},
        statement::statement,
    },
    Conn, Db, Failure,
    scores::Needs,
};
use crate::domain::{
    ids::UserId,
    sanction::{Sanction, Sanctions},
    settlement::{EntryKey, EntryState, Settlement, State},
    time::Timestamp,
};

/// A row of `sanctions`: user, leaderboard, whether it hides, whether it bans, its end.
type Row = (String, Option<i64>, bool, bool, Option<i64>);

statement!(
    Db, MarkHidden { board: BigInt = i64, season: BigInt = i64, user: Text = str } -> BigInt,
    "UPDATE entries SET hidden = true WHERE leaderboard_pk = ? AND season = ? AND user_id = ? AND NOT hidden"
);

statement!(
    Db, AddSilent { event: Binary = [u8], board: BigInt = i64 } -> BigInt,
    "INSERT INTO silent_events (event_id, leaderboard_pk) VALUES (?, ?)"
);

/// The sanctions against these users.
pub async fn of(conn: &mut Conn, users: &BTreeSet<UserId>) -> Result<HashMap<UserId, Sanctions>, Failure> {
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let rows: Vec<Row> = sanctions::table
        .filter(sanctions::user_id.eq_any(&ids))
        .select((sanctions::user_id, sanctions::leaderboard_pk, sanctions::hides, sanctions::bans, sanctions::until))
        .load(conn)
        .await?;
    let mut found: HashMap<UserId, Sanctions> = HashMap::new();
    for (user, leaderboard, hides, bans, until) in rows {
        let user = UserId::parse(&user).map_err(Failure::corrupt)?;
        found.entry(user).or_default().0.push(Sanction { leaderboard, hides, bans, until: until.map(Timestamp) });
    }
    Ok(found)
}

/// Reads what a commit has to know about users against whom there are sanctions: those, and their hidden entries, which look as
/// if they had no score.
pub async fn read(conn: &mut Conn, needs: &Needs<'_>, state: &mut State) -> Result<(), Failure> {
    if state.sanctioned.is_empty() {
        return Ok(());
    }
    state.sanctions = of(conn, &state.sanctioned).await?;
    for key in needs.entries.iter().filter(|key| state.sanctioned.contains(&key.2)) {
        let (board, season, user) = key;
        let hidden: Option<(i64, i64, i64)> = entries::table
            .find((board, season, user.as_str()))
            .filter(entries::hidden.eq(true))
            .select((entries::score, entries::reached_at, entries::revision))
            .load(conn)
            .await?
            .pop();
        if let Some((score, reached_at, revision)) = hidden {
            let entry = EntryState { score: Some(score), reached_at: Timestamp(reached_at), revision, hidden: true };
            state.entries.insert(key.clone(), entry);
        }
    }
    Ok(())
}

/// Writes what is particular to hidden entries of a settled batch: that they are hidden, and which of its events were told to
/// nobody.
pub async fn write(conn: &mut Conn, settlement: &Settlement) -> Result<(), Failure> {
    for (board, season, user) in settlement.entries.iter().filter(|change| change.after.hidden).map(|change| &change.key) {
        mark_hidden(conn, &(*board, *season, user.clone())).await?;
    }
    for (_, accepted) in &settlement.accepted {
        for standing in accepted.standings.iter().filter(|standing| standing.hidden && standing.applied) {
            add_silent(conn, accepted.event_id, standing.board.pk).await?;
        }
    }
    Ok(())
}

/// Marks an entry as one that has a score and is in no ranking.
pub async fn mark_hidden(conn: &mut Conn, (board, season, user): &EntryKey) -> Result<(), Failure> {
    MarkHidden { board, season, user: user.as_str() }.execute(conn).await?;
    Ok(())
}

/// Notes that nobody was told of this event.
pub async fn add_silent(conn: &mut Conn, event: Uuid, pk: i64) -> Result<(), Failure> {
    AddSilent { event: event.as_bytes(), board: &pk }.execute(conn).await?;
    Ok(())
}

/// Which of these events were told to nobody, and of which leaderboards.
pub async fn silent(conn: &mut Conn, events: &[&[u8]]) -> Result<BTreeSet<(Vec<u8>, i64)>, Failure> {
    let those = silent_events::table.filter(silent_events::event_id.eq_any(events));
    let rows: Vec<(Vec<u8>, i64)> = those.select((silent_events::event_id, silent_events::leaderboard_pk)).load(conn).await?;
    Ok(rows.into_iter().collect())
}

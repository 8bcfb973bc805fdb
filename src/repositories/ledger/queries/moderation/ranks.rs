//! The ranks before and after a change that no ranking will tell.

use super::{
    super::{Conn, Failure, entries, targets::Target},
    work::Work,
};
use crate::domain::{entry::RankKey, settlement::EntryState};

/// The ranks of an entry before and after it is changed to this. Nothing of it is written yet. `None` if there is none, and where
/// too many entries would have to be counted.
pub async fn of(
    conn: &mut Conn,
    work: &Work<'_>,
    target: &Target,
    after: &EntryState,
) -> Result<(Option<u64>, Option<u64>), Failure> {
    if !work.ranks_itself(target) {
        return Ok((None, None));
    }
    let board = target.board();
    let key_of = |entry: &EntryState| {
        let score = entry.score.filter(|_| !entry.hidden)?;
        let user_id = target.user_id.clone();
        Some(RankKey { sort_score: board.order.sort_score(score), reached_at: entry.reached_at, user_id })
    };
    let (old, new) = (target.entry.as_ref().and_then(key_of), key_of(after));
    let archived = !target.is_current() && target.season.known_total().is_some() && !work.revises(target);
    let previous = match &old {
        Some(key) => entries::ahead(conn, board, key, archived).await?,
        None => None,
    };
    let ahead = match &new {
        // It does not come before itself.
        Some(key) => {
            let itself = u64::from(old.as_ref().is_some_and(|old| old < key));
            entries::ahead(conn, board, key, archived).await?.map(|ahead| ahead - itself)
        }
        None => None,
    };
    Ok((previous.map(|ahead| ahead + 1), ahead.map(|ahead| ahead + 1)))
}

//! Parses the rows that scripts read from a ranking, one by one. Used only by `redis::ranking_store`.

use fred::bytes_utils::Str;

use super::RankingError;
use crate::{
    domain::{
        entry::{DisplayName, RankedEntry},
        ids::UserId,
        leaderboard::Board,
        time::Timestamp,
    },
    repositories::redis::{
        record,
        reply::{Reply, unreadable},
    },
};

/// The entries in rows, starting at this rank.
pub(super) fn read(board: Board, reply: Reply, from_rank: u64) -> Result<Vec<RankedEntry>, RankingError> {
    let mut rows = Rows::open(board, reply)?;
    let mut entries = vec![];
    while let Some((user_id, at, score)) = rows.place()? {
        let shown = rows.name()?;
        entries.push(RankedEntry::new(from_rank + entries.len() as u64, user_id, shown.as_ref(), score, at));
    }
    Ok(entries)
}

/// Rows of a ranking that are being parsed; `rows.lua` documents their format.
pub(super) struct Rows {
    board: Board,
    places: Str,
    /// Where the next row begins in them.
    next: usize,
    names: Option<Reply>,
    entries: Option<Reply>,
}

impl Rows {
    pub(super) fn open(board: Board, mut reply: Reply) -> Result<Self, RankingError> {
        let (places, names, entries) = (reply.text()?, reply.optional_array()?, reply.optional_array()?);
        Ok(Self { board, places, next: 0, names, entries })
    }

    /// The user of the next row, when it was reached, and its score; `None` past the last one.
    pub(super) fn place(&mut self) -> Result<Option<(UserId, Timestamp, i64)>, RankingError> {
        if self.next >= self.places.len() {
            return Ok(None);
        }
        let rest = &self.places[self.next..];
        let (member, rest) = rest.split_once('\n').ok_or_else(unreadable)?;
        let score = rest.split_once('\n').map_or(rest, |(score, _)| score);
        self.next += member.len() + score.len() + 2;
        let (reached_at, user_id) = record::parse_member(member).ok_or_else(unreadable)?;
        let sort_score = record::parse_score(score).ok_or_else(unreadable)?;
        Ok(Some((user_id, reached_at, self.board.order.sort_score(sort_score))))
    }

    /// The name of the row that was last read.
    pub(super) fn name(&mut self) -> Result<Option<DisplayName>, RankingError> {
        let Some(names) = &mut self.names else { return Ok(None) };
        Ok(names.optional_text()?.and_then(|name| record::parse_name(&name)))
    }

    /// The revision of the row that was last read, if details were requested.
    pub(super) fn revision(&mut self) -> Result<i64, RankingError> {
        let entries = self.entries.as_mut().ok_or_else(unreadable)?;
        record::parse_revision(&entries.text()?).ok_or_else(unreadable)
    }
}

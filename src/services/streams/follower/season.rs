//! Which season the watchers see: that of the ranking, which turns over when everything of the season before is announced.

use crate::{
    domain::{event::Event, leaderboard::Board},
    repositories::ranking_store::RankingError,
};

use super::{super::frame::Frame, Follower};

impl Follower {
    /// Appends the end of a season: from here on the ranking is that of the next one.
    pub(super) async fn end_season(&mut self, event: &Event) {
        let Some(mut position) = self.position.clone().filter(|_| !self.ended) else { return };
        position.seq = event.seq;
        let ended = Board { season: event.ended_season().unwrap_or(self.board.season), ..self.board };
        let hub = &self.hub;
        hub.shared_views.end_season(&self.sources.rankings, ended, &position, event).await;
        metrics::counter!("scoreboard_stream_events_total").increment(1);
        hub.events.end_season(Frame::of(&position.epoch, event));
        self.position = Some(position);
        self.board.season = ended.season + 1;
        // Its order may be another one.
        self.adopted = None;
        // This instance may have yet to hear of it.
        let known = self.sources.definitions.current().leaderboard_by_pk(self.board.pk).map(|found| found.season);
        if known.is_some_and(|season| season < self.board.season) {
            self.refresh_definition().await;
        }
    }

    /// Goes on with the season that the ranking is of, which is another one than was asked for.
    pub(super) async fn follow_season(&mut self, error: &RankingError) {
        match error {
            RankingError::EarlierSeason { season, .. } => self.board.season = *season,
            RankingError::LaterSeason { season, .. } => {
                self.refresh_definition().await;
                match self.present_board() {
                    Some(board) if board.season >= *season => self.board.season = *season,
                    // The ledger was set back: the rebuild decides.
                    _ => self.rebuild(),
                }
            }
            _ => {}
        }
    }

    /// Has the ranking of the ledger's present season rebuilt.
    pub(super) fn rebuild(&mut self) {
        self.board = self.present_board().unwrap_or(self.board);
        self.sources.rebuilder.kick(self.board);
    }

    fn present_board(&self) -> Option<Board> {
        self.sources.definitions.current().leaderboard_by_pk(self.board.pk).map(|found| found.board())
    }
}

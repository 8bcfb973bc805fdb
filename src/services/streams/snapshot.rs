//! What a connection starts from: a state, encoded once for all connections that need the same form.

use std::{collections::HashMap, sync::Arc};

use crate::{
    domain::{entry::Window, ids::LeaderboardId},
    services::views::{self, WindowView},
};

use super::frame::Frame;

/// A state that a connection can start from.
#[derive(Clone)]
pub(super) enum State {
    /// A window, encoded per limit on demand.
    Window { leaderboard_id: LeaderboardId, window: Arc<Window> },
    /// The same bytes for everyone.
    Encoded(Frame),
}

/// A state and the position of the first frame that follows it.
pub(super) struct Snapshot {
    pub(super) next: u64,
    state: State,
    /// Encoded windows by limit and `reset`; a handful, because connections share limits.
    encoded: HashMap<(usize, bool), Frame>,
}

impl Snapshot {
    pub(super) fn new(next: u64, state: State) -> Self {
        Self { next, state, encoded: HashMap::new() }
    }

    pub(super) fn frame(&mut self, limit: usize, reset: bool) -> Frame {
        match &self.state {
            State::Encoded(frame) => frame.clone(),
            State::Window { leaderboard_id, window } => {
                let encode = || {
                    let view = WindowView::new(leaderboard_id, window, limit, reset);
                    Frame::event(window.head.version.as_ref(), "leaderboard", &views::json(&view))
                };
                self.encoded.entry((limit, reset)).or_insert_with(encode).clone()
            }
        }
    }
}

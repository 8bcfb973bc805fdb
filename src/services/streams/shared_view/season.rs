//! What a shared view tells its watchers of the end of a season, and of the next one.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{SharedView, ViewSubject};
use crate::{
    domain::{
        entry::{Head, Neighbourhood, Window},
        event::Event,
        version::Version,
    },
    services::{
        streams::{frame::Frame, news::PendingNews},
        views::{self, StandingView},
    },
};

/// The entries that the end of a season has for those who watch no window.
const ENTRIES_OF_AN_END: usize = 10;

impl SharedView {
    /// What it shows at the end of the season, which its watchers learn with that event.
    pub(in super::super) fn keep_standing(&self, head: Head, found: Neighbourhood) {
        let mut shown = self.shown.lock();
        if shown.standing.is_some() {
            shown.standing = Some((head, found));
        }
    }

    /// A season has ended: its watchers are told what is `known` of it, with what they watch: the first of its `entries`, or a
    /// standing.
    pub(in super::super) fn end_season(&self, version: &Version, event: &Event, known: &str, entries: &[&RawValue]) {
        let mut shown = self.shown.lock();
        (shown.dirty, shown.ended) = (true, true);
        shown.news = PendingNews::default();
        let Some(id) = shown.leaderboard_id.clone() else { return };
        let (count, standing) = match &self.key.subject {
            ViewSubject::Top { limit, .. } => (*limit, None),
            ViewSubject::User { .. } => (ENTRIES_OF_AN_END, shown.standing.as_ref()),
        };
        let entries = views::json(&&entries[..count.min(entries.len())]);
        let standing = views::json(&standing.map(|(head, found)| StandingView::new(&id, head, found)));
        let since = Version::new(Arc::clone(&version.epoch), version.seq - 1);
        let data =
            format!("{{{known},\"entries\":{entries},\"standing\":{standing},\"version\":\"{version}\",\"since\":\"{since}\"}}");
        let mut frame = Frame::event(Some(version), event.kind.name(), &data);
        frame.ends = event.ended_season();
        self.topic.end_season(frame);
    }

    /// A season has begun: its watchers see it empty before they see any score of it.
    pub(in super::super) fn begin_season(&self, head: &Head) {
        let shown = self.shown.lock();
        let Some(id) = shown.leaderboard_id.clone().filter(|_| shown.ended) else { return };
        drop(shown);
        match &self.key.subject {
            ViewSubject::Top { .. } => self.show_window(&id, &Window { head: head.clone(), entries: Vec::new() }),
            ViewSubject::User { user_id, .. } => {
                let nothing = Neighbourhood { user_id: user_id.clone(), entry: None, around: Vec::new() };
                self.show_standing(&id, head, nothing);
            }
        }
    }
}

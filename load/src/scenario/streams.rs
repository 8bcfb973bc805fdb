//! What the stream scenarios have in common: how many watch, and what they see.

use clap::{Args, ValueEnum};

use crate::{http::crowd::Crowd, measure::window::Window, target::Target};

/// The crowd and its view.
#[derive(Debug, Clone, Args)]
pub struct StreamsArgs {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=19_900))]
    pub streams: u64,
    #[arg(long, value_enum, default_value_t = View::Events)]
    view: View,
    /// Patches a second at the most, for `--view top`.
    #[arg(long, default_value_t = 5)]
    hz: u64,
    /// Entries of the window, for `--view top`.
    #[arg(long, default_value_t = 10)]
    limit: u64,
}

/// A stream's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum View {
    /// Every score
    Events,
    /// The top, when it changed
    Top,
}

impl StreamsArgs {
    /// The path of such a stream.
    pub fn path(&self, target: &Target) -> String {
        let stream = format!("/api/leaderboards/{}/stream", target.leaderboard);
        match self.view {
            View::Events => stream,
            View::Top => format!("{stream}?view=top&limit={}&hz={}", self.limit, self.hz),
        }
    }

    /// The same view for another number.
    pub fn of(&self, streams: u64) -> Self {
        Self { streams, ..self.clone() }
    }

    /// Whether every watcher gets every score.
    pub fn all_events(&self) -> bool {
        self.view == View::Events
    }

    /// How the view is called in a report.
    pub fn view(&self) -> String {
        match self.view {
            View::Events => "events".to_owned(),
            View::Top => format!("top {} at {} Hz", self.limit, self.hz),
        }
    }

    /// Opens all streams.
    pub fn gather(&self, target: &Target, threads: u64, window: &Window) -> anyhow::Result<Crowd> {
        Crowd::gather(target.address()?, &self.path(target), self.streams, threads, window)
    }
}

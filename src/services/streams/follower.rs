//! The task behind a hub: follows the feed, finds and fills holes, ticks the views, brings what connections noted that they need.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use crate::{
    domain::{entry::Window, leaderboard::Board, position::Version},
    repositories::{
        feed::{FeedEvent, FeedEventKind, FeedMessage},
        standings::StandingsError,
    },
    services::error::ServiceError,
};

use super::{
    frame::Frame,
    hub::{Hub, RING, Sources},
    log::State,
};

/// Events after which the connections get a turn before further ones are taken.
const TURN: usize = 1024;
/// Events fetched from the history in one call.
const HISTORY_PAGE: usize = 500;
/// The widest window a stream can show.
const WIDEST: u64 = 100;
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the newest position is compared with the store's, in case a message was lost without a trace, and watchers are counted.
const CHECK: Duration = Duration::from_secs(5);
/// How soon after the last report a changed number of watchers is reported.
const REPORT: Duration = Duration::from_millis(500);
/// How often an unavailable ranking is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// The hub's task.
pub(super) struct Follower {
    hub: Arc<Hub>,
    sources: Arc<Sources>,
    board: Board,
    messages: mpsc::Receiver<FeedMessage>,
    /// The newest event in the log; `None` until the feed has been joined.
    position: Option<Version>,
    subscribed: bool,
    /// The ranking answered last time.
    live: bool,
    /// The definition changed since the board was taken from it.
    redefined: bool,
    ended: bool,
    all_watchers: u64,
    /// The number of this instance's watchers that the feed was told last.
    reported: u64,
}

impl Follower {
    pub(super) fn new(hub: Arc<Hub>, sources: Arc<Sources>, messages: mpsc::Receiver<FeedMessage>) -> Self {
        let board = hub.leaderboard.board();
        Self {
            hub,
            sources,
            board,
            messages,
            position: None,
            subscribed: false,
            live: false,
            redefined: false,
            ended: false,
            all_watchers: 0,
            reported: 0,
        }
    }

    /// Follows until the leaderboard is deleted or the hub is closed.
    pub(super) async fn run(mut self) {
        let closing = self.hub.closing.clone();
        let mut heartbeats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checks = interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut retry_at, mut report_at) = (Instant::now(), Instant::now());
        while !self.ended {
            let tick = if self.live { self.hub.groups.next_tick() } else { Some(retry_at) };
            let changed = (self.hub.watchers.load(Ordering::Relaxed) != self.reported).then_some(report_at);
            let wake = Arc::clone(&self.hub.wake);
            tokio::select! {
                () = closing.cancelled() => break,
                Some(message) = self.messages.recv() => self.take(message).await,
                () = wake.notified() => {}
                _ = heartbeats.tick() => self.heartbeat(),
                _ = checks.tick() => self.check().await,
                () = sleep_until(changed) => {
                    self.report_watchers().await;
                    report_at = Instant::now() + REPORT;
                }
                () = sleep_until(tick) => {
                    if self.live { self.tick().await } else { self.go_live().await; retry_at = Instant::now() + RETRY }
                }
            }
            if std::mem::take(&mut self.redefined) {
                self.sources.definitions.refresh().await.ok();
                self.adopt_definition();
            }
            if self.live {
                self.serve_wants().await;
            }
        }
        if self.subscribed {
            self.sources.feed.unsubscribe(self.board.pk).await;
        }
        self.sources.feed.report_watchers(self.board.pk, 0).await.ok();
    }

    /// Joins the feed, or comes back to it: continues where the log ends if the epoch is still the same.
    async fn go_live(&mut self) {
        if let Err(error) = self.try_go_live().await {
            self.stumble(&error).await;
        }
    }

    async fn try_go_live(&mut self) -> Result<(), StandingsError> {
        if !self.subscribed {
            self.sources.feed.subscribe(self.board.pk).await?;
            self.subscribed = true;
        }
        let head = self.sources.standings.head(self.board).await?;
        let Some(version) = head.version else { return Ok(()) };
        self.live = true;
        match &self.position {
            Some(position) if position.epoch == version.epoch => self.fill().await?,
            _ => self.begin(version),
        }
        self.hub.groups.touch_all();
        Ok(())
    }

    /// The ranking gave no answer: see to it that it will, and show what the ledger knows to those who have seen nothing.
    async fn stumble(&mut self, error: &StandingsError) {
        self.live = false;
        tracing::debug!(leaderboard = %self.hub.leaderboard.id, %error, "the stream waits for the ranking");
        if matches!(error, StandingsError::Unready(_)) {
            let known = || self.sources.definitions.current().leaderboard_by_pk(self.board.pk).is_some();
            if !known() && self.sources.definitions.refresh().await.is_ok() && !known() {
                let data = serde_json::json!({ "leaderboardId": self.hub.leaderboard.id, "deleted": true });
                self.end(Frame::event(None, "leaderboard-changed", &data.to_string()));
                return;
            }
            self.sources.rebuilder.kick(self.board);
        }
        self.show_ledger().await.ok();
    }

    /// Shows what the ledger knows to those who have seen nothing, without a position.
    async fn show_ledger(&self) -> Result<(), ServiceError> {
        let (hub, rankings) = (&self.hub, &self.sources.rankings);
        let mut tops = hub.groups.waiting_tops();
        tops.extend(Some(&hub.events).filter(|topic| topic.wants_provisional()).cloned());
        if !tops.is_empty() {
            let window = Arc::new(rankings.window(self.board, 1, WIDEST, None).await?.value);
            if window.head.version.is_none() {
                let state = State::Window { leaderboard_id: hub.leaderboard.id.clone(), window };
                tops.iter().for_each(|topic| topic.offer_provisional(state.clone()));
            }
        }
        hub.groups.show_ledger_to_users(rankings, self.board, &hub.leaderboard.id).await
    }

    /// Whether the answer is there; where it is not, the hub goes back to waiting for the ranking.
    async fn survive<T>(&mut self, result: Result<T, StandingsError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.stumble(&error).await;
                None
            }
        }
    }

    fn begin(&mut self, version: Version) {
        self.hub.events.begin(Arc::clone(&version.epoch), version.seq + 1, None);
        self.position = Some(version);
        self.adopt_definition();
        self.hub.groups.touch_all();
    }

    async fn take(&mut self, message: FeedMessage) {
        let (mut next, mut taken) = (Some(message), 0);
        while let Some(message) = next {
            match message {
                FeedMessage::Events { epoch, events, .. } => {
                    taken += events.len();
                    self.take_events(epoch, events).await;
                }
                FeedMessage::Renamed { .. } => self.renamed(),
                FeedMessage::Reset { epoch, .. } => self.follow_epoch(epoch).await,
                FeedMessage::Lost => self.hub.lost.store(true, Ordering::Release),
            }
            next = if taken < TURN { self.messages.try_recv().ok() } else { None };
        }
        self.hub.events.wake_all();
    }

    /// Somebody's name may be another one, which has no position of its own.
    fn renamed(&self) {
        self.hub.events.forget_snapshot();
        self.hub.groups.touch_all();
    }

    async fn take_events(&mut self, epoch: Arc<str>, events: Vec<FeedEvent>) {
        let Some(position) = self.position.clone() else { return };
        if position.epoch != epoch {
            return self.follow_epoch(epoch).await;
        }
        let Some(first) = events.first() else { return };
        if first.seq > position.seq + 1 {
            metrics::counter!("scoreboard_feed_holes_total").increment(1);
            let filled = self.fill().await;
            self.survive(filled).await;
        }
        self.append(events);
    }

    /// Another epoch than the log's is being told of: go over to it if it is the newer one.
    async fn follow_epoch(&mut self, epoch: Arc<str>) {
        if self.position.as_ref().is_some_and(|position| epoch > position.epoch) {
            self.position = None;
            self.go_live().await;
        }
    }

    /// Appends the events that directly follow the log; those it has already are passed over.
    fn append(&mut self, events: Vec<FeedEvent>) {
        let Some(position) = self.position.as_mut() else { return };
        let following: Vec<_> = events.into_iter().filter(|event| event.seq > position.seq).collect();
        let Some(first) = following.first() else { return };
        if first.seq != position.seq + 1 {
            return;
        }
        self.hub.groups.touch(&following);
        let mut frames = Vec::with_capacity(following.len());
        let mut last = None;
        for event in &following {
            position.seq = event.seq;
            let frame = Frame::of(&position.epoch, event);
            match event.kind {
                FeedEventKind::Score => {}
                FeedEventKind::Definition => {
                    self.redefined = true;
                    self.hub.groups.topics().iter().for_each(|topic| topic.append_notice(frame.clone()));
                }
                FeedEventKind::Deleted => last = Some(frame.clone()),
            }
            if last.is_none() {
                frames.push(frame);
            }
        }
        metrics::counter!("scoreboard_stream_events_total").increment(frames.len() as u64);
        self.hub.events.append(frames);
        if let Some(frame) = last {
            self.end(frame);
        }
    }

    /// The order of a leaderboard without scores can change, and with it what every score looks like.
    fn adopt_definition(&mut self) {
        if let Some(leaderboard) = self.sources.definitions.current().leaderboard_by_pk(self.board.pk) {
            self.board = leaderboard.board();
        }
    }

    /// Brings the log up to the newest position from the history, or begins a new generation where the history no longer reaches.
    async fn fill(&mut self) -> Result<(), StandingsError> {
        while let Some(position) = self.position.clone() {
            let history = self.sources.feed.history(self.board.pk, position.seq, HISTORY_PAGE).await?;
            if history.epoch != position.epoch || history.head < position.seq {
                self.begin(Version::new(history.epoch, history.head));
                break;
            }
            if history.head == position.seq {
                break;
            }
            if history.events.first().is_none_or(|event| event.seq != position.seq + 1) {
                metrics::counter!("scoreboard_feed_gaps_total").increment(1);
                self.begin(Version::new(history.epoch, history.head));
                break;
            }
            self.append(history.events);
        }
        self.hub.events.wake_all();
        Ok(())
    }

    async fn tick(&mut self) {
        let hub = Arc::clone(&self.hub);
        let result = hub.groups.tick(&*self.sources.standings, self.board, &hub.leaderboard.id).await;
        self.survive(result).await;
    }

    /// Brings what connections noted that they need.
    async fn serve_wants(&mut self) {
        if self.hub.lost.swap(false, Ordering::AcqRel) {
            let filled = self.fill().await;
            if self.survive(filled).await.is_none() {
                self.hub.lost.store(true, Ordering::Release);
                return;
            }
            self.renamed();
        }
        let wanted = self.hub.events.take_wanted();
        if wanted.head {
            let filled = self.fill().await;
            if self.survive(filled).await.is_some() {
                self.hub.events.head_checked();
            }
        }
        if let Some(from) = wanted.from {
            let extended = self.extend_back(from).await;
            self.survive(extended).await;
        }
        if wanted.snapshot {
            let window = self.sources.standings.window(self.board, 1, WIDEST).await;
            if let Some(window) = self.survive(window).await {
                self.offer_snapshot(window).await;
            }
        }
    }

    async fn offer_snapshot(&mut self, window: Window) {
        let Some(version) = window.head.version.clone() else { return };
        if self.position.as_ref().is_some_and(|position| position.epoch != version.epoch) {
            self.follow_epoch(Arc::clone(&version.epoch)).await;
        }
        let leaderboard_id = self.hub.leaderboard.id.clone();
        if self.position.as_ref().is_some_and(|position| position.epoch == version.epoch) {
            self.hub.events.offer_snapshot(version.seq + 1, State::Window { leaderboard_id, window: Arc::new(window) });
        } else {
            self.hub.wake.notify_one();
        }
    }

    /// Fetches events from before the log for clients that resume there.
    async fn extend_back(&mut self, from: u64) -> Result<(), StandingsError> {
        let Some(position) = self.position.clone() else { return Ok(()) };
        let until = self.hub.events.first();
        let mut frames = Vec::new();
        let mut next = from;
        while next < until {
            let history = self.sources.feed.history(self.board.pk, next - 1, HISTORY_PAGE).await?;
            let contiguous = history.epoch == position.epoch && history.events.first().is_some_and(|event| event.seq == next);
            if !contiguous {
                self.hub.events.give_up_below(next.max(from) + 1);
                return Ok(());
            }
            let older = history.events.iter().filter(|event| event.seq < until);
            frames.extend(older.map(|event| Frame::of(&position.epoch, event)));
            next = history.events.last().map_or(next, |event| event.seq + 1);
        }
        self.hub.events.extend_back(from, frames);
        Ok(())
    }

    fn heartbeat(&mut self) {
        let data = serde_json::json!({
            "leaderboardId": self.hub.leaderboard.id,
            "version": self.position.as_ref().map(Version::to_string),
            "at": self.sources.clock.now(),
            "watchers": self.all_watchers.max(self.hub.watchers.load(Ordering::Relaxed)),
        });
        let frame = Frame::event(None, "heartbeat", &data.to_string());
        self.hub.groups.sweep();
        self.hub.topics().iter().for_each(|topic| topic.heartbeat(frame.clone()));
        self.hub.events.shrink_to(RING);
    }

    async fn report_watchers(&mut self) {
        self.reported = self.hub.watchers.load(Ordering::Relaxed);
        if let Ok(all) = self.sources.feed.report_watchers(self.board.pk, self.reported).await {
            self.all_watchers = all;
        }
    }

    async fn check(&mut self) {
        self.report_watchers().await;
        if self.live {
            let head = self.sources.standings.head(self.board).await;
            let Some(version) = self.survive(head).await.and_then(|head| head.version) else { return };
            if self.position.as_ref() != Some(&version) {
                let filled = self.fill().await;
                self.survive(filled).await;
            }
        }
    }

    fn end(&mut self, frame: Frame) {
        self.ended = true;
        self.hub.closing.cancel();
        self.hub.groups.end(&frame);
        self.hub.events.end(frame);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

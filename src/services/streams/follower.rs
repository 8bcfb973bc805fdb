//! The task behind a hub: follows the feed, finds and fills holes, ticks the views. `liveness.rs` tells whether
//! the ranking answers and what to do while it does not, `wants.rs` brings what connections noted that they need.

mod liveness;
mod wants;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use crate::{
    domain::{
        leaderboard::{Board, Visibility},
        position::Version,
    },
    repositories::{
        feed::{FeedEvent, FeedEventKind, FeedMessage},
        standings::StandingsError,
    },
};

use super::{
    frame::Frame,
    hub::{Hub, RING, Sources},
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
    /// Whoever came was let in without being asked.
    public: bool,
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
        let public = hub.leaderboard.settings.visibility == Visibility::Public;
        Self {
            hub,
            sources,
            board,
            messages,
            position: None,
            subscribed: false,
            live: false,
            public,
            redefined: false,
            ended: false,
            all_watchers: 0,
            reported: 0,
        }
    }

    /// Follows until the leaderboard is deleted or made private, or the hub is closed.
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
        // The log may have gone over to another epoch meanwhile, whose numbers mean other events.
        if self.position.as_ref().is_some_and(|position| position.epoch == epoch) {
            self.append(events);
        }
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
                    let was_public = std::mem::replace(&mut self.public, is_public(&event.body));
                    if was_public && !self.public {
                        // Everybody has to come back and be asked.
                        last = Some(frame.clone());
                    } else {
                        self.hub.groups.topics().iter().for_each(|topic| topic.append_notice(frame.clone()));
                    }
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

/// Whether everybody may read the leaderboard that this definition describes.
fn is_public(definition: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Described {
        visibility: Visibility,
    }
    serde_json::from_str(definition).is_ok_and(|described: Described| described.visibility == Visibility::Public)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

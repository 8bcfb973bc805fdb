//! The task behind a hub: follows the feed, finds and fills gaps, ticks the views. `availability.rs` decides whether the
//! ranking answers and what to do while it does not, `requests.rs` serves the requests that connections left, `definition.rs`
//! makes sure that nobody watches without permission.

mod availability;
mod definition;
mod requests;
mod season;

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
        definition::Definitions,
        entry::Head,
        event::{Event, EventKind},
        leaderboard::Board,
        version::Version,
    },
    repositories::{feed::FeedMessage, ranking_store::RankingError},
};

use super::{
    frame::Frame,
    hub::{Hub, RING, Sources},
};

/// Events after which the connections are woken before more are taken.
const TURN: usize = 1024;
/// Events fetched from the history in one call.
const HISTORY_PAGE: usize = 500;
/// The widest window a stream can show.
const WIDEST: u64 = 100;
/// One timer per hub: a heartbeat concerns its leaderboard alone, is encoded once, and the wakers spread it over their
/// connections.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the newest position is compared with the store's, in case a message was lost unnoticed, and watchers are counted.
const CHECK: Duration = Duration::from_secs(5);
/// How soon after the last report a changed number of watchers is reported.
const REPORT: Duration = Duration::from_millis(500);
/// How often an unavailable ranking is retried.
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
    /// Whether the ranking answered last time.
    live: bool,
    /// When to ask the ledger for the definition, which has changed since it was last adopted.
    definition_due: Option<Instant>,
    /// The definitions that were last adopted.
    adopted: Option<Arc<Definitions>>,
    ended: bool,
    /// The number of this instance's watchers that was last reported to the feed.
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
            definition_due: None,
            adopted: None,
            ended: false,
            reported: 0,
        }
    }

    /// Follows until the leaderboard is deleted, or the hub is closed.
    pub(super) async fn run(mut self) {
        let closing = self.hub.closing.clone();
        let mut heartbeats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checks = interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut retry_at, mut report_at) = (Instant::now(), Instant::now());
        while !self.ended {
            let tick = if self.live { self.hub.shared_views.next_tick() } else { Some(retry_at) };
            let changed = (self.hub.watchers.load(Ordering::Relaxed) != self.reported).then_some(report_at);
            let wake = Arc::clone(&self.hub.wake);
            tokio::select! {
                () = closing.cancelled() => break,
                Some(message) = self.messages.recv() => self.take(message).await,
                () = wake.notified() => {}
                () = sleep_until(self.definition_due) => {}
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
            if self.definition_due.is_some_and(|due| due <= Instant::now()) {
                self.refresh_definition().await;
            }
            self.adopt_definition();
            if self.is_uncertain() {
                break;
            }
            if self.live && !self.ended {
                self.serve_requests().await;
            }
        }
        self.hub.followed.store(false, Ordering::Release);
        if self.subscribed {
            self.sources.feed.unsubscribe(self.board.pk).await;
        }
        self.sources.feed.report_watchers(self.board.pk, 0).await.ok();
    }

    /// Starts a new generation of the log at this version. Changes of the definition may have been skipped on the way to it, so
    /// the ledger is asked first: nobody is shown a leaderboard that was made private meanwhile.
    async fn begin(&mut self, version: Version) {
        if !self.refresh_definition().await && !self.is_confirmed() && self.hub.events.position().is_some() {
            self.hub.doubt_access();
        }
        self.hub.events.begin(Arc::clone(&version.epoch), self.board.season, version.seq + 1, None);
        self.position = Some(version);
        self.hub.shared_views.touch_all();
    }

    async fn take(&mut self, message: FeedMessage) {
        let (mut next, mut taken) = (Some(message), 0);
        while let Some(message) = next.filter(|_| !self.ended) {
            match message {
                FeedMessage::Events { epoch, events, .. } => {
                    taken += events.len();
                    self.take_events(epoch, events).await;
                }
                FeedMessage::Renamed { .. } => self.renamed(),
                FeedMessage::Reset { epoch, .. } => self.follow_epoch(epoch).await,
                FeedMessage::Lost => self.hub.lost.store(true, Ordering::Release),
                // These concern the whole instance.
                FeedMessage::Definitions { .. } | FeedMessage::Behind { .. } | FeedMessage::Holder => {}
            }
            next = if taken < TURN { self.messages.try_recv().ok() } else { None };
        }
        self.hub.events.wake_all();
    }

    /// A user's name may have changed; before this release a name change had no position of its own.
    fn renamed(&self) {
        self.hub.events.forget_snapshot();
        self.hub.shared_views.touch_all();
    }

    async fn take_events(&mut self, epoch: Arc<str>, events: Vec<Event>) {
        let Some(position) = self.position.clone() else { return };
        if position.epoch != epoch {
            return self.follow_epoch(epoch).await;
        }
        let Some(first) = events.first() else { return };
        if first.seq > position.seq + 1 {
            metrics::counter!("scoreboard_feed_holes_total").increment(1);
            let filled = self.fill().await;
            self.or_go_offline(filled).await;
        }
        // The log may have moved to another epoch meanwhile, whose numbers mean other events.
        if self.position.as_ref().is_some_and(|position| position.epoch == epoch) {
            self.append(events).await;
        }
    }

    /// Another epoch than the log's was announced: moves to it if it is the newer one.
    async fn follow_epoch(&mut self, epoch: Arc<str>) {
        if self.position.as_ref().is_some_and(|position| epoch > position.epoch) {
            self.position = None;
            self.go_live().await;
        }
    }

    /// Appends the events that directly follow the log; those already in the log are skipped.
    async fn append(&mut self, events: Vec<Event>) {
        let Some(position) = self.position.clone().filter(|_| !self.ended) else { return };
        let following: Vec<_> = events.into_iter().filter(|event| event.seq > position.seq).collect();
        let Some(first) = following.first() else { return };
        if first.seq != position.seq + 1 {
            return;
        }
        let ends = |event: &Event| event.kind == EventKind::SeasonEnded;
        for run in following.chunk_by(|one, other| !ends(one) && !ends(other)) {
            match run {
                [event] if ends(event) => self.end_season(event).await,
                events => self.append_run(events),
            }
        }
    }

    /// Appends events of one season.
    fn append_run(&mut self, following: &[Event]) {
        let Some(mut position) = self.position.clone().filter(|_| !self.ended) else { return };
        self.adopt_definition();
        self.hub.shared_views.touch(&position.epoch, self.board.season, following);
        let mut frames = Vec::with_capacity(following.len());
        let mut last = None;
        for event in following {
            position.seq = event.seq;
            let frame = Frame::of(&position.epoch, event);
            match event.kind {
                EventKind::ScoreUpdated => {
                    tracing::trace!(leaderboard = %self.hub.leaderboard.id, version = %position, event = event.fields, "to be streamed");
                }
                // An earlier snapshot shows the old name, or who is not to be seen any more.
                EventKind::UserChanged => self.hub.events.forget_snapshot(),
                EventKind::ScoreRemoved => {
                    self.hub.events.forget_snapshot();
                    self.hub.shared_views.forget_last();
                }
                EventKind::SeasonStarted => {
                    let head = Head { season: self.board.season, version: Some(position.clone()), total: 0 };
                    self.hub.shared_views.begin_season(&frame, &head);
                }
                EventKind::LeaderboardChanged => {
                    self.take_definition(&event.fields);
                    self.hub.shared_views.topics().iter().for_each(|topic| topic.append_notice(frame.clone()));
                }
                EventKind::LeaderboardDeleted => last = Some(frame.clone()),
                _ => {}
            }
            if last.is_some() {
                break;
            }
            frames.push(frame);
        }
        self.position = Some(position);
        metrics::counter!("scoreboard_stream_events_total").increment(frames.len() as u64);
        self.hub.events.append(frames);
        if let Some(frame) = last {
            self.end(frame);
        }
    }

    /// Brings the log up to the newest position from the history, or begins a new generation if the history no longer reaches
    /// back far enough.
    async fn fill(&mut self) -> Result<(), RankingError> {
        while let Some(position) = self.position.clone().filter(|_| !self.ended) {
            let history = self.sources.feed.history(self.board.pk, position.seq, HISTORY_PAGE).await?;
            if history.epoch != position.epoch || history.head < position.seq {
                self.begin(Version::new(history.epoch, history.head)).await;
                break;
            }
            if history.head == position.seq {
                break;
            }
            if history.events.first().is_none_or(|event| event.seq != position.seq + 1) {
                metrics::counter!("scoreboard_feed_gaps_total").increment(1);
                self.begin(Version::new(history.epoch, history.head)).await;
                break;
            }
            self.append(history.events).await;
        }
        self.hub.events.wake_all();
        Ok(())
    }

    async fn tick(&mut self) {
        self.adopt_definition();
        let hub = Arc::clone(&self.hub);
        let result = hub.shared_views.tick(&*self.sources.ranking_store, self.board, &hub.leaderboard.id).await;
        self.or_go_offline(result).await;
    }

    fn heartbeat(&mut self) {
        let frame = self.hub.heartbeat(self.sources.clock.now());
        self.hub.shared_views.sweep();
        self.hub.topics().iter().for_each(|topic| topic.heartbeat(frame.clone()));
        self.hub.events.shrink_to(RING);
    }

    async fn report_watchers(&mut self) {
        self.reported = self.hub.watchers.load(Ordering::Relaxed);
        if let Ok(all) = self.sources.feed.report_watchers(self.board.pk, self.reported).await {
            self.hub.all_watchers.store(all, Ordering::Relaxed);
        }
    }

    async fn check(&mut self) {
        self.report_watchers().await;
        if self.live && !self.ended {
            let head = self.sources.ranking_store.head(self.board).await;
            let Some(version) = self.or_go_offline(head).await.and_then(|head| head.version) else { return };
            if self.position.as_ref() != Some(&version) {
                let filled = self.fill().await;
                self.or_go_offline(filled).await;
            }
        }
    }

    fn end(&mut self, frame: Frame) {
        self.ended = true;
        self.hub.closing.cancel();
        self.hub.shared_views.end(&frame);
        self.hub.events.end(frame);
    }
}

impl Drop for Follower {
    /// Also runs if the task panicked: to watchers, silence would look like a quiet leaderboard.
    fn drop(&mut self) {
        self.hub.abandon();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

//! The latest scores of a leaderboard: what a page shows until the next score arrives.
//!
//! The feed remembers the newest events, with the ranks that they had. What the feed does not reach back to, because the
//! ranking was rebuilt or is unreachable, is completed from the history in the ledger. That is queried only once in a while:
//! what came before an epoch does not change. Of many concurrent readers one builds the answer.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{
        event::{Cause, Event, EventKind},
        ids::{LeaderboardId, UserId},
        leaderboard::{Board, Leaderboard},
        season::Season,
        submission::LatestScore,
        time::Timestamp,
        version::Version,
    },
    repositories::{feed::Feed, ledger::Ledger},
};

use super::{
    encoded::Encoded,
    error::ServiceError,
    ranking_reader::{RankingReader, Served, Source},
    turns::{self, Turns},
    views,
};

/// How old an answer from the ledger alone may be before the ledger is queried again.
const AGE: Duration = Duration::from_millis(250);
/// The same for older scores that only complete what the feed remembers: names may have changed since.
const AGE_OF_OLDER: Duration = Duration::from_secs(10);
/// The same for scores beside a window that has not changed since: a score that did not move its user may have been voided.
const AGE_BESIDE: Duration = Duration::from_secs(1);
/// The most scores that an answer holds.
pub const MOST: usize = 100;
/// Cached answers, and boards whose older scores are cached. When full, expired ones are evicted; if none are, all.
const KEPT: usize = 512;

/// See the module's documentation.
pub struct LatestScores {
    rankings: Arc<RankingReader>,
    feed: Arc<dyn Feed>,
    ledger: Ledger,
    turns: Arc<Turns>,
    /// At most [`KEPT`].
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// By incarnation and season. At most [`KEPT`].
    older: Mutex<HashMap<(i64, i64), Older>>,
}

/// Incarnation, season and limit.
type Key = (i64, i64, usize);

/// The newest answer. The lock is held by the reader that builds one; the others wait for it.
type Slot = tokio::sync::Mutex<Option<Answer>>;

struct Answer {
    encoded: Arc<Encoded>,
    begun: Instant,
    /// That of the ranking, unless only the ledger was available to answer.
    version: Option<Version>,
}

impl Answer {
    /// Whether it is valid for a reader that asked at this time.
    fn will_do(&self, asked: Instant) -> bool {
        self.begun >= asked || (self.version.is_none() && self.begun.elapsed() < AGE)
    }

    /// Whether it is as new as a window of this version.
    fn will_do_beside(&self, window: &Version) -> bool {
        let as_new = |version: &Version| version.epoch == window.epoch && version.seq >= window.seq;
        self.version.as_ref().is_some_and(as_new) && self.begun.elapsed() < AGE_BESIDE
    }
}

/// The newest scores that the ledger held when the ranking was at this version. The feed remembers everything later.
struct Older {
    version: Version,
    asked: Instant,
    scores: Arc<[LatestScore]>,
}

/// What an event says about a user.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    user_id: UserId,
    display_name: String,
    #[serde(default)]
    avatar_url: Option<String>,
    #[serde(default)]
    country: Option<String>,
}

impl Named {
    fn of(score: &LatestScore) -> Self {
        let LatestScore { user_id, display_name, avatar_url, country, .. } = score.clone();
        Self { user_id, display_name, avatar_url, country }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    leaderboard_id: &'a LeaderboardId,
    season: i64,
    version: Option<&'a Version>,
    scores: &'a [LatestScore],
}

impl LatestScores {
    pub fn new(rankings: Arc<RankingReader>, feed: Arc<dyn Feed>, ledger: Ledger, turns: Arc<Turns>) -> Self {
        Self { rankings, feed, ledger, turns, slots: Mutex::default(), older: Mutex::default() }
    }

    /// The JSON of up to `limit` scores, newest first. Every score that was announced up to its `version` is included, or is
    /// older than those that are.
    pub async fn of(&self, leaderboard: &Leaderboard, limit: usize) -> Result<Served<Arc<Encoded>>, ServiceError> {
        self.answer(leaderboard, limit, None).await
    }

    /// The same for a page that shows them beside a window of this version: who left the ranking up to it is not among them. However
    /// many read the page of a ranking that rests, the ledger is asked once a second.
    pub async fn beside(
        &self,
        leaderboard: &Leaderboard,
        window: Option<&Version>,
        limit: usize,
    ) -> Result<Served<Arc<Encoded>>, ServiceError> {
        self.answer(leaderboard, limit, window).await
    }

    async fn answer(
        &self,
        leaderboard: &Leaderboard,
        limit: usize,
        beside: Option<&Version>,
    ) -> Result<Served<Arc<Encoded>>, ServiceError> {
        let (asked, board) = (Instant::now(), leaderboard.board());
        let slot = self.slot((board.pk, board.season, limit));
        let mut answer = timeout_at(asked + turns::WAIT, slot.lock()).await.map_err(|_| ServiceError::Overloaded)?;
        let will_do = |answer: &&Answer| answer.will_do(asked) || beside.is_some_and(|window| answer.will_do_beside(window));
        if let Some(answer) = answer.as_ref().filter(will_do) {
            return Ok(Served { value: Arc::clone(&answer.encoded), source: Source::Copy });
        }
        let begun = Instant::now();
        let (version, scores, source) = self.build(board, limit).await?;
        let view = View { leaderboard_id: &leaderboard.id, season: board.season, version: version.as_ref(), scores: &scores };
        let encoded = Arc::new(Encoded::new(views::json(&view)));
        *answer = Some(Answer { encoded: Arc::clone(&encoded), begun, version });
        Ok(Served { value: encoded, source })
    }

    /// The same of a season that has ended.
    pub async fn of_ended(
        &self,
        leaderboard: &Leaderboard,
        season: &Season,
        limit: usize,
    ) -> Result<Served<Arc<Encoded>>, ServiceError> {
        let scores = self.stored(season.board(), season.ends_at, limit).await?;
        let version = season.archived_version();
        let view = View { leaderboard_id: &leaderboard.id, season: season.number, version: version.as_ref(), scores: &scores };
        Ok(Served { value: Arc::new(Encoded::new(views::json(&view))), source: Source::Ledger })
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if slots.len() >= KEPT && !slots.contains_key(&key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
            if slots.len() >= KEPT {
                slots.clear();
            }
        }
        Arc::clone(slots.entry(key).or_default())
    }

    /// The version is queried first: whatever was announced up to it is committed, and most of it remembered by the feed.
    async fn build(&self, board: Board, limit: usize) -> Result<(Option<Version>, Vec<LatestScore>, Source), ServiceError> {
        let head = self.rankings.head(board).await;
        let Some((version, total, source)) =
            head.and_then(|served| Some((served.value.version?, served.value.total, served.source)))
        else {
            return Ok((None, self.stored(board, None, limit).await?, Source::Ledger));
        };
        // Twice as many events, because some are not scores.
        let after = version.seq.saturating_sub(2 * limit as u64);
        let (scores, names) = self.remembered(board, after, &version).await;
        let mut scores = self.seen(board, scores).await?;
        let mut completed = source;
        if scores.len() < limit && total > 0 {
            match self.older(board, after, &version).await {
                Ok(older) => {
                    let known: HashSet<_> = scores.iter().map(|score| score.event_id).collect();
                    let older = older.iter().filter(|score| !known.contains(&score.event_id)).cloned();
                    scores.extend(self.seen(board, older.collect()).await?);
                    completed = Source::Ledger;
                }
                Err(error) if scores.is_empty() => return Err(error),
                Err(error) => tracing::debug!(%error, "showing the latest scores that the feed remembers"),
            }
        }
        for score in &mut scores {
            if let Some(Named { display_name, avatar_url, country, .. }) = names.get(&score.user_id) {
                score.display_name.clone_from(display_name);
                (score.avatar_url, score.country) = (avatar_url.clone(), country.clone());
            }
        }
        // Ids are in the order of commits, which is the order in which the feed published nearly all of them.
        scores.sort_unstable_by_key(|score| Reverse(score.event_id));
        scores.truncate(limit);
        Ok((Some(version), scores, completed))
    }

    /// The scores that the feed remembers after a position up to this version, and the names that it last gave to users.
    async fn remembered(&self, board: Board, after: u64, version: &Version) -> (Vec<LatestScore>, HashMap<UserId, Named>) {
        let reach = (version.seq - after) as usize;
        let history = self.feed.history(board.pk, after, reach).await.ok().filter(|history| history.epoch == version.epoch);
        let mut names = HashMap::new();
        let events = history.into_iter().flat_map(|history| history.events);
        let mut events: Vec<Event> = events.filter(|event| event.seq <= version.seq).collect();
        // Those of an earlier season are not asked for.
        let ended = events.iter().rposition(|event| event.kind == EventKind::SeasonEnded);
        events.drain(..ended.map_or(0, |last| last + 1));
        let scores = events.iter().rev().filter_map(|event| {
            let data = format!("{{{}}}", event.fields);
            if event.kind == EventKind::UserChanged {
                let named: Named = serde_json::from_str(&data).ok()?;
                names.entry(named.user_id.clone()).or_insert(named);
            }
            let mut score: LatestScore = serde_json::from_str(&data).ok().filter(|_| event.kind == EventKind::ScoreUpdated)?;
            // Other corrections move entries, and are no scores.
            if score.cause.is_some_and(|cause| cause != Cause::Adjust) {
                return None;
            }
            score.version = Some(Version::new(Arc::clone(&version.epoch), event.seq));
            (score.rank, score.previous_rank) = (Some(event.rank), event.previous_rank);
            names.entry(score.user_id.clone()).or_insert_with(|| Named::of(&score));
            Some(score)
        });
        (scores.collect(), names)
    }

    /// Those that may still be seen: not withheld since, and of users who are in the ranking.
    async fn seen(&self, board: Board, mut scores: Vec<LatestScore>) -> Result<Vec<LatestScore>, ServiceError> {
        if scores.is_empty() {
            return Ok(scores);
        }
        let asked = scores.iter().map(|score| (score.event_id, score.user_id.clone())).collect();
        // Without an answer nobody knows who may be seen: then nothing is shown.
        let _turn = self.turns.next().await?;
        let (withheld, out) = self.ledger.unseen(board, asked).await?;
        scores.retain(|score| !withheld.contains(&score.event_id) && !out.contains(&score.user_id));
        Ok(scores)
    }

    /// The scores that the ledger holds, or recently held: at this position or later, within this epoch.
    async fn older(&self, board: Board, at: u64, version: &Version) -> Result<Arc<[LatestScore]>, ServiceError> {
        let of_use = |older: &Older| {
            older.version.epoch == version.epoch && older.version.seq >= at && older.asked.elapsed() < AGE_OF_OLDER
        };
        if let Some(older) = self.older.lock().get(&(board.pk, board.season)).filter(|older| of_use(older)) {
            return Ok(Arc::clone(&older.scores));
        }
        let asked = Instant::now();
        let scores: Arc<[LatestScore]> = self.stored(board, None, MOST).await?.into();
        let mut boards = self.older.lock();
        if boards.len() >= KEPT {
            boards.retain(|_, older| older.asked.elapsed() < AGE_OF_OLDER);
        }
        if boards.len() >= KEPT {
            boards.clear();
        }
        boards.insert((board.pk, board.season), Older { version: version.clone(), asked, scores: Arc::clone(&scores) });
        Ok(scores)
    }

    async fn stored(&self, board: Board, before: Option<Timestamp>, limit: usize) -> Result<Vec<LatestScore>, ServiceError> {
        let _turn = self.turns.next().await?;
        Ok(self.ledger.latest_scores(board, before, limit as i64).await?)
    }
}

//! The newest scores beside a window: what a view tells of them with each tick, so that a page needs one stream and a busy leaderboard costs it no
//! more than a quiet one.

use std::{collections::VecDeque, sync::Arc};

use crate::domain::{
    event::{Event, News},
    ids::LeaderboardId,
    version::Version,
};

/// Users told of in one event. With more of them the whole list is to be asked for.
const USERS: usize = 20;

/// What some events mean to the newest scores, encoded once for all views.
#[derive(Default)]
pub(super) struct FreshNews {
    /// The position after these events, and their season.
    at: Option<(Version, i64)>,
    /// The data of events, oldest first.
    scores: Vec<Arc<str>>,
    users: Vec<Arc<str>>,
    corrected: bool,
}

impl FreshNews {
    /// The last `latest` scores among the events of one season, and what else concerns those before them.
    pub(super) fn of(epoch: &Arc<str>, season: i64, events: &[Event], latest: usize) -> Self {
        let Some(last) = events.last().filter(|_| latest > 0) else { return Self::default() };
        let of_kind = |kind: News| events.iter().filter(move |event| event.news() == Some(kind));
        let data = |event: &Event| Arc::from(&*event.data(epoch));
        let mut scores: Vec<_> = of_kind(News::Score).rev().take(latest).map(data).collect();
        scores.reverse();
        Self {
            at: Some((Version::new(Arc::clone(epoch), last.seq), season)),
            scores,
            users: of_kind(News::User).take(USERS + 1).map(data).collect(),
            corrected: of_kind(News::Corrected).next().is_some(),
        }
    }
}

/// What one view has not told yet. Bounded: older scores make room for newer ones.
#[derive(Default)]
pub(super) struct PendingNews {
    at: Option<(Version, i64)>,
    scores: VecDeque<Arc<str>>,
    users: Vec<Arc<str>>,
    refresh: bool,
}

impl PendingNews {
    pub(super) fn is_empty(&self) -> bool {
        self.scores.is_empty() && self.users.is_empty() && !self.refresh
    }

    /// Adds news, for a view that shows up to `latest` scores.
    pub(super) fn take(&mut self, news: &FreshNews, latest: usize) {
        if latest == 0 || news.at.is_none() {
            return;
        }
        self.at.clone_from(&news.at);
        self.scores.extend(news.scores.iter().map(Arc::clone));
        self.scores.drain(..self.scores.len().saturating_sub(latest));
        self.users.extend(news.users.iter().map(Arc::clone));
        self.refresh |= news.corrected || self.users.len() > USERS;
        self.users.truncate(USERS);
        if news.corrected {
            // Whose scores they are may be hidden by now: all of them are asked for.
            self.scores.clear();
        }
    }

    /// The data of the event that tells of it, after which there is nothing to tell.
    pub(super) fn drain(&mut self, leaderboard_id: &LeaderboardId) -> String {
        let Self { at, scores, users, refresh } = std::mem::take(self);
        let (version, season) = at.map_or_else(|| ("null".to_owned(), 0), |(version, season)| (format!("\"{version}\""), season));
        let scores = Vec::from(scores).join(",");
        let users = users.join(",");
        let id = leaderboard_id.as_str();
        format!(
            "{{\"leaderboardId\":\"{id}\",\"season\":{season},\"version\":{version},\"scores\":[{scores}],\"users\":[{users}],\"refresh\":{refresh}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;

    fn event(seq: u64, kind: EventKind, fields: &str) -> Event {
        Event { seq, kind, rank: 1, previous_rank: None, total: 1, fields: fields.to_owned() }
    }

    fn told(events: &[Event], latest: usize) -> serde_json::Value {
        let mut pending = PendingNews::default();
        for event in events {
            pending.take(&FreshNews::of(&"e".into(), 3, std::slice::from_ref(event), latest), latest);
        }
        serde_json::from_str(&pending.drain(&LeaderboardId::parse("main").unwrap())).unwrap()
    }

    #[test]
    fn the_newest_scores_are_told_oldest_first_and_no_more_than_asked_for() {
        let scores: Vec<_> = (1..=5).map(|seq| event(seq, EventKind::ScoreUpdated, &format!("\"eventId\":\"{seq}\""))).collect();
        let one_by_one = told(&scores, 3);
        let ids: Vec<_> = one_by_one["scores"].as_array().unwrap().iter().map(|score| score["eventId"].clone()).collect();
        assert_eq!((ids, one_by_one["version"].as_str()), (vec!["3".into(), "4".into(), "5".into()], Some("e-5")));
        let at_once = FreshNews::of(&"e".into(), 3, &scores, 3);
        assert_eq!(at_once.scores.len(), 3);
        assert!(PendingNews::default().is_empty());
    }

    #[test]
    fn a_correction_asks_for_the_whole_list_and_tells_no_score_before_it() {
        let score = event(1, EventKind::ScoreUpdated, "\"eventId\":\"1\",\"userId\":\"ann\"");
        let void = event(2, EventKind::ScoreUpdated, "\"userId\":\"ann\",\"cause\":\"void\"");
        let removed = event(2, EventKind::ScoreRemoved, "\"userId\":\"ann\"");
        let adjusted = event(2, EventKind::ScoreUpdated, "\"eventId\":\"2\",\"cause\":\"adjust\"");
        for correction in [void, removed] {
            let told = told(&[score.clone(), correction], 9);
            assert_eq!((told["refresh"].as_bool(), told["scores"].as_array().unwrap().len()), (Some(true), 0));
        }
        let told = told(&[score, adjusted], 9);
        assert_eq!((told["refresh"].as_bool(), told["scores"].as_array().unwrap().len()), (Some(false), 2));
    }

    #[test]
    fn new_profiles_are_told_and_too_many_ask_for_the_list() {
        let renamed = |count| (1..=count).map(|seq| event(seq, EventKind::UserChanged, "\"userId\":\"ann\"")).collect::<Vec<_>>();
        let few = told(&renamed(2), 9);
        assert_eq!((few["users"].as_array().unwrap().len(), few["refresh"].as_bool()), (2, Some(false)));
        let many = told(&renamed(USERS as u64 + 5), 9);
        assert_eq!((many["users"].as_array().unwrap().len(), many["refresh"].as_bool()), (USERS, Some(true)));
    }
}

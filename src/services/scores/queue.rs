//! The bounded queue between requests and the committer, drained fairly between callers.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::domain::{ids::UserId, submission::Submission};

use super::{Reply, job::Job};

/// The most submissions in this instance that wait or are being committed. When there is no room, callers are refused at once:
/// waiting longer would help nobody.
const ROOM: usize = 32_768;
/// When this many wait, a commit is due whatever else is in flight.
pub(super) const CROWD: usize = 256;
/// Submissions that a caller may have committed before the next caller's turn.
const TURN: usize = 64;
/// How many submissions of one caller are passed over, because their users are in a commit already, before the next caller's
/// turn.
const PASSED_OVER: usize = 1_024;

/// See the module's documentation. Submissions of one caller leave in the order in which they came, except that a submission
/// may overtake those of other users.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Callers with waiting jobs, in round-robin order.
    turns: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, Waiting>,
    /// Waiting submissions.
    count: usize,
    /// Submissions of each caller that wait or are being committed.
    held: HashMap<Arc<str>, usize>,
    held_by_all: usize,
    /// The last attempt to take jobs found none that may be committed, so the next submission may be the first.
    nobody_could_go: bool,
    closed: bool,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Submissions that the caller may still have committed in this round. Credit accumulates for a job larger than one round's
    /// share.
    credit: usize,
}

/// Reserved room in the queue for `count` submissions; given back when the request is answered or dropped.
pub(super) struct Room {
    queue: Arc<Queue>,
    caller: Arc<str>,
    count: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.held_by_all -= self.count;
        if let Some(held) = state.held.get_mut(&self.caller) {
            *held -= self.count;
            if *held == 0 {
                state.held.remove(&self.caller);
            }
        }
    }
}

impl Queue {
    /// Appends a request's submissions to its caller's line; `None` if there is no room. A caller may hold as much as is still
    /// free, so a caller that floods the queue is refused while others are not.
    pub fn push(self: &Arc<Self>, caller: Arc<str>, submissions: Vec<Submission>) -> Option<oneshot::Receiver<Vec<Reply>>> {
        let count = submissions.len();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let free = ROOM - state.held_by_all;
        let held = state.held.get(&caller).copied().unwrap_or_default();
        if state.closed || held + count > free {
            return None;
        }
        state.held.insert(caller.clone(), held + count);
        state.held_by_all += count;
        let before = state.count;
        state.count += count;
        let news = before == 0 || (before < CROWD && state.count >= CROWD) || std::mem::take(&mut state.nobody_could_go);
        let room = Room { queue: Arc::clone(self), caller: caller.clone(), count };
        let waiting = state.waiting.entry(caller.clone()).or_insert_with(|| {
            state.turns.push_back(caller);
            Waiting::default()
        });
        let (job, answer) = Job::whole(submissions, room);
        waiting.jobs.push_back(job);
        drop(guard);
        if news {
            self.changed.notify_one();
        }
        Some(answer)
    }

    /// Takes jobs of about `limit` submissions, round-robin over the callers. Submissions of users in `busy` stay, and their
    /// requests are divided.
    pub fn take(&self, limit: usize, busy: &HashSet<UserId>) -> Vec<Job> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (mut taken, mut count) = (Vec::new(), 0);
        // Callers with no more submissions that may be committed; when that is every caller, nothing is left to take.
        let mut stuck = Vec::new();
        while count < limit {
            let Some(caller) = state.turns.pop_front() else { break };
            let Some(waiting) = state.waiting.get_mut(&caller) else { continue };
            waiting.credit += TURN;
            let (of_caller, enough) = waiting.take(busy, limit - count);
            let got: usize = of_caller.iter().map(Job::count).sum();
            count += got;
            taken.extend(of_caller);
            if waiting.jobs.is_empty() {
                state.waiting.remove(&caller);
            } else if got == 0 && enough {
                stuck.push(caller);
            } else {
                state.turns.push_back(caller);
            }
        }
        state.turns.extend(stuck);
        state.count -= count;
        state.nobody_could_go = count == 0;
        taken
    }

    /// The number of waiting submissions.
    pub fn waiting(&self) -> usize {
        self.state.lock().count
    }

    /// Waits until the queue becomes non-empty, reaches [`CROWD`], or is closed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Accepts no more submissions.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// Whether the queue is empty and closed.
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.closed && state.count == 0
    }
}

impl Waiting {
    /// The jobs that the credit and `limit` allow (a first one is never too large for the limit), and whether the credit would
    /// have allowed more than was available.
    fn take(&mut self, busy: &HashSet<UserId>, limit: usize) -> (Vec<Job>, bool) {
        let (mut taken, mut passed_over, mut enough) = (Vec::new(), Vec::new(), true);
        let (mut count, mut left_behind) = (0, 0);
        while let Some(job) = self.jobs.front() {
            if count >= limit || left_behind >= PASSED_OVER {
                break;
            }
            let may_go = |user: &UserId| busy.is_empty() || !busy.contains(user);
            let free = job.submissions.iter().filter(|submission| may_go(&submission.user_id)).count();
            // Counts only submissions that may be committed: otherwise a job that has to stay would keep the caller saving, and
            // the others waiting for it.
            if free > self.credit {
                enough = false;
                break;
            }
            let Some(mut job) = self.jobs.pop_front() else { break };
            if free < job.count() {
                left_behind += job.count() - free;
                if free == 0 {
                    passed_over.push(job);
                    continue;
                }
                let part = job.part(may_go);
                passed_over.push(std::mem::replace(&mut job, part));
            }
            self.credit -= job.count();
            count += job.count();
            taken.push(job);
        }
        if self.jobs.is_empty() || enough {
            // A caller with nothing to spend credit on does not accumulate it.
            self.credit = 0;
        }
        for job in passed_over.into_iter().rev() {
            self.jobs.push_front(job);
        }
        (taken, enough)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Answer, *};
    use crate::domain::{caller::Credential, ids::ActionId};

    fn submissions(users: &[&str]) -> Vec<Submission> {
        let submission = |user: &&str| Submission {
            subject: "game".into(),
            credential: Credential::Token,
            self_service_only: false,
            action_id: ActionId::parse("goal").unwrap(),
            user_id: UserId::parse(user).unwrap(),
            value: None,
            metadata: None,
            season: None,
            display_name: None,
            idempotency: None,
            run: None,
        };
        users.iter().map(submission).collect()
    }

    fn users(jobs: &[Job]) -> Vec<String> {
        jobs.iter().flat_map(|job| &job.submissions).map(|submission| submission.user_id.to_string()).collect()
    }

    #[test]
    fn a_flood_from_one_caller_does_not_delay_others() {
        let queue = Arc::new(Queue::default());
        for _ in 0..10 {
            queue.push("flood".into(), submissions(&["x"; 1000])).unwrap();
        }
        for user in ["ann", "bob"] {
            queue.push("small".into(), submissions(&[user])).unwrap();
        }
        let first = users(&queue.take(512, &HashSet::new()));
        assert!(first.contains(&"ann".to_owned()) && first.contains(&"bob".to_owned()), "left for later: {}", first.len());
        assert_eq!(first.len(), 1002, "and the flood is not kept out either");
    }

    #[test]
    fn a_full_queue_refuses_the_caller_that_filled_it() {
        let queue = Arc::new(Queue::default());
        let mut answers = Vec::new();
        while let Some(answer) = queue.push("flood".into(), submissions(&["x"; 1000])) {
            answers.push(answer);
        }
        assert_eq!(answers.len() * 1000, ROOM / 2 / 1000 * 1000);
        assert!(queue.push("small".into(), submissions(&["ann"])).is_some());
        while !queue.take(512, &HashSet::new()).is_empty() {}
        assert!(queue.push("flood".into(), submissions(&["x"; 1000])).is_some(), "answered jobs give their room back");
    }

    #[test]
    fn submissions_of_one_user_keep_their_order_while_others_overtake() {
        let queue = Arc::new(Queue::default());
        for request in [&["ann", "bob"][..], &["bob"], &["cid"], &["ann"]] {
            queue.push("game".into(), submissions(request)).unwrap();
        }
        let busy = HashSet::from([UserId::parse("ann").unwrap()]);
        assert_eq!(users(&queue.take(512, &busy)), ["bob", "bob", "cid"]);
        assert!(queue.take(512, &busy).is_empty());
        assert_eq!(users(&queue.take(512, &HashSet::new())), ["ann", "ann"]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn taking_ends_when_the_rest_has_to_stay() {
        let queue = Arc::new(Queue::default());
        let busy = HashSet::from([UserId::parse("x").unwrap()]);
        let others: Vec<String> = (0..64).map(|number| format!("y{number}")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let _answers = [queue.push("a".into(), submissions(&["x"; 150])), queue.push("c".into(), submissions(&others))];
        assert_eq!(queue.take(64, &busy).iter().map(Job::count).sum::<usize>(), 64);
        // Both callers have to wait for the same user now, with different credit.
        let _answer = queue.push("b".into(), submissions(&["x"; 150]));
        assert!(queue.take(512, &busy).is_empty());
        assert_eq!(queue.take(512, &HashSet::new()).iter().map(Job::count).sum::<usize>(), 300);
    }

    #[tokio::test]
    async fn push_wakes_committer_while_others_are_busy() {
        let queue = Arc::new(Queue::default());
        let busy = HashSet::from([UserId::parse("ann").unwrap()]);
        let _answers = queue.push("game".into(), submissions(&["ann"]));
        queue.changed().await;
        assert!(queue.take(512, &busy).is_empty());
        let _answers = queue.push("game".into(), submissions(&["bob"]));
        tokio::time::timeout(std::time::Duration::from_secs(5), queue.changed()).await.expect("bob may go");
    }

    #[test]
    fn a_divided_request_is_answered_completely_and_in_order() {
        let queue = Arc::new(Queue::default());
        let mut answer = queue.push("game".into(), submissions(&["ann", "bob", "ann", "cid"])).unwrap();
        let early = queue.take(512, &HashSet::from([UserId::parse("ann").unwrap()]));
        let late = queue.take(512, &HashSet::new());
        assert_eq!((users(&early), users(&late)), (vec!["bob".into(), "cid".into()], vec!["ann".into(), "ann".into()]));
        let saying = |word: &str, jobs: Vec<Job>| {
            for job in jobs {
                let words: Vec<_> = job.submissions.iter().map(|of| format!("{word} {}", of.user_id)).collect();
                job.answer(words.into_iter().map(|body| Reply::Receipt(Answer { body, replayed: false })));
            }
        };
        saying("late", late);
        assert!(answer.try_recv().is_err(), "answered before all was committed");
        saying("early", early);
        let bodies = answer.try_recv().unwrap().into_iter().map(|reply| match reply {
            Reply::Receipt(answer) => answer.body,
            _ => panic!("not what was said"),
        });
        assert_eq!(bodies.collect::<Vec<_>>(), ["late ann", "early bob", "late ann", "early cid"]);
    }

    #[test]
    fn a_request_that_lost_a_part_gets_an_error() {
        let queue = Arc::new(Queue::default());
        let mut answer = queue.push("game".into(), submissions(&["ann", "bob"])).unwrap();
        drop(queue.take(512, &HashSet::from([UserId::parse("ann").unwrap()])));
        for job in queue.take(512, &HashSet::new()) {
            job.answer(std::iter::once(Reply::Refused(crate::domain::submission::Refusal::UnknownAction)));
        }
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}

//! The unit that waits for a commit: the submissions of a request, or a part of them.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::{ids::UserId, submission::Submission};

use super::{Reply, queue::Room};

/// Submissions of one request, or a part of them: in order, in one commit.
pub(super) struct Job {
    pub submissions: Vec<Submission>,
    /// The index of each of them in its request.
    places: Vec<usize>,
    request: Arc<Request>,
}

/// A request whose submissions wait or are being committed. If all of its jobs are dropped before they answered, the caller
/// learns that.
struct Request {
    answers: Mutex<Answers>,
    since: Instant,
    _room: Room,
}

struct Answers {
    replies: Vec<Option<Reply>>,
    missing: usize,
    /// Taken when the last job answers.
    reply: Option<oneshot::Sender<Vec<Reply>>>,
}

impl Job {
    /// All submissions of a request, and the receiver of its replies, in their order. The room is given back when the request
    /// is answered or dropped.
    pub fn whole(submissions: Vec<Submission>, room: Room) -> (Self, oneshot::Receiver<Vec<Reply>>) {
        let count = submissions.len();
        let (reply, answer) = oneshot::channel();
        let replies = std::iter::repeat_with(|| None).take(count).collect();
        let answers = Mutex::new(Answers { replies, missing: count, reply: Some(reply) });
        let request = Arc::new(Request { answers, since: Instant::now(), _room: room });
        (Self { submissions, places: (0..count).collect(), request }, answer)
    }

    /// The number of replies it needs, even after its submissions were taken out.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// When its request arrived.
    pub fn since(&self) -> Instant {
        self.request.since
    }

    /// Answers each of its submissions; the last job of a request answers the caller.
    pub fn answer(self, replies: impl Iterator<Item = Reply>) {
        let mut answers = self.request.answers.lock();
        for (place, reply) in self.places.iter().zip(replies) {
            answers.missing -= usize::from(answers.replies[*place].replace(reply).is_none());
        }
        if answers.missing == 0
            && let Some(caller) = answers.reply.take()
        {
            caller.send(std::mem::take(&mut answers.replies).into_iter().flatten().collect()).ok();
        }
    }

    /// Takes out the submissions whose users `may_go`.
    pub fn part(&mut self, may_go: impl Fn(&UserId) -> bool) -> Self {
        let mut part = Self { submissions: Vec::new(), places: Vec::new(), request: Arc::clone(&self.request) };
        let all = std::mem::take(&mut self.submissions).into_iter().zip(std::mem::take(&mut self.places));
        for (submission, place) in all {
            let job = if may_go(&submission.user_id) { &mut part } else { &mut *self };
            job.submissions.push(submission);
            job.places.push(place);
        }
        part
    }
}

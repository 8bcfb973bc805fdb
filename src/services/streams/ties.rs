//! Which open streams depend on a credential that can be ended or changed: an API key, or a session. One tick asks about each such credential once, however
//! many streams it has opened.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::domain::caller::Principal;

use super::{
    super::credentials::{Credentials, Standing},
    topic::Topic,
    wakers::Slot,
};

/// How late it may be noticed that a credential has ended. What other instances have ended is known here half a second later, and streams have to
/// end within two seconds.
const TICK: Duration = Duration::from_millis(500);

/// What is known about a credential, shared by all streams that it has opened with the same rights.
#[derive(Debug, Default)]
pub(super) struct Known(ArcSwapOption<Standing>);

impl Known {
    /// `None`: the credential is good for what it was good for.
    pub(super) fn standing(&self) -> Option<Arc<Standing>> {
        self.0.load_full()
    }

    /// True if it was another one before.
    fn set(&self, standing: Standing) -> bool {
        let new = (standing != Standing::Live).then_some(standing);
        if self.0.load().as_deref() == new.as_ref() {
            return false;
        }
        self.0.store(new.map(Arc::new));
        true
    }
}

/// The credentials of open streams. One entry for each leaderboard of such a stream, removed with the stream. The lock is held to add, to remove, and to
/// list the credentials or what has to be woken.
#[derive(Default)]
pub(super) struct Ties {
    open: Mutex<HashMap<Arc<Principal>, Tied>>,
    added: AtomicU64,
}

struct Tied {
    known: Arc<Known>,
    parts: BTreeMap<u64, (Arc<Topic>, Slot)>,
}

/// A part of a stream among the ties; removed when dropped.
pub(super) struct Tie {
    of: Arc<Ties>,
    holder: Arc<Principal>,
    number: u64,
}

impl Drop for Tie {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        if let Some(tied) = open.get_mut(&self.holder) {
            tied.parts.remove(&self.number);
            if tied.parts.is_empty() {
                open.remove(&self.holder);
            }
        }
    }
}

impl Ties {
    /// Wakes the connection in this slot of the topic when more is known about its holder's credential.
    pub(super) fn add(self: &Arc<Self>, holder: &Arc<Principal>, topic: &Arc<Topic>, slot: Slot) -> (Tie, Arc<Known>) {
        let number = self.added.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        let tied = open.entry(Arc::clone(holder)).or_insert_with(|| Tied { known: Arc::default(), parts: BTreeMap::new() });
        tied.parts.insert(number, (Arc::clone(topic), slot));
        let known = Arc::clone(&tied.known);
        drop(open);
        (Tie { of: Arc::clone(self), holder: Arc::clone(holder), number }, known)
    }

    /// Wakes streams whose credentials have ended or changed, for as long as it is polled.
    pub(super) async fn watch(&self, credentials: &Credentials) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.judge(|holder| credentials.standing(holder));
        }
    }

    fn judge(&self, standing: impl Fn(&Principal) -> Standing) {
        let holders: Vec<_> = self.open.lock().keys().map(Arc::clone).collect();
        for holder in holders {
            let standing = standing(&holder);
            let open = self.open.lock();
            if let Some(tied) = open.get(&holder)
                && tied.known.set(standing)
            {
                tied.parts.values().for_each(|(topic, slot)| topic.wake(*slot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{access::Access, cursor::Cursor},
        *,
    };
    use crate::domain::caller::{Credential, Scopes};

    #[test]
    fn all_streams_of_a_credential_learn_of_its_end_and_nobody_else_does() {
        let topic = Topic::new(4, Duration::ZERO, Arc::default(), Access::open());
        let ties = Arc::<Ties>::default();
        let holder = || {
            let credential = Credential::Session(uuid::Uuid::new_v4());
            let (subject, scopes) = ("ann".into(), Scopes::default());
            Arc::new(Principal { subject, expires: u64::MAX, scopes, leaderboards: None, credential })
        };
        let (ann, bob) = (holder(), holder());
        let open = |holder| ties.add(holder, &topic, topic.take_slot(&mut Cursor::new(10, None, true, true)));
        let streams = [open(&ann), open(&ann), open(&bob)];
        ties.judge(|holder| if *holder == *ann { Standing::Ended } else { Standing::Live });
        let standings = streams.each_ref().map(|(_, known)| known.standing());
        let ended = Some(Arc::new(Standing::Ended));
        assert_eq!(standings, [ended.clone(), ended, None]);
        drop(streams);
        assert!(ties.open.lock().is_empty());
    }
}

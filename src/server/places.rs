//! The limits on open connections: in all, and per address.
//!
//! When there is no slot left, the connection that has been idle for longest is evicted: first one of the same address, so that
//! a crowd of idle connections harms its own address only. A connection that watches or waits for an answer is never evicted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, LazyLock, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::vitals::Vitals;

/// A connection that is new or has been idle for less than this may be about to send a request, and is evicted only if many
/// others are idle.
const REST: Duration = Duration::from_secs(1);
const MANY: usize = 16;
/// How often idle connections are checked again while all slots are taken.
const LOOK: Duration = Duration::from_millis(250);

static REFUSED: LazyLock<Counter> = LazyLock::new(|| counter!("scoreboard_connections_refused_total"));
static EVICTED: LazyLock<Counter> = LazyLock::new(|| counter!("scoreboard_connections_evicted_total"));

/// The most connections at once.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub in_all: usize,
    pub per_address: usize,
}

/// See the module's documentation.
pub(super) struct Places {
    room: Room,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    open: usize,
    by_address: HashMap<IpAddr, Address>,
    /// Idle connections, longest first. One that has sent a request since is still in here, and is skipped.
    resting: BTreeMap<u64, Resting>,
    /// The key of the next idle connection.
    next: u64,
}

#[derive(Default)]
struct Address {
    open: usize,
    resting: BTreeSet<u64>,
}

struct Resting {
    address: IpAddr,
    vitals: Weak<Vitals>,
    /// The number of its requests when it became idle.
    begun: u64,
    since: Instant,
}

/// A slot for one open connection; given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    /// Its key among the idle connections.
    turn: u64,
}

impl Places {
    pub fn new(room: Room) -> Arc<Self> {
        Arc::new(Self { room, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Waits until there is room for one more connection. Called by a single task.
    pub async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            {
                let mut taken = self.taken.lock();
                if taken.open < self.room.in_all {
                    return;
                }
                taken.evict(None);
            }
            timeout(LOOK, freed).await.ok();
        }
    }

    /// A slot for a connection from this address (IPv6: the caller gives the /64), which is idle until its first request.
    /// `unbounded`: it carries many clients. `None` if its address has reached its limit, and none of its connections is idle.
    pub fn take(self: &Arc<Self>, address: IpAddr, unbounded: bool, vitals: &Arc<Vitals>) -> Option<Place> {
        let mut taken = self.taken.lock();
        let open = taken.by_address.get(&address).map_or(0, |address| address.open);
        if !unbounded && open >= self.room.per_address && !taken.evict(Some(address)) {
            REFUSED.increment(1);
            return None;
        }
        taken.by_address.entry(address).or_default().open += 1;
        taken.open += 1;
        let turn = taken.rest(address, vitals);
        Some(Place { places: Arc::clone(self), address, turn })
    }
}

impl Taken {
    /// Evicts the connection that has been idle for longest, of this address or of all. False if none is idle.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        loop {
            let (longest, count) = match of.map(|address| self.by_address.get(&address)) {
                None => (self.resting.keys().next(), self.resting.len()),
                Some(None) => return false,
                Some(Some(address)) => (address.resting.first(), address.resting.len()),
            };
            let Some((turn, resting)) = longest.and_then(|turn| self.resting.get_key_value(turn)) else { return false };
            let vitals = resting.vitals.upgrade();
            let vitals = vitals.filter(|vitals| vitals.is_idle() && vitals.begun.load(Relaxed) == resting.begun);
            if vitals.is_some() && count <= MANY && resting.since.elapsed() < REST {
                return false;
            }
            let turn = *turn;
            self.stir(turn);
            if let Some(vitals) = vitals {
                EVICTED.increment(1);
                vitals.end("its place is needed");
                return true;
            }
        }
    }

    fn rest(&mut self, address: IpAddr, vitals: &Arc<Vitals>) -> u64 {
        let turn = self.next;
        self.next += 1;
        let resting =
            Resting { address, vitals: Arc::downgrade(vitals), begun: vitals.begun.load(Relaxed), since: Instant::now() };
        self.resting.insert(turn, resting);
        self.by_address.entry(address).or_default().resting.insert(turn);
        turn
    }

    fn stir(&mut self, turn: u64) {
        let Some(resting) = self.resting.remove(&turn) else { return };
        if let Some(address) = self.by_address.get_mut(&resting.address) {
            address.resting.remove(&turn);
        }
    }
}

impl Place {
    /// Its connection has been idle for a while, and may be evicted from now on.
    pub fn rest(&mut self, vitals: &Arc<Vitals>) {
        let mut taken = self.places.taken.lock();
        taken.stir(self.turn);
        self.turn = taken.rest(self.address, vitals);
        if taken.open >= self.places.room.in_all {
            self.places.freed.notify_one();
        }
    }

    /// Its connection is active.
    pub fn stir(&self) {
        self.places.taken.lock().stir(self.turn);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.stir(self.turn);
        taken.open -= 1;
        if let Some(address) = taken.by_address.get_mut(&self.address) {
            address.open -= 1;
            if address.open == 0 {
                taken.by_address.remove(&self.address);
            }
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::outgoing::Open;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn take(places: &Arc<Places>, address: IpAddr) -> Option<(Arc<Vitals>, Place)> {
        let vitals = Arc::default();
        places.take(address, false, &vitals).map(|place| (vitals, place))
    }

    #[test]
    fn the_connection_that_has_been_idle_for_longest_is_evicted() {
        let places = Places::new(Room { in_all: 100, per_address: 20 });
        let mut held: Vec<_> = (0..20).map(|_| take(&places, ONE).unwrap()).collect();
        // The first has sent a request, the second is one that watches.
        let _open = Open::new(Arc::clone(&held[0].0));
        held[1].1.stir();
        held.push(take(&places, ONE).unwrap());
        let ended: Vec<_> = (0..held.len()).filter(|index| held[*index].0.ended().is_some()).collect();
        assert_eq!(ended, [2]);
        for (_, place) in &held {
            place.stir();
        }
        assert!(take(&places, ONE).is_none(), "nobody rests");
        assert!(places.take(ONE, true, &Arc::default()).is_some(), "a proxy is not bounded");
        assert!(take(&places, TWO).is_some(), "another address is not concerned");
    }

    #[tokio::test]
    async fn a_new_connection_is_not_taken_for_an_idle_one() {
        let places = Places::new(Room { in_all: 2, per_address: 2 });
        let (first, _place) = take(&places, ONE).unwrap();
        let (_, second) = take(&places, TWO).unwrap();
        assert!(timeout(REST / 2, places.room()).await.is_err());
        assert!(first.ended().is_none());
        // No connection has sent a request for a second now.
        assert!(timeout(REST, places.room()).await.is_err());
        assert!(first.ended().is_some());
        drop(second);
        timeout(REST, places.room()).await.expect("a place is free");
    }
}

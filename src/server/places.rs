//! The connections that there is room for: in all, and for one address.
//!
//! Where there is no room left, whoever has rested longest without asking for anything makes room: first of the same address, so that a crowd
//! of idle connections costs its own address only. What watches or waits for an answer is never taken.

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

/// Who has come or rested for less may be about to ask for something, and is taken only where many others do as little.
const REST: Duration = Duration::from_secs(1);
const MANY: usize = 16;
/// How often those who rest are looked at again while all places are taken.
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
    /// Who rests, longest first. What has asked for something since is still in here, and is passed over.
    resting: BTreeMap<u64, Resting>,
    /// Who is next to rest.
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
    /// The requests it had made when it began to rest.
    begun: u64,
    since: Instant,
}

/// Leave to hold one connection open; given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    /// Its turn among those that rest.
    turn: u64,
}

impl Places {
    pub fn new(room: Room) -> Arc<Self> {
        Arc::new(Self { room, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Waits until there is room for one more connection. Asked by one task.
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

    /// A place for a connection from this address (IPv6: the caller gives the /64), which rests until it has asked for something. `unbounded`: it
    /// stands for many clients. None where its address has as many as it may, and none of them rests.
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
    /// Ends the connection that has rested longest, of this address or of all. False where none rests.
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
    /// Its connection has rested for a while, and may be taken from now on.
    pub fn rest(&mut self, vitals: &Arc<Vitals>) {
        let mut taken = self.places.taken.lock();
        taken.stir(self.turn);
        self.turn = taken.rest(self.address, vitals);
        if taken.open >= self.places.room.in_all {
            self.places.freed.notify_one();
        }
    }

    /// Its connection has something to do.
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
    fn of_many_who_rest_the_one_that_has_rested_longest_makes_room() {
        let places = Places::new(Room { in_all: 100, per_address: 20 });
        let mut held: Vec<_> = (0..20).map(|_| take(&places, ONE).unwrap()).collect();
        // The first has asked for something, the second is one that watches.
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
    async fn who_has_just_come_is_not_taken_for_one_who_rests() {
        let places = Places::new(Room { in_all: 2, per_address: 2 });
        let (first, _place) = take(&places, ONE).unwrap();
        let (_, second) = take(&places, TWO).unwrap();
        assert!(timeout(REST / 2, places.room()).await.is_err());
        assert!(first.ended().is_none());
        // Nobody has asked for anything for a second now.
        assert!(timeout(REST, places.room()).await.is_err());
        assert!(first.ended().is_some());
        drop(second);
        timeout(REST, places.room()).await.expect("a place is free");
    }
}

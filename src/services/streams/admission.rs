//! How many streams there may be: in all, and from one client address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// Why a stream is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// This address has as many open as it may.
    Address,
    /// The server has as many open as it can carry.
    Server,
}

#[derive(Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Counts the open streams.
pub struct Admission {
    per_address: usize,
    in_all: usize,
    counts: Mutex<Counts>,
}

/// Leave to hold one stream open; given back when dropped.
pub struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub fn new(per_address: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self { per_address, in_all, counts: Mutex::default() })
    }

    /// Streams open now.
    pub fn open(&self) -> usize {
        self.counts.lock().open
    }

    /// Leave for one more stream from this address (IPv6: the caller gives the /64).
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Busy> {
        let mut counts = self.counts.lock();
        if counts.open >= self.in_all {
            return Err(Busy::Server);
        }
        let of_address = counts.by_address.entry(address).or_default();
        if *of_address >= self.per_address {
            return Err(Busy::Address);
        }
        *of_address += 1;
        counts.open += 1;
        Ok(Admitted { admission: Arc::clone(self), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.open -= 1;
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back() {
        let admission = Admission::new(1, 2);
        let (one, two, three) = ([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), [3, 3, 3, 3].into());
        let first = admission.admit(one).ok();
        assert_eq!(admission.admit(one).err(), Some(Busy::Address));
        let _second = admission.admit(two).ok();
        assert_eq!(admission.admit(three).err(), Some(Busy::Server));
        drop(first);
        assert!(admission.admit(one).is_ok());
    }
}

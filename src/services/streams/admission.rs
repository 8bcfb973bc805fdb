//! Limits on open streams: in all, from one client address, and with one token's subject.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

use super::measures::MEASURES;

/// Why a stream is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// This address has reached its limit.
    Address,
    /// The holder of this token has reached their limit.
    Token,
    /// The server has reached its limit.
    Server,
}

impl Busy {
    /// The text for the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Address => "too many streams from this address",
            Self::Token => "too many streams with this token",
            Self::Server => "the server has as many streams open as it can carry",
        }
    }
}

/// The most streams open at once.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    pub in_all: usize,
    pub per_address: usize,
    pub per_token: usize,
}

#[derive(Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    by_token: HashMap<Arc<str>, usize>,
}

/// Counts the open streams.
pub struct Admission {
    caps: Caps,
    counts: Mutex<Counts>,
}

/// Permission to hold one stream open; given back when dropped.
pub struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
    subject: Option<Arc<str>>,
}

impl Admission {
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, counts: Mutex::default() })
    }

    /// Streams open now.
    pub fn open(&self) -> usize {
        self.counts.lock().open
    }

    /// Permission for one more stream from this address (IPv6: the caller gives the /64), by the holder of a token if there is
    /// one.
    pub fn admit(self: &Arc<Self>, address: IpAddr, subject: Option<&str>) -> Result<Admitted, Busy> {
        let mut counts = self.counts.lock();
        let refused = if counts.open >= self.caps.in_all {
            Some(Busy::Server)
        } else if counts.by_address.get(&address).is_some_and(|open| *open >= self.caps.per_address) {
            Some(Busy::Address)
        } else if subject.and_then(|subject| counts.by_token.get(subject)).is_some_and(|open| *open >= self.caps.per_token) {
            Some(Busy::Token)
        } else {
            None
        };
        if let Some(busy) = refused {
            MEASURES.refused(busy);
            return Err(busy);
        }
        let subject: Option<Arc<str>> = subject.map(|subject| match counts.by_token.get_key_value(subject) {
            Some((known, _)) => Arc::clone(known),
            None => subject.into(),
        });
        *counts.by_address.entry(address).or_default() += 1;
        if let Some(subject) = &subject {
            *counts.by_token.entry(Arc::clone(subject)).or_default() += 1;
        }
        counts.open += 1;
        MEASURES.open.set(counts.open as f64);
        Ok(Admitted { admission: Arc::clone(self), address, subject })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.open -= 1;
        MEASURES.open.set(counts.open as f64);
        give_back(counts.by_address.entry(self.address));
        if let Some(subject) = self.subject.take() {
            give_back(counts.by_token.entry(subject));
        }
    }
}

/// One stream fewer; the entry is removed when none is left.
fn give_back<K>(of: Entry<'_, K, usize>) {
    if let Entry::Occupied(mut count) = of {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_given_back() {
        let admission = Admission::new(Caps { in_all: 3, per_address: 2, per_token: 1 });
        let (one, two): (IpAddr, IpAddr) = ([1, 1, 1, 1].into(), [2, 2, 2, 2].into());
        let first = admission.admit(one, Some("ann")).ok();
        assert_eq!(admission.admit(two, Some("ann")).err(), Some(Busy::Token));
        let second = admission.admit(one, None).ok();
        assert_eq!(admission.admit(one, Some("bob")).err(), Some(Busy::Address));
        let _third = admission.admit(two, None).ok();
        assert_eq!(admission.admit(two, None).err(), Some(Busy::Server));
        drop((first, second));
        assert!(admission.admit(one, Some("ann")).is_ok());
        assert_eq!(admission.open(), 1);
    }
}

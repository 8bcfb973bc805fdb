//! How long somebody has to wait who fails to sign in: counted by login and address together, by address, and by login.

use super::time::Timestamp;

/// The failure of one login at one address from which on each has to wait.
const PAIR_FROM: i64 = 5;
/// The failure from one address, or with one login, from which on there is a wait.
const ALONE_FROM: i64 = 30;
/// The waits, in seconds: each further failure waits for the next one, and the last one goes on.
const WAITS: [i64; 4] = [60, 300, 900, 3_600];
/// How long failures count, in seconds.
const COUNTED: i64 = 86_400;
/// How long an address at which somebody signed in is known, in seconds.
const KNOWN: i64 = 180 * 86_400;

/// What is known of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub failures: i64,
    /// The end of the newest wait; `None`: there was none.
    pub wait_until: Option<Timestamp>,
    /// The login has signed in at the address before.
    pub known: bool,
    /// From then on it counts for nothing.
    pub expires_at: Timestamp,
}

impl Count {
    /// The same, or nothing once it has expired.
    pub fn at(self, now: Timestamp) -> Self {
        if self.expires_at > now { self } else { Self::default() }
    }
}

/// The keys of an attempt: keyed hashes, in the order of [`Counts`].
pub type Keys = [[u8; 32]; 3];

/// What counts for one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// By login and address.
    pub pair: Count,
    pub address: Count,
    pub login: Count,
}

/// Whether an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// Not before then.
    Wait(Timestamp),
    /// Not before then, and that has to be recorded.
    Begin(Timestamp),
}

impl Counts {
    /// Judges an attempt at this time.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let waits = [self.pair.wait_until, self.address.wait_until];
        if let Some(until) = waits.into_iter().flatten().max().filter(|until| *until > now) {
            return Verdict::Wait(until);
        }
        // Whoever attacks one login from many addresses waits at each of them; its owner's addresses are known.
        if self.login.failures >= ALONE_FROM && !self.pair.known && self.pair.wait_until.is_none() {
            return Verdict::Begin(now.plus_seconds(WAITS[0]));
        }
        Verdict::Go
    }

    /// Begins the wait of an address that is new to the login.
    pub fn begin(&mut self, now: Timestamp, until: Timestamp) {
        self.pair.wait_until = Some(until);
        self.pair.expires_at = self.pair.expires_at.max(now.plus_seconds(COUNTED));
    }

    /// Counts a failure.
    pub fn fail(&mut self, now: Timestamp) {
        for count in [&mut self.pair, &mut self.address, &mut self.login] {
            // What counts by one key alone is shared by many: it is forgotten a day after it began, however it goes on.
            if count.expires_at <= now {
                count.expires_at = now.plus_seconds(COUNTED);
            }
            count.failures = count.failures.saturating_add(1);
        }
        self.pair.expires_at = self.pair.expires_at.max(now.plus_seconds(COUNTED));
        let (pair, address) = (wait(self.pair.failures, PAIR_FROM), wait(self.address.failures, ALONE_FROM));
        let new_here = (self.login.failures >= ALONE_FROM && !self.pair.known).then_some(WAITS[0]);
        if let Some(seconds) = pair.max(new_here) {
            self.pair.wait_until = Some(now.plus_seconds(seconds));
        }
        if let Some(seconds) = address {
            self.address.wait_until = Some(now.plus_seconds(seconds));
        }
    }

    /// Notes that the login has signed in at the address. What the address did otherwise still counts.
    pub fn succeed(&mut self, now: Timestamp) {
        self.pair = Count { failures: 0, wait_until: None, known: true, expires_at: now.plus_seconds(KNOWN) };
    }
}

fn wait(failures: i64, from: i64) -> Option<i64> {
    let further = usize::try_from(failures - from).ok()?;
    Some(WAITS[further.min(WAITS.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn minutes(verdict: Verdict, now: Timestamp) -> i64 {
        match verdict {
            Verdict::Go => 0,
            Verdict::Wait(until) | Verdict::Begin(until) => until.micros_since(now) / 60_000_000,
        }
    }

    #[test]
    fn each_failure_from_the_fifth_on_waits_longer() {
        let (mut counts, mut now, mut waits) = (Counts::default(), NOW, Vec::new());
        for _ in 0..10 {
            counts.fail(now);
            let wait = minutes(counts.verdict(now), now);
            waits.push(wait);
            now = now.plus_seconds(wait * 60);
            assert_eq!(counts.verdict(now), Verdict::Go, "after {wait} minutes");
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 5, 15, 60, 60, 60]);
        counts.succeed(now);
        counts.fail(now);
        assert_eq!((counts.verdict(now), counts.address.failures), (Verdict::Go, 11), "a success clears the pair alone");
    }

    #[test]
    fn an_address_waits_from_thirty_on_whatever_the_logins() {
        let mut address = Count::default();
        let mut waits = Vec::new();
        for _ in 0..34 {
            let mut counts = Counts { address, ..Counts::default() };
            counts.fail(NOW);
            address = counts.address;
            waits.push(minutes(Counts { address, ..Counts::default() }.verdict(NOW), NOW));
        }
        assert_eq!(waits[28..], [0, 1, 5, 15, 60, 60]);
        let tomorrow = NOW.plus_seconds(86_400);
        assert_eq!(address.at(tomorrow), Count::default(), "and not for ever");
    }

    #[test]
    fn a_login_that_many_try_makes_new_addresses_wait_and_known_ones_never() {
        let login = Count { failures: 30, wait_until: None, known: false, expires_at: NOW.plus_seconds(9) };
        let mut stranger = Counts { login, ..Counts::default() };
        let until = NOW.plus_seconds(60);
        assert_eq!(stranger.verdict(NOW), Verdict::Begin(until));
        stranger.begin(NOW, until);
        assert_eq!(stranger.verdict(NOW), Verdict::Wait(until));
        assert_eq!(stranger.verdict(until), Verdict::Go);
        stranger.fail(until);
        assert_eq!(stranger.verdict(until), Verdict::Wait(until.plus_seconds(60)));
        let known = Count { known: true, expires_at: NOW.plus_seconds(9), ..Count::default() };
        let mut owner = Counts { pair: known, login, ..Counts::default() };
        owner.fail(NOW);
        assert_eq!(owner.verdict(NOW), Verdict::Go);
    }
}

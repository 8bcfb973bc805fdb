//! Points in time, and their source.

use std::{
    fmt,
    str::{FromStr, from_utf8},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Microseconds since 1970-01-01T00:00:00Z. Serialises as RFC 3339 in UTC with six decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment moved by `seconds`.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Whole microseconds from `earlier` to this moment; negative where this one is the earlier.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or_default();
        match four_digits(time.year()) {
            Some(year) => f.write_str(from_utf8(&rfc3339(year, &time)).map_err(|_| fmt::Error)?),
            None => f.write_str(&by_chrono(&time)),
        }
    }
}

fn by_chrono(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The digits of a year that has four of them.
fn four_digits(year: i32) -> Option<u32> {
    u32::try_from(year).ok().filter(|year| *year <= 9999)
}

/// The text of a time, as chrono's formatter writes it. Every row of every answer has one, and the formatter takes ten times as
/// long.
fn rfc3339(year: u32, time: &DateTime<Utc>) -> [u8; 27] {
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |from: usize, digits: usize, mut number: u32| {
        for place in text[from..from + digits].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, time.month());
    put(8, 2, time.day());
    put(11, 2, time.hour());
    put(14, 2, time.minute());
    put(17, 2, time.second());
    put(20, 6, time.timestamp_subsec_micros());
    text
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, chrono::ParseError> {
        Ok(Self(DateTime::parse_from_rfc3339(text)?.timestamp_micros()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The source of the present time: injected, so that tests control it.
///
/// A [`Clock::system`] and a [`Clock::over`] never go back and never stand still. If the system's time is set back, they
/// continue from the newest time that they returned or [witnessed](Clock::witness), at the pace of a monotonic clock. So what
/// came first is also recorded first, and a cooldown never lasts longer than it should.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

struct Source {
    system: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Whether the system's time is returned unchanged.
    exact: bool,
    /// Monotonic, whatever happens to the system's time.
    steady: Instant,
    /// The greatest known distance from the steady clock to the time, in microseconds.
    ahead: AtomicI64,
    /// The last time returned.
    last: AtomicI64,
}

impl Clock {
    /// The system's clock, under the rules above.
    pub fn system() -> Self {
        Self::over(|| Timestamp(Utc::now().timestamp_micros()))
    }

    /// Another clock, under the same rules.
    pub fn over(system: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self::new(system, false)
    }

    /// A clock that returns exactly what the function returns.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self::new(now, true)
    }

    fn new(system: impl Fn() -> Timestamp + Send + Sync + 'static, exact: bool) -> Self {
        let (system, steady) = (Box::new(system), Instant::now());
        Self(Arc::new(Source { system, exact, steady, ahead: AtomicI64::new(i64::MIN / 2), last: AtomicI64::new(i64::MIN) }))
    }

    /// The present time. No two calls return the same microsecond.
    pub fn now(&self) -> Timestamp {
        let now = (self.0.system)();
        if self.0.exact {
            return now;
        }
        let steady = self.0.steady_micros();
        let ahead = now.0.saturating_sub(steady);
        let ahead = ahead.max(self.0.ahead.fetch_max(ahead, Ordering::AcqRel));
        let now = steady.saturating_add(ahead);
        let before = self.0.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(now.max(last.saturating_add(1))));
        Timestamp(now.max(before.unwrap_or(now).saturating_add(1)))
    }

    /// This time is in the past: every time returned from now on comes after it.
    pub fn witness(&self, time: Timestamp) {
        // The newest score is usually older than the last time returned here.
        if !self.0.exact && time.0 > self.0.last.load(Ordering::Acquire) {
            self.0.ahead.fetch_max(time.0.saturating_sub(self.0.steady_micros()), Ordering::AcqRel);
            self.0.last.fetch_max(time.0, Ordering::AcqRel);
        }
    }
}

impl Source {
    fn steady_micros(&self) -> i64 {
        i64::try_from(self.steady.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_rfc_3339_text_with_microseconds() {
        assert_eq!(Timestamp(1_462_291_200_000_007).to_string(), "2016-05-03T16:00:00.000007Z");
    }

    #[test]
    fn every_timestamp_is_written_as_chrono_writes_it() {
        let (first, last) = (DateTime::<Utc>::MIN_UTC.timestamp_micros(), DateTime::<Utc>::MAX_UTC.timestamp_micros());
        let spread = (0..20_000).map(|_| fastrand::i64(first..=last));
        let usual = (0..20_000).map(|_| fastrand::i64(-62_200_000_000_000_000..=253_500_000_000_000_000));
        for micros in
            spread.chain(usual).chain([0, -1, 253_402_300_799_999_999, 253_402_300_800_000_000, -62_167_219_200_000_000])
        {
            let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
            assert_eq!(Timestamp(micros).to_string(), by_chrono(&time), "{micros}");
        }
    }

    #[test]
    fn the_system_clock_never_repeats_itself() {
        let clock = Clock::system();
        let times: Vec<_> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_clock_that_is_set_back_runs_on_at_its_own_pace() {
        let system = Arc::new(AtomicI64::new(5_000_000_000));
        let told = Arc::clone(&system);
        let clock = Clock::over(move || Timestamp(told.load(Ordering::Relaxed)));
        let before = clock.now();
        system.store(1_000_000_000, Ordering::Relaxed);
        let (begun, first) = (Instant::now(), clock.now());
        while begun.elapsed().as_millis() < 20 {}
        let passed = clock.now().micros_since(first);
        assert!(first > before && first.micros_since(before) < 1_000_000);
        assert!((19_990..2_000_000).contains(&passed), "{passed} µs for 20 ms");
        system.store(9_000_000_000, Ordering::Relaxed);
        assert!(clock.now() >= Timestamp(9_000_000_000), "a clock that is put ahead is followed");
    }

    #[test]
    fn what_was_witnessed_is_past() {
        let clock = Clock::over(|| Timestamp(1_000_000));
        clock.witness(Timestamp(8_000_000));
        let now = clock.now();
        assert!(now > Timestamp(8_000_000) && now < Timestamp(9_000_000), "{now:?}");
    }
}

//! Times as they are written in a schedule, and the instants that they are in a zone.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::{GapInfo, Tz};

const YEARS: RangeInclusive<i32> = 1970..=2200;

/// A point in time as it was written: with an offset, in microseconds since 1970, or in the leaderboard's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Instant(i64),
    Local(NaiveDateTime),
}

impl Moment {
    pub fn parse(text: &str) -> Result<Self, String> {
        // chrono also takes single digits, signs and spaces.
        let strict = text.len() >= 16
            && text.bytes().zip(*b"0000-00-00T00:00").all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                like => byte == like,
            });
        let local = |format| NaiveDateTime::parse_from_str(text, format).ok().map(|time| (time, Self::Local(time)));
        let with_offset = || {
            let time = DateTime::parse_from_rfc3339(text).ok()?;
            Some((time.naive_local(), Self::Instant(time.timestamp_micros())))
        };
        let parsed = local("%Y-%m-%dT%H:%M:%S%.f").or_else(|| local("%Y-%m-%dT%H:%M")).or_else(with_offset);
        match parsed.filter(|(time, _)| strict && time.nanosecond() < 1_000_000_000) {
            Some((time, moment)) if YEARS.contains(&time.year()) => Ok(moment),
            Some(_) => Err(format!("must be in the years {} to {}", YEARS.start(), YEARS.end())),
            None => Err("must be a time like 2026-12-01T00:00:00, or 2026-12-01T00:00:00Z with an offset".to_owned()),
        }
    }

    pub fn instant(self, zone: Tz) -> i64 {
        match self {
            Self::Instant(instant) => instant,
            Self::Local(local) => first_instant(zone, local),
        }
    }

    pub fn local(self, zone: Tz) -> NaiveDateTime {
        match self {
            Self::Instant(instant) => local_time(zone, instant),
            Self::Local(local) => local,
        }
    }
}

/// What the clocks show at an instant.
pub fn local_time(zone: Tz, instant: i64) -> NaiveDateTime {
    let utc = DateTime::from_timestamp_micros(instant).unwrap_or_default();
    utc.with_timezone(&zone).naive_local()
}

/// The first instant at which the clocks show `local` or later.
pub fn first_instant(zone: Tz, local: NaiveDateTime) -> i64 {
    let read = zone.from_local_datetime(&local).earliest();
    let read = read.or_else(|| GapInfo::new(&local, &zone)?.end);
    read.map_or_else(|| local.and_utc().timestamp_micros(), |time| time.timestamp_micros())
}

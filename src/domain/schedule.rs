//! When a leaderboard starts a new season: its reset schedule, and the boundaries that follow from it in a time zone.
//!
//! Every boundary follows from the schedule and the zone alone, never from the boundary before. Local times become instants by
//! one rule, `first_instant`: the first instant at which the clocks show that time or a later one. So a local time in a gap
//! moves to the end of the gap, and one that is repeated is the first of the two. Boundaries on one instant are one.
//!
//! A cron whose hour has `*` or a step keeps to real hours instead: its boundaries are the instants at which the clocks show a
//! time that matches. So it has both passes of a repeated hour, and nothing for a skipped one. An hour that is written in any
//! other way, be it `0-23`, is a local time.

mod cron;
mod moment;

use std::collections::VecDeque;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value};

use super::time::Timestamp;
use cron::Cron;
use moment::{Moment, first_instant, local_time};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
/// How long a period can be.
const TEN_YEARS_IN_DAYS: i64 = 3652;
/// How far ahead a boundary is looked for: a day more, so that a change of the clocks does not hide the longest period.
const TEN_YEARS: i64 = (TEN_YEARS_IN_DAYS + 1) * DAY;
/// No instant of the year 1970 is before this one in any zone.
const BEGIN: i64 = -DAY;
/// The end of the year 2200 in UTC.
const END: i64 = 84_371 * DAY - 1;
/// The longest text of a field, in bytes.
const MAX_TEXT: usize = 500;
const MAX_DATES: usize = 1000;

/// Why a schedule cannot be. `reason` completes "this field …"; `field` is empty where it is about the whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}{}{reason}", if field.is_empty() { "" } else { " " })]
pub struct InvalidSchedule {
    pub field: &'static str,
    pub reason: String,
}

fn invalid(field: &'static str, reason: impl Into<String>) -> InvalidSchedule {
    InvalidSchedule { field, reason: reason.into() }
}

/// A reset schedule. Serialises as the object that the client wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ResetSchedule {
    written: Value,
    #[serde(skip)]
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Cron(Cron),
    Every(Period, Moment),
    Dates(Vec<Moment>),
}

impl ResetSchedule {
    pub fn from_json(value: &Value) -> Result<Self, InvalidSchedule> {
        let object = value.as_object().ok_or_else(|| invalid("", "must be an object"))?;
        if let Some(key) = object.keys().find(|key| !["cron", "every", "from", "dates"].contains(&key.as_str())) {
            return Err(invalid("", format!("must have no field {key:?}")));
        }
        let rule = match (object.get("cron"), object.get("every"), object.get("dates")) {
            (Some(_), None, None) => Rule::Cron(field(object, "cron", Cron::parse)?),
            (None, Some(_), None) => Rule::Every(field(object, "every", Period::parse)?, field(object, "from", Moment::parse)?),
            (None, None, Some(dates)) => Rule::Dates(parse_dates(dates)?),
            _ => return Err(invalid("", "must have exactly one of cron, every and dates")),
        };
        if object.contains_key("from") && !object.contains_key("every") {
            return Err(invalid("from", "must come with every only"));
        }
        Ok(Self { written: value.clone(), rule })
    }

    /// Reads what [`Serialize`] wrote.
    pub fn from_stored(text: &str) -> Result<Self, InvalidSchedule> {
        Self::from_json(&serde_json::from_str(text).map_err(|error| invalid("", format!("must be JSON: {error}")))?)
    }

    /// The boundaries after `after` in ascending order. They end where none follows within ten years, and with the year 2200.
    pub fn boundaries(&self, zone: Tz, after: Timestamp) -> Boundaries<'_> {
        Boundaries::new(&self.rule, zone, after.0, END, TEN_YEARS)
    }

    pub fn next(&self, zone: Tz, after: Timestamp) -> Option<Timestamp> {
        self.boundaries(zone, after).next()
    }

    /// The newest `limit` of the boundaries after `after` up to and with `until`, and how many earlier ones there are. Here a
    /// pause of more than ten years ends nothing.
    pub fn missed(&self, zone: Tz, after: Timestamp, until: Timestamp, limit: usize) -> (Vec<Timestamp>, u64) {
        let (mut newest, mut earlier) = (VecDeque::new(), 0);
        for boundary in Boundaries::new(&self.rule, zone, after.0, until.0.min(END), i64::MAX) {
            newest.push_back(boundary);
            if newest.len() > limit {
                newest.pop_front();
                earlier += 1;
            }
        }
        (newest.into(), earlier)
    }

    /// Whether it can be saved at `now`. Crons and periods are far enough apart by how they are written; dates can meet in the
    /// zone.
    pub fn check(&self, zone: Tz, now: Timestamp) -> Result<(), InvalidSchedule> {
        let field = match &self.rule {
            Rule::Cron(_) => "cron",
            Rule::Every(..) => "from",
            Rule::Dates(_) => "dates",
        };
        if let Rule::Dates(dates) = &self.rule {
            let instants = instants(dates, zone);
            check_distances(instants.iter().copied())?;
        }
        self.next(zone, now).map(drop).ok_or_else(|| invalid(field, "must give a reset within the next ten years"))
    }
}

type Parse<T> = fn(&str) -> Result<T, String>;

fn field<T>(object: &Map<String, Value>, name: &'static str, parse: Parse<T>) -> Result<T, InvalidSchedule> {
    let value = object.get(name).ok_or_else(|| invalid(name, "is required with every"))?;
    let text = value.as_str().ok_or_else(|| invalid(name, "must be a string"))?;
    if text.len() > MAX_TEXT {
        return Err(invalid(name, format!("must have at most {MAX_TEXT} bytes")));
    }
    parse(text).map_err(|reason| invalid(name, reason))
}

fn parse_dates(value: &Value) -> Result<Vec<Moment>, InvalidSchedule> {
    let dates = value.as_array().filter(|dates| (1..=MAX_DATES).contains(&dates.len()));
    let dates = dates.ok_or_else(|| invalid("dates", format!("must be an array of 1 to {MAX_DATES} times")))?;
    let parse = |date: &Value| {
        let text = date.as_str().ok_or("must hold strings only")?;
        Moment::parse(text).map_err(|reason| format!("{reason}: {}", text.chars().take(50).collect::<String>()))
    };
    let dates = dates.iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(|reason| invalid("dates", reason))?;
    // Those of one kind can be compared in any zone.
    let (mut with_offset, mut local) = (Vec::new(), Vec::new());
    for date in &dates {
        match date {
            Moment::Instant(instant) => with_offset.push(*instant),
            Moment::Local(time) => local.push(time.and_utc().timestamp_micros()),
        }
    }
    for mut times in [with_offset, local] {
        times.sort_unstable();
        check_distances(times.into_iter())?;
    }
    Ok(dates)
}

/// That each time is at least a second after the one before.
fn check_distances(mut ascending: impl Iterator<Item = i64>) -> Result<(), InvalidSchedule> {
    let mut last = i64::MIN / 2;
    match ascending.all(|time| time - std::mem::replace(&mut last, time) >= SECOND) {
        true => Ok(()),
        false => Err(invalid("dates", "must be at least a second apart")),
    }
}

/// The instants of dates, ascending. Those on one instant are one.
fn instants(dates: &[Moment], zone: Tz) -> VecDeque<i64> {
    let mut instants: Vec<_> = dates.iter().map(|date| date.instant(zone)).collect();
    instants.sort_unstable();
    instants.dedup();
    instants.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    /// Calendar days, each at the same time of day.
    Days(i64),
    /// Microseconds.
    Exact(i64),
}

impl Period {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim_start_matches(['P', 'T']).trim_end_matches(char::is_alphabetic);
        let count = || digits.parse::<i64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let (unit, count) = match (text.split_once(digits), count()) {
            (Some(("P", "M" | "Y")), _) if !text.contains('T') => {
                return Err("must be in days, weeks, hours or minutes: a cron like 0 0 1 * * counts months".to_owned());
            }
            (Some(("P", "W")), Some(count)) => (7 * DAY, count),
            (Some(("P", "D")), Some(count)) => (DAY, count),
            (Some(("PT", "H")), Some(count)) => (60 * MINUTE, count),
            (Some(("PT", "M")), Some(count)) => (MINUTE, count),
            _ => return Err("must be a period of one unit like P7D, P2W, PT12H or PT90M".to_owned()),
        };
        match count.saturating_mul(unit) {
            length if !(1..=TEN_YEARS_IN_DAYS * DAY).contains(&length) => {
                Err(format!("must be longer than zero and at most ten years, P{TEN_YEARS_IN_DAYS}D"))
            }
            length if unit < DAY => Ok(Self::Exact(length)),
            length => Ok(Self::Days(length / DAY)),
        }
    }

    /// The boundary number `k` counted from 0 at `from`; `None` where the calendar ends.
    fn boundary(self, from: Moment, k: i64, zone: Tz) -> Option<i64> {
        match self {
            // Not by way of the local time, which can be that of an earlier instant.
            _ if k == 0 => Some(from.instant(zone)),
            Self::Exact(length) => from.instant(zone).checked_add(length.checked_mul(k)?),
            Self::Days(days) => {
                let days = Days::new(u64::try_from(days.checked_mul(k)?).ok()?);
                Some(first_instant(zone, from.local(zone).checked_add_days(days)?))
            }
        }
    }

    /// A number not above that of the first boundary after `after`, and at most a few below it.
    fn first(self, from: Moment, after: i64, zone: Tz) -> i64 {
        let passed = match self {
            Self::Exact(length) => (after - from.instant(zone)).div_euclid(length),
            Self::Days(days) => (local_time(zone, after).date() - from.local(zone).date()).num_days().div_euclid(days) - 1,
        };
        passed.max(0)
    }
}

/// See [`ResetSchedule::boundaries`].
#[derive(Debug, Clone)]
pub struct Boundaries<'a> {
    rule: &'a Rule,
    zone: Tz,
    last: i64,
    until: i64,
    /// The longest pause that does not end them.
    pause: i64,
    /// Of a period: the number of the next boundary.
    k: i64,
    /// Of a cron: the next day to be read.
    date: NaiveDate,
    /// Of a cron: instants of earlier days that may come after some of the next day, where midnight is repeated.
    held: Vec<i64>,
    ready: VecDeque<i64>,
}

impl<'a> Boundaries<'a> {
    fn new(rule: &'a Rule, zone: Tz, after: i64, until: i64, pause: i64) -> Self {
        let last = after.clamp(BEGIN, END);
        // The day before can come again, in part.
        let date = local_time(zone, last).date().pred_opt().unwrap_or_default();
        let mut ready = VecDeque::new();
        let mut k = 0;
        match rule {
            Rule::Cron(_) => (),
            Rule::Every(period, from) => k = period.first(*from, last, zone),
            Rule::Dates(dates) => ready = instants(dates, zone),
        }
        Self { rule, zone, last, until, pause, k, date, held: Vec::new(), ready }
    }

    /// Adds the instants of a day that matches.
    fn hold_day(&mut self, cron: &Cron) {
        for local in cron.times(self.date) {
            if cron.real_hours {
                let read = self.zone.from_local_datetime(&local);
                self.held.extend(read.earliest().into_iter().chain(read.latest()).map(|time| time.timestamp_micros()));
            } else {
                self.held.push(first_instant(self.zone, local));
            }
        }
    }

    /// Makes the next candidates ready, which come after all before; `None` if there are none up to `limit`.
    fn refill(&mut self, limit: i64) -> Option<()> {
        match self.rule {
            Rule::Cron(cron) => {
                let next = self.date.succ_opt()?;
                // No zone is a day ahead of UTC.
                if midnight(self.date).and_utc().timestamp_micros() - DAY > limit {
                    return None;
                }
                if cron.has_day(self.date) {
                    self.hold_day(cron);
                }
                self.date = next;
                if !self.held.is_empty() {
                    self.held.sort_unstable();
                    let next_day = first_instant(self.zone, midnight(next));
                    let ready = self.held.partition_point(|instant| *instant < next_day);
                    self.ready.extend(self.held.drain(..ready));
                }
            }
            Rule::Every(period, from) => {
                self.ready.push_back(period.boundary(*from, self.k, self.zone)?);
                self.k += 1;
            }
            Rule::Dates(_) => return None,
        }
        Some(())
    }
}

fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN)
}

impl Iterator for Boundaries<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let limit = self.last.saturating_add(self.pause).min(self.until);
        loop {
            match self.ready.front() {
                Some(candidate) if *candidate > limit => return None,
                Some(candidate) if *candidate > self.last => {
                    self.last = *candidate;
                    return self.ready.pop_front().map(Timestamp);
                }
                Some(_) => drop(self.ready.pop_front()),
                None => self.refill(limit)?,
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Crons: which local dates and times match one. Neither zones nor changes of the clocks are known here.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, NaiveDateTime};

/// A cron of five fields. Bit n of a set stands for the value n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    last_day: bool,
    months: u64,
    weekdays: u64,
    /// The weekdays (Sunday is bit 0) that are meant only the first to fifth time in the month, and at index 0 the last time.
    nth_weekdays: [u64; 6],
    /// A field of days that is `*` says nothing; if neither is, either matches.
    any_day: bool,
    any_weekday: bool,
    /// Whether the hour has `*` or a step.
    pub real_hours: bool,
}

/// A field of a cron, with the names of its values from the lowest on.
struct CronField(&'static str, RangeInclusive<u32>, &'static [&'static str]);

const MINUTES: CronField = CronField("minute", 0..=59, &[]);
const HOURS: CronField = CronField("hour", 0..=23, &[]);
const DAYS: CronField = CronField("day of month", 1..=31, &[]);
const MONTHS: CronField =
    CronField("month", 1..=12, &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]);
const WEEKDAYS: CronField = CronField("day of week", 0..=7, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]);

impl CronField {
    fn number(&self, text: &str, allowed: RangeInclusive<u32>) -> Result<u32, String> {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && allowed.contains(number));
        let (first, last) = (allowed.start(), allowed.end());
        number.ok_or_else(|| format!("must have {first} to {last} in place of {text:?} in the {}", self.0))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        match self.2.iter().zip(*self.1.start()..).find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((_, value)) => Ok(value),
            None => self.number(text, self.1.clone()),
        }
    }

    /// The set of one item of a list: a value, a range, `*`, or one of the latter two with a step.
    fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => self.1.clone().into_inner(),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if step.is_some() => return Err(format!("must have a step after * or a range only, unlike {item:?}")),
            None => (self.value(range)?, self.value(range)?),
        };
        // Sunday also ends the week.
        let last = if last == 0 && first > 0 && self.0 == WEEKDAYS.0 { 7 } else { last };
        if first > last {
            return Err(format!("must have ranges that ascend, unlike {item:?}"));
        }
        let step = step.map_or(Ok(1), |step| self.number(step, 1..=*self.1.end()))?;
        Ok((first..=last).step_by(step as usize).fold(0, |set, value| set | 1 << value))
    }
}

impl Cron {
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let &[minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err("must have five fields: minute, hour, day of month, month and day of week".to_owned());
        };
        if let Some(field) = fields.iter().find(|field| **field != "*" && field.split(',').any(|item| item == "*")) {
            return Err(format!("must not have * in a list, unlike {field:?}"));
        }
        let set =
            |field: CronField, text: &str| text.split(',').try_fold(0, |set, item| Ok::<_, String>(set | field.item(item)?));
        let mut cron = Self {
            minutes: set(MINUTES, minutes)?,
            hours: set(HOURS, hours)?,
            days: 0,
            last_day: false,
            months: set(MONTHS, months)?,
            weekdays: 0,
            nth_weekdays: [0; 6],
            any_day: days == "*",
            any_weekday: weekdays == "*",
            real_hours: hours.contains(['*', '/']),
        };
        for item in days.split(',') {
            match item {
                "L" | "l" => cron.last_day = true,
                _ => cron.days |= DAYS.item(item)?,
            }
        }
        for item in weekdays.split(',') {
            let (nth, day) = match (item.split_once('#'), item.strip_suffix(['L', 'l'])) {
                (Some((day, nth)), _) => (WEEKDAYS.number(nth, 1..=5)? as usize, day),
                (None, Some("")) => return Err("must have a weekday before L in the day of week, like FRIL".to_owned()),
                (None, Some(day)) => (0, day),
                (None, None) => {
                    cron.weekdays |= WEEKDAYS.item(item)?;
                    continue;
                }
            };
            cron.nth_weekdays[nth] |= 1 << (WEEKDAYS.value(day)? % 7);
        }
        cron.weekdays |= cron.weekdays >> 7;
        Ok(cron)
    }

    pub fn has_day(&self, date: NaiveDate) -> bool {
        let last = u32::from(date.num_days_in_month());
        let weekday = date.weekday().num_days_from_sunday();
        let by_day = holds(self.days, date.day()) || self.last_day && date.day() == last;
        let by_weekday = holds(self.weekdays, weekday)
            || holds(self.nth_weekdays[date.day().div_ceil(7) as usize], weekday)
            || holds(self.nth_weekdays[0], weekday) && date.day() + 7 > last;
        holds(self.months, date.month())
            && match (self.any_day, self.any_weekday) {
                (false, false) => by_day || by_weekday,
                _ => by_day && by_weekday,
            }
    }

    /// The local times of a day that matches, ascending.
    pub fn times(&self, date: NaiveDate) -> impl Iterator<Item = NaiveDateTime> {
        let hours = (0..24).filter(|hour| holds(self.hours, *hour));
        let times =
            hours.flat_map(|hour| (0..60).filter(|minute| holds(self.minutes, *minute)).map(move |minute| (hour, minute)));
        times.filter_map(move |(hour, minute)| date.and_hms_opt(hour, minute, 0))
    }
}

fn holds(set: u64, value: u32) -> bool {
    set >> value & 1 == 1
}

//! The schedule against a walk over the minutes of the time line that knows only what the clocks show at an instant.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use serde_json::json;

use super::{super::*, at, schedule, shown, zone};

/// Those with the odd changes first: half hours, at midnight or a minute after it, whole days, negative summer time, the decrees.
const ZONES: [&str; 52] = [
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Apia",
    "Pacific/Fakaofo",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Hebron",
    "Asia/Amman",
    "Asia/Damascus",
    "Asia/Pyongyang",
    "America/Caracas",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "America/Havana",
    "America/Asuncion",
    "America/Santiago",
    "Pacific/Easter",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Antarctica/Davis",
    "America/Scoresbysund",
    "America/Nuuk",
    "Atlantic/Azores",
    "Europe/Moscow",
    "Europe/Volgograd",
    "Asia/Novosibirsk",
    "America/Argentina/San_Luis",
    "Africa/Windhoek",
    "Africa/Khartoum",
    "Africa/Juba",
    "Africa/Sao_Tome",
    "Pacific/Norfolk",
    "Pacific/Bougainville",
    "Pacific/Fiji",
    "America/Metlakatla",
    "America/New_York",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/Port-au-Prince",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Istanbul",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Adelaide",
    "UTC",
];

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::from(bound)) as u32
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.below(chances) == 0
    }
}

/// What the clocks show, in minutes since 1970 as if it were UTC; `minute` is in UTC.
fn clock(zone: Tz, minute: i64) -> i64 {
    let utc = DateTime::from_timestamp(minute * 60, 0).unwrap().naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    assert_eq!(offset % 60, 0, "{zone} has seconds at {utc}");
    minute + i64::from(offset) / 60
}

/// The minutes in UTC at which the offset changes from 2005 to 2040.
fn changes(zone: Tz) -> Vec<i64> {
    let [from, to] = ["2005-01-01T00:00:00Z", "2041-01-01T00:00:00Z"].map(|text| at(text).0 / MINUTE);
    let offset = |minute| clock(zone, minute) - minute;
    let mut found = Vec::new();
    for start in (from..to).step_by(360) {
        if offset(start) != offset(start + 360) {
            found.push((start + 1..=start + 360).find(|minute| offset(*minute) != offset(start)).unwrap());
        }
    }
    found
}

/// The minutes from `from` to `to` at which the clocks first reach a local time that `is_wanted`, or pass over it.
fn first_reached(zone: Tz, from: i64, to: i64, is_wanted: impl Fn(i64) -> bool) -> Vec<i64> {
    // Two days before, to know how far the clocks have been already.
    let mut highest = clock(zone, from - 2881);
    let mut found = Vec::new();
    for minute in from - 2880..=to {
        let now = clock(zone, minute);
        if (highest + 1..=now).any(&is_wanted) && minute >= from {
            found.push(minute);
        }
        highest = highest.max(now);
    }
    found
}

fn naive(minute: i64) -> NaiveDateTime {
    DateTime::from_timestamp(minute * 60, 0).unwrap().naive_utc()
}

/// A random cron: its text, and what it means.
#[derive(Debug)]
struct Pattern {
    text: String,
    minutes: HashSet<u32>,
    hours: HashSet<u32>,
    days: HashSet<u32>,
    months: HashSet<u32>,
    /// Weekday from Sunday = 0, and which one: 1 to 5, 0 for the last, 9 for each.
    weekdays: HashSet<(u32, u32)>,
    days_are_given: (bool, bool),
    real_hours: bool,
}

const LAST_DAY: u32 = 99;

impl Pattern {
    fn random(random: &mut Random, around: NaiveDateTime) -> Self {
        let mut texts = Vec::new();
        let mut field = |random: &mut Random, low: u32, high: u32, likely: u32, star: u32| {
            let (text, set) = Self::field(random, low, high, likely, star);
            texts.push(text);
            set
        };
        let minutes = field(random, 0, 59, around.minute(), 6);
        let hours = field(random, 0, 23, around.hour(), 4);
        let mut days = field(random, 1, 31, around.day(), 2);
        let months = field(random, 1, 12, around.month(), 2);
        let weekday = around.weekday().num_days_from_sunday();
        let mut weekdays: HashSet<_> = field(random, 0, 6, weekday, 2).into_iter().map(|weekday| (weekday, 9)).collect();
        if random.one_in(4) {
            days = if texts[2] == "*" { HashSet::new() } else { days };
            texts[2] = if texts[2] == "*" { "L".to_owned() } else { format!("{},l", texts[2]) };
            days.insert(LAST_DAY);
        }
        if random.one_in(3) {
            let name = ["SUN", "mon", "Tue", "3", "THU", "5", "sat"][weekday as usize];
            let nth = if random.one_in(2) { 0 } else { around.day().div_ceil(7) };
            let item = if nth == 0 { format!("{name}L") } else { format!("{name}#{nth}") };
            weekdays = if texts[4] == "*" { HashSet::new() } else { weekdays };
            texts[4] = if texts[4] == "*" { item } else { format!("{item},{}", texts[4]) };
            weekdays.insert((weekday, nth));
        }
        let days_are_given = (texts[2] != "*", texts[4] != "*");
        let real_hours = texts[1].contains(['*', '/']);
        Self { text: texts.join(" "), minutes, hours, days, months, weekdays, days_are_given, real_hours }
    }

    fn field(random: &mut Random, low: u32, high: u32, likely: u32, star: u32) -> (String, HashSet<u32>) {
        let values = |first: u32, last: u32, step: u32| (first..=last).filter(move |value| (value - first).is_multiple_of(step));
        if random.one_in(star) {
            return ("*".to_owned(), values(low, high, 1).collect());
        }
        let (mut items, mut set) = (Vec::new(), HashSet::new());
        for _ in 0..=random.below(3) {
            let first = if random.one_in(2) { likely } else { low + random.below(high - low + 1) };
            let last = first + random.below(high - first + 1);
            let step = 1 + random.below(high.min(12));
            match random.below(4) {
                0 => {
                    items.push(format!("{first}-{last}"));
                    set.extend(values(first, last, 1));
                }
                1 => {
                    items.push(format!("{first}-{last}/{step}"));
                    set.extend(values(first, last, step));
                }
                2 if random.one_in(2) => {
                    items.push(format!("*/{step}"));
                    set.extend(values(low, high, step));
                }
                _ => {
                    items.push(format!("{first:02}"));
                    set.insert(first);
                }
            }
        }
        (items.join(","), set)
    }

    fn matches(&self, time: NaiveDateTime) -> bool {
        if !(self.minutes.contains(&time.minute()) && self.hours.contains(&time.hour()) && self.months.contains(&time.month())) {
            return false;
        }
        let date = time.date();
        let same_month = |date: &NaiveDate| date.month() == time.month();
        let last_day = !same_month(&date.succ_opt().unwrap());
        let day = self.days.contains(&date.day()) || last_day && self.days.contains(&LAST_DAY);
        let number = date.weekday().num_days_from_sunday();
        let nth = (0..5).take_while(|weeks| same_month(&(date - TimeDelta::weeks(*weeks)))).count() as u32;
        let last = !same_month(&(date + TimeDelta::weeks(1)));
        let has = |which| self.weekdays.contains(&(number, which));
        let weekday = has(9) || has(nth) || last && has(0);
        match self.days_are_given {
            (true, true) => day || weekday,
            (true, false) => day,
            (false, true) => weekday,
            (false, false) => true,
        }
    }

    /// The minutes of its boundaries, by the definition.
    fn boundaries(&self, zone: Tz, from: i64, to: i64) -> Vec<i64> {
        match self.real_hours {
            true => (from..=to).filter(|minute| self.matches(naive(clock(zone, *minute)))).collect(),
            false => first_reached(zone, from, to, |local| self.matches(naive(local))),
        }
    }
}

/// From the start of the walk, and from times in it, on a boundary or not.
#[track_caller]
fn assert_same(schedule: &ResetSchedule, zone: Tz, (from, to): (i64, i64), expected: &[i64], random: &mut Random) {
    let mut starts = vec![from * MINUTE - 1];
    starts.push((from + i64::from(random.below((to - from) as u32))) * MINUTE + i64::from(random.below(2)) * 1_234_567);
    if !expected.is_empty() {
        let boundary = expected[random.below(expected.len() as u32) as usize] * MINUTE;
        starts.extend([boundary - 1, boundary]);
    }
    for after in starts {
        let expected: Vec<_> = expected.iter().map(|minute| minute * MINUTE).filter(|time| *time > after).collect();
        let until = Timestamp((to + 1) * MINUTE - 1);
        let found: Vec<_> =
            schedule.boundaries(zone, Timestamp(after)).take_while(|time| *time <= until).map(|time| time.0).collect();
        if found != expected {
            let at = found.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            let show = |times: &[i64]| times.iter().skip(at).take(5).map(|time| shown(zone, *time)).collect::<Vec<_>>();
            let (found, expected) = (show(&found), show(&expected));
            panic!("{schedule:?} in {zone} after {}: {found:?} instead of {expected:?}", shown(zone, after));
        }
        let limit = random.below(5) as usize;
        let (newest, earlier) = schedule.missed(zone, Timestamp(after), until, limit);
        let kept = expected.len().min(limit);
        assert_eq!(earlier as usize, expected.len() - kept, "{schedule:?} in {zone} has missed");
        assert!(newest.iter().map(|time| time.0).eq(expected[expected.len() - kept..].iter().copied()));
    }
}

/// A window around each of some changes of each zone, or around any time where a zone has no change.
fn windows(random: &mut Random, per_zone: u32) -> Vec<(Tz, i64)> {
    let mut windows = Vec::new();
    for name in ZONES {
        let zone = zone(name);
        let mut changes = changes(zone);
        let odd = |change: &i64| {
            let shift = clock(zone, *change) - clock(zone, change - 1) - 1;
            let reads = clock(zone, change - 1).rem_euclid(1440);
            shift.abs() != 60 || !(61..1380).contains(&reads)
        };
        // All of those that no library is tried with.
        windows.extend(changes.iter().filter(|change| odd(change)).take(per_zone as usize).map(|change| (zone, *change)));
        changes.push(at("2005-01-01T00:00:00Z").0 / MINUTE + i64::from(random.below(18_000_000)));
        for _ in 0..per_zone {
            windows.push((zone, changes[random.below(changes.len() as u32) as usize]));
        }
    }
    windows
}

#[test]
fn crons_are_what_a_walk_over_the_minutes_finds() {
    let mut random = Random(0x5EED);
    let (mut boundaries, mut fixed) = (0, 0);
    for (zone, change) in windows(&mut random, 6) {
        for _ in 0..2 {
            let (from, to) = (change - 1500 - i64::from(random.below(1440)), change + 1500);
            let around = naive(clock(zone, change - 30 + i64::from(random.below(60))) - i64::from(random.below(2)) * 30);
            let pattern = Pattern::random(&mut random, around);
            let expected = pattern.boundaries(zone, from, to);
            assert_same(&schedule(json!({"cron": pattern.text})), zone, (from, to), &expected, &mut random);
            boundaries += expected.len();
            fixed += usize::from(!pattern.real_hours && !expected.is_empty());
        }
    }
    assert!(boundaries > 20_000 && fixed > 150, "{boundaries} boundaries, {fixed} crons of local times: too few to mean much");
}

#[test]
fn periods_are_what_a_walk_over_the_minutes_finds() {
    let mut random = Random(0xFACE);
    let mut boundaries = 0;
    for (zone, change) in windows(&mut random, 6) {
        let (from, to) = (change - 1500 - i64::from(random.below(1440)), change + 5000);
        // In the hours around the change by the clocks, some days or years before it or a day after.
        let local = clock(zone, change) - 90 + i64::from(random.below(12)) * 15;
        let days = i64::from(1 + random.below(9));
        let periods = if random.one_in(2) { random.below(3) } else { random.below(900) };
        let start = local + 1440 * days * (1 - i64::from(periods));
        let text = naive(start).format(["%FT%T", "%FT%R"][random.below(2) as usize]).to_string();
        let expected = first_reached(zone, from, to, |local| local >= start && (local - start) % (days * 1440) == 0);
        let mut every = format!("P{days}D");
        if days == 7 {
            every = "P1W".to_owned();
        }
        assert_same(&schedule(json!({"every": every, "from": text})), zone, (from, to), &expected, &mut random);
        boundaries += expected.len();

        let minutes = i64::from([1, 7, 60, 90, 1440][random.below(5) as usize]);
        let first = first_reached(zone, start - 1000, start + 3000, |local| local == start)[0];
        let expected: Vec<_> = (from..=to).filter(|minute| *minute >= first && (minute - first) % minutes == 0).collect();
        let every = if minutes % 60 == 0 { format!("PT{}H", minutes / 60) } else { format!("PT{minutes}M") };
        assert_same(&schedule(json!({"every": every, "from": text})), zone, (from, to), &expected, &mut random);
        boundaries += expected.len();
    }
    assert!(boundaries > 20_000, "{boundaries}");
}

//! The schedule against tables of hard cases, and (`walk.rs`) against a walk over the minutes of the time line.

mod walk;

use std::time::Instant;

use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::*;

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
}

fn shown(zone: Tz, time: i64) -> String {
    DateTime::from_timestamp_micros(time).unwrap().with_timezone(&zone).to_rfc3339()
}

fn schedule(value: Value) -> ResetSchedule {
    ResetSchedule::from_json(&value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// The boundaries after one time and before another, as the clocks show them.
fn local(value: Value, zone_name: &str, after: &str, before: &str) -> Vec<String> {
    let (zone, schedule) = (zone(zone_name), schedule(value));
    let times = schedule.boundaries(zone, at(after)).take_while(|time| *time < at(before));
    times.map(|time| shown(zone, time.0).replace(":00+", "+").replace(":00-", "-")).collect()
}

#[test]
fn hard_crons() {
    type Case = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);
    #[rustfmt::skip]
    let cases: &[Case] = &[
        // Gap: both move to its end and are one. Not where the hour is a step.
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", &["2026-03-29T03:00+02:00"]),
        ("* 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", &["2026-03-29T03:00+02:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", &["2026-03-29T03:00+02:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T03:00:00Z", &["2026-03-29T00:00+01:00", "2026-03-29T04:00+02:00"]),
        ("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z", &["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"]),
        // Overlap: the first pass; with a step or * both passes.
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", &["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00"]),
        ("0 0-23 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T03:30:00Z", &["2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00", "2026-10-25T04:00+01:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T03:30:00Z", &["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T04:00+01:00"]),
        ("30 2-4/2 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T05:00:00Z", &["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T04:30+01:00"]),
        // Half an hour.
        ("0,15,30,45 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T00:00:00Z", &["2026-10-04T02:30+11:00", "2026-10-04T02:45+11:00"]),
        ("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", "2026-04-04T16:00:00Z", &["2026-04-05T01:45+11:00", "2026-04-05T01:45+10:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", "2026-04-05T00:00:00Z", &["2026-04-05T01:45+11:00"]),
        // Gaps at midnight.
        ("0 0 * * SUN", "America/Sao_Paulo", "2018-11-01T00:00:00Z", "2018-11-10T00:00:00Z", &["2018-11-04T01:00-02:00"]),
        ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z", &["2026-03-29T01:00+03:00", "2026-03-30T00:00+03:00"]),
        ("30 0 24 4 *", "Africa/Cairo", "2026-04-01T00:00:00Z", "2027-04-01T00:00:00Z", &["2026-04-24T01:00+03:00"]),
        // Midnight comes twice: at 00:01 the clocks went back to 23:01.
        ("0 0 * * *", "America/St_Johns", "2010-11-06T12:00:00Z", "2010-11-08T00:00:00Z", &["2010-11-07T00:00-02:30"]),
        ("0,30 23,0 * * *", "America/St_Johns", "2010-11-07T01:00:00Z", "2010-11-07T05:00:00Z", &["2010-11-06T23:00-02:30", "2010-11-06T23:30-02:30", "2010-11-07T00:00-02:30", "2010-11-07T00:30-03:30"]),
        ("0,30 */23,0 * * *", "America/St_Johns", "2010-11-07T01:00:00Z", "2010-11-07T05:00:00Z", &["2010-11-06T23:00-02:30", "2010-11-06T23:30-02:30", "2010-11-07T00:00-02:30", "2010-11-06T23:30-03:30", "2010-11-07T00:00-03:30", "2010-11-07T00:30-03:30"]),
        ("30 * * * *", "America/St_Johns", "2010-11-07T02:30:30Z", "2010-11-07T05:00:00Z", &["2010-11-06T23:30-03:30", "2010-11-07T00:30-03:30"]),
        // A day that never was.
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z", &["2011-12-29T12:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00"]),
        ("0 0 30,31 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-01-01T00:00:00Z", &["2011-12-31T00:00+14:00"]),
        ("0 */12 30 * *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-01-29T20:00:00Z", &["2012-01-30T00:00+14:00"]),
        // Days.
        ("0 0 * * 0", "UTC", "2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z", &["2026-11-22T00:00+00:00"]),
        ("0 0 * * 7", "UTC", "2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z", &["2026-11-22T00:00+00:00"]),
        ("0 0 * * sat-Sun", "UTC", "2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z", &["2026-11-21T00:00+00:00", "2026-11-22T00:00+00:00"]),
        ("0 0 * * SUN-MON", "UTC", "2026-11-20T00:00:00Z", "2026-11-25T00:00:00Z", &["2026-11-22T00:00+00:00", "2026-11-23T00:00+00:00"]),
        ("0 0 L feb *", "UTC", "2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z", &["2027-02-28T00:00+00:00", "2028-02-29T00:00+00:00"]),
        ("0 0 * * FRIL", "UTC", "2026-11-01T00:00:00Z", "2027-01-01T00:00:00Z", &["2026-11-27T00:00+00:00", "2026-12-25T00:00+00:00"]),
        ("0 0 * * 7#5", "UTC", "2026-11-01T00:00:00Z", "2027-02-01T00:00:00Z", &["2026-11-29T00:00+00:00", "2027-01-31T00:00+00:00"]),
        ("0 0 1 * MON#2", "UTC", "2026-11-02T00:00:00Z", "2026-12-02T00:00:00Z", &["2026-11-09T00:00+00:00", "2026-12-01T00:00+00:00"]),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2105-01-01T00:00:00Z", &["2104-02-29T00:00+00:00"]),
        ("0 0 1 1 *", "UTC", "2199-06-01T00:00:00Z", "2300-01-01T00:00:00Z", &["2200-01-01T00:00+00:00"]),
    ];
    for (cron, zone, after, before, expected) in cases {
        assert_eq!(local(json!({"cron": cron}), zone, after, before), *expected, "{cron} in {zone}");
    }
}

#[test]
fn hard_periods_and_dates() {
    let berlin = "Europe/Berlin";
    let days = |every, from| json!({"every": every, "from": from});
    let found = local(days("P1D", "2026-03-28T02:30"), berlin, "2026-01-01T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(found, ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]);
    // One that starts in the gap is at its own time from the next one on.
    let found = local(days("P1D", "2026-03-29T02:30:00"), berlin, "2026-01-01T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(found, ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]);
    // One that starts in the second pass.
    let found = local(days("P1D", "2026-10-25T02:30:00+01:00"), berlin, "2026-01-01T00:00:00Z", "2026-10-27T00:00:00Z");
    assert_eq!(found, ["2026-10-25T02:30+01:00", "2026-10-26T02:30+01:00"]);
    let found = local(days("PT12H", "2026-03-28T20:00"), berlin, "2026-03-28T19:00:00Z", "2026-03-30T00:00:00Z");
    assert_eq!(found, ["2026-03-29T09:00+02:00", "2026-03-29T21:00+02:00"]);
    let found = local(days("P1D", "2011-12-28T12:00"), "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(found, ["2011-12-29T12:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00"]);
    let found = local(days("P1D", "2011-12-28T00:00"), "Pacific/Apia", "2011-12-29T11:00:00Z", "2012-01-01T00:00:00Z");
    assert_eq!(found, ["2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00"]);
    // Long after the rules of a zone began, and far ahead.
    let found = local(days("P1D", "1980-03-30T02:30"), berlin, "2090-03-25T12:00:00Z", "2090-03-27T12:00:00Z");
    assert_eq!(found, ["2090-03-26T03:00+02:00", "2090-03-27T02:30+02:00"]);
    let found = local(days("P1W", "1970-01-01T00:00:00"), "UTC", "2026-11-26T00:00:00Z", "2026-12-04T00:00:00Z");
    assert_eq!(found, ["2026-12-03T00:00+00:00"]);
    // In any order; two on one instant are one.
    let dates = json!({"dates": ["2026-12-02T00:00", "2026-12-01T00:00:00Z", "2026-03-29T02:10", "2026-03-29T02:50:00.5"]});
    schedule(dates.clone()).check(zone(berlin), at("2026-01-01T00:00:00Z")).unwrap();
    let found = local(dates, berlin, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(found, ["2026-03-29T03:00+02:00", "2026-12-01T01:00+01:00", "2026-12-02T00:00+01:00"]);
}

#[test]
fn what_cannot_be_parsed_names_its_field() {
    let cases = [
        (json!(null), "", "an object"),
        (json!({}), "", "exactly one of"),
        (json!({"cron": "0 0 * * *", "dates": ["2026-12-01T00:00"]}), "", "exactly one of"),
        (json!({"cron": "0 0 * * *", "timezone": "UTC"}), "", "timezone"),
        (json!({"cron": "0 0 * * *", "from": "2026-12-01T00:00"}), "from", "with every only"),
        (json!({"every": "P7D"}), "from", "required"),
        (json!({"every": "P7D", "from": null}), "from", "string"),
        (json!({"cron": 5}), "cron", "string"),
        (json!({"cron": "0".repeat(501)}), "cron", "500"),
        (json!({"dates": []}), "dates", "1 to 1000"),
        (json!({"dates": vec!["2026-12-01T00:00"; 1001]}), "dates", "1 to 1000"),
        (json!({"dates": [7]}), "dates", "strings"),
        (json!({"dates": ["2026-12-01T00:00", "2026-13-01T00:00"]}), "dates", "2026-13-01"),
        (json!({"dates": ["2026-12-01T00:00", "2026-11-01T00:00", "2026-12-01T00:00:00.9"]}), "dates", "second apart"),
        (json!({"dates": ["2026-12-01T00:00:00Z", "2026-12-01T01:00:00+01:00"]}), "dates", "second apart"),
    ];
    let crons = [
        ("@daily", "five fields"),
        ("", "five fields"),
        ("0 0 0 * * *", "five fields"),
        ("0 0 * *", "five fields"),
        ("60 0 * * *", "0 to 59"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day of month"),
        ("0 0 * 13 *", "month"),
        ("0 0 * * 8", "day of week"),
        ("+5 0 * * *", "minute"),
        ("0 0 15W * *", "15W"),
        ("0 0 LW * *", "LW"),
        ("0 0 ? * *", "?"),
        ("0 0 L-3 * *", "\"L\""),
        ("0 0 * * L", "weekday before L"),
        ("0 0 * * +MON", "+MON"),
        ("0 0 * * MON#6", "1 to 5"),
        ("0 0 * * MON#0", "1 to 5"),
        ("0 0 * * 1#L", "\"L\""),
        ("0 0 1#1 * *", "1#1"),
        ("0 0 * * FRI-MON", "ascend"),
        ("0 22-2 * * *", "ascend"),
        ("5/10 * * * *", "step after"),
        ("/10 * * * *", "step after"),
        ("*/0 * * * *", "\"0\""),
        ("*/60 * * * *", "\"60\""),
        ("1,,2 * * * *", "\"\""),
        ("1- * * * *", "\"\""),
        ("1-2-3 * * * *", "2-3"),
        ("MON 0 * * *", "MON"),
        ("0 0 * JANFEB *", "JANFEB"),
        ("0 0 * MON *", "MON"),
        ("0 *,5 * * *", "in a list"),
        ("0 0 * * FEB", "FEB"),
        ("0 L * * *", "\"L\""),
        ("*-5 * * * *", "\"*\""),
        ("**/2 * * * *", "step after"),
        ("0 0 * * *#2", "\"*\""),
        ("٣ 0 * * *", "minute"),
    ];
    let periods = [
        ("P0D", "longer than zero"),
        ("P3653D", "ten years"),
        ("P99999999999D", "ten years"),
        ("PT87649H", "ten years"),
        ("P1M", "cron"),
        ("P1Y", "cron"),
        ("P1Y6M", "cron"),
        ("P1DT12H", "one unit"),
        ("P1DT30M", "one unit"),
        ("PT30S", "one unit"),
        ("PT0M", "longer than zero"),
        ("P7d", "one unit"),
        ("P", "one unit"),
        ("PT", "one unit"),
        ("", "one unit"),
        ("P-7D", "one unit"),
        ("P+7D", "one unit"),
        ("P1.5D", "one unit"),
        ("PP7D", "one unit"),
        ("7D", "one unit"),
        ("P7", "one unit"),
        ("P٧D", "one unit"),
        (" P7D", "one unit"),
        ("PT7D", "one unit"),
        ("P7H", "one unit"),
    ];
    let times = [
        ("2026-11-23", "a time like"),
        ("2026-11-23T24:00", "a time like"),
        ("2026-1-23T00:00:00", "a time like"),
        ("2026-11-23 00:00:00", "a time like"),
        ("2026-11-23T00:00:60", "a time like"),
        ("2026-02-29T00:00:00", "a time like"),
        ("1969-12-31T23:59:59", "1970 to 2200"),
        ("2201-01-01T00:00:00Z", "1970 to 2200"),
        ("+2026-11-23T00:00", "a time like"),
        ("2026-11-23T00:00:00 Europe/Berlin", "a time like"),
    ];
    let crons = crons.map(|(cron, part)| (json!({"cron": cron}), "cron", part));
    let periods = periods.map(|(every, part)| (json!({"every": every, "from": "2026-11-23T00:00:00"}), "every", part));
    let times = times.map(|(from, part)| (json!({"every": "P1D", "from": from}), "from", part));
    for (value, field, part) in cases.into_iter().chain(crons).chain(periods).chain(times) {
        let error = ResetSchedule::from_json(&value).err().unwrap_or_else(|| panic!("{value} is taken"));
        assert!(error.field == field && error.reason.contains(part), "{value}: {error:?}");
        assert!(error.reason.starts_with("must") || error.reason.starts_with("is "), "{value}: {error:?}");
    }
    assert_eq!(ResetSchedule::from_stored("{").unwrap_err().field, "");
}

#[test]
fn what_is_written_comes_back() {
    let texts = [
        r#"{"cron":" 0  0 * * mon"}"#,
        r#"{"every":"P7D","from":"2026-11-23T00:00"}"#,
        r#"{"every":"PT087648H","from":"2026-11-23T00:00:00.250+05:30"}"#,
        r#"{"every":"P3652D","from":"2026-11-23T00:00:00z"}"#,
        r#"{"dates":["2026-12-02T00:00:00","2026-12-01T00:00:00Z"]}"#,
    ];
    for text in texts {
        let schedule = ResetSchedule::from_stored(text).unwrap();
        assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
        schedule.check(zone("America/New_York"), at("2026-11-01T00:00:00Z")).unwrap();
    }
}

#[test]
fn what_cannot_be_saved() {
    let now = at("2026-11-01T00:00:00Z");
    let cases = [
        (json!({"cron": "0 0 30 2 *"}), "cron", "ten years"),
        (json!({"dates": ["2026-10-31T00:00:00Z"]}), "dates", "ten years"),
        (json!({"dates": ["2037-10-31T00:00:00Z"]}), "dates", "ten years"),
        (json!({"every": "P1D", "from": "2037-10-31T00:00:00"}), "from", "ten years"),
        (json!({"dates": ["2026-12-01T00:00:00Z", "2026-12-01T01:00:00.5"]}), "dates", "second apart"),
    ];
    for (value, field, part) in cases {
        let error = schedule(value.clone()).check(zone("Europe/Berlin"), now).unwrap_err();
        assert!(error.field == field && error.reason.contains(part), "{value}: {error:?}");
    }
    let far = schedule(json!({"dates": ["2027-01-01T00:00:00Z", "2047-01-01T00:00:00Z"]}));
    assert_eq!(far.boundaries(Tz::UTC, now).count(), 1);
    assert_eq!(far.missed(Tz::UTC, now, Timestamp(i64::MAX), 9).0.len(), 2);
    for after in [i64::MIN, i64::MAX] {
        for value in [
            json!({"cron": "* * * * *"}),
            json!({"every": "PT1M", "from": "1970-01-01T00:00"}),
            json!({"every": "P1D", "from": "1970-01-01T00:00"}),
        ] {
            assert_eq!(schedule(value).next(Tz::UTC, Timestamp(after)).is_some(), after < 0);
        }
    }
}

#[test]
fn a_year_of_minutes_is_counted_soon() {
    let slower = if cfg!(debug_assertions) { 20 } else { 1 };
    let timed = |what: &str, limit: u128, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        let took = start.elapsed().as_micros();
        println!("{what}: {took} µs");
        assert!(took < limit * slower, "{what} took {took} µs");
    };
    let (berlin, now) = (zone("Europe/Berlin"), at("2025-11-01T00:00:00Z"));
    for cron in ["* * * * *", "* 0-23 * * *"] {
        let cron = schedule(json!({"cron": cron}));
        timed("a year missed", 1_000_000, &mut || {
            let (newest, earlier) = cron.missed(berlin, now, at("2026-11-01T00:00:00Z"), 100);
            // Local times lack the repeated hour; the skipped one is its end.
            let all = if cron.written["cron"] == "* * * * *" { 525_600 } else { 525_540 };
            assert_eq!((newest.len(), earlier), (100, all - 100));
        });
        timed("1000 boundaries", 50_000, &mut || assert_eq!(cron.boundaries(berlin, now).take(1000).count(), 1000));
        timed("first boundary", 1_000, &mut || assert!(cron.next(berlin, now).is_some()));
    }
    let never = schedule(json!({"cron": "* * 30 2 *"}));
    timed("no boundary", 5_000, &mut || assert!(never.next(berlin, now).is_none()));
    let old = schedule(json!({"every": "P1D", "from": "1970-01-01T00:00"}));
    timed("the first of many days", 1_000, &mut || assert!(old.next(berlin, now).is_some()));
}

//! What a schedule means: previews, across changes of the clocks too, and what is refused.

use reqwest::Method;
use serde_json::{Value, json};

use super::{from_now, pass, patch, seasons};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_preview_tells_the_boundaries,
    a_preview_counts_from_now_and_takes_no_token,
    every_broken_field_of_a_preview_is_named,
    every_broken_schedule_is_named_by_its_field,
    a_schedule_has_to_fit_its_zone,
    a_new_schedule_moves_only_what_is_to_come,
);

const PREVIEW: &str = "/api/schedules/preview";

async fn a_preview_tells_the_boundaries(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let cron = |text: &str| json!({ "cron": text });
    // The schedule, the zone, the time after which, and the boundaries: `Z` is left out.
    let table = [
        (cron("0 0 * * MON"), "UTC", "2026-11-23T00:00:00", vec!["2026-11-30T00:00:00", "2026-12-07T00:00:00"]),
        (cron("0 0 * * mon,5-6"), "UTC", "2026-11-23T00:00:00", vec!["2026-11-27T00:00:00", "2026-11-28T00:00:00"]),
        (cron("0 12 L FEB *"), "UTC", "2027-01-01T00:00:00", vec!["2027-02-28T12:00:00", "2028-02-29T12:00:00"]),
        (cron("0 0 * * MON#1"), "UTC", "2026-11-23T00:00:00", vec!["2026-12-07T00:00:00", "2027-01-04T00:00:00"]),
        (cron("0 0 13 * FRI"), "UTC", "2026-11-07T00:00:00", vec!["2026-11-13T00:00:00", "2026-11-20T00:00:00"]),
        (cron("15 10-18/4 1 1 *"), "UTC", "2027-01-01T10:15:00", vec!["2027-01-01T14:15:00", "2027-01-01T18:15:00"]),
        // Berlin leaves out 02:00 to 03:00 on 28 March 2027: the boundary is at 03:00.
        (cron("30 2 * * *"), "Europe/Berlin", "2027-03-27T02:00:00", vec!["2027-03-28T01:00:00", "2027-03-29T00:30:00"]),
        // Two of one instant are one.
        (cron("0,30 2 28 3 *"), "Europe/Berlin", "2027-03-01T00:00:00", vec!["2027-03-28T01:00:00", "2028-03-28T00:00:00"]),
        // On 31 October 2027 it has 02:30 twice, and the first one counts.
        (cron("30 2 * * *"), "Europe/Berlin", "2027-10-30T12:00:00", vec!["2027-10-31T00:30:00", "2027-11-01T01:30:00"]),
        // Every hour keeps to real hours.
        (cron("30 * * * *"), "Europe/Berlin", "2027-10-31T00:00:00", vec!["2027-10-31T00:30:00", "2027-10-31T01:30:00"]),
        (cron("30 * * * *"), "Europe/Berlin", "2027-03-28T00:00:00", vec!["2027-03-28T00:30:00", "2027-03-28T01:30:00"]),
        // Calendar days are at the same time of day, hours are exact.
        (
            json!({ "every": "P1D", "from": "2027-03-27T12:00:00" }),
            "Europe/Berlin",
            "2027-03-26T00:00:00",
            vec!["2027-03-27T11:00:00", "2027-03-28T10:00:00", "2027-03-29T10:00:00"],
        ),
        (
            json!({ "every": "PT24H", "from": "2027-03-27T12:00:00" }),
            "Europe/Berlin",
            "2027-03-26T00:00:00",
            vec!["2027-03-27T11:00:00", "2027-03-28T11:00:00"],
        ),
        (
            json!({ "every": "P2W", "from": "2026-11-02T00:00:00-05:00" }),
            "America/New_York",
            "2027-03-01T12:00:00",
            vec!["2027-03-08T05:00:00", "2027-03-22T04:00:00"],
        ),
        // Midnight is left out in Cairo on 30 April 2027.
        (cron("0 0 30 4 *"), "Africa/Cairo", "2027-04-01T00:00:00", vec!["2027-04-29T22:00:00"]),
        (
            json!({ "dates": ["2028-01-01T00:00:00Z", "2027-12-01T00:00:00", "2027-12-01T00:00:00+09:00"] }),
            "Asia/Tokyo",
            "2027-01-01T00:00:00",
            vec!["2027-11-30T15:00:00", "2028-01-01T00:00:00"],
        ),
    ];
    for (schedule, zone, after, expected) in table {
        let count = expected.len();
        let body = json!({ "resetSchedule": schedule, "timezone": zone, "after": format!("{after}Z"), "count": count });
        let answer = app.anonymous(Method::POST, PREVIEW).json(&body).answers(200).await;
        let expected: Vec<_> = expected.iter().map(|time| format!("{time}.000000Z")).collect();
        assert_eq!(answer, json!({ "boundaries": expected }), "{body}");
    }
}

async fn a_preview_counts_from_now_and_takes_no_token(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let schedule = json!({ "cron": "0 0 * * *" });
    let default = app.anonymous(Method::POST, PREVIEW).json(&json!({ "resetSchedule": schedule })).answers(200).await;
    let boundaries = default["boundaries"].as_array().unwrap();
    assert_eq!(boundaries.len(), 10);
    assert!(
        boundaries[0].as_str().unwrap() > from_now(0).as_str() && boundaries[0].as_str().unwrap() < from_now(86_400_000).as_str()
    );
    let most = json!({ "resetSchedule": schedule, "count": 100, "timezone": null, "after": null });
    let most = app.anonymous(Method::POST, PREVIEW).json(&most).answers(200).await;
    assert_eq!((most["boundaries"].as_array().unwrap().len(), &most["boundaries"][9]), (100, &boundaries[9]));
    let made = json!({ "id": "daily", "resetSchedule": schedule, "timezone": "Asia/Kathmandu" });
    let made = app.admin(Method::POST, "/api/leaderboards").json(&made).answers(201).await;
    let local = json!({ "resetSchedule": schedule, "timezone": "Asia/Kathmandu", "count": 1 });
    let local = app.anonymous(Method::POST, PREVIEW).json(&local).answers(200).await;
    assert_eq!((&made["nextReset"], &made["resetSchedule"]), (&local["boundaries"][0], &schedule), "what is shown is what comes");
    app.anonymous(Method::GET, PREVIEW).refused(405).await;
}

async fn every_broken_field_of_a_preview_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let good = json!({ "cron": "0 0 * * *" });
    for (body, field) in [
        (json!({}), "resetSchedule"),
        (json!({ "resetSchedule": null }), "resetSchedule"),
        (json!({ "resetSchedule": good, "timezone": "Mars/Olympus" }), "timezone"),
        (json!({ "resetSchedule": good, "timezone": 1 }), "timezone"),
        (json!({ "resetSchedule": good, "after": "tomorrow" }), "after"),
        (json!({ "resetSchedule": good, "after": 0 }), "after"),
        (json!({ "resetSchedule": good, "count": 0 }), "count"),
        (json!({ "resetSchedule": good, "count": 101 }), "count"),
        (json!({ "resetSchedule": good, "count": 1.5 }), "count"),
        (json!({ "resetSchedule": good, "limit": 3 }), "limit"),
    ] {
        assert_eq!(broken(&app.anonymous(Method::POST, PREVIEW).json(&body).refused(422).await), [field], "{body}");
    }
    app.anonymous(Method::POST, PREVIEW).body("no").header("content-type", "application/json").refused(400).await;
}

/// Schedules that cannot be, and the field at fault below `resetSchedule`.
fn broken_schedules() -> Vec<(Value, &'static str)> {
    let date = |text: &str| json!({ "dates": [text] });
    vec![
        (json!("daily"), ""),
        (json!([]), ""),
        (json!({}), ""),
        (json!({ "cron": "0 0 * * *", "dates": ["2099-01-01T00:00:00Z"] }), ""),
        (json!({ "cron": "0 0 * * *", "colour": "red" }), ""),
        (json!({ "cron": "0 0 * *" }), ".cron"),
        (json!({ "cron": "60 0 * * *" }), ".cron"),
        (json!({ "cron": "0 0 * * MOON" }), ".cron"),
        (json!({ "cron": "0 0 30 2 *" }), ".cron"),
        (json!({ "cron": "@daily" }), ".cron"),
        (json!({ "cron": 5 }), ".cron"),
        (json!({ "cron": "0 ".repeat(300) }), ".cron"),
        (json!({ "cron": "0 0 * * *", "from": "2026-11-23T00:00:00" }), ".from"),
        (json!({ "every": "P7D" }), ".from"),
        (json!({ "every": "P7D", "from": "soon" }), ".from"),
        (json!({ "every": "P7D", "from": "2026-02-30T00:00:00" }), ".from"),
        (json!({ "every": "P1M", "from": "2026-11-23T00:00:00" }), ".every"),
        (json!({ "every": "PT30S", "from": "2026-11-23T00:00:00" }), ".every"),
        (json!({ "every": "P0D", "from": "2026-11-23T00:00:00" }), ".every"),
        (json!({ "every": "P3653D", "from": "2026-11-23T00:00:00" }), ".every"),
        (json!({ "every": "P1DT1H", "from": "2026-11-23T00:00:00" }), ".every"),
        (json!({ "dates": [] }), ".dates"),
        (json!({ "dates": "2099-01-01T00:00:00Z" }), ".dates"),
        (json!({ "dates": [1] }), ".dates"),
        (date("2020-01-01T00:00:00Z"), ".dates"),
        (date("2199-01-01T00:00:00Z"), ".dates"),
        (date("1 January 2027"), ".dates"),
        (json!({ "dates": ["2027-01-01T00:00:00Z", "2027-01-01T00:00:00.5Z"] }), ".dates"),
        (json!({ "dates": vec!["2027-01-01T00:00:00Z"; 1001] }), ".dates"),
    ]
}

async fn every_broken_schedule_is_named_by_its_field(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let before = app.get("/api/leaderboards/main").await;
    for (schedule, field) in broken_schedules() {
        let expected = [format!("resetSchedule{field}")];
        let body = json!({ "resetSchedule": schedule });
        let changed = app.admin(Method::PATCH, "/api/leaderboards/main").json(&body).refused(422).await;
        assert_eq!(broken(&changed), expected, "{body}");
        let message = changed["errors"][0]["message"].as_str().unwrap();
        assert!(message.starts_with("must ") || message == "is required with every", "in plain words: {changed}");
        let preview = app.anonymous(Method::POST, PREVIEW).json(&body).refused(422).await;
        assert_eq!(preview["errors"], changed["errors"], "the same refusal");
        let made = app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": "new", "resetSchedule": schedule }));
        assert_eq!(made.refused(422).await["errors"], changed["errors"]);
    }
    let twice = r#"{"resetSchedule":{"cron":"0 0 * * *","cron":"0 1 * * *"}}"#;
    let changed = app.admin(Method::PATCH, "/api/leaderboards/main").body(twice).header("content-type", "application/json");
    let preview = app.anonymous(Method::POST, PREVIEW).body(twice).header("content-type", "application/json");
    for refused in [changed.refused(422).await, preview.refused(422).await] {
        assert_eq!(broken(&refused), ["resetSchedule"], "{refused}");
    }
    assert_eq!(app.get("/api/leaderboards/main").await, before);
}

async fn a_schedule_has_to_fit_its_zone(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    // In Berlin, half past two does not exist on that day.
    let dates = json!({ "dates": ["2027-03-28T02:59:59.500", "2027-03-28T03:00:00.100"] });
    let refused = app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({ "resetSchedule": dates })).refused(422).await;
    assert_eq!(broken(&refused), ["resetSchedule.dates"]);
    let dates = json!({ "dates": ["2027-03-28T02:30:00", "2027-03-28T03:00:00.100"] });
    let set = patch(&app, "main", json!({ "resetSchedule": dates })).await;
    assert_eq!(set["nextReset"], "2027-03-28T02:30:00.000000Z");
    let change = |change: Value| app.admin(Method::PATCH, "/api/leaderboards/main").json(&change);
    assert_eq!(broken(&change(json!({ "timezone": "Europe/Berlin" })).refused(422).await), ["resetSchedule.dates"]);
    let cron = json!({ "resetSchedule": { "cron": "0 0 * * *" }, "timezone": "Europe/Atlantis" });
    assert_eq!(broken(&change(cron).refused(422).await), ["timezone"]);
    let moved = patch(&app, "main", json!({ "timezone": "America/New_York" })).await;
    assert_eq!(moved["nextReset"], "2027-03-28T06:30:00.000000Z", "a zone alone moves the boundary");
    assert_eq!(patch(&app, "main", json!({ "resetSchedule": null })).await["nextReset"], Value::Null);
}

async fn a_new_schedule_moves_only_what_is_to_come(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let date = from_now(700);
    patch(&app, "main", json!({ "resetSchedule": { "dates": [date] } })).await;
    pass(800).await;
    super::reaches(&app, "main", 2).await;
    let before = seasons(&app, "main").await;
    assert_eq!(before[0]["startsAt"], json!(date));
    let changed = patch(&app, "main", json!({ "resetSchedule": { "every": "P1D", "from": "2020-01-01T00:00:00" } })).await;
    assert!(changed["nextReset"].as_str().unwrap() > from_now(0).as_str(), "none in the past comes after all: {changed}");
    assert_eq!((&changed["season"], &changed["seasonStartsAt"]), (&json!(2), &json!(date)));
    patch(&app, "main", json!({ "timezone": "Asia/Tokyo" })).await;
    patch(&app, "main", json!({ "resetSchedule": { "dates": [from_now(3_600_000)] } })).await;
    let after = seasons(&app, "main").await;
    assert_eq!((after.len(), &after[0]["startsAt"], &after[1]["endsAt"]), (2, &json!(date), &json!(date)));
}

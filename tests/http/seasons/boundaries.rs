//! Scheduled boundaries while scores go on: each score lies in its season, and every instance makes the same ones.

use std::sync::Arc;

use chrono::DateTime;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Writers, end, from_now, history, pass, patch, reaches, result, season, seasons};
use crate::{
    answers::Expect,
    app::{Backend, SystemClock, TestApp, eventually},
    streams::text,
};

crate::both_backends!(
    a_season_ends_when_its_schedule_says,
    scores_across_a_boundary_lie_in_their_seasons,
    a_manual_end_leaves_the_schedule_alone,
    scores_across_manual_ends_lie_in_their_seasons,
    a_wrong_clock_moves_no_score_out_of_its_season,
    a_profile_changed_at_a_boundary_takes_no_ranks_away,
);

const USERS: [&str; 6] = ["ann", "bob", "cy", "dot", "eve", "fay"];

fn time(text: &Value) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(text.as_str().unwrap_or_else(|| panic!("no time: {text}"))).unwrap()
}

/// Checks every score event of these users against the season that it names, and every receipt against the history; returns how many
/// scores each season has.
async fn check_scores(app: &TestApp, id: &str, receipts: &[Vec<Value>]) -> Vec<usize> {
    let mut seasons = seasons(app, id).await;
    seasons.reverse();
    let mut counts = vec![0; seasons.len()];
    for (user, receipts) in USERS.iter().zip(receipts) {
        let mut events = history(app, user).await;
        events.reverse();
        assert_eq!(events.len(), receipts.len(), "each answer once in the history of {user}");
        let mut scores = vec![0; seasons.len()];
        for (event, receipt) in events.iter().zip(receipts) {
            let number = event["season"].as_u64().unwrap() as usize;
            let of = &seasons[number - 1];
            assert!(time(&event["at"]) >= time(&of["startsAt"]), "{event} in {of}");
            assert!(of["endsAt"].is_null() || time(&event["at"]) < time(&of["endsAt"]), "{event} in {of}");
            counts[number - 1] += 1;
            scores[number - 1] += 1;
            for field in ["eventId", "at", "newScore", "previousScore"] {
                assert_eq!(event[field], receipt[field], "{field}");
            }
            assert_eq!(receipt["standings"][0]["season"], event["season"]);
            assert_eq!(event["newScore"], scores[number - 1], "each season counts from nothing");
        }
        for (number, score) in scores.iter().enumerate().filter(|(_, score)| **score > 0) {
            let place = app.get(&format!("/api/leaderboards/{id}/entries/{user}?season={}", number + 1)).await;
            assert_eq!(place["entry"]["score"], *score, "season {}", number + 1);
        }
    }
    counts
}

async fn a_season_ends_when_its_schedule_says(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let dates = [from_now(800), from_now(1900)];
    let set = patch(&app, "main", json!({ "resetSchedule": { "dates": dates } })).await;
    assert_eq!((&set["nextReset"], &set["season"]), (&json!(dates[0]), &json!(1)));
    reaches(&app, "main", 2).await;
    let second = app.get("/api/leaderboards/main").await;
    assert_eq!((&second["nextReset"], &second["seasonStartsAt"]), (&json!(dates[1]), &json!(dates[0])));
    reaches(&app, "main", 3).await;
    let third = app.get("/api/leaderboards/main").await;
    assert_eq!((&third["nextReset"], &third["seasonStartsAt"]), (&Value::Null, &json!(dates[1])));
    let all = seasons(&app, "main").await;
    let told: Vec<_> =
        all.iter().map(|season| (&season["season"], &season["cause"], &season["startsAt"], &season["endsAt"])).collect();
    let (two, three) = (json!(dates[0]), json!(dates[1]));
    assert_eq!(told[0], (&json!(3), &json!("schedule"), &three, &Value::Null));
    assert_eq!(told[1], (&json!(2), &json!("schedule"), &two, &three));
    assert_eq!((told[2].0, told[2].1, told[2].3), (&json!(1), &json!("created"), &two));
    // Whoever has no boundary to come can still be changed.
    assert_eq!(patch(&app, "main", json!({ "name": "Finals" })).await["name"], "Finals");
}

async fn scores_across_a_boundary_lie_in_their_seasons(backend: Backend) {
    let app = Arc::new(TestApp::spawn(backend).await);
    let dates = [from_now(900), from_now(2100)];
    patch(&app, "main", json!({ "resetSchedule": { "dates": dates } })).await;
    let writers = Writers::start(&[Arc::clone(&app)], "value", &USERS);
    reaches(&app, "main", 3).await;
    pass(300).await;
    let receipts = writers.stop().await;
    let counts = check_scores(&app, "main", &receipts).await;
    assert!(counts.len() == 3 && counts.iter().all(|count| *count > 0), "{counts:?}");
    for number in [1, 2] {
        let ended = result(&app, "main", number).await;
        assert_eq!((&ended["endsAt"], &ended["total"]), (&json!(dates[number as usize - 1]), &json!(USERS.len())));
    }
    // The receipts of one season count up, and none is of an earlier one than the one before.
    for receipts in &receipts {
        let seasons: Vec<_> = receipts.iter().map(|receipt| receipt["standings"][0]["season"].as_i64().unwrap()).collect();
        assert!(seasons.is_sorted(), "{seasons:?}");
    }
    let ranked = receipts.iter().flatten().filter(|receipt| !receipt["rank"].is_null()).count();
    assert!(ranked * 10 > receipts.iter().flatten().count() * 9, "a boundary costs next to no ranks: {ranked}");
}

async fn scores_across_manual_ends_lie_in_their_seasons(backend: Backend) {
    let app = Arc::new(TestApp::spawn(backend).await);
    let writers = Writers::start(&[Arc::clone(&app)], "value", &USERS);
    for number in 1..=4 {
        pass(150).await;
        end(&app, "main", number).await;
    }
    pass(150).await;
    let receipts = writers.stop().await;
    let counts = check_scores(&app, "main", &receipts).await;
    assert!(counts.len() == 5 && counts.iter().all(|count| *count > 0), "{counts:?}");
}

async fn a_manual_end_leaves_the_schedule_alone(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let date = from_now(1500);
    patch(&app, "main", json!({ "resetSchedule": { "dates": [date] } })).await;
    let second = end(&app, "main", 1).await;
    assert_eq!(app.get("/api/leaderboards/main").await["nextReset"], json!(date));
    reaches(&app, "main", 3).await;
    let all = seasons(&app, "main").await;
    let causes: Vec<_> = all.iter().map(|season| text(&season["cause"])).collect();
    assert_eq!(causes, ["schedule", "manual", "created"]);
    assert_eq!((&all[0]["startsAt"], &all[1]["startsAt"]), (&json!(date), &second["startsAt"]));
}

/// On PostgreSQL the server's clock decides when a boundary has come, on SQLite that of the only process.
async fn a_wrong_clock_moves_no_score_out_of_its_season(backend: Backend) {
    let (mut app, clock) = (TestApp::spawn(backend).await, SystemClock::default());
    app.restart_by(&clock).await;
    app.post_score("ann", "goal").await;
    clock.set(-3600);
    patch(&app, "main", json!({ "resetSchedule": { "dates": [from_now(1000), from_now(2200), from_now(7_200_000)] } })).await;
    app.post_score("ann", "goal").await;
    if backend == Backend::Shared {
        clock.set(3000);
        assert_eq!(app.post_score("ann", "goal").await["standings"][0]["season"], 1, "not before the ledger says so");
        reaches(&app, "main", 2).await;
        app.post_score("ann", "goal").await;
        clock.set(-3600);
        reaches(&app, "main", 3).await;
    } else {
        clock.set(3000);
        reaches(&app, "main", 3).await;
    }
    app.post_score("ann", "goal").await;
    clock.set(0);
    app.post_score("ann", "goal").await;
    end(&app, "main", 3).await;
    app.post_score("ann", "goal").await;
    let all = seasons(&app, "main").await;
    assert_eq!(all.len(), 4);
    for event in history(&app, "ann").await {
        let of = all.iter().find(|season| season["season"] == event["season"]).unwrap();
        assert!(time(&event["at"]) >= time(&of["startsAt"]), "{event} in {of}");
        assert!(of["endsAt"].is_null() || time(&event["at"]) < time(&of["endsAt"]), "{event} in {of}");
    }
}

/// A profile is announced to the ranking of the new season as a score is, a moment later, and not left for the sweeper, for whom
/// everybody would have to wait.
async fn a_profile_changed_at_a_boundary_takes_no_ranks_away(backend: Backend) {
    let app = Arc::new(TestApp::spawn(backend).await);
    let writers = Writers::start(&[Arc::clone(&app)], "value", &USERS[..4]);
    let renamer = tokio::spawn({
        let app = Arc::clone(&app);
        async move {
            for round in 0.. {
                let name = json!({ "displayName": format!("Ann {round}") });
                app.admin(Method::PUT, "/api/users/ann").json(&name).answers(200).await;
            }
        }
    });
    for number in 1..=6 {
        pass(250).await;
        end(&app, "main", number).await;
    }
    pass(250).await;
    let receipts: Vec<Value> = writers.stop().await.into_iter().flatten().collect();
    renamer.abort();
    let unranked = receipts.iter().filter(|receipt| receipt["version"].is_null()).count();
    // A busy machine may take longer than a receipt waits, now and then.
    assert!(unranked * 4 < receipts.len(), "{unranked} of {} without ranks", receipts.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_meet_boundaries_at_once_make_the_same_seasons() {
    let first = TestApp::spawn(Backend::Shared).await;
    let second = first.another().await;
    let apps = [first, second].map(Arc::new);
    let dates = [from_now(900), from_now(2000), from_now(3100)];
    patch(&apps[0], "main", json!({ "resetSchedule": { "dates": dates } })).await;
    let writers = Writers::start(&apps, "value", &USERS);
    for app in &apps {
        reaches(app, "main", 4).await;
    }
    pass(200).await;
    let receipts = writers.stop().await;
    let all = seasons(&apps[0], "main").await;
    let starts: Vec<_> = all.iter().rev().skip(1).map(|season| text(&season["startsAt"])).collect();
    assert_eq!(starts, dates, "one season for each boundary");
    assert_eq!(all[0], season(&apps[1], "main", 4).await);
    for number in 1..=3 {
        result(&apps[0], "main", number).await;
    }
    assert_eq!(seasons(&apps[0], "main").await, seasons(&apps[1], "main").await);
    let counts = check_scores(&apps[1], "main", &receipts).await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    for number in 1..=4 {
        let path = format!("/api/leaderboards/main/entries?limit=100&season={number}");
        let [here, there] = [apps[0].get(&path).await, apps[1].get(&path).await];
        assert_eq!(here, there);
        assert_eq!(here["total"], USERS.len());
    }
}

/// The other instance learns of it before it answers anybody: a score there is of the new season, or waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_season_ended_on_one_instance_has_ended_on_the_other() {
    let first = TestApp::spawn(Backend::Shared).await;
    let second = first.another().await;
    for number in 1..=10 {
        second.post_score("ann", "goal").await;
        end(&first, "main", number).await;
        let body = json!({ "actionId": "goal", "userId": "ann", "season": number });
        second.game(Method::POST, "/api/scores").json(&body).refused(409).await;
        let receipt = second.post_score("ann", "goal").await;
        assert_eq!((&receipt["standings"][0]["season"], &receipt["newScore"]), (&json!(number + 1), &json!(10)));
        let path = format!("/api/leaderboards/main/entries?season={number}");
        let window = second.get(&path).await;
        assert_eq!((&window["season"], &window["total"]), (&json!(number), &json!(1)));
        let ends = second.admin(Method::POST, &super::path("main")).json(&json!({ "ends": number }));
        ends.refused(409).await;
        eventually("the other reads the new season", || async { second.get("/api/leaderboard").await["season"] == number + 1 })
            .await;
    }
}

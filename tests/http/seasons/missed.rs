//! Boundaries that pass while no server runs: afterwards the seasons are those of a server that never stopped.

use reqwest::Method;
use serde_json::{Value, json};

use super::{from_now, pass, patch, reaches, result, seasons};
use crate::{
    answers::Expect,
    app::{Backend, SystemClock, TestApp},
    streams::{scores, text},
};

crate::both_backends!(
    missed_boundaries_are_carried_out_at_the_start,
    a_submission_after_a_boundary_that_nobody_met_is_of_the_new_season
);

/// Without what each server has of its own: when it was made, and when it read its seasons.
fn comparable(mut seasons: Vec<Value>) -> Vec<Value> {
    for season in &mut seasons {
        let season = season.as_object_mut().unwrap();
        season.remove("finalizedAt");
        if season["season"] == 1 {
            season.remove("startsAt");
            season.remove("digest");
        }
        // Each ranking has an epoch of its own.
        if season["state"] == "open" {
            season.remove("version");
        }
    }
    seasons
}

async fn missed_boundaries_are_carried_out_at_the_start(backend: Backend) {
    let mut stopped = TestApp::spawn(backend).await;
    let running = TestApp::spawn(backend).await;
    let dates = [from_now(1500), from_now(2600), from_now(3700)];
    for app in [&stopped, &running] {
        patch(app, "main", json!({ "resetSchedule": { "dates": dates } })).await;
        app.post_score("ann", "goal").await;
        app.post_score("bob", "point").await;
    }
    stopped.stop().await;
    reaches(&running, "main", 4).await;
    assert!(from_now(0).as_str() > dates[2].as_str());
    stopped.restart().await;
    reaches(&stopped, "main", 4).await;
    for app in [&stopped, &running] {
        for number in 1..=3 {
            result(app, "main", number).await;
        }
    }
    let all = seasons(&stopped, "main").await;
    assert_eq!(comparable(all.clone()), comparable(seasons(&running, "main").await));
    let starts: Vec<_> = all.iter().rev().skip(1).map(|season| text(&season["startsAt"])).collect();
    assert_eq!(starts, dates, "each at its scheduled time");
    let totals: Vec<_> = all.iter().map(|season| season["total"].as_i64().unwrap()).collect();
    assert_eq!(totals, [0, 0, 0, 2], "those that nobody saw are empty");
    assert!(all.iter().all(|season| season.get("skipped").is_none()));
    assert_eq!(scores(&stopped.get("/api/leaderboard?season=1").await), [("ann".to_owned(), 10), ("bob".to_owned(), 1)]);
    let receipt = stopped.post_score("ann", "goal").await;
    assert_eq!((&receipt["standings"][0]["season"], &receipt["newScore"]), (&json!(4), &json!(10)));
}

async fn a_submission_after_a_boundary_that_nobody_met_is_of_the_new_season(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    let date = from_now(1200);
    patch(&app, "main", json!({ "resetSchedule": { "dates": [date] } })).await;
    app.post_score("ann", "goal").await;
    app.stop().await;
    while from_now(0).as_str() <= date.as_str() {
        pass(50).await;
    }
    app.restart().await;
    // The first that comes, before anybody asked.
    let receipt = app.post_score("ann", "goal").await;
    assert_eq!((&receipt["standings"][0]["season"], &receipt["newScore"]), (&json!(2), &json!(10)));
    assert!(text(&receipt["at"]).as_str() >= date.as_str());
    let body = json!({ "actionId": "goal", "userId": "ann", "season": 1 });
    app.game(Method::POST, "/api/scores").json(&body).refused(409).await;
}

/// On PostgreSQL the ledger's clock is the server's, which no test sets.
#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_missed_boundaries_the_newest_thousand_become_seasons() {
    let (mut app, clock) = (TestApp::spawn(Backend::Embedded).await, SystemClock::default());
    app.restart_by(&clock).await;
    app.post_score("ann", "goal").await;
    let schedule = json!({ "every": "PT1M", "from": "2026-01-01T00:00:00Z" });
    let set = patch(&app, "main", json!({ "resetSchedule": schedule })).await;
    app.stop().await;
    clock.set(60 * 1234);
    app.restart().await;
    reaches(&app, "main", 1001).await;
    let preview = |after: &Value, count: i64| json!({ "resetSchedule": schedule, "after": after, "count": count });
    let page = app.get(&format!("{}?limit=1000", super::path("main"))).await;
    let all = page["seasons"].as_array().unwrap();
    assert_eq!((all.len(), &all[0]["season"]), (1000, &json!(1001)));
    let oldest = all.last().unwrap();
    assert_eq!(oldest["season"], 2);
    let skipped = oldest["skipped"].as_i64().unwrap();
    assert!((233..=235).contains(&skipped), "{oldest}");
    assert!(all.iter().rev().skip(1).all(|season| season.get("skipped").is_none()), "only the first of them says so");
    assert!(all.windows(2).all(|pair| pair[0]["startsAt"] == pair[1]["endsAt"]));
    let first = app.get(&format!("{}/1", super::path("main"))).await;
    assert_eq!(first["endsAt"], set["nextReset"], "the season that was current ended when it should");
    let boundaries =
        app.anonymous(Method::POST, "/api/schedules/preview").json(&preview(&oldest["startsAt"], 100)).answers(200).await;
    let starts: Vec<_> = all.iter().rev().skip(1).take(100).map(|season| season["startsAt"].clone()).collect();
    assert_eq!(boundaries["boundaries"], json!(starts));
}

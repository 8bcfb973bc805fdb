//! Decisions while scores go on, on one and on several instances: no score is refused or lost, and whatever is left is the fold of what
//! counts.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    decide,
    fold::{model::rows, watching::Table},
    hide, is_gone, restricted, take_back,
};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, within},
    seasons::{Writers, pass},
    streams::text,
};

crate::both_backends!(decisions_amid_scores_lose_nothing);

const USERS: [&str; 4] = ["ann", "bob", "cid", "dot"];
/// Leaderboards for the sum and for the best of all scores.
const BOARDS: [&str; 2] = ["sums", "bests"];

/// Instances on the same stores, with an action `all` that feeds both leaderboards.
async fn spawn(backend: Backend) -> Vec<Arc<TestApp>> {
    let app = TestApp::spawn(backend).await;
    for (id, operator) in BOARDS.into_iter().zip(["sum", "best"]) {
        app.make_leaderboard(id, json!({ "operator": operator })).await;
    }
    let all = json!({ "id": "all", "leaderboards": BOARDS, "value": { "min": 0, "max": 9 } });
    app.admin(Method::POST, "/api/actions").json(&all).answers(201).await;
    let mut apps = vec![Arc::new(app)];
    if backend == Backend::Shared {
        apps.push(Arc::new(apps[0].another().await));
    }
    apps
}

/// Decides and takes back while scores go on. Voided scores and adjustments are left of it.
async fn moderate(apps: &[Arc<TestApp>]) {
    let mut decisions = Vec::new();
    for round in 0..30 {
        let (app, user) = (&apps[round % apps.len()], USERS[round % 3]);
        decisions.push(match round % 5 {
            0 => hide(app, user, None).await,
            1 => {
                let page = restricted(app, &format!("/api/users/{user}/scores?limit=20")).await;
                let ids: Vec<_> = page["scores"].as_array().unwrap().iter().map(|event| event["eventId"].clone()).collect();
                decide(app, "void", json!({ "eventIds": ids })).await
            }
            2 => hide(app, user, Some("sums")).await,
            3 => decide(app, "void", json!({ "userId": user, "leaderboardId": "bests", "from": null, "to": null })).await,
            _ => decide(app, "adjust", json!({ "userId": user, "leaderboardId": "sums", "points": 100 })).await,
        });
        if round % 2 == 1 {
            let taken = decisions.swap_remove(fastrand::usize(..decisions.len()));
            take_back(app, &taken).await;
        }
        pass(20).await;
    }
    // Hides are all taken back, so that everybody is seen in the end.
    for hidden in decisions.iter().filter(|decision| decision["type"] == "hide") {
        take_back(&apps[0], hidden).await;
    }
}

/// Every score event of a user, oldest first, withheld ones included.
async fn events(app: &TestApp, user: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = restricted(app, &format!("/api/users/{user}/scores?limit=100{cursor}")).await;
        all.extend(page["scores"].as_array().unwrap().iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    all.reverse();
    all
}

async fn decisions_amid_scores_lose_nothing(backend: Backend) {
    let apps = spawn(backend).await;
    let mut tables = Vec::new();
    for app in &apps {
        for id in BOARDS {
            tables.push((Arc::clone(app), id, Table::open(app, id, false).await));
        }
    }
    let writers = Writers::start(&apps, "all", &USERS);
    for user in USERS {
        within(5, "they have begun", || async { !is_gone(&apps[0], "sums", user).await }).await;
    }
    moderate(&apps).await;
    let receipts = writers.stop().await;
    let (mut sums, mut bests) = (Vec::new(), Vec::new());
    for (user, receipts) in USERS.into_iter().zip(&receipts) {
        let events = events(&apps[0], user).await;
        let submitted: Vec<_> =
            events.iter().filter(|event| event["actionId"] == "all").map(|event| text(&event["eventId"])).collect();
        let accepted: Vec<_> = receipts.iter().map(|receipt| text(&receipt["eventId"])).collect();
        assert_eq!(submitted, accepted, "each accepted score once: {user}");
        let counting: Vec<_> = events.iter().filter(|event| event["counts"] == true).collect();
        let points = |event: &&Value| if event["actionId"].is_null() { 100 } else { 1 };
        if !counting.is_empty() {
            sums.push((user.to_owned(), counting.iter().map(points).sum::<i64>()));
        }
        if let Some(first) = counting.iter().find(|event| event["actionId"] == "all") {
            bests.push((user.to_owned(), 1, text(&first["at"])));
        }
    }
    bests.sort_by(|one, other| one.2.cmp(&other.2));
    sums.sort();
    for (app, id, table) in &mut tables {
        let path = format!("/api/leaderboards/{id}/entries?limit=100");
        let settled = || async {
            let mut rows = rows(&app.get(&path).await);
            if *id == "bests" {
                return rows == bests;
            }
            rows.sort();
            rows.into_iter().map(|(user, score, _)| (user, score)).eq(sums.iter().cloned())
        };
        within(5, &format!("{id} is the fold of what counts: {sums:?} {bests:?}"), settled).await;
        let window = app.get(&path).await;
        table.follow_to(&text(&window["version"])).await;
        assert_eq!(table.ranked(), rows(&window), "whoever watched {id}");
    }
}

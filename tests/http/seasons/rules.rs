//! Which season a score counts in, the bounds of a score, and rules that change from season to season.

use reqwest::Method;
use serde_json::{Value, json};

use super::{end, history, patch, post, result, season};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, users},
    streams::{scores, text},
};

crate::both_backends!(
    receipts_name_the_season_of_each_leaderboard,
    a_score_for_a_season_counts_in_that_one_or_not_at_all,
    in_a_batch_each_score_has_its_own_season,
    a_key_used_before_the_end_gives_the_receipt_of_then,
    cooldowns_and_limits_run_on,
    a_score_out_of_bounds_is_refused,
    a_score_can_stop_at_its_bounds,
    rules_change_between_seasons_and_each_keeps_its_own,
    every_broken_bound_is_named,
);

async fn receipts_name_the_season_of_each_leaderboard(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let both = json!({ "id": "both", "leaderboards": ["cup", "main"], "points": 3 });
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let told = |receipt: &Value| {
        let standings = receipt["standings"].as_array().unwrap().iter();
        standings
            .map(|each| (text(&each["leaderboardId"]), each["season"].as_i64().unwrap(), each["newScore"].as_i64().unwrap()))
            .collect::<Vec<_>>()
    };
    let named = |cup: (i64, i64), main: (i64, i64)| vec![("cup".to_owned(), cup.0, cup.1), ("main".to_owned(), main.0, main.1)];
    assert_eq!(told(&app.post_score("ann", "both").await), named((1, 3), (1, 3)));
    end(&app, "cup", 1).await;
    let receipt = app.post_score("ann", "both").await;
    assert_eq!(told(&receipt), named((2, 3), (1, 6)));
    assert_eq!((&receipt["previousScore"], &receipt["previousRank"], &receipt["rank"]), (&Value::Null, &Value::Null, &json!(1)));
    end(&app, "main", 1).await;
    end(&app, "cup", 2).await;
    assert_eq!(told(&app.post_score("ann", "both").await), named((3, 3), (2, 3)));
    let seasons: Vec<_> = history(&app, "ann").await.iter().map(told).collect();
    assert_eq!(seasons, [named((3, 3), (2, 3)), named((2, 3), (1, 6)), named((1, 3), (1, 3))]);
}

async fn a_score_for_a_season_counts_in_that_one_or_not_at_all(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let submit = |season: Value| {
        let body = json!({ "actionId": "goal", "userId": "ann", "season": season });
        app.game(Method::POST, "/api/scores").json(&body)
    };
    submit(json!(1)).answers(200).await;
    assert_eq!(broken(&submit(json!(2)).refused(422).await), ["season"]);
    assert_eq!(submit(json!(2)).refused(422).await["errors"][0]["code"], "not-begun");
    end(&app, "main", 1).await;
    let refused = submit(json!(1)).refused(409).await;
    assert_eq!(refused["type"], "urn:scoreboard:problem:season-ended");
    for season in [json!(2), json!(2.0), Value::Null] {
        assert_eq!(submit(season).answers(200).await["standings"][0]["season"], 2);
    }
    for bad in [json!(0), json!(-1), json!(1.5), json!("2"), json!("current")] {
        assert_eq!(broken(&submit(bad.clone()).refused(422).await), ["season"], "{bad}");
    }
    assert_eq!(scores(&app.get("/api/leaderboard").await), [("ann".to_owned(), 30)]);
    assert_eq!(scores(&app.get("/api/leaderboard?season=1").await), [("ann".to_owned(), 10)]);
    assert_eq!(history(&app, "ann").await.len(), 4, "what is refused is in no history");
}

async fn in_a_batch_each_score_has_its_own_season(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    end(&app, "main", 1).await;
    let submissions: Vec<_> =
        [1, 2, 3].map(|season| json!({ "actionId": "goal", "userId": "ann", "season": season })).into_iter().collect();
    let answer = app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": submissions })).answers(200).await;
    let statuses: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|result| result["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [409, 200, 422]);
    assert_eq!(answer["results"][0]["body"]["type"], "urn:scoreboard:problem:season-ended");
    assert_eq!(answer["results"][1]["body"]["standings"][0]["season"], 2);
}

async fn a_key_used_before_the_end_gives_the_receipt_of_then(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for body in [json!({ "actionId": "goal", "userId": "ann" }), json!({ "actionId": "goal", "userId": "ann", "season": 1 })] {
        let current = season(&app, "main", "current").await["season"].as_i64().unwrap();
        let key = format!("goal-{current}");
        let submit = || app.game(Method::POST, "/api/scores").header("Idempotency-Key", &key).json(&body);
        if body["season"].is_i64() && current > 1 {
            submit().refused(409).await;
            continue;
        }
        let first = submit().responds(200).await.text().await.unwrap();
        end(&app, "main", current).await;
        let again = submit().responds(200).await;
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert_eq!(again.text().await.unwrap(), first);
        // The season belongs to the content of a submission.
        let mut other = body.clone();
        other["season"] = json!(current + 1);
        let reused = app.game(Method::POST, "/api/scores").header("Idempotency-Key", &key).json(&other).refused(422).await;
        assert_eq!(broken(&reused), ["Idempotency-Key"]);
    }
    assert_eq!(app.get("/api/leaderboard").await["total"], 0, "a repeat scores nothing in the new season");
}

async fn cooldowns_and_limits_run_on(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let limit = json!({ "count": 1, "perSeconds": 600 });
    for action in [
        json!({ "id": "slow", "leaderboards": ["main"], "points": 1, "cooldownSeconds": 600 }),
        json!({ "id": "rare", "leaderboards": ["main"], "points": 1, "limit": limit }),
    ] {
        app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
    }
    for action in ["slow", "rare"] {
        app.post_score("ann", action).await;
    }
    end(&app, "main", 1).await;
    for action in ["slow", "rare"] {
        app.game(Method::POST, "/api/scores").json(&json!({ "actionId": action, "userId": "ann" })).refused(429).await;
        app.post_score("bob", action).await;
    }
}

async fn a_score_out_of_bounds_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let bounds = json!({ "min": -5, "max": 10 });
    app.make_leaderboard("cup", json!({ "bounds": bounds })).await;
    let whole = json!({ "min": -5, "max": 10, "onExceed": "refuse" });
    assert_eq!(app.get("/api/leaderboards/cup").await["bounds"], whole);
    assert_eq!(season(&app, "cup", 1).await["bounds"], whole);
    let refuse = async |user: &str, value: i64| {
        let body = json!({ "actionId": "cup", "userId": user, "value": value });
        let problem = app.game(Method::POST, "/api/scores").json(&body).refused(422).await;
        assert_eq!((broken(&problem), &problem["errors"][0]["code"]), (vec!["value"], &json!("out-of-bounds")));
    };
    refuse("ann", 11).await;
    refuse("ann", -6).await;
    assert_eq!(app.get("/api/leaderboards/cup/entries").await["total"], 0);
    post(&app, "cup", "ann", 10).await;
    refuse("ann", 1).await;
    assert_eq!(post(&app, "cup", "ann", -15).await["newScore"], -5, "the bounds are of the score, not of what is added");
    refuse("ann", -1).await;
    assert_eq!(history(&app, "ann").await.len(), 2);
}

async fn a_score_can_stop_at_its_bounds(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let bounds = json!({ "min": 0, "max": 10, "onExceed": "clamp" });
    app.make_leaderboard("cup", json!({ "bounds": bounds })).await;
    app.make_leaderboard("best", json!({ "bounds": bounds, "operator": "best" })).await;
    // The value, what moved, where it stands then.
    for (value, delta, score) in [(7, 7, 7), (7, 3, 10), (7, 0, 10), (-4, -4, 6), (-1_000_000, -6, 0), (-1, 0, 0), (2, 2, 2)] {
        let receipt = post(&app, "cup", "ann", value).await;
        assert_eq!((&receipt["delta"], &receipt["newScore"]), (&json!(delta), &json!(score)), "{value}: {receipt}");
        assert_eq!(app.get("/api/leaderboards/cup/entries/ann").await["entry"]["score"], score);
    }
    let first = post(&app, "cup", "bob", -3).await;
    assert_eq!((&first["delta"], &first["newScore"], &first["rank"]), (&json!(0), &json!(0), &json!(2)), "{first}");
    assert_eq!(post(&app, "best", "ann", 99).await["newScore"], 10);
    assert_eq!(post(&app, "best", "ann", 50).await["applied"], false, "ten is not beaten by ten");
    let events = history(&app, "ann").await;
    assert_eq!(events.len(), 9, "each is in the history");
    let reached = app.get("/api/leaderboards/best/entries/ann").await["entry"]["at"].clone();
    assert_eq!(reached, events[1]["at"], "and who stands at a bound has reached it first");
}

async fn rules_change_between_seasons_and_each_keeps_its_own(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let change = |body: Value| app.admin(Method::PATCH, "/api/leaderboards/cup").json(&body);
    for (user, value) in [("ann", 5), ("bob", 9), ("cy", 7)] {
        post(&app, "cup", user, value).await;
    }
    let bounds = json!({ "min": 3, "max": 100, "onExceed": "refuse" });
    for rule in [json!({ "order": "asc" }), json!({ "operator": "best" }), json!({ "bounds": bounds })] {
        assert_eq!(change(rule.clone()).refused(409).await["type"], "urn:scoreboard:problem:conflict", "{rule}");
    }
    end(&app, "cup", 1).await;
    patch(&app, "cup", json!({ "order": "asc", "operator": "best", "bounds": bounds })).await;
    for (user, value) in [("ann", 50), ("bob", 90), ("cy", 70), ("bob", 40), ("bob", 60)] {
        post(&app, "cup", user, value).await;
    }
    change(json!({ "order": "desc" })).refused(409).await;
    change(json!({ "bounds": null })).refused(409).await;
    let entries = "/api/leaderboards/cup/entries";
    assert_eq!(users(&app.get(entries).await), ["bob", "ann", "cy"]);
    let refused = app.game(Method::POST, "/api/scores").json(&json!({ "actionId": "cup", "userId": "dot", "value": 2 }));
    refused.refused(422).await;
    for _ in 0..2 {
        assert_eq!(users(&app.get(&format!("{entries}?season=1")).await), ["bob", "cy", "ann"], "by the rules of then");
        let place = app.get(&format!("{entries}/ann?season=1&around=1")).await;
        assert_eq!((&place["entry"]["rank"], &place["percentile"]), (&json!(3), &json!(0.0)));
        result(&app, "cup", 1).await;
    }
    let first = season(&app, "cup", 1).await;
    assert_eq!((&first["order"], &first["operator"], &first["bounds"]), (&json!("desc"), &json!("sum"), &Value::Null));
    end(&app, "cup", 2).await;
    patch(&app, "cup", json!({ "order": "desc", "operator": "last", "bounds": null })).await;
    let second = result(&app, "cup", 2).await;
    assert_eq!((&second["order"], &second["operator"], &second["bounds"]), (&json!("asc"), &json!("best"), &bounds));
    let third = season(&app, "cup", "current").await;
    assert_eq!((&third["order"], &third["operator"], &third["bounds"]), (&json!("desc"), &json!("last"), &Value::Null));
    assert_eq!(users(&app.get(&format!("{entries}?season=2")).await), ["bob", "ann", "cy"]);
}

async fn every_broken_bound_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (bounds, field) in [
        (json!({ "min": 5, "max": 4 }), "bounds"),
        (json!({ "min": 0 }), "bounds.max"),
        (json!({ "max": 0 }), "bounds.min"),
        (json!({ "min": 0, "max": 9_007_199_254_740_992_i64 }), "bounds.max"),
        (json!({ "min": 0.5, "max": 1 }), "bounds.min"),
        (json!({ "min": "0", "max": 1 }), "bounds.min"),
        (json!({ "min": 0, "max": 1, "onExceed": "wrap" }), "bounds.onExceed"),
        (json!({ "min": 0, "max": 1, "step": 1 }), "bounds.step"),
        (json!([0, 1]), "bounds"),
        (json!("0..1"), "bounds"),
    ] {
        let made = app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": "cup", "bounds": bounds }));
        assert_eq!(broken(&made.refused(422).await), [field], "{bounds}");
        let changed = app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({ "bounds": bounds }));
        assert_eq!(broken(&changed.refused(422).await), [field], "{bounds}");
    }
    let one = json!({ "min": 5, "max": 5, "onExceed": "clamp" });
    assert_eq!(patch(&app, "main", json!({ "bounds": one })).await["bounds"], one);
    assert_eq!(patch(&app, "main", json!({ "bounds": null })).await["bounds"], Value::Null);
}

//! Scores that are voided no longer count: the last legitimate best is back, and all is as before when they count again.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Watcher, change, decide, decision, entry, hide, is_gone, named, send, standing, take_back, void, without};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually},
    seasons::post,
};

crate::both_backends!(
    the_last_legitimate_best_is_back_with_its_own_time,
    everybody_is_as_before_when_it_is_taken_back,
    a_range_holds_its_first_instant_and_not_its_last,
    scores_that_feed_two_leaderboards_are_void_in_both,
    nobody_stands_without_a_score_that_counts,
    what_two_decisions_void_counts_after_both_are_taken_back,
    what_is_voided_of_a_hidden_user_moves_nobody,
    watchers_are_told_what_happened,
    scores_that_nobody_knows_cannot_be_voided,
);

/// One value after the other, of one user.
async fn values(app: &TestApp, id: &str, user: &str, values: &[i64]) -> Vec<Value> {
    let mut receipts = Vec::new();
    for value in values {
        receipts.push(post(app, id, user, *value).await);
    }
    receipts
}

async fn the_last_legitimate_best_is_back_with_its_own_time(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (id, settings) in [
        ("best", json!({ "operator": "best" })),
        ("fast", json!({ "operator": "best", "order": "asc" })),
        ("sum", json!({})),
        ("last", json!({ "operator": "last" })),
    ] {
        app.make_leaderboard(id, settings).await;
    }
    // Of three values, those at these places are voided; then this is the score, reached at that place.
    for (number, (id, voided, score, reached)) in [
        ("best", vec![1], 7, 2),
        ("best", vec![1, 2], 5, 0),
        ("best", vec![0], 9, 1),
        ("fast", vec![0], 7, 2),
        ("fast", vec![0, 2], 9, 1),
        ("sum", vec![1], 12, 2),
        ("sum", vec![2], 14, 1),
        ("sum", vec![0, 1], 7, 2),
        ("last", vec![2], 9, 1),
        ("last", vec![1, 2], 5, 0),
        ("last", vec![0], 7, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user-{number}");
        let receipts = values(&app, id, &user, &[5, 9, 7]).await;
        let before = entry(&app, id, &user).await;
        let decided = void(&app, &voided.iter().map(|place: &usize| &receipts[*place]).collect::<Vec<_>>()).await;
        let after = entry(&app, id, &user).await;
        assert_eq!((&after["score"], &after["at"]), (&json!(score), &receipts[reached]["at"]), "{id} without {voided:?}");
        if before["score"] != after["score"] {
            let change = change(&decided, id, &user);
            assert_eq!((&change["previousScore"], &change["score"]), (&before["score"], &json!(score)), "{decided}");
            assert_eq!((&change["previousRank"], &change["rank"]), (&before["rank"], &after["rank"]), "{decided}");
            assert_eq!((&change["season"], change["version"].is_string()), (&json!(1), true), "{decided}");
        }
        take_back(&app, &decided).await;
        assert_eq!(entry(&app, id, &user).await, before, "{id} without {voided:?}, taken back");
    }
}

async fn everybody_is_as_before_when_it_is_taken_back(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({ "operator": "best" })).await;
    let (mut mains, mut cups) = (Vec::new(), Vec::new());
    for (user, value) in [("ann", 5), ("bob", 5), ("cid", 3), ("ann", -2), ("dot", 3), ("bob", -2), ("ann", 4), ("cid", 4)] {
        mains.push(app.post_value(user, value).await);
        cups.push(post(&app, "cup", user, value).await);
    }
    let before = [standing(&app, "main", "current").await, standing(&app, "cup", "current").await];
    let voided = void(&app, &[&mains[0], &mains[5], &cups[1], &cups[7], &cups[4]]).await;
    let after = [standing(&app, "main", "current").await, standing(&app, "cup", "current").await];
    let told = |standing: &[Value]| -> Vec<_> {
        standing.iter().map(|entry| (entry["userId"].as_str().unwrap().to_owned(), entry["score"].as_i64().unwrap())).collect()
    };
    let expected = |rows: &[(&str, i64)]| rows.iter().map(|(user, score)| ((*user).to_owned(), *score)).collect::<Vec<_>>();
    // Of equal scores, whoever reached it first.
    assert_eq!(told(&after[0]), expected(&[("cid", 7), ("bob", 5), ("dot", 3), ("ann", 2)]));
    assert_eq!(told(&after[1]), expected(&[("ann", 5), ("cid", 3), ("bob", -2)]));
    for _ in 0..2 {
        app.restart().await;
        eventually("the ranking is back", || async { app.get("/api/leaderboard").await["version"].is_string() }).await;
        for (id, after) in ["main", "cup"].into_iter().zip(&after) {
            assert_eq!(standing(&app, id, "current").await, *after, "{id}");
        }
    }
    take_back(&app, &voided).await;
    for _ in 0..2 {
        for (id, before) in ["main", "cup"].into_iter().zip(&before) {
            assert_eq!(standing(&app, id, "current").await, *before, "{id}");
        }
        app.restart().await;
        eventually("the ranking is back", || async { app.get("/api/leaderboard").await["version"].is_string() }).await;
    }
}

async fn a_range_holds_its_first_instant_and_not_its_last(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let receipts = values(&app, "cup", "ann", &[1, 10, 100, 1000]).await;
    post(&app, "cup", "bob", 7).await;
    app.post_value("ann", 5).await;
    let at = |place: usize| receipts[place]["at"].clone();
    for (from, to, left) in [
        (at(1), at(3), 1001),
        (at(0), at(1), 1110),
        (Value::Null, at(2), 1100),
        (at(2), Value::Null, 11),
        (at(3), Value::Null, 111),
        (at(1), at(2), 1101),
    ] {
        let range = json!({ "userId": "ann", "leaderboardId": "cup", "from": from, "to": to });
        let voided = decide(&app, "void", range).await;
        assert_eq!(entry(&app, "cup", "ann").await["score"], left, "{from} to {to}");
        assert_eq!(entry(&app, "cup", "bob").await["score"], 7);
        assert_eq!(entry(&app, "main", "ann").await["score"], 5, "scores of that leaderboard alone");
        take_back(&app, &voided).await;
        assert_eq!(entry(&app, "cup", "ann").await["score"], 1111, "{from} to {to}");
    }
    decide(&app, "void", json!({ "userId": "ann", "leaderboardId": "cup", "from": null, "to": null })).await;
    assert!(is_gone(&app, "cup", "ann").await);
    assert_eq!(post(&app, "cup", "ann", 2).await["newScore"], 2, "what comes later counts");
}

async fn scores_that_feed_two_leaderboards_are_void_in_both(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({ "operator": "best" })).await;
    let both = json!({ "id": "both", "leaderboards": ["main", "cup"], "value": { "min": 0, "max": 100 } });
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let mut receipts = Vec::new();
    for value in [20, 50, 30] {
        receipts.push(app.submit(json!({ "actionId": "both", "userId": "ann", "value": value })).await);
    }
    let before = [entry(&app, "main", "ann").await, entry(&app, "cup", "ann").await];
    for range in [
        json!({ "eventIds": [receipts[1]["eventId"]] }),
        json!({ "userId": "ann", "leaderboardId": "cup", "from": receipts[1]["at"], "to": receipts[2]["at"] }),
    ] {
        let voided = decide(&app, "void", range).await;
        for (id, score) in [("main", 50), ("cup", 30)] {
            let ann = entry(&app, id, "ann").await;
            assert_eq!((&ann["score"], &ann["at"]), (&json!(score), &receipts[2]["at"]), "{id}");
            assert_eq!(change(&voided, id, "ann")["score"], score);
        }
        take_back(&app, &voided).await;
        assert_eq!([entry(&app, "main", "ann").await, entry(&app, "cup", "ann").await], before);
    }
}

async fn nobody_stands_without_a_score_that_counts(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipts = values(&app, "value", "ann", &[3, 4]).await;
    app.post_value("bob", 5).await;
    let before = standing(&app, "main", "current").await;
    let voided = void(&app, &[&receipts[0], &receipts[1]]).await;
    let gone = change(&voided, "main", "ann");
    assert_eq!((&gone["score"], &gone["rank"], &gone["previousScore"]), (&Value::Null, &Value::Null, &json!(7)));
    assert!(is_gone(&app, "main", "ann").await);
    assert_eq!(standing(&app, "main", "current").await, without(&before, "ann"));
    let first = app.post_value("ann", 2).await;
    assert_eq!((&first["previousScore"], &first["newScore"], &first["rank"]), (&Value::Null, &json!(2), &json!(2)));
    take_back(&app, &voided).await;
    let ann = entry(&app, "main", "ann").await;
    assert_eq!((&ann["score"], &ann["at"], &ann["rank"]), (&json!(9), &first["at"], &json!(1)), "all of them, in their order");
}

async fn what_two_decisions_void_counts_after_both_are_taken_back(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipts = values(&app, "value", "ann", &[1, 10, 100]).await;
    let before = entry(&app, "main", "ann").await;
    let first = void(&app, &[&receipts[0], &receipts[1]]).await;
    let second = void(&app, &[&receipts[1], &receipts[2]]).await;
    assert!(is_gone(&app, "main", "ann").await);
    take_back(&app, &first).await;
    let ann = entry(&app, "main", "ann").await;
    assert_eq!((&ann["score"], &ann["at"]), (&json!(1), &receipts[0]["at"]), "the middle one is still void");
    take_back(&app, &second).await;
    assert_eq!(entry(&app, "main", "ann").await, before);
}

async fn what_is_voided_of_a_hidden_user_moves_nobody(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipts = values(&app, "value", "ann", &[5, 9]).await;
    app.post_value("bob", 7).await;
    let hidden = hide(&app, "ann", None).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let voided = void(&app, &[&receipts[1]]).await;
    for entry in voided["entries"].as_array().unwrap() {
        for field in ["rank", "previousRank", "version"] {
            assert_eq!(entry[field], Value::Null, "{field}: {voided}");
        }
    }
    app.post_value("bob", 1).await;
    assert_eq!(watcher.expect("score-updated").await["userId"], "bob", "nobody hears of it");
    take_back(&app, &hidden).await;
    let ann = entry(&app, "main", "ann").await;
    assert_eq!((&ann["score"], &ann["at"], &ann["rank"]), (&json!(5), &receipts[0]["at"], &json!(2)));
    take_back(&app, &voided).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 14);
}

async fn watchers_are_told_what_happened(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipts = values(&app, "value", "ann", &[5, 9]).await;
    app.post_value("bob", 7).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let voided = void(&app, &[&receipts[1]]).await;
    let told = watcher.expect("score-updated").await;
    let expected = |decision: &Value, cause: &str| {
        let change = change(decision, "main", "ann");
        let (scores, ranks) = ([&change["score"], &change["previousScore"]], [&change["rank"], &change["previousRank"]]);
        json!([change["version"], cause, null, "ann", scores[0], scores[1], ranks[0], ranks[1], 2])
    };
    let fields = ["version", "cause", "actionId", "userId", "score", "previousScore", "rank", "previousRank", "total"];
    let shown = |event: &Value| json!(fields.map(|field| event[field].clone()));
    assert_eq!(shown(&told), expected(&voided, "void"));
    assert_eq!((&told["score"], &told["rank"], &told["delta"]), (&json!(5), &json!(2), &json!(-9)));
    let back = take_back(&app, &voided).await;
    let again = watcher.expect("score-updated").await;
    assert_eq!(shown(&again), expected(&back, "restore"));
    assert_eq!((&again["score"], &again["rank"], &again["delta"]), (&json!(14), &json!(1), &json!(9)));
    let ids = [&told["eventId"], &again["eventId"], &receipts[0]["eventId"], &receipts[1]["eventId"]];
    assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1), "ids of their own: {ids:?}");

    void(&app, &[&receipts[0], &receipts[1]]).await;
    let removed = watcher.expect("score-removed").await;
    assert_eq!((&removed["userId"], &removed["rank"], &removed["total"]), (&json!("ann"), &json!(1), &json!(1)));
    app.post_value("bob", 1).await;
    assert_eq!(watcher.expect("score-updated").await["rank"], 1);
}

async fn scores_that_nobody_knows_cannot_be_voided(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let known = app.post_value("ann", 5).await;
    let unknown = json!("01890000-0000-7000-8000-000000000000");
    for ids in [json!([unknown]), json!([known["eventId"], unknown])] {
        let result = send(&app, &[decision("void", json!({ "eventIds": ids }))]).await.remove(0);
        assert_eq!((&result["status"], named(&result)), (&json!(422), vec!["eventIds"]), "{result}");
        assert_eq!(entry(&app, "main", "ann").await["score"], 5, "a decision is carried out whole or not at all");
    }
}

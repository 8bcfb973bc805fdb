//! Who is hidden stands in no ranking, total or stream, plays on unseen, and comes back as if nothing had been.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{DECISIONS, Watcher, archived, change, decide, entry, hide, is_gone, moderator, standing, take_back, without};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually, users, within},
    seasons::{end, from_now, post, result, season},
    sse::Sse,
};

crate::both_backends!(
    a_hidden_user_is_in_no_ranking,
    taken_back_it_is_as_if_never_hidden,
    scores_go_on_without_ranks_and_count_afterwards,
    a_hidden_user_stays_hidden_wherever_they_appear_next,
    a_user_hidden_twice_is_back_after_the_second,
    what_ends_by_time_is_back_within_five_seconds,
    an_ended_season_leaves_them_out_as_well,
    watchers_of_every_view_see_them_go_and_come,
    who_comes_back_is_not_shown_who_was_hidden,
);

async fn three(app: &TestApp) {
    for (user, value) in [("ann", 9), ("bob", 5), ("cid", 1)] {
        app.post_value(user, value).await;
    }
}

async fn a_hidden_user_is_in_no_ranking(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    app.make_leaderboard("cup", json!({})).await;
    post(&app, "cup", "ann", 7).await;
    let before = app.get("/api/leaderboard").await;
    let hidden = hide(&app, "ann", Some("main")).await;
    let version = &hidden["entries"][0]["version"];
    assert!(version.is_string(), "{hidden}");
    let expected = json!([{
        "leaderboardId": "main", "season": 1, "userId": "ann", "previousScore": 9, "score": null, "previousRank": 1, "rank": null,
        "version": version,
    }]);
    assert_eq!(hidden["entries"], expected);
    for (field, value) in [
        ("type", json!("hide")),
        ("reason", json!("a test")),
        ("subject", json!("moderator")),
        ("active", json!(true)),
        ("userId", json!("ann")),
        ("leaderboardId", json!("main")),
        ("until", Value::Null),
        ("endedAt", Value::Null),
    ] {
        assert_eq!(hidden[field], value, "{field}");
    }
    assert!(hidden["id"].is_string() && hidden["at"].is_string(), "{hidden}");
    let after = app.get("/api/leaderboard").await;
    assert_eq!((users(&after), &after["total"], &after["version"]), (vec!["bob", "cid"], &json!(2), version));
    assert_ne!(after["version"], before["version"]);
    assert_eq!(app.get("/api/leaderboards/main").await["total"], 2);
    assert_eq!(season(&app, "main", "current").await["total"], 2);
    assert!(is_gone(&app, "main", "ann").await);
    let bob = app.get("/api/leaderboards/main/entries/bob?around=5").await;
    assert_eq!((&bob["entry"]["rank"], bob["around"].as_array().unwrap().len()), (&json!(1), 2));
    let friends = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&json!({"userIds": ["ann", "cid"]}));
    assert_eq!(users(&friends.answers(200).await), ["cid"]);
    assert_eq!(entry(&app, "cup", "ann").await["score"], 7, "elsewhere they stand as before");
}

/// Two leaderboards in which some have the same score.
async fn ties(app: &TestApp) {
    app.make_leaderboard("cup", json!({ "order": "asc", "operator": "best" })).await;
    for (user, value) in [("ann", 5), ("bob", 5), ("cid", 9), ("dot", 5), ("ann", 0), ("eve", 2)] {
        app.post_value(user, value).await;
        post(app, "cup", user, value + 1).await;
    }
}

async fn taken_back_it_is_as_if_never_hidden(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    ties(&app).await;
    let before = [standing(&app, "main", "current").await, standing(&app, "cup", "current").await];
    let hidden = hide(&app, "ann", None).await;
    for _ in 0..2 {
        for (id, before) in ["main", "cup"].into_iter().zip(&before) {
            assert_eq!(standing(&app, id, "current").await, without(before, "ann"), "{id}");
        }
        // A ranking that is lost and built anew leaves them out, too.
        app.restart().await;
        eventually("the ranking is back", || async { app.get("/api/leaderboard").await["version"].is_string() }).await;
    }
    let back = take_back(&app, &hidden).await;
    for (id, before) in ["main", "cup"].into_iter().zip(&before) {
        let (change, ann) = (change(&back, id, "ann"), before.iter().find(|entry| entry["userId"] == "ann").unwrap());
        assert_eq!((&change["previousScore"], &change["previousRank"]), (&Value::Null, &Value::Null), "{id}");
        assert_eq!((&change["score"], &change["rank"]), (&ann["score"], &ann["rank"]), "{id}");
    }
    for _ in 0..2 {
        for (id, before) in ["main", "cup"].into_iter().zip(&before) {
            assert_eq!(standing(&app, id, "current").await, *before, "{id}");
        }
        app.restart().await;
        eventually("the ranking is back", || async { app.get("/api/leaderboard").await["version"].is_string() }).await;
    }
}

async fn scores_go_on_without_ranks_and_count_afterwards(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let hidden = hide(&app, "ann", Some("main")).await;
    let removed = watcher.expect("score-removed").await;
    let expected = json!({
        "leaderboardId": "main", "season": 1, "version": hidden["entries"][0]["version"], "since": removed["since"],
        "eventId": removed["eventId"], "userId": "ann", "rank": 1, "total": 2, "at": removed["at"],
    });
    assert_eq!(removed, expected);
    let receipt = app.post_value("ann", 3).await;
    let told = &receipt["standings"][0];
    assert_eq!((&told["newScore"], &told["delta"], &told["applied"]), (&json!(12), &json!(3), &json!(true)));
    for field in ["rank", "previousRank", "version"] {
        assert_eq!((&receipt[field], &told[field]), (&Value::Null, &Value::Null), "{field}");
    }
    assert_eq!(told["total"], Value::Null);
    app.post_value("bob", 1).await;
    let bob = watcher.expect("score-updated").await;
    assert_eq!((&bob["userId"], &bob["rank"], &bob["total"]), (&json!("bob"), &json!(1), &json!(2)));

    let back = take_back(&app, &hidden).await;
    let told = watcher.expect("score-updated").await;
    for (field, value) in [
        ("version", change(&back, "main", "ann")["version"].clone()),
        ("userId", json!("ann")),
        ("actionId", Value::Null),
        ("cause", json!("unhide")),
        ("score", json!(12)),
        ("previousScore", Value::Null),
        ("rank", json!(1)),
        ("previousRank", Value::Null),
        ("total", json!(3)),
    ] {
        assert_eq!(told[field], value, "{field}: {told}");
    }
    assert!(told["eventId"].is_string() && told["eventId"] != receipt["eventId"], "an eventId of its own");
    let ann = entry(&app, "main", "ann").await;
    assert_eq!((&ann["score"], &ann["at"], &ann["rank"]), (&json!(12), &receipt["at"], &json!(1)));
    assert_eq!(app.post_value("ann", 1).await["rank"], 1);
    assert_eq!(watcher.expect("score-updated").await["score"], 13);
}

async fn a_hidden_user_stays_hidden_wherever_they_appear_next(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    let (everywhere, here) = (hide(&app, "ann", None).await, hide(&app, "bob", Some("main")).await);
    app.make_leaderboard("cup", json!({})).await;
    let receipt = post(&app, "cup", "ann", 4).await;
    assert_eq!((&receipt["rank"], &receipt["version"], &receipt["newScore"]), (&Value::Null, &Value::Null, &json!(4)));
    assert!(!post(&app, "cup", "bob", 3).await["version"].is_null(), "hidden on the other leaderboard only");
    assert_eq!(users(&app.get("/api/leaderboards/cup/entries").await), ["bob"]);
    end(&app, "main", 1).await;
    for user in ["ann", "bob", "cid"] {
        app.post_value(user, 2).await;
    }
    let window = app.get("/api/leaderboard").await;
    assert_eq!((users(&window), &window["total"], &window["season"]), (vec!["cid"], &json!(1), &json!(2)));
    take_back(&app, &everywhere).await;
    assert_eq!(users(&app.get("/api/leaderboards/cup/entries").await), ["ann", "bob"]);
    assert_eq!(users(&app.get("/api/leaderboard").await), ["ann", "cid"]);
    take_back(&app, &here).await;
    assert_eq!(users(&app.get("/api/leaderboard").await), ["ann", "bob", "cid"]);
}

async fn a_user_hidden_twice_is_back_after_the_second(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    ties(&app).await;
    let before = [standing(&app, "main", "current").await, standing(&app, "cup", "current").await];
    let (here, everywhere) = (hide(&app, "ann", Some("main")).await, hide(&app, "ann", None).await);
    take_back(&app, &everywhere).await;
    assert_eq!(standing(&app, "main", "current").await, without(&before[0], "ann"));
    assert_eq!(standing(&app, "cup", "current").await, before[1]);
    take_back(&app, &here).await;
    assert_eq!(standing(&app, "main", "current").await, before[0]);
}

async fn what_ends_by_time_is_back_within_five_seconds(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    let before = standing(&app, "main", "current").await;
    let mut watcher = Watcher::open(&app, "main").await;
    let (until, begun) = (from_now(1500), Instant::now());
    let hidden = decide(&app, "hide", json!({ "userId": "ann", "leaderboardId": "main", "until": until })).await;
    assert_eq!(hidden["until"], json!(until));
    watcher.expect("score-removed").await;
    assert!(is_gone(&app, "main", "ann").await);
    within(7, "the hidden user is back", || async { !is_gone(&app, "main", "ann").await }).await;
    let passed = begun.elapsed().as_millis();
    assert!((1400..6600).contains(&passed), "after {passed} ms");
    assert_eq!(standing(&app, "main", "current").await, before);
    let back = watcher.expect("score-updated").await;
    assert_eq!((&back["userId"], &back["cause"], &back["rank"]), (&json!("ann"), &json!("unhide"), &json!(1)));
    let lapsed = moderator(&app, Method::GET, DECISIONS).answers(200).await["decisions"][0].clone();
    assert_eq!((&lapsed["id"], &lapsed["active"]), (&hidden["id"], &json!(false)));
    assert!(lapsed["endedAt"].is_string(), "{lapsed}");
}

async fn an_ended_season_leaves_them_out_as_well(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    end(&app, "main", 1).await;
    let first = result(&app, "main", 1).await;
    let before = standing(&app, "main", 1).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let hidden = hide(&app, "ann", Some("main")).await;
    archived(&app, "main", 1, &without(&before, "ann")).await;
    let place = "/api/leaderboards/main/entries/ann?season=1";
    app.anonymous(Method::GET, place).refused(404).await;
    let revised = season(&app, "main", 1).await;
    assert_ne!(revised["version"], first["version"]);
    assert!(revised["revisedAt"].is_string(), "{revised}");
    take_back(&app, &hidden).await;
    archived(&app, "main", 1, &before).await;
    assert_eq!(app.get(place).await["entry"], before[0]);
    assert_eq!(season(&app, "main", 1).await["digest"], first["digest"]);
    // Those who watch the current season hear nothing of it.
    app.post_value("bob", 1).await;
    assert_eq!(watcher.expect("score-updated").await["userId"], "bob");
}

async fn watchers_of_every_view_see_them_go_and_come(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    three(&app).await;
    let stream = async |view: &str| Sse::open(&app, &format!("/api/leaderboard/stream?hz=20&{view}")).await;
    let mut top = stream("view=top&limit=2").await;
    let mut own = stream("view=user&userId=ann").await;
    let mut third = stream("view=user&userId=cid&around=0").await;
    let mut several = Sse::open(&app, "/api/stream?leaderboards=main&limit=2&hz=20").await;
    top.expect("leaderboard").await;
    several.expect("leaderboard").await;
    assert_eq!(own.expect("standing").await.data["entry"]["rank"], 1);
    assert_eq!(third.expect("standing").await.data["entry"]["rank"], 3);
    let hidden = hide(&app, "ann", None).await;
    for stream in [&mut top, &mut several] {
        let patch = stream.expect("leaderboard-patch").await.data;
        let rows: Vec<_> = patch["rows"].as_array().unwrap().iter().map(|row| row["userId"].clone()).collect();
        assert_eq!((rows, &patch["total"], &patch["size"]), (vec![json!("bob"), json!("cid")], &json!(2), &json!(2)));
    }
    let gone = own.expect("standing").await.data;
    assert_eq!((&gone["entry"], &gone["total"]), (&Value::Null, &json!(2)));
    assert_eq!(third.expect("standing").await.data["entry"]["rank"], 2);
    take_back(&app, &hidden).await;
    for stream in [&mut top, &mut several] {
        let patch = stream.expect("leaderboard-patch").await.data;
        assert_eq!((&patch["rows"][0]["userId"], &patch["total"], &patch["size"]), (&json!("ann"), &json!(3), &json!(2)));
    }
    assert_eq!(own.expect("standing").await.data["entry"]["rank"], 1);
    assert_eq!(third.expect("standing").await.data["entry"]["rank"], 3);
}

async fn who_comes_back_is_not_shown_who_was_hidden(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let start = watcher.version.clone();
    three(&app).await;
    let mut shown = Vec::new();
    for _ in 0..3 {
        watcher.expect("score-updated").await;
        shown.push(watcher.version.clone());
    }
    hide(&app, "ann", Some("main")).await;
    let removed = watcher.expect("score-removed").await;
    let mut instances = vec![app];
    if matches!(backend, Backend::Shared) {
        // One that has not seen it happen reads it from the feed.
        instances.push(instances[0].another().await);
    }
    for app in &instances {
        let stream = async |from: &str| Sse::resume(app, "/api/leaderboards/main/stream", from).await;
        let anew = stream(&start).await.expect("leaderboard").await.data;
        assert_eq!((users(&anew), &anew["reset"]), (vec!["bob", "cid"], &json!(true)), "told that the rest is missing");
        for (seen, version) in shown.iter().enumerate() {
            let mut stream = stream(version).await;
            for user in ["bob", "cid"].iter().skip(seen) {
                assert_eq!(stream.expect("score-updated").await.data["userId"], *user, "nothing else is left out");
            }
            assert_eq!(stream.expect("score-removed").await.data, removed);
        }
    }
}

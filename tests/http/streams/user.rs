//! `view=user`: one user's standing, now and whenever it changes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Backend, TestApp},
    sse::{Received, Sse},
};

crate::both_backends!(
    before_the_first_score_there_is_no_entry,
    the_standing_follows_the_user_and_the_neighbours,
    what_happens_far_away_is_not_told,
    who_comes_later_sees_the_newest_version_and_total,
    a_standing_is_what_a_read_of_the_entry_answers,
);

fn around(standing: &Received) -> Vec<&str> {
    standing.data["around"].as_array().unwrap().iter().map(|row| row["userId"].as_str().unwrap()).collect()
}

async fn before_the_first_score_there_is_no_entry(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=bob&hz=20").await;
    let standing = stream.expect("standing").await;
    assert_eq!((&standing.data["entry"], &standing.data["percentile"]), (&Value::Null, &Value::Null));
    assert_eq!((&standing.data["total"], &standing.data["around"]), (&json!(1), &json!([])));
    let receipt = app.post_score("bob", "point").await;
    let standing = stream.expect("standing").await;
    assert_eq!(json!(standing.id), receipt["version"]);
    assert_eq!((&standing.data["entry"]["rank"], &standing.data["entry"]["score"]), (&json!(2), &json!(1)));
    assert_eq!(around(&standing), ["ann", "bob"]);
}

async fn the_standing_follows_the_user_and_the_neighbours(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("a", 50), ("b", 40), ("c", 30), ("d", 20), ("e", 10)] {
        app.post_value(user, value).await;
    }
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=c&around=1&hz=20").await;
    assert_eq!(around(&stream.expect("standing").await), ["b", "c", "d"]);

    app.post_value("d", 5).await;
    let standing = stream.expect("standing").await;
    assert_eq!((&standing.data["entry"]["rank"], &standing.data["around"][2]["score"]), (&json!(3), &json!(25)));
    app.post_value("e", 18).await;
    assert_eq!(around(&stream.expect("standing").await), ["b", "c", "e"]);
    app.post_value("e", 100).await;
    let standing = stream.expect("standing").await;
    assert_eq!((&standing.data["entry"]["rank"], around(&standing)), (&json!(4), vec!["b", "c", "d"]));

    let rename = app.admin(Method::PUT, "/api/users/b").json(&json!({ "displayName": "Bee" }));
    rename.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(stream.expect("standing").await.data["around"][0]["displayName"], "Bee");
}

async fn what_happens_far_away_is_not_told(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("a", 500), ("b", 400), ("c", 300), ("d", 200), ("e", 100)] {
        app.post_value(user, value).await;
    }
    let mut stream = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=e&around=1&hz=20").await;
    stream.expect("standing").await;
    app.post_value("a", 1).await;
    app.post_value("b", 1).await;
    let receipt = app.post_value("e", 1).await;
    let standing = stream.expect("standing").await;
    assert_eq!((json!(standing.id), &standing.data["entry"]["score"]), (receipt["version"].clone(), &json!(101)));
}

async fn a_standing_is_what_a_read_of_the_entry_answers(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for user in ["a", "b", "c", "宮本 茂", "d & e/f"] {
        app.post_score(user, "goal").await;
    }
    for user in ["c", "%E5%AE%AE%E6%9C%AC%20%E8%8C%82", "d%20%26%20e%2Ff"] {
        let read = app.get(&format!("/api/leaderboards/main/entries/{user}?around=2")).await;
        let path = format!("/api/leaderboards/main/stream?view=user&userId={user}&around=2");
        assert_eq!(Sse::open(&app, &path).await.expect("standing").await.data, read);
    }
}

async fn who_comes_later_sees_the_newest_version_and_total(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let path = "/api/leaderboard/stream?view=user&userId=ann&around=0&hz=20";
    let mut early = Sse::open(&app, path).await;
    early.expect("standing").await;
    app.post_value("ann", 100).await;
    early.expect("standing").await;
    for user in ["a", "b", "c", "d"] {
        app.post_value(user, 1).await;
    }
    // A leaderboard that has been quiet for longer than a tick: another stream shows that its hub has seen everything.
    let mut others = Sse::open(&app, "/api/leaderboard/stream?view=user&userId=d&around=0&hz=20").await;
    while others.expect("standing").await.data["total"] != 5 {}
    let read = app.get("/api/leaderboards/main/entries/ann?around=0").await;
    let mut late = Sse::open(&app, path).await;
    let mut standing = late.expect("standing").await;
    while standing.data["version"] != read["version"] {
        standing = late.expect("standing").await;
    }
    assert_eq!(standing.data, read);
}

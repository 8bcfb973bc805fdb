//! The latest scores of a leaderboard.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
    sse::Sse,
    streams::text,
};

crate::both_backends!(
    the_latest_scores_are_told_newest_first_as_the_stream_told_them,
    a_stream_from_their_version_on_leaves_no_gap,
    they_come_from_the_history_after_a_rebuild,
    only_what_changed_an_entry_of_this_leaderboard_is_there,
    users_have_the_names_of_now,
    an_unchanged_answer_is_not_sent_again,
    a_broken_parameter_is_named,
);

const SCORES: &str = "/api/leaderboards/main/scores";

/// The ids of these scores, in their order.
fn ids(scores: &Value) -> Vec<String> {
    scores["scores"].as_array().unwrap().iter().map(|score| text(&score["eventId"])).collect()
}

/// Posts so many scores of three users in turn, and answers the ids of the events, newest first.
async fn post(app: &TestApp, count: usize) -> Vec<String> {
    let mut posted = Vec::new();
    for index in 0..count {
        let user = ["ann", "bob", "cy"][index % 3];
        posted.insert(0, text(&app.post_value(user, index as i64 + 1).await["eventId"]));
    }
    posted
}

async fn the_latest_scores_are_told_newest_first_as_the_stream_told_them(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let empty = app.get(SCORES).await;
    assert_eq!((&empty["scores"], &empty["leaderboardId"], &empty["season"]), (&json!([]), &json!("main"), &json!(1)));
    let mut stream = Sse::open(&app, "/api/leaderboard/stream").await;
    stream.expect("leaderboard").await;
    let posted = post(&app, 25).await;
    let latest = app.get(SCORES).await;
    assert_eq!(ids(&latest), posted[..20]);
    assert_eq!(ids(&app.get(&format!("{SCORES}?limit=100")).await), posted);
    assert_eq!(ids(&app.get(&format!("{SCORES}?limit=1")).await), posted[..1]);
    let mut told = Vec::new();
    for _ in 0..25 {
        let mut event = stream.expect("score-updated").await.data;
        for field in ["leaderboardId", "season", "since", "total"] {
            event.as_object_mut().unwrap().remove(field);
        }
        told.insert(0, event);
    }
    assert_eq!(latest["scores"], json!(told[..20]));
    assert_eq!(latest["version"], told[0]["version"]);
}

async fn a_stream_from_their_version_on_leaves_no_gap(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    post(&app, 5).await;
    let writer = async {
        let mut posted = Vec::new();
        for value in 0..60 {
            posted.push(text(&app.post_value("dee", value + 1).await["eventId"]));
        }
        posted
    };
    let reader = async {
        let latest = app.get(&format!("{SCORES}?limit=100")).await;
        let mut stream = Sse::open(&app, &format!("/api/leaderboard/stream?lastEventId={}", text(&latest["version"]))).await;
        let mut seen = ids(&latest);
        seen.reverse();
        while seen.len() < 65 {
            let event = text(&stream.expect("score-updated").await.data["eventId"]);
            // What was announced while the answer was made may be in both.
            if !seen.contains(&event) {
                seen.push(event);
            }
        }
        seen
    };
    let (posted, seen) = tokio::join!(writer, reader);
    assert_eq!(seen[5..], posted);
}

async fn they_come_from_the_history_after_a_rebuild(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    let posted = post(&app, 7).await;
    app.restart().await;
    if backend == Backend::Shared {
        // Redis kept the ranking: it has to be built anew for its history to be gone.
        let rebuilt = std::process::Command::new(env!("CARGO_BIN_EXE_scoreboard"))
            .arg("rebuild")
            .env("DATABASE_URL", app.settings.storage.database_url())
            .env("REDIS_URL", app.settings.storage.redis_url().unwrap())
            .env("DATA_DIR", &app.settings.storage.data_dir)
            .output()
            .unwrap();
        assert!(rebuilt.status.success(), "{rebuilt:?}");
    }
    let latest = app.get(SCORES).await;
    assert_eq!(ids(&latest), posted);
    let newest = &latest["scores"][0];
    assert_eq!((&newest["userId"], &newest["delta"], &newest["score"]), (&json!("ann"), &json!(7), &json!(12)));
    assert_eq!((&newest["previousScore"], &newest["rank"], &newest["version"]), (&json!(5), &Value::Null, &Value::Null));
    assert_eq!((&latest["scores"][6]["previousScore"], &latest["scores"][6]["previousRank"]), (&Value::Null, &Value::Null));

    let more = post(&app, 2).await;
    let latest = app.get(SCORES).await;
    assert_eq!(ids(&latest), [more, posted].concat(), "both together, each once");
    assert_eq!((&latest["scores"][0]["rank"], &latest["scores"][2]["rank"]), (&json!(3), &Value::Null));
}

async fn only_what_changed_an_entry_of_this_leaderboard_is_there(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    app.make_leaderboard("best", json!({"operator": "best"})).await;
    let both = json!({"id": "both", "leaderboards": ["main", "best"], "points": 4});
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let first = app.post_score("ann", "both").await;
    let second = app.post_score("ann", "both").await;
    assert_eq!(second["standings"][1]["applied"], json!(false));
    app.post_score("bob", "goal").await;
    for _ in 0..2 {
        assert_eq!(ids(&app.get("/api/leaderboards/best/scores").await), [text(&first["eventId"])]);
        assert_eq!(ids(&app.get(SCORES).await)[1..], [text(&second["eventId"]), text(&first["eventId"])]);
        app.restart().await;
    }
    app.admin(Method::DELETE, "/api/leaderboards/best").responds(204).await;
    app.anonymous(Method::GET, "/api/leaderboards/best/scores").refused(404).await;
    app.admin(Method::POST, "/api/leaderboards").json(&json!({"id": "best"})).answers(201).await;
    assert_eq!(app.get("/api/leaderboards/best/scores").await["scores"], json!([]), "another one of the same name");
}

async fn users_have_the_names_of_now(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    app.post_score("bob", "goal").await;
    for name in ["Ada", "Ada B."] {
        app.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": name })).answers(200).await;
        app.post_score("ann", "goal").await;
    }
    for name in ["Ada C.", "Ada D."] {
        app.admin(Method::PUT, "/api/users/ann").json(&json!({ "displayName": name })).answers(200).await;
        let latest = app.get(SCORES).await;
        let names: Vec<_> = latest["scores"].as_array().unwrap().iter().map(|score| text(&score["displayName"])).collect();
        assert_eq!(names, [name, name, "bob", name], "also where no score has brought it");
        app.restart().await;
    }
}

async fn an_unchanged_answer_is_not_sent_again(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let first = app.anonymous(Method::GET, SCORES).responds(200).await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert!(first.headers().contains_key("cache-status"));
    app.anonymous(Method::GET, SCORES).header("if-none-match", &tag).responds(304).await;
    app.post_score("ann", "goal").await;
    app.anonymous(Method::GET, SCORES).header("if-none-match", &tag).responds(200).await;
}

async fn a_broken_parameter_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for limit in ["0", "101", "-1", "x", ""] {
        let request = app.anonymous(Method::GET, &format!("{SCORES}?limit={limit}"));
        assert_eq!(broken(&request.refused(422).await), ["limit"], "{limit}");
    }
    app.anonymous(Method::GET, "/api/leaderboards/nothing/scores").refused(404).await;
}

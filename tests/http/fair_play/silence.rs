//! P7: a withheld score changes no public byte.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{REVIEWS, approve, fair, reject, suspicious, watch};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, within},
    moderation::{Watcher, moderator},
    seasons::{end, result},
    streams::text,
};

crate::both_backends!(
    a_withheld_score_changes_no_public_byte,
    watchers_are_told_nothing,
    nobody_learns_of_a_user_who_is_only_in_review,
    metrics_count_reviews_where_only_operators_read_them,
);

const NEW: &str = "suspicious-user-4711";
const BOARDS: [&str; 2] = ["main", "cup"];

/// Everything that anybody may read, and some that scopes open; `/metrics` counts every request.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = ["/", "/openapi.yaml", "/readyz", "/api/leaderboards", "/api/actions"].map(str::to_owned).into();
    for user in ["bob", "cid", NEW] {
        paths.push(format!("/api/users/{user}/scores?limit=100"));
    }
    for id in BOARDS {
        let board = format!("/api/leaderboards/{id}");
        paths.extend([board.clone(), format!("{board}/seasons?limit=100"), format!("{board}/entries?limit=1000")]);
        paths.push(format!("{board}/scores?limit=100"));
        for user in ["bob", "cid", NEW] {
            paths.push(format!("{board}/entries/{user}?around=50"));
        }
    }
    for of_first in ["/entries?limit=100&season=1", "/scores?season=1", "/seasons/1", "/entries/bob?season=1&around=9"] {
        paths.push(format!("/api/leaderboards/main{of_first}"));
    }
    paths
}

fn streams() -> Vec<String> {
    let views = ["view=events&limit=100", "view=top&limit=100", "view=user&userId=bob&around=50"];
    let of_each = views.iter().flat_map(|view| BOARDS.map(|id| format!("/api/leaderboards/{id}/stream?{view}")));
    of_each.chain(views[1..].iter().map(|view| format!("/api/stream?leaderboards=main,cup&{view}"))).collect()
}

/// The first event of a fresh stream, without the time at which the client is to come back.
async fn shown(app: &TestApp, path: &str) -> String {
    let mut response = app.anonymous(Method::GET, path).responds(200).await;
    let (mut bytes, end) = (Vec::new(), Instant::now() + Duration::from_secs(1));
    while let Ok(Ok(Some(chunk))) = timeout_at(end, response.chunk()).await {
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("retry:")).collect::<Vec<_>>().join("\n");
    // Several leaderboards come in whatever order.
    let mut blocks: Vec<_> = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()).collect();
    blocks.sort_unstable();
    blocks.join("\n\n")
}

/// What everybody sees: status, tag and body of each page, friends by a query, and what fresh streams begin with.
async fn seen(app: &TestApp) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for path in paths() {
        for (whose, request) in [
            ("", app.anonymous(Method::GET, &path)),
            ("reader ", app.with("reader", "leaderboards:read users:read leaderboards:admin", Method::GET, &path)),
        ] {
            let answer = request.send().await.unwrap();
            let (status, tag) = (answer.status(), answer.headers().get("etag").cloned());
            seen.insert(format!("{whose}{path}"), format!("{status} {tag:?} {}", without_ids(&answer.text().await.unwrap())));
        }
    }
    for id in BOARDS {
        let path = format!("/api/leaderboards/{id}/entries/query");
        let friends = app.anonymous(Method::POST, &path).json(&json!({ "userIds": ["bob", "cid", NEW] }));
        seen.insert(path, friends.answers(200).await.to_string());
    }
    let paths = streams();
    let bytes = join_all(paths.iter().map(|path| shown(app, path))).await;
    seen.extend(paths.into_iter().zip(bytes));
    seen
}

/// A body without the id of its request, and the number of streams, some of which this test has just left.
fn without_ids(body: &str) -> String {
    let mut json: Value = serde_json::from_str(body).unwrap_or_else(|_| json!(body));
    forget(&mut json);
    json.to_string()
}

fn forget(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            fields.retain(|name, _| !["requestId", "watchers"].contains(&name.as_str()));
            fields.values_mut().for_each(forget);
        }
        Value::Array(values) => values.iter_mut().for_each(forget),
        _ => {}
    }
}

async fn a_withheld_score_changes_no_public_byte(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({ "operator": "best" })).await;
    watch(&app, &["main", "cup"], json!({ "above": 100 })).await;
    app.post_value("bob", 1).await;
    end(&app, "main", 1).await;
    result(&app, "main", 1).await;
    for (user, value) in [("bob", 50), ("cid", 60)] {
        fair(&app, user, value).await;
    }
    let mut instances = Vec::new();
    if backend == Backend::Shared {
        instances.push(app.another().await);
    }
    instances.push(app);
    let app = instances.last().unwrap();
    let mut before = Vec::new();
    for instance in &instances {
        before.push(seen(instance).await);
    }
    let withheld = [suspicious(app, NEW, 200).await, suspicious(app, "bob", 300).await, suspicious(app, NEW, 400).await];
    for (instance, before) in instances.iter().zip(&before) {
        assert_same(before, &seen(instance).await, "withheld");
    }
    for receipt in &withheld {
        reject(app, receipt).await;
    }
    for (instance, before) in instances.iter().zip(&before) {
        assert_same(before, &seen(instance).await, "rejected");
    }
    // The crawl would see it.
    approve(app, &withheld[0]).await;
    for (instance, before) in instances.iter().zip(&before) {
        let naming = || async { seen(instance).await.values().filter(|body| body.contains(NEW)).count() };
        assert!(before.values().filter(|body| body.contains(NEW)).count() + 10 < naming().await);
    }
}

#[track_caller]
fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, when: &str) {
    for (path, body) in before {
        assert_eq!(after.get(path), Some(body), "{when}: {path}");
    }
}

async fn watchers_are_told_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "above": 100 })).await;
    fair(&app, "bob", 5).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let withheld = [suspicious(&app, NEW, 200).await, suspicious(&app, "bob", 200).await];
    reject(&app, &withheld[0]).await;
    // The next thing that they are told is the next score, by the very next version.
    fair(&app, "cid", 1).await;
    assert_eq!(watcher.expect("score-updated").await["userId"], "cid");
    let version = app.get("/api/leaderboards/main/entries").await["version"].clone();
    assert_eq!(version, json!(watcher.version));
}

async fn nobody_learns_of_a_user_who_is_only_in_review(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch(&app, &["main"], json!({ "above": 100 })).await;
    let path = format!("/api/users/{NEW}");
    let reader = || app.with("reader", "users:read", Method::GET, &path);
    reader().refused(404).await;
    let withheld = suspicious(&app, NEW, 200).await;
    reader().refused(404).await;
    reject(&app, &withheld).await;
    reader().refused(404).await;
    approve(&app, &withheld).await;
    assert_eq!(reader().answers(200).await["userId"], NEW);
    reject(&app, &withheld).await;
    reader().answers(200).await;
    // Nor does a profile that is given wait for a verdict; and whoever gives one makes the user, as far as can be told.
    for (user, profile) in [("other", json!({ "displayName": "Other" })), ("nobody", json!({}))] {
        suspicious(&app, user, 200).await;
        let path = format!("/api/users/{user}");
        let asked = chrono::Utc::now();
        let given = app.with("writer", "users:write", Method::PATCH, &path).json(&profile).answers(200).await;
        let created = text(&given["createdAt"]).parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert!(created >= asked, "{given}, not before {asked}");
        assert_eq!(app.with("reader", "users:read", Method::GET, &path).answers(200).await, given);
    }
    for caller in [app.anonymous(Method::GET, REVIEWS), app.admin(Method::GET, REVIEWS)] {
        assert!([401, 403].contains(&caller.send().await.unwrap().status().as_u16()));
    }
}

async fn metrics_count_reviews_where_only_operators_read_them(backend: Backend) {
    let port = crate::ports::free_port();
    let app = TestApp::spawn_with(backend, &[&format!("--internal-addr=127.0.0.1:{port}")]).await;
    watch(&app, &["main"], json!({ "above": 100 })).await;
    let first = suspicious(&app, NEW, 200).await;
    suspicious(&app, "bob", 200).await;
    approve(&app, &first).await;
    let read = async || reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap().text().await.unwrap();
    within(20, "one waits", || async { read().await.lines().any(|line| line == "scoreboard_reviews_pending 1") }).await;
    let text = read().await;
    for part in ["scoreboard_reviews_opened_total ", "scoreboard_reviews_judged_total{state=\"approved\"} "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(NEW) && !text.contains("watched"), "no ids");
    let public = TestApp::spawn(backend).await;
    let text = public.anonymous(Method::GET, "/metrics").responds(200).await.text().await.unwrap();
    assert!(text.contains("scoreboard_jobs") && !text.contains("scoreboard_reviews"), "{text}");
    moderator(&app, Method::GET, REVIEWS).answers(200).await;
}

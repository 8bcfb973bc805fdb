//! S12: after an erasure no endpoint, stream or resumed position has the old id or name, every rank is as before, and the audit trail
//! still proves itself.

use std::{process::Command, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{DECISIONS, decide, hidden_rows, hide, is_gone, moderator, restricted, standing, take_back, void, without};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, within},
    seasons::{end, post, result},
    streams::text,
};

crate::both_backends!(
    nothing_has_the_old_id_or_name_and_ranks_stay,
    a_position_from_before_is_not_resumed_with_the_old_name,
    the_audit_trail_still_proves_itself,
    a_key_that_was_used_still_counts_once,
    the_same_id_later_is_a_new_user,
    scores_can_be_removed_as_well,
    whoever_is_hidden_stays_hidden,
    an_erasure_is_not_taken_back,
);

const OLD: &str = "forgotten-user-0815";
const NAME: &str = "Qwertz Forgotten";
const BOARDS: [&str; 2] = ["main", "cup"];

/// Leaderboards with an ended season, in which the user who will be erased has a name, metadata, keys, decisions and an own act.
async fn populate(app: &TestApp) {
    app.make_leaderboard("cup", json!({ "operator": "best" })).await;
    for (user, value) in [("ann", 3), (OLD, 7), ("bob", 9), ("cid", 5)] {
        app.submit(json!({ "actionId": "value", "userId": user, "value": value, "metadata": { "who": user } })).await;
        post(app, "cup", user, value).await;
    }
    let profile = json!({ "displayName": NAME, "metadata": { "also": OLD } });
    app.admin(Method::PUT, &format!("/api/users/{OLD}")).json(&profile).answers(200).await;
    end(app, "main", 1).await;
    result(app, "main", 1).await;
    for (user, value) in [("ann", 8), (OLD, 7), ("bob", 1)] {
        app.post_value(user, value).await;
    }
    keyed(app).responds(200).await;
    let hidden = hide(app, OLD, Some("cup")).await;
    take_back(app, &hidden).await;
    let mistake = post(app, "cup", OLD, 100).await;
    void(app, &[&mistake]).await;
    let act = app.with(OLD, "leaderboards:admin", Method::PATCH, "/api/leaderboards/cup");
    act.json(&json!({ "name": "Cup" })).answers(200).await;
}

/// A score under an idempotency key.
fn keyed(app: &TestApp) -> reqwest::RequestBuilder {
    let body = json!({ "actionId": "value", "userId": OLD, "value": 1 });
    app.game(Method::POST, "/api/scores").header("Idempotency-Key", "used-before").json(&body)
}

async fn erase(app: &TestApp, scores: &str) -> Value {
    decide(app, "erase", json!({ "userId": OLD, "scores": scores })).await
}

fn names(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains(OLD) || text.contains(NAME)
}

/// Whether this is what takes the place of an erased id.
fn is_pseudonym(id: &str) -> bool {
    let random = id.strip_prefix("erased-").unwrap_or_default();
    random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// What took the place of the old id on `main`.
async fn pseudonym(app: &TestApp) -> String {
    let entries = standing(app, "main", "current").await;
    let id = entries.iter().map(|entry| text(&entry["userId"])).find(|id| id.starts_with("erased-"));
    id.unwrap_or_else(|| panic!("nobody is erased: {entries:?}"))
}

/// Everything that can be read, by those who may read all.
fn paths(pseudonym: &str) -> Vec<String> {
    let mut paths: Vec<_> = [
        "/metrics",
        "/api/leaderboards",
        "/api/leaderboard?limit=100",
        "/api/audit?limit=1000",
        "/api/moderation/decisions?limit=100",
        "/api/users/ann/scores?limit=100",
    ]
    .map(str::to_owned)
    .into();
    for projection in ["public", "restricted"] {
        paths.push(format!("/api/users/{pseudonym}/scores?limit=100&projection={projection}"));
        for (id, seasons) in [("main", 2), ("cup", 1)] {
            for season in 1..=seasons {
                let board = format!("/api/leaderboards/{id}");
                paths.push(format!("{board}/entries?limit=1000&season={season}&projection={projection}"));
                paths.push(format!("{board}/entries/ann?around=50&season={season}&projection={projection}"));
                paths.push(format!("{board}/scores?limit=100&season={season}"));
            }
        }
    }
    paths
}

/// What a stream shows within a second.
async fn shown(app: &TestApp, path: &str, position: Option<&str>) -> Vec<u8> {
    let request = app.anonymous(Method::GET, path);
    let request = position.iter().fold(request, |request, position| request.header("Last-Event-ID", *position));
    let mut response = request.responds(200).await;
    let (mut bytes, end) = (Vec::new(), Instant::now() + Duration::from_secs(1));
    while let Ok(Ok(Some(chunk))) = timeout_at(end, response.chunk()).await {
        bytes.extend_from_slice(&chunk);
    }
    assert!(!bytes.is_empty(), "{path} shows nothing");
    bytes
}

/// The pages that still have the old id or name.
async fn naming(app: &TestApp, pseudonym: &str) -> Vec<String> {
    const ALL: &str = "leaderboards:read leaderboards:admin leaderboards:restricted audit:read moderation:write";
    let mut naming = Vec::new();
    for path in paths(pseudonym) {
        let answer = app.with("reader", ALL, Method::GET, &path).responds(200).await;
        if names(&answer.bytes().await.unwrap()) {
            naming.push(path);
        }
    }
    naming
}

/// Entries under other names and versions: the places and what they were reached with.
fn places(entries: &[Value], user: &str) -> Vec<Value> {
    let place = |entry: &Value| {
        let id = if entry["userId"] == user { json!("they") } else { entry["userId"].clone() };
        json!([entry["rank"], id, entry["score"], entry["at"]])
    };
    entries.iter().map(place).collect()
}

async fn nothing_has_the_old_id_or_name_and_ranks_stay(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let mut instances = vec![app];
    if backend == Backend::Shared {
        instances.push(instances[0].another().await);
    }
    let seasons = [("main", 1), ("main", 2), ("cup", 1)];
    let mut before = Vec::new();
    for (id, season) in seasons {
        before.push(places(&standing(&instances[0], id, season).await, OLD));
    }
    assert!(naming(&instances[0], "ann").await.len() > 10, "the crawl sees them");
    erase(&instances[0], "keep").await;
    let new = pseudonym(&instances[0]).await;
    assert!(is_pseudonym(&new), "{new}");
    for app in &instances {
        within(60, "no page has the old id or name", || async { naming(app, &new).await.is_empty() }).await;
        let views = ["view=events&limit=100", "view=top&limit=100", "view=user&userId=ann&around=50"];
        let streams: Vec<_> =
            BOARDS.iter().flat_map(|id| views.map(|view| format!("/api/leaderboards/{id}/stream?{view}"))).collect();
        for (path, bytes) in streams.iter().zip(join_all(streams.iter().map(|path| shown(app, path, None))).await) {
            assert!(!names(&bytes), "{path}");
        }
        for ((id, season), before) in seasons.into_iter().zip(&before) {
            assert_eq!(places(&standing(app, id, season).await, &new), *before, "{id} {season}: every rank is as before");
            assert!(is_gone(app, id, OLD).await);
        }
        app.admin(Method::GET, &format!("/api/users/{OLD}")).refused(404).await;
        assert_eq!(restricted(app, &format!("/api/users/{OLD}/scores")).await, json!({ "scores": [], "nextCursor": null }));
        let history = restricted(app, &format!("/api/users/{new}/scores?limit=100")).await;
        let events = history["scores"].as_array().unwrap();
        assert_eq!(events.len(), 5, "their scores are still there: {history}");
        assert!(events.iter().all(|event| event["userId"] == json!(new) && event["metadata"].is_null()), "{history}");
    }
    let decisions = moderator(&instances[0], Method::GET, &format!("{DECISIONS}?type=hide")).answers(200).await;
    assert_eq!(decisions["decisions"][0]["userId"], json!(new));
}

async fn a_position_from_before_is_not_resumed_with_the_old_name(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let other = if backend == Backend::Shared { Some(app.another().await) } else { None };
    let mut positions = Vec::new();
    for id in BOARDS {
        let first = text(&app.get(&format!("/api/leaderboards/{id}/entries")).await["version"]);
        for user in ["ann", OLD, "bob"] {
            post(&app, if id == "main" { "value" } else { id }, user, 20).await;
        }
        let path = format!("/api/leaderboards/{id}/stream?limit=100");
        assert!(names(&shown(&app, &path, Some(&first)).await), "the position is resumed with the old name");
        positions.push((path, first));
    }
    erase(&app, "keep").await;
    for app in [Some(&app), other.as_ref()].into_iter().flatten() {
        for (path, position) in &positions {
            let shown = shown(app, path, Some(position)).await;
            assert!(!names(&shown), "{path}");
            let shown = String::from_utf8(shown).unwrap();
            assert!(shown.contains("event: leaderboard") || shown.contains("event:leaderboard"), "{shown}");
            assert!(shown.contains("\"reset\":true"), "a new epoch: {shown}");
        }
    }
}

async fn the_audit_trail_still_proves_itself(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    populate(&app).await;
    let trail = async |app: &TestApp| -> Vec<Value> {
        let request = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=1000");
        request.answers(200).await["entries"].as_array().unwrap().clone()
    };
    let before = trail(&app).await;
    assert!(before.iter().any(|entry| entry["subject"] == OLD), "they did something themselves");
    erase(&app, "keep").await;
    let after = trail(&app).await;
    let hashes = |trail: &[Value]| trail.iter().map(|entry| entry["hash"].clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&after)[..before.len()], hashes(&before), "nothing was taken out or hashed anew");
    assert!(!names(json!(after).to_string().as_bytes()), "neither as subject nor as target");
    let [erasure] = &after[before.len()..] else { panic!("one entry for one decision: {after:?}") };
    assert_eq!((&erasure["action"], &erasure["subject"]), (&json!("decision.erase"), &json!("moderator")));
    app.stop().await;
    let mut verify = Command::new(env!("CARGO_BIN_EXE_scoreboard"));
    verify.args(["verify", "--audit"]).env("DATABASE_URL", app.settings.storage.database_url());
    verify.env("DATA_DIR", &app.settings.storage.data_dir);
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

async fn a_key_that_was_used_still_counts_once(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    erase(&app, "keep").await;
    let before = standing(&app, "main", "current").await;
    for _ in 0..2 {
        let problem = keyed(&app).refused(409).await;
        assert_eq!(problem["type"], "urn:scoreboard:problem:erased", "{problem}");
        assert!(!names(problem.to_string().as_bytes()), "the stored receipt is gone: {problem}");
    }
    assert_eq!(standing(&app, "main", "current").await, before);
    assert!(is_gone(&app, "main", OLD).await, "no new user came of it");
}

async fn the_same_id_later_is_a_new_user(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let before = standing(&app, "main", "current").await;
    erase(&app, "keep").await;
    let first = pseudonym(&app).await;
    let receipt = app.post_value(OLD, 2).await;
    assert_eq!((&receipt["previousScore"], &receipt["newScore"]), (&Value::Null, &json!(2)));
    let entries = standing(&app, "main", "current").await;
    assert_eq!(entries.len(), before.len() + 1);
    let new = entries.iter().find(|entry| entry["userId"] == OLD).unwrap();
    assert_eq!(new["displayName"], OLD, "without the old name");
    assert!(entries.iter().any(|entry| entry["userId"] == json!(first)));
    assert_eq!(app.get(&format!("/api/users/{OLD}/scores")).await["scores"].as_array().unwrap().len(), 1);
    erase(&app, "keep").await;
    let entries = standing(&app, "main", "current").await;
    let erased: Vec<_> = entries.iter().map(|entry| text(&entry["userId"])).filter(|id| is_pseudonym(id)).collect();
    assert_eq!(erased.len(), 2, "another pseudonym: {entries:?}");
    assert_ne!(erased[0], erased[1]);
}

async fn scores_can_be_removed_as_well(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let seasons = [("main", "1"), ("main", "current"), ("cup", "current")];
    let mut before = Vec::new();
    for (id, season) in seasons {
        before.push(without(&standing(&app, id, season).await, OLD));
    }
    erase(&app, "remove").await;
    for ((id, season), before) in seasons.into_iter().zip(&before) {
        let path = format!("/api/leaderboards/{id}/entries?limit=1000&season={season}");
        let left = || async { app.get(&path).await["entries"] == json!(before) };
        within(if season == "1" { 60 } else { 1 }, "their scores are gone", left).await;
    }
    super::archived(&app, "main", 1, &before[0]).await;
    within(5, "nobody has the old id or name", || async { naming(&app, "ann").await.is_empty() }).await;
    assert_eq!(app.get(&format!("/api/users/{OLD}/scores")).await["scores"], json!([]));
}

async fn whoever_is_hidden_stays_hidden(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    populate(&app).await;
    let before = without(&standing(&app, "main", "current").await, OLD);
    hide(&app, OLD, None).await;
    erase(&app, "keep").await;
    for _ in 0..2 {
        assert_eq!(standing(&app, "main", "current").await, before);
        let window = restricted(&app, "/api/leaderboards/main/entries").await;
        let hidden = hidden_rows(&window);
        assert_eq!(hidden.len(), 1, "{window}");
        assert!(is_pseudonym(&text(&hidden[0]["userId"])), "{window}");
        app.restart().await;
    }
    app.post_value(OLD, 1).await;
    assert!(!is_gone(&app, "main", OLD).await, "the same id later is somebody else");
}

async fn an_erasure_is_not_taken_back(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let erased = erase(&app, "keep").await;
    let before = standing(&app, "main", "current").await;
    moderator(&app, Method::DELETE, &format!("{DECISIONS}/{}", text(&erased["id"]))).refused(409).await;
    assert_eq!(standing(&app, "main", "current").await, before);
    // What was decided about them before can still be taken back.
    let page = moderator(&app, Method::GET, &format!("{DECISIONS}?type=void")).answers(200).await;
    take_back(&app, &page["decisions"][0]).await;
    let cup = standing(&app, "cup", "current").await;
    assert_eq!(cup[0]["score"], 100);
    assert!(is_pseudonym(&text(&cup[0]["userId"])));
}

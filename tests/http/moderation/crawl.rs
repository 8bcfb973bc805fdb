//! S11: a hidden user is in no public byte, and comes back.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{decide, hide, is_gone, take_back};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, within},
    seasons::{end, post, result},
};

crate::both_backends!(no_public_byte_names_a_hidden_user, an_answer_that_was_kept_is_not_confirmed);

const HIDDEN: &str = "vanishing-user-4711";
const NAME: &str = "Zyxwv Vanisher";
const OTHERS: [&str; 3] = ["bob", "cid", "dot"];
/// Leaderboards and how many seasons they have.
const BOARDS: [(&str, i64); 2] = [("main", 2), ("cup", 1)];

/// Everything that has to name a user of the ranking: windows, places beside them, streams. Latest scores do, too, but not for ever.
const NAMING: [&str; 4] = ["/entries?limit=1000", "around=50", "stream?", "/search?"];

/// Scores of everybody in every season of [`BOARDS`], and a name for whoever will be hidden.
async fn populate(app: &TestApp) {
    app.make_leaderboard("cup", json!({})).await;
    for season in 1..=2 {
        for (user, value) in [HIDDEN].into_iter().chain(OTHERS).zip([7, 9, 5, 3]) {
            app.post_value(user, value * season).await;
            post(app, "cup", user, value).await;
        }
        if season == 1 {
            end(app, "main", 1).await;
        }
    }
    result(app, "main", 1).await;
    let profile = json!({ "displayName": NAME });
    app.admin(Method::PUT, &format!("/api/users/{HIDDEN}")).json(&profile).answers(200).await;
}

/// The paths of everything that anybody may read, streams aside.
fn paths() -> Vec<String> {
    let open = ["/", "/metrics", "/openapi.yaml", "/readyz", "/api/leaderboards", "/api/actions", "/api/leaderboard?limit=1000"];
    let mut paths: Vec<_> = open.map(str::to_owned).into();
    paths.extend(OTHERS.map(|user| format!("/api/users/{user}/scores?limit=100")));
    for (id, seasons) in BOARDS {
        let board = format!("/api/leaderboards/{id}");
        paths.extend([board.clone(), format!("{board}/seasons?limit=1000")]);
        paths.extend(["v", "VANISHING-user-4711", "zyxwv v"].map(|name| format!("{board}/search?limit=50&name={name}")));
        paths.extend((1..=4).map(|rank| format!("{board}/entries?limit=1&fromRank={rank}")));
        for season in 1..=seasons {
            paths.push(format!("{board}/seasons/{season}"));
            paths.push(format!("{board}/entries?limit=1000&season={season}"));
            paths.push(format!("{board}/scores?limit=100&season={season}"));
            paths.extend(OTHERS.map(|user| format!("{board}/entries/{user}?around=50&season={season}")));
        }
    }
    paths
}

fn streams() -> Vec<String> {
    let views = ["view=events&limit=100", "view=top&limit=100", "view=user&userId=bob&around=50"];
    let mut paths: Vec<_> = views[1..].iter().map(|view| format!("/api/stream?leaderboards=main,cup&{view}")).collect();
    for (id, _) in BOARDS {
        paths.extend(views.map(|view| format!("/api/leaderboards/{id}/stream?{view}")));
    }
    paths
}

/// Whether these bytes name whoever is hidden, by id or name.
fn names(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains(HIDDEN) || text.contains(NAME)
}

/// What a fresh stream shows within a second.
async fn shown(app: &TestApp, path: &str) -> Vec<u8> {
    let mut response = app.anonymous(Method::GET, path).responds(200).await;
    let (mut bytes, end) = (Vec::new(), Instant::now() + Duration::from_secs(1));
    while let Ok(Ok(Some(chunk))) = timeout_at(end, response.chunk()).await {
        bytes.extend_from_slice(&chunk);
    }
    assert!(!bytes.is_empty(), "{path} shows nothing");
    bytes
}

/// The paths whose answers name whoever is hidden: pages, and friends of everybody by a query.
async fn naming_pages(app: &TestApp) -> BTreeSet<String> {
    let mut naming = BTreeSet::new();
    let everybody: Vec<_> = [HIDDEN].into_iter().chain(OTHERS).collect();
    let everybody = json!({ "userIds": everybody });
    for (id, seasons) in BOARDS {
        for season in 1..=seasons {
            let path = format!("/api/leaderboards/{id}/entries/query?season={season}");
            let friends = app.anonymous(Method::POST, &path).json(&everybody).responds(200).await;
            if names(&friends.bytes().await.unwrap()) {
                naming.insert(path);
            }
        }
    }
    for path in paths() {
        let answer = app.anonymous(Method::GET, &path).responds(200).await;
        if names(&answer.bytes().await.unwrap()) {
            naming.insert(path);
        }
    }
    naming
}

/// The same of everything, fresh streams of every view included.
async fn naming(app: &TestApp) -> BTreeSet<String> {
    let mut naming = naming_pages(app).await;
    let paths = streams();
    let bytes = join_all(paths.iter().map(|path| shown(app, path))).await;
    naming.extend(paths.into_iter().zip(bytes).filter(|(_, bytes)| names(bytes)).map(|(path, _)| path));
    naming
}

async fn no_public_byte_names_a_hidden_user(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let mut instances = Vec::new();
    if backend == Backend::Shared {
        instances.push(app.another().await);
    }
    instances.push(app);
    let app = instances.last().unwrap();
    let before = naming(app).await;
    let all = paths().into_iter().chain(streams());
    let expected: BTreeSet<_> = all.filter(|path| NAMING.iter().any(|part| path.contains(part))).collect();
    assert!(expected.is_subset(&before), "the crawl sees them: {before:?}");
    assert!(BOARDS.iter().all(|(id, _)| before.iter().any(|path| path.contains(&format!("{id}/scores?")))), "{before:?}");
    for kind in ["hide", "ban"] {
        let fields = json!({ "userId": HIDDEN, "leaderboardId": null, "until": null });
        let hidden = decide(app, kind, fields).await;
        for app in &instances {
            within(60, "archives and caches leave them out", || async { naming_pages(app).await.is_empty() }).await;
            assert_eq!(naming(app).await, BTreeSet::new(), "{kind}");
            assert!(is_gone(app, "main", HIDDEN).await && is_gone(app, "cup", HIDDEN).await);
            for leaderboard in ["", "?leaderboardId=cup", "?leaderboardId=main&season=1"] {
                let history = app.get(&format!("/api/users/{HIDDEN}/scores{leaderboard}")).await;
                assert_eq!(history, json!({ "scores": [], "nextCursor": null }), "{kind} {leaderboard}");
            }
        }
        take_back(app, &hidden).await;
        for app in &instances {
            let back = async || before.difference(&naming(app).await).all(|path| path.contains("/scores?"));
            within(60, "they are back everywhere", back).await;
        }
    }
}

async fn an_answer_that_was_kept_is_not_confirmed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    populate(&app).await;
    let paths = [
        "/api/leaderboard",
        "/api/leaderboards/main/entries/bob?around=5",
        "/api/leaderboards/main/scores",
        "/api/leaderboards/cup/entries?limit=1000",
        "/api/leaderboards/main/entries?season=1",
        "/api/leaderboards/main/entries/bob?around=5&season=1",
    ];
    let mut tags = Vec::new();
    for path in paths {
        let answer = app.anonymous(Method::GET, path).responds(200).await;
        tags.push(answer.headers()["etag"].clone());
        assert!(names(&answer.bytes().await.unwrap()), "{path}");
    }
    hide(&app, HIDDEN, None).await;
    let archive = || async { !names(app.get(paths[4]).await.to_string().as_bytes()) };
    within(60, "the archive leaves them out", archive).await;
    for (path, tag) in paths.into_iter().zip(tags) {
        let answer = app.anonymous(Method::GET, path).header("If-None-Match", &tag).responds(200).await;
        assert!(!names(&answer.bytes().await.unwrap()), "{path}");
    }
}

//! What lets clients and proxies keep an answer: entity tags, and where it was served from.

use reqwest::{Method, Response};
use serde_json::json;

use super::fill;
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

crate::both_backends!(
    an_unchanged_window_is_not_sent_again,
    a_change_that_shows_changes_the_tag,
    an_answer_says_where_it_was_served_from,
    private_answers_are_not_for_shared_caches,
);

const PATH: &str = "/api/leaderboards/main/entries?limit=3";

async fn tag(app: &TestApp, path: &str) -> String {
    let response = app.anonymous(Method::GET, path).responds(200).await;
    response.headers()["etag"].to_str().unwrap().to_owned()
}

async fn conditional(app: &TestApp, path: &str, tags: &str) -> Response {
    app.anonymous(Method::GET, path).header("If-None-Match", tags).send().await.unwrap()
}

async fn an_unchanged_window_is_not_sent_again(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 5).await;
    for path in [PATH, "/api/leaderboard", "/api/leaderboards/main/entries/u-03?around=1"] {
        let tag = tag(&app, path).await;
        assert!(tag.ends_with('"') && tag.trim_start_matches("W/").starts_with('"'), "{tag}");
        let strong = tag.trim_start_matches("W/");
        for tags in [tag.clone(), strong.to_owned(), format!("\"other\", {tag}"), "*".to_owned()] {
            let response = conditional(&app, path, &tags).await;
            assert_eq!(response.status(), 304, "{path} {tags}");
            assert_eq!(response.headers()["etag"], tag);
            assert!(response.headers().contains_key("cache-status"));
            assert_eq!(response.text().await.unwrap(), "");
        }
        for tags in ["\"other\"", "W/\"other\"", ""] {
            assert_eq!(conditional(&app, path, tags).await.status(), 200, "{path} {tags}");
        }
    }
}

async fn a_change_that_shows_changes_the_tag(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 5).await;
    let first = tag(&app, PATH).await;
    assert_ne!(tag(&app, "/api/leaderboards/main/entries?limit=4").await, first, "another window");
    let name = json!({"displayName": "Ada"});
    app.admin(Method::PUT, "/api/users/u-04").json(&name).answers(200).await;
    let renamed = conditional(&app, PATH, &first).await;
    assert_eq!(renamed.status(), 200, "a rename shows, though it is no change of the ranking");
    let second = renamed.headers()["etag"].to_str().unwrap().to_owned();
    let window: serde_json::Value = renamed.json().await.unwrap();
    assert_eq!(window["entries"][1]["displayName"], "Ada");

    app.post_score("u-01", "goal").await;
    assert_eq!(conditional(&app, PATH, &second).await.status(), 200, "a score");
    assert_eq!(conditional(&app, PATH, &first).await.status(), 200);
}

async fn an_answer_says_where_it_was_served_from(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 2).await;
    let expected = match backend {
        Backend::Embedded => "memory; hit",
        Backend::Shared => "redis; hit",
    };
    let friends = json!({"userIds": ["u-01"]});
    let requests = [
        app.anonymous(Method::GET, PATH),
        app.anonymous(Method::GET, "/api/leaderboard"),
        app.anonymous(Method::GET, "/api/leaderboards/main/entries/u-01"),
        app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&friends),
    ];
    for request in requests {
        assert_eq!(request.responds(200).await.headers()["cache-status"], expected);
    }
}

async fn private_answers_are_not_for_shared_caches(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    app.submit(json!({"actionId": "secret", "userId": "ann", "value": 1})).await;
    for path in ["/api/leaderboards/secret/entries", "/api/leaderboards/secret/entries/ann"] {
        let response = app.admin(Method::GET, path).responds(200).await;
        assert_eq!(response.headers()["cache-control"], "private, no-cache", "{path}");
    }
    let response = app.anonymous(Method::GET, PATH).responds(200).await;
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let refused = app.anonymous(Method::GET, "/api/leaderboards/secret/entries").responds(401).await;
    assert_eq!(refused.headers()["cache-control"], "no-store");
}

//! For those who run the server: health, metrics, the contract; and the profiles of users.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, status_and_json},
    ports::free_port,
};

crate::both_backends!(
    a_server_that_runs_is_alive_and_ready,
    metrics_tell_what_happened,
    an_internal_address_takes_the_metrics_away,
    the_contract_is_served_as_it_stands_in_the_repository,
    a_profile_is_written_whole,
    every_broken_field_of_a_profile_is_named,
    a_display_name_shows_in_every_ranking,
);

async fn a_server_that_runs_is_alive_and_ready(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    assert_eq!(app.get("/livez").await, json!({"status": "alive"}));
    let response = app.anonymous(Method::GET, "/readyz").responds(200).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let (_, report) = status_and_json(response).await;
    assert_eq!(report, json!({"status": "ready", "checks": {"ledger": "up", "ranking": "up"}}));
}

async fn metrics_tell_what_happened(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("a-user-with-a-telling-name", "goal").await;
    app.get("/api/leaderboards/main/entries/a-user-with-a-telling-name").await;
    let response = app.anonymous(Method::GET, "/metrics").responds(200).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = response.text().await.unwrap();
    let bucket = |labels: &[&str]| {
        text.lines().any(|line| {
            line.starts_with("http_request_duration_seconds_bucket{") && labels.iter().all(|label| line.contains(label))
        })
    };
    assert!(bucket(&[r#"method="POST""#, r#"route="/api/scores""#, r#"status="200""#, r#"le="0.5""#]), "{text}");
    assert!(bucket(&[r#"route="/api/leaderboards/{id}/entries/{user_id}""#]), "{text}");
    assert!(text.lines().any(|line| line.starts_with("scoreboard_")), "{text}");
    let value = |sample: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or_else(|| panic!("{sample}: {text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(value(concat!("scoreboard_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"")), 1.0);
    for family in ["open_fds", "max_fds", "virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "threads"] {
        assert!(value(&format!("process_{family} ")) > 0.0, "{family}");
    }
    value("process_cpu_seconds_total ");
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(text.contains(&format!("# HELP {family} ")), "{family} does not say what it is");
    }
    assert!(!text.contains("a-user-with-a-telling-name"), "ids are no labels");
}

async fn an_internal_address_takes_the_metrics_away(backend: Backend) {
    let port = free_port();
    let app = TestApp::spawn_with(backend, &[&format!("--internal-addr=127.0.0.1:{port}")]).await;
    app.anonymous(Method::GET, "/metrics").refused(404).await;
    let internal =
        |path: &str| reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://127.0.0.1:{port}{path}"));
    let text = internal("/metrics").responds(200).await.text().await.unwrap();
    assert!(text.contains("http_request_duration_seconds_bucket"), "{text}");
    internal("/api/leaderboard").refused(404).await;
    app.get("/livez").await;
}

async fn the_contract_is_served_as_it_stands_in_the_repository(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let response = app.anonymous(Method::GET, "/openapi.yaml").responds(200).await;
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")).unwrap();
    assert!(response.text().await.unwrap() == file, "what is served is not the file");
    let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(&file).unwrap();
    assert_eq!(document["openapi"].as_str(), Some("3.1.0"));
}

async fn a_profile_is_written_whole(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let put = |body: Value| app.admin(Method::PUT, "/api/users/ann").json(&body).answers(200);
    app.admin(Method::GET, "/api/users/ann").refused(404).await;
    let profile = json!({"displayName": "Ada 'the' Countess 👑", "avatarUrl": "https://example.com/a?b=c", "country": "GB",
        "metadata": {"team": ["blue", 1, null]}});
    let written = put(profile.clone()).await;
    assert_eq!(written["userId"], "ann");
    for (field, value) in profile.as_object().unwrap() {
        assert_eq!(written[field], *value, "{field}");
    }
    assert_eq!(app.admin(Method::GET, "/api/users/ann").answers(200).await, written);
    let replaced = put(json!({"country": "FR"})).await;
    let nothing = Value::Null;
    assert_eq!((&replaced["displayName"], &replaced["avatarUrl"], &replaced["metadata"]), (&nothing, &nothing, &nothing));
    assert_eq!((&replaced["country"], &replaced["createdAt"]), (&json!("FR"), &written["createdAt"]));
}

async fn every_broken_field_of_a_profile_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (field, value) in [
        ("displayName", json!("")),
        ("displayName", json!(" ")),
        ("displayName", json!("x".repeat(65))),
        ("displayName", json!("a\u{0}b")),
        ("displayName", json!(7)),
        ("avatarUrl", json!("javascript:alert(1)")),
        ("avatarUrl", json!("not a url")),
        ("avatarUrl", json!(format!("https://example.com/{}", "x".repeat(2048)))),
        ("country", json!("gb")),
        ("country", json!("GBR")),
        ("metadata", json!({"long": "x".repeat(4096)})),
        ("metadata", json!("text")),
        ("userId", json!("bob")),
    ] {
        let problem = app.admin(Method::PUT, "/api/users/ann").json(&json!({field: value})).refused(422).await;
        assert_eq!(broken(&problem), [field], "{value}");
    }
    app.admin(Method::GET, "/api/users/ann").refused(404).await;
    app.admin(Method::PUT, "/api/users/%20").json(&json!({})).refused(422).await;
}

async fn a_display_name_shows_in_every_ranking(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    app.post_score("ann", "goal").await;
    app.submit(json!({"actionId": "other", "userId": "ann", "value": 1})).await;
    for (profile, expected) in [(json!({"displayName": "Ada"}), "Ada"), (json!({}), "ann")] {
        app.admin(Method::PUT, "/api/users/ann").json(&profile).answers(200).await;
        for id in ["main", "other"] {
            let window = app.get(&format!("/api/leaderboards/{id}/entries")).await;
            assert_eq!(window["entries"][0]["displayName"], expected, "{id}");
            let entry = app.get(&format!("/api/leaderboards/{id}/entries/ann")).await;
            assert_eq!(entry["entry"]["displayName"], expected, "{id}");
        }
    }
    app.admin(Method::PUT, "/api/users/bob").json(&json!({"displayName": "Bob first"})).answers(200).await;
    app.post_score("bob", "goal").await;
    assert_eq!(app.get("/api/leaderboard").await["entries"][1]["displayName"], "Bob first");
}

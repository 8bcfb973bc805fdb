//! What pages of others show of a leaderboard: in frames, on air, and by the element; and what browsers let ours do there.

use reqwest::{Method, header};
use serde_json::json;

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

use super::served::{page, text};

crate::both_backends!(
    others_may_frame_what_is_meant_for_it,
    nobody_frames_anything_where_the_operator_says_so,
    pages_hold_no_script_and_no_style_of_their_own,
    the_overlay_shows_no_error,
    a_frame_takes_what_it_knows_from_its_address,
    pages_of_every_origin_may_load_the_element_and_the_card,
);

const FRAMED: [&str; 2] = ["/boards/main/embed", "/boards/main/overlay"];

async fn frame_ancestors(app: &TestApp, path: &str) -> String {
    let answer = app.anonymous(Method::GET, path).responds(200).await;
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    policy.split_once("frame-ancestors ").unwrap().1.to_owned()
}

async fn others_may_frame_what_is_meant_for_it(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--embed-origins=https://Game.example:443, https://*.studio.example"]).await;
    for path in FRAMED {
        assert_eq!(frame_ancestors(&app, path).await, "https://game.example https://*.studio.example");
        let answer = app.anonymous(Method::GET, path).responds(200).await;
        assert!(!answer.headers().contains_key(header::X_FRAME_OPTIONS), "it would forbid all of them");
        let tag = &answer.headers()[header::ETAG];
        let known = app.anonymous(Method::GET, path).header(header::IF_NONE_MATCH, tag).responds(304).await;
        assert!(!known.headers().contains_key(header::X_FRAME_OPTIONS), "nor here");
    }
    for path in ["/", "/boards/main", "/assets/board.js"] {
        assert_eq!(frame_ancestors(&app, path).await, "'none'");
        let answer = app.anonymous(Method::GET, path).responds(200).await;
        assert_eq!(answer.headers()[header::X_FRAME_OPTIONS], "DENY");
    }
    let open = TestApp::spawn(backend).await;
    assert_eq!(frame_ancestors(&open, "/boards/main/embed").await, "*");
}

async fn nobody_frames_anything_where_the_operator_says_so(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--embed-origins=none"]).await;
    for path in FRAMED {
        assert_eq!(frame_ancestors(&app, path).await, "'none'");
    }
}

async fn pages_hold_no_script_and_no_style_of_their_own(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("ada", 5).await;
    for path in [FRAMED[0], FRAMED[1], "/", "/boards/main", "/boards/none", "/boards/none/embed"] {
        let answer = app.anonymous(Method::GET, path).send().await.unwrap();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let (script, rest) = policy.split_once("; style-src").unwrap();
        assert!(script.starts_with("default-src 'none'; script-src 'self'; script-src-elem 'self' 'sha256-"), "{path}: {policy}");
        let expected = " 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors ";
        assert!(rest.starts_with(expected) && !policy.contains("unsafe"), "{path}: {policy}");
        let html = text(answer).await;
        // The one that is allowed by its hash stands in pages at the root alone.
        assert_eq!(html.matches("<script>").count(), usize::from(path == "/"), "{path}");
        for tag in html.split("<script ").skip(1).map(|rest| rest.split('>').next().unwrap()) {
            assert!(tag.starts_with("type=\"application/json\"") || tag.contains(" src=\""), "{path}: {tag}");
        }
        for inline in ["<style", " style=", " onclick=", " onload=", " onerror=", "javascript:"] {
            assert!(!html.contains(inline), "{path}: {inline}");
        }
    }
}

async fn the_overlay_shows_no_error(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("vault", json!({ "visibility": "private", "name": "Plans" })).await;
    for path in [
        "/boards/nothing/overlay",
        "/boards/vault/overlay",
        "/boards/main/overlay?rows=x&scale=NaN&side=up",
        "/boards/main/overlay?rows=1&rows=2&scale=inf&scale=&lang=&%FF=%FF",
        "/boards/%22%3E%3Cb%3E/overlay",
        "/boards/%FF/overlay",
    ] {
        let html = page(&app, path).await;
        assert!(html.contains("<body class=\"overlay\"") && !html.contains("<b>") && !html.contains("Plans"), "{path}: {html}");
        let scale = html.split_once("data-scale=\"").unwrap().1.split_once('"').unwrap().0;
        assert_eq!(scale, "1", "{path}");
    }
    let html = page(&app, "/boards/main/overlay?rows=99&scale=100&side=right").await;
    assert!(html.contains("data-rows=\"20\" data-scale=\"8\" data-side=\"right\""), "{html}");
    let html = page(&app, "/boards/main/overlay?rows=0&scale=-1").await;
    assert!(html.contains("data-rows=\"1\" data-scale=\"0.25\" data-side=\"left\""), "{html}");
}

async fn a_frame_takes_what_it_knows_from_its_address(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let html = page(&app, "/boards/main/embed?limit=7&season=previous&theme=dark&user=a%22b&compact&lang=fr").await;
    for given in ["board=\"main\"", "limit=\"7\"", "season=\"previous\"", "theme=\"dark\"", " compact>", "locale=\"fr\""] {
        assert!(html.contains(given), "{given}: {html}");
    }
    assert!(html.contains("user=\"a&#34;b\""), "{html}");
    let html = page(&app, "/boards/main/embed?limit=many&season=last&theme=%22%3E").await;
    assert!(html.contains("limit=\"10\"") && !html.contains("season=") && !html.contains("theme="), "{html}");
    app.anonymous(Method::GET, "/boards/nothing/embed").responds(404).await;
    let nameless = app.anonymous(Method::GET, "/boards/%FF/embed").responds(404).await.text().await.unwrap();
    assert!(!nameless.contains("board=\"\""), "which would mean the first leaderboard: {nameless}");
}

async fn pages_of_every_origin_may_load_the_element_and_the_card(backend: Backend) {
    let flags = ["--cors-allowed-origins=https://own.example", "--public-read-cors=none"];
    for app in [TestApp::spawn(backend).await, TestApp::spawn_with(backend, &flags).await] {
        for path in ["/embed/v1/score-board.js", "/boards/main/card.svg"] {
            for origin in ["https://own.example", "https://other.example", "null"] {
                let answer = app.anonymous(Method::GET, path).header(header::ORIGIN, origin).responds(200).await;
                let allowed: Vec<_> = answer.headers().get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).iter().collect();
                assert!(matches!(&allowed[..], [one] if *one == "*" || *one == origin), "{path} {origin}: {allowed:?}");
                assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "{path}");
                assert_eq!(answer.headers()["cross-origin-resource-policy"], "cross-origin", "{path}");
            }
        }
        let script = app.anonymous(Method::GET, "/embed/v1/score-board.js").responds(200).await;
        assert_eq!(script.headers()[header::CACHE_CONTROL], "public, max-age=3600");
        assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    }
}

//! Addresses in pages: they lead somewhere, also below a path that a proxy takes away.

use reqwest::{Method, Url};
use serde_json::json;

use crate::app::{Backend, TestApp};

use super::served::{page, text};

crate::both_backends!(
    every_address_in_a_page_is_below_the_path_that_a_proxy_strips,
    others_are_told_whole_addresses_where_the_public_one_is_known,
    a_slash_at_the_end_leads_to_the_page,
);

/// What a page links to, loads and shows.
fn addresses(html: &str) -> Vec<String> {
    let after = |attribute: &'static str| html.split(attribute).skip(1);
    let values = [" href=\"", " src=\""].into_iter().flat_map(after).map(|rest| rest.split_once('"').unwrap().0);
    values.map(|value| value.replace("&#38;", "&")).collect()
}

async fn every_address_in_a_page_is_below_the_path_that_a_proxy_strips(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    app.make_leaderboard("vault", json!({ "visibility": "private" })).await;
    for path in [
        "/",
        "/?lang=de",
        "/?leaderboard=cup",
        "/boards/main",
        "/boards/main?season=7&lang=ar",
        "/boards/none?lang=ja",
        "/boards/vault",
        "/boards/main/embed?limit=3&theme=dark",
        "/boards/main/overlay",
    ] {
        let html = text(app.anonymous(Method::GET, path).send().await.unwrap()).await;
        let seen = Url::parse(&format!("https://proxy.example/live{path}")).unwrap();
        let found = addresses(&html);
        assert!(found.iter().any(|address| address.ends_with("assets/page.css")), "{path}: {found:?}");
        for address in found {
            let whole = seen.join(&address).unwrap();
            let below = whole.as_str().strip_prefix("https://proxy.example/live/");
            let below = below.unwrap_or_else(|| panic!("{path}: {address} is {whole}"));
            app.anonymous(Method::GET, &format!("/{below}")).send().await.unwrap().error_for_status().unwrap();
        }
    }
}

async fn others_are_told_whole_addresses_where_the_public_one_is_known(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--public-url=https://scores.example/live/"]).await;
    app.post_value("ada", 5).await;
    for path in ["/boards/main?season=1", "/"] {
        let html = page(&app, path).await;
        for (property, address) in [("url", "main"), ("image", "main/card.svg")] {
            let told = format!("<meta property=\"og:{property}\" content=\"https://scores.example/live/boards/{address}\">");
            assert!(html.contains(&told), "{path}: {html}");
        }
    }
    let unknown = TestApp::spawn(backend).await;
    let html = page(&unknown, "/boards/main").await;
    assert!(html.contains("og:title") && !html.contains("og:image") && !html.contains("og:url"), "{html}");
}

async fn a_slash_at_the_end_leads_to_the_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (path, to) in [
        ("/boards/main/?lang=de&user=a%2Fb", "/boards/main?lang=de&user=a%2Fb"),
        ("/boards/a%2Fb/", "/boards/a%2Fb"),
        ("/boards/main/embed/", "/boards/main/embed"),
        ("/boards/main/overlay/?rows=3", "/boards/main/overlay?rows=3"),
    ] {
        let answer = client.get(app.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 308, "{path}");
        let seen = Url::parse(&format!("https://proxy.example/live{path}")).unwrap();
        let led = seen.join(answer.headers()["location"].to_str().unwrap()).unwrap();
        assert_eq!(led.as_str(), format!("https://proxy.example/live{to}"));
    }
    assert_eq!(client.get(app.url("/boards//")).send().await.unwrap().status(), 404);
}

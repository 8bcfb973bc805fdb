//! Refresh tokens in cookies, for pages of this server.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::*;

crate::both_backends!(pages_of_this_server_get_a_cookie, over_tls_no_other_host_can_set_it, no_other_site_uses_it,);

fn cookie_of(response: &Response) -> String {
    response.headers()["set-cookie"].to_str().unwrap().to_owned()
}

/// What the browser sends back.
fn pair(cookie: &str) -> String {
    cookie.split(';').next().unwrap().to_owned()
}

fn page(app: &TestApp, request: RequestBuilder) -> RequestBuilder {
    request.header("Origin", format!("http://{}", app.address))
}

async fn pages_of_this_server_get_a_cookie(backend: Backend) {
    let app = open(backend).await;
    sign_up(&app, "ada").await;
    let body = json!({"login": "ada", "password": PASSWORD, "cookie": true});
    let answer = page(&app, auth(&app, "sign-in", body)).responds(200).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let cookie = cookie_of(&answer);
    let session: Value = answer.json().await.unwrap();
    assert!(session.get("refreshToken").is_none() && is_accepted(&app, &session).await, "{session}");
    let value = pair(&cookie);
    assert!(value.starts_with("scoreboard-session=scbr_"), "{cookie}");
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    assert_eq!([attributes[0], attributes[2], attributes[3]], ["Path=/", "HttpOnly", "SameSite=Strict"], "{cookie}");
    let age: i64 = attributes[1].strip_prefix("Max-Age=").unwrap().parse().unwrap();
    assert!((29 * 86_400..=30 * 86_400).contains(&age) && attributes.len() == 4, "{cookie}");

    let refreshed = page(&app, auth(&app, "refresh", json!({}))).header("Cookie", &value).responds(200).await;
    let next = pair(&cookie_of(&refreshed));
    let session: Value = refreshed.json().await.unwrap();
    assert!(session.get("refreshToken").is_none() && next != value);
    let other_tab = page(&app, auth(&app, "refresh", json!({}))).header("Cookie", format!("a=b; {value}")).responds(200).await;
    assert_eq!(pair(&cookie_of(&other_tab)), next);
    let out = page(&app, auth(&app, "sign-out", json!({}))).header("Cookie", &next).responds(204).await;
    assert!(cookie_of(&out).starts_with("scoreboard-session=; Path=/; Max-Age=0;"), "{}", cookie_of(&out));
    assert!(!is_accepted(&app, &session).await);
    // The cookie alone is no access token.
    app.anonymous(Method::GET, "/api/auth/sessions").header("Cookie", &next).refused(401).await;
}

async fn over_tls_no_other_host_can_set_it(backend: Backend) {
    let app = open(backend).await;
    sign_up(&app, "ada").await;
    let body = json!({"login": "ada", "password": PASSWORD, "cookie": true});
    let proxied = |request: RequestBuilder| {
        request
            .header("X-Forwarded-Proto", "https")
            .header("Origin", "https://scores.example.com")
            .header("Host", "scores.example.com")
    };
    let answer = proxied(auth(&app, "sign-in", body.clone())).responds(200).await;
    let cookie = cookie_of(&answer);
    assert!(cookie.starts_with("__Host-scoreboard-session=") && cookie.ends_with("; Secure"), "{cookie}");
    proxied(auth(&app, "refresh", json!({}))).header("Cookie", pair(&cookie)).responds(200).await;
    let plain = pair(&cookie).replace("__Host-", "");
    proxied(auth(&app, "refresh", json!({}))).header("Cookie", plain).refused(422).await;

    let named = with(backend, &["--accounts=open", "--public-url=https://scores.example.com/boards"]).await;
    sign_up(&named, "ada").await;
    let answer = auth(&named, "sign-in", body).header("Origin", "https://scores.example.com").responds(200).await;
    assert!(cookie_of(&answer).starts_with("__Host-"), "{}", cookie_of(&answer));
    // Nobody but a trusted proxy says that there is TLS.
    let stranger = TestApp::spawn_with(backend, &["--accounts=open"]).await;
    sign_up(&stranger, "ada").await;
    let body = json!({"login": "ada", "password": PASSWORD, "cookie": true});
    let answer = page(&stranger, auth(&stranger, "sign-in", body)).header("X-Forwarded-Proto", "https").responds(200).await;
    assert!(cookie_of(&answer).starts_with("scoreboard-session="));
}

async fn no_other_site_uses_it(backend: Backend) {
    let app = open(backend).await;
    sign_up(&app, "ada").await;
    let body = json!({"login": "ada", "password": PASSWORD, "cookie": true});
    let answer = page(&app, auth(&app, "sign-in", body.clone())).responds(200).await;
    let value = pair(&cookie_of(&answer));
    for origin in [None, Some("null"), Some("https://evil.example.com"), Some("http://127.0.0.1:1")] {
        let from = |request: RequestBuilder| origin.iter().fold(request, |request, origin| request.header("Origin", *origin));
        for path in ["refresh", "sign-out"] {
            from(auth(&app, path, json!({}))).header("Cookie", &value).refused(403).await;
        }
        from(auth(&app, "sign-in", body.clone())).refused(403).await;
    }
    page(&app, auth(&app, "refresh", json!({}))).header("Cookie", &value).responds(200).await;
}

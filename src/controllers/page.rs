//! The live page, served from the binary.

use std::sync::LazyLock;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("../page/index.html");

/// Only the page's own files may run or load, and no other page may frame it. The one inline script is allowed by its hash: it
/// redirects to where the page's relative addresses are right, from a proxy's `/boards` to `/boards/`. Event handler attributes
/// may not contain script.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let script = PAGE.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>")).map_or("", |(script, _)| script);
    let hash = STANDARD.encode(Sha256::digest(script));
    let policy = format!(
        "default-src 'none'; script-src 'self'; script-src-elem 'self' 'sha256-{hash}'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("made of visible characters")
});

fn file(content_type: &'static str, content: &'static str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

/// `GET /`
pub async fn index() -> Response {
    file("text/html; charset=utf-8", PAGE)
}

/// `GET /account/reset` and `GET /account/invite`: where links lead. The page is the same for all, and holds no token.
pub async fn account() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/account.html"))
}

/// `GET /assets/account.js`
pub async fn account_script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/account.js"))
}

/// `GET /assets/app.js`
pub async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/app.js"))
}

/// `GET /assets/app.css`
pub async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../page/app.css"))
}

/// `GET /assets/favicon.svg`
pub async fn icon() -> Response {
    file("image/svg+xml", include_str!("../page/favicon.svg"))
}

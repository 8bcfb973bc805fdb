//! The files of the pages, and what browsers may do with them.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::super::cached::has_already;
use crate::http::site::Framed;

/// The one inline script, allowed by its hash: it redirects to where the addresses of the page at `/` are right, from a proxy's `/live` to `/live/`.
pub const SLASH: &str =
    "if(!location.pathname.endsWith('/'))location.replace(location.pathname+'/'+location.search+location.hash)";

/// Only the page's own files may run or load. `frame-ancestors` comes after it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(SLASH));
    format!(
        "default-src 'none'; script-src 'self'; script-src-elem 'self' 'sha256-{hash}'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
    )
});

/// A policy under which these sources may frame the page.
pub fn policy(frame_ancestors: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{}{frame_ancestors}", *POLICY)).expect("made of visible characters")
}

static UNFRAMED: LazyLock<HeaderValue> = LazyLock::new(|| policy("'none'"));

/// An answer with an entity tag that is made of its bytes; 304 where the client has it. Only what is found has one: an error is
/// told again.
pub fn tagged<C>(request: &HeaderMap, status: StatusCode, content_type: &'static str, content: C) -> Response
where
    C: AsRef<[u8]> + IntoResponse,
{
    // Weak, because the bytes are compressed for those who accept it.
    let tag = format!("W/\"{}\"", STANDARD.encode(&Sha256::digest(&content)[..12]));
    let found = status == StatusCode::OK;
    let mut response = if found && has_already(tag.as_bytes(), request) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (status, content).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if found {
        headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("made of visible characters"));
    }
    response
}

/// A page. Its language may depend on what the browser accepts.
pub fn page(request: &HeaderMap, status: StatusCode, html: String, frames: Option<&HeaderValue>) -> Response {
    let mut response = tagged(request, status, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, frames.unwrap_or(&UNFRAMED).clone());
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    if frames.is_some() {
        response.extensions_mut().insert(Framed);
    }
    response
}

/// A file that is the same for all. Pages in frames without an origin of their own load it from elsewhere, too.
fn file(request: &HeaderMap, content_type: &'static str, content: &'static str) -> Response {
    let mut response = tagged(request, StatusCode::OK, content_type, content);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, UNFRAMED.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// A script of this name, made by `clients/typescript/build.js` where it is not written by hand.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident: $path:literal,)+) => {
        $($(#[$doc])* pub async fn $name(headers: HeaderMap) -> Response {
            file(&headers, "text/javascript; charset=utf-8", include_str!(concat!("../../page/", $path)))
        })+
    };
}

scripts! {
    /// `GET /assets/account.js`
    account_script: "account.js",
    /// `GET /assets/board.js`
    board_script: "board.js",
    /// `GET /assets/embed.js`
    embed_script: "embed.js",
    /// `GET /assets/overlay.js`
    overlay_script: "overlay.js",
}

/// `GET /embed/v1/score-board.js`: pages of all origins may load it.
pub async fn element(headers: HeaderMap) -> Response {
    let mut response = file(&headers, "text/javascript; charset=utf-8", include_str!("../../page/score-board.js"));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    // It tells the page by which protocol it came: how many streams a browser keeps open depends on that.
    headers.insert("timing-allow-origin", HeaderValue::from_static("*"));
    response
}

/// `GET /assets/page.css`
pub async fn style(headers: HeaderMap) -> Response {
    file(&headers, "text/css; charset=utf-8", include_str!("../../page/page.css"))
}

/// `GET /assets/favicon.svg`
pub async fn icon(headers: HeaderMap) -> Response {
    file(&headers, "image/svg+xml", include_str!("../../page/favicon.svg"))
}

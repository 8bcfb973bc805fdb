//! The refresh token in a cookie, for pages of this server: no script reads it, and no other site's page uses it.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use super::Secret;
use crate::{
    http::site::Site,
    services::{accounts::Accounts, error::ServiceError},
};

/// Its name over TLS: browsers take such a cookie from the host itself alone, and send it to no other. Without TLS they take none.
const SECURE: &str = "__Host-scoreboard-session";
const PLAIN: &str = "scoreboard-session";

/// Whether the browser reaches this server over TLS.
pub fn is_secure(site: &Site, accounts: &Accounts) -> bool {
    site.secure || accounts.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
}

/// Refuses whatever is not sent by a page of this server: `SameSite` alone protects from other sites, and not from other hosts
/// of the same one.
fn check_origin(site: &Site, accounts: &Accounts) -> Result<(), ServiceError> {
    let public = accounts.public_url.as_ref().map(|url| url.origin().ascii_serialization());
    if site.is_own(public.as_deref()) {
        return Ok(());
    }
    Err(ServiceError::Forbidden("the cookie is for pages of this server: the header Origin has to be its own".into()))
}

/// Whether a cookie is wanted. Only pages of this server get one: a page of another site must not sign its visitor in here.
pub fn wanted(cookie: bool, site: &Site, accounts: &Accounts) -> Result<bool, ServiceError> {
    if cookie {
        check_origin(site, accounts)?;
    }
    Ok(cookie)
}

/// The refresh token in the body, or else in the cookie, and whether it was there.
pub fn token(
    in_body: Option<Secret>,
    site: &Site,
    accounts: &Accounts,
    headers: &HeaderMap,
) -> Result<(String, bool), ServiceError> {
    if let Some(Secret(token)) = in_body {
        return Ok((token, false));
    }
    let name = if is_secure(site, accounts) { SECURE } else { PLAIN };
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (known, value) = cookie.trim().split_once('=')?;
        (known == name && !value.is_empty()).then(|| value.to_owned())
    });
    let missing = || ServiceError::invalid("refreshToken", "required", "must be given, unless it is in the cookie");
    let token = found.ok_or_else(missing)?;
    check_origin(site, accounts)?;
    Ok((token, true))
}

/// Puts a token into the browser's cookie for so many seconds; 0 takes it out.
pub fn put(response: &mut Response, secure: bool, token: &str, seconds: i64) {
    let (name, secure) = if secure { (SECURE, "; Secure") } else { (PLAIN, "") };
    let cookie = format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

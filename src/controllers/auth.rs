//! `/api/auth`: signing up and in, guests, refresh tokens. Answers hold secrets, so nobody stores them.

mod cookie;
pub mod passwords;
pub mod providers;
pub mod sessions;

use std::{fmt, sync::Arc};

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{
    domain::{
        account::Roles,
        caller::{Caller, SessionId},
        ids::{Noun, UserId},
        time::Timestamp,
    },
    http::{caller::ClientAddress, problem::Problem, request_id::RequestId, site::Site},
    services::{
        Services,
        accounts::{Accounts, Client, Opened, ProviderToken, SignUp},
        error::ServiceError,
    },
};

use super::{
    App,
    body::{self, Json},
};

/// A text that signs somebody in. It is never shown, not even by mistake.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Accounts, where there are any. Without them these routes do not exist.
pub fn accounts(services: &Services) -> Result<&Arc<Accounts>, ServiceError> {
    services.accounts.as_ref().ok_or(ServiceError::NotFound(Noun::Resource))
}

/// Who sends the request, as far as the connection shows.
pub struct Sender(pub Client);

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = parts.extensions.get::<RequestId>().map_or("", RequestId::as_str).into();
        Ok(Self(Client { address, user_agent, request_id }))
    }
}

/// An open session as its holder sees it. With a cookie, no script sees the refresh token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    user_id: &'a UserId,
    session_id: SessionId,
    roles: &'a Roles,
    access_token: &'a str,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    refresh_expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_secret: Option<&'a str>,
}

/// The answer to whoever has an open session now. With a site, the refresh token goes into a cookie of it.
fn answer(status: StatusCode, opened: &Opened, in_cookie_of: Option<(&Site, &Accounts)>) -> Response {
    let view = View {
        user_id: &opened.user_id,
        session_id: opened.session_id,
        roles: &opened.roles,
        access_token: &opened.access_token,
        expires_at: opened.expires_at,
        refresh_token: in_cookie_of.is_none().then_some(&*opened.refresh_token),
        refresh_expires_at: opened.refresh_expires_at,
        device_secret: opened.device_secret.as_deref(),
    };
    let mut response = (status, axum::Json(view)).into_response();
    if let Some((site, accounts)) = in_cookie_of {
        let seconds = opened.refresh_expires_at.micros_since(accounts.clock.now()).div_euclid(1_000_000);
        cookie::put(&mut response, cookie::is_secure(site, accounts), &opened.refresh_token, seconds);
    }
    unstored(response)
}

/// Nobody stores this answer.
fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The body of `POST /api/auth/sign-up`.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignUpBody {
    login: String,
    password: Secret,
    #[validate(length(min = 1, max = 64), custom(function = "body::name"))]
    display_name: Option<String>,
    invite: Option<Secret>,
    #[serde(default)]
    cookie: bool,
}

/// `POST /api/auth/sign-up`
pub async fn sign_up(
    State(services): App,
    Sender(client): Sender,
    site: Site,
    Json(body): Json<SignUpBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let SignUpBody { login, password, display_name, invite, cookie } = body;
    let invite = invite.as_ref().map(|invite| invite.0.as_str());
    let cookie = cookie::wanted(cookie, &site, accounts)?;
    let new = SignUp { login: &login, password: &password.0, display_name, invite };
    let opened = accounts.sign_up(&client, new).await?;
    Ok(answer(StatusCode::CREATED, &opened, cookie.then_some((&site, accounts))))
}

/// The body of `POST /api/auth/sign-in`.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    login: String,
    password: Secret,
    /// The refresh token goes into a cookie, for pages of this server.
    #[serde(default)]
    cookie: bool,
}

/// `POST /api/auth/sign-in`
pub async fn sign_in(
    State(services): App,
    Sender(client): Sender,
    site: Site,
    Json(body): Json<SignInBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let cookie = cookie::wanted(body.cookie, &site, accounts)?;
    let opened = accounts.sign_in(&client, &body.login, &body.password.0).await?;
    Ok(answer(StatusCode::OK, &opened, cookie.then_some((&site, accounts))))
}

/// The body of `POST /api/auth/guest`.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuestBody {
    device_secret: Option<Secret>,
    #[serde(default)]
    cookie: bool,
}

/// `POST /api/auth/guest`
pub async fn guest(
    State(services): App,
    Sender(client): Sender,
    site: Site,
    Json(body): Json<GuestBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let cookie = cookie::wanted(body.cookie, &site, accounts)?;
    let (status, opened) = match &body.device_secret {
        Some(secret) => (StatusCode::OK, accounts.guest_again(&client, &secret.0).await?),
        None => (StatusCode::CREATED, accounts.guest(&client).await?),
    };
    Ok(answer(status, &opened, cookie.then_some((&site, accounts))))
}

/// The body of `POST /api/auth/link`: login and password, or the ID token of a provider.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkBody {
    login: Option<String>,
    password: Option<Secret>,
    provider: Option<String>,
    id_token: Option<Secret>,
    nonce: Option<Secret>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkedView<'a> {
    user_id: &'a UserId,
    login: Option<&'a str>,
    roles: &'a Roles,
}

/// `POST /api/auth/link`
pub async fn link(
    State(services): App,
    caller: Caller,
    Sender(client): Sender,
    Json(body): Json<LinkBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let account = match &body {
        LinkBody { login: Some(login), password: Some(password), provider: None, id_token: None, nonce: None } => {
            accounts.link(&caller, &client, login, &password.0).await?
        }
        LinkBody { login: None, password: None, provider: Some(provider), id_token: Some(token), nonce: Some(nonce) } => {
            let token = ProviderToken { provider, id_token: &token.0, nonce: &nonce.0 };
            accounts.link_provider(&caller, &client, token).await?
        }
        _ => {
            let message = "link either login and password, or provider, idToken and nonce";
            return Err(ServiceError::invalid("login", "exclusive", message).into());
        }
    };
    let login = account.login.as_ref().map(|login| login.as_str());
    let view = LinkedView { user_id: &account.id, login, roles: &account.roles };
    Ok(unstored(axum::Json(view).into_response()))
}

/// The body of `POST /api/auth/refresh`; without a token, the cookie's is used.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshBody {
    refresh_token: Option<Secret>,
}

/// `POST /api/auth/refresh`
pub async fn refresh(
    State(services): App,
    Sender(client): Sender,
    site: Site,
    headers: HeaderMap,
    Json(body): Json<RefreshBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let (token, in_cookie) = cookie::token(body.refresh_token, &site, accounts, &headers)?;
    let opened = accounts.refresh(&client, &token).await?;
    Ok(answer(StatusCode::OK, &opened, in_cookie.then_some((&site, accounts))))
}

/// The body of `POST /api/auth/sign-out`; without a token, the cookie's is used.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignOutBody {
    refresh_token: Option<Secret>,
    #[serde(default)]
    everywhere: bool,
}

/// `POST /api/auth/sign-out`
pub async fn sign_out(
    State(services): App,
    site: Site,
    headers: HeaderMap,
    Json(body): Json<SignOutBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let (token, in_cookie) = cookie::token(body.refresh_token, &site, accounts, &headers)?;
    accounts.sign_out(&token, body.everywhere).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if in_cookie {
        cookie::put(&mut response, cookie::is_secure(&site, accounts), "", 0);
    }
    Ok(unstored(response))
}

//! `/api/auth/oidc`: signing in by the ID token of an identity provider.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use validator::Validate;

use crate::{
    http::{problem::Problem, site::Site},
    services::accounts::ProviderToken,
};

use super::{
    super::{App, body::Json},
    Secret, Sender, accounts, answer, cookie,
};

/// The body of `POST /api/auth/oidc`.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderBody {
    provider: String,
    id_token: Secret,
    /// What the client has chosen for this token, so that nobody else's can be slipped in.
    nonce: Secret,
    #[serde(default)]
    cookie: bool,
}

/// `POST /api/auth/oidc`
pub async fn sign_in(
    State(services): App,
    Sender(client): Sender,
    site: Site,
    Json(body): Json<ProviderBody>,
) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    let ProviderBody { provider, id_token, nonce, cookie } = body;
    let cookie = cookie::wanted(cookie, &site, accounts)?;
    let token = ProviderToken { provider: &provider, id_token: &id_token.0, nonce: &nonce.0 };
    let (opened, is_new) = accounts.sign_in_by_provider(&client, token).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &opened, cookie.then_some((&site, accounts))))
}

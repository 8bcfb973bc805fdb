//! `/api/auth/password`: changed, forgotten, chosen anew.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use validator::Validate;

use super::{App, Json, Problem, Secret, Sender, accounts, unstored};
use crate::domain::caller::Caller;

/// The body of `POST /api/auth/password`.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    current: Secret,
    new: Secret,
}

/// `POST /api/auth/password`
pub async fn change(
    State(services): App,
    caller: Caller,
    Sender(client): Sender,
    Json(body): Json<ChangeBody>,
) -> Result<Response, Problem> {
    accounts(&services)?.change_password(&caller, &client, &body.current.0, &body.new.0).await?;
    Ok(unstored(StatusCode::NO_CONTENT.into_response()))
}

/// The body of `POST /api/auth/password/forgot`.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ForgotBody {
    login: String,
}

/// `POST /api/auth/password/forgot`
pub async fn forgot(State(services): App, Json(body): Json<ForgotBody>) -> Result<Response, Problem> {
    accounts(&services)?.forgot(&body.login).await?;
    Ok(unstored(StatusCode::ACCEPTED.into_response()))
}

/// The body of `POST /api/auth/password/reset`.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    token: Secret,
    new: Secret,
}

/// `POST /api/auth/password/reset`
pub async fn reset(State(services): App, Sender(client): Sender, Json(body): Json<ResetBody>) -> Result<Response, Problem> {
    accounts(&services)?.reset(&client, &body.token.0, &body.new.0).await?;
    Ok(unstored(StatusCode::NO_CONTENT.into_response()))
}

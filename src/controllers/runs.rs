//! `POST /api/runs`: a player begins a game.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{
    domain::{ids::ActionId, time::Timestamp},
    http::{caller::Player, problem::Problem},
    services::error::ServiceError,
};

use super::{
    App,
    body::{self, Json},
};

/// The body of a request to begin.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunStart {
    #[validate(custom(function = "body::slug"))]
    action_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    run_token: &'a str,
    expires_at: Timestamp,
}

/// `POST /api/runs`
pub async fn begin(State(services): App, Player(caller): Player, Json(body): Json<RunStart>) -> Result<Response, Problem> {
    let action = ActionId::parse(&body.action_id).map_err(|error| ServiceError::invalid("actionId", "format", error.0))?;
    let begun = services.runs.begin(&caller, &action).await?;
    let view = View { run_token: &begun.token, expires_at: begun.expires_at };
    // Each is good once: no cache may answer with it again.
    let unstored = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::CREATED, [unstored], axum::Json(view)).into_response())
}

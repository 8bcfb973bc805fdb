//! `/api/auth/sessions`: where one's account is signed in.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use uuid::Uuid;

use super::{App, Problem, ServiceError, accounts, unstored};
use crate::{
    controllers::params::Segments,
    domain::{
        account::Session,
        caller::{Caller, SessionId},
        time::Timestamp,
    },
};

/// A session as its owner sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: SessionId,
    created_at: Timestamp,
    last_used_at: Timestamp,
    user_agent: Option<&'a str>,
}

impl<'a> From<&'a Session> for View<'a> {
    fn from(session: &'a Session) -> Self {
        let Session { id, user_agent, created_at, last_used_at, .. } = session;
        Self { id: *id, created_at: *created_at, last_used_at: *last_used_at, user_agent: user_agent.as_deref() }
    }
}

#[derive(Serialize)]
struct ListView<'a> {
    sessions: Vec<View<'a>>,
}

/// `GET /api/auth/sessions`
pub async fn list(State(services): App, caller: Caller) -> Result<Response, Problem> {
    let sessions = accounts(&services)?.sessions(&caller).await?;
    let view = ListView { sessions: sessions.iter().map(View::from).collect() };
    Ok(unstored(axum::Json(view).into_response()))
}

/// `DELETE /api/auth/sessions/{id}`
pub async fn end(State(services): App, caller: Caller, Segments(id): Segments<String>) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    caller.authenticated().map_err(ServiceError::from)?;
    let id = Uuid::try_parse(&id).unwrap_or_default();
    accounts.end_session(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

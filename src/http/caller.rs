//! Who is calling, as the authentication middleware found out: for handlers to ask for.

use std::net::IpAddr;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{problem::Problem, request_id::RequestId};
use crate::{
    domain::caller::{Caller, Permission},
    services::error::ServiceError,
};

/// The client's address, IPv6 as its /64.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(unknown)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

fn unknown() -> Problem {
    ServiceError::Internal("a route below /api lacks the authentication layer".into()).into()
}

/// Whoever manages leaderboards, actions and users. The service decides that; named before a handler's body, this keeps strangers from having
/// theirs read.
#[derive(Debug, Clone)]
pub struct Manager(pub Caller);

impl<S: Sync> FromRequestParts<S> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        recorded(parts, state, Permission::Manage).await.map(Self)
    }
}

/// Whoever submits scores, anybody's or their own. Named before a handler's body, as [`Manager`] is.
#[derive(Debug, Clone)]
pub struct Submitter(pub Caller);

impl<S: Sync> FromRequestParts<S> for Submitter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        allowed(parts, state, Permission::SubmitScores).await.map(Self)
    }
}

/// Whoever plays and submits scores of their own. Named before a handler's body, as [`Manager`] is.
#[derive(Debug, Clone)]
pub struct Player(pub Caller);

impl<S: Sync> FromRequestParts<S> for Player {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        allowed(parts, state, Permission::BeginRuns).await.map(Self)
    }
}

/// Whoever makes decisions about users and scores. Named before a handler's body, as [`Manager`] is.
#[derive(Debug, Clone)]
pub struct Moderator(pub Caller);

impl<S: Sync> FromRequestParts<S> for Moderator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        recorded(parts, state, Permission::Moderate).await.map(Self)
    }
}

/// Whoever writes profiles, anybody's or their own. Named before a handler's body, as [`Manager`] is.
#[derive(Debug, Clone)]
pub struct ProfileWriter(pub Caller);

impl<S: Sync> FromRequestParts<S> for ProfileWriter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        recorded(parts, state, Permission::WriteProfile).await.map(Self)
    }
}

/// Whoever manages API keys. Named before a handler's body, as [`Manager`] is.
#[derive(Debug, Clone)]
pub struct KeyManager(pub Caller);

impl<S: Sync> FromRequestParts<S> for KeyManager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        recorded(parts, state, Permission::ManageKeys).await.map(Self)
    }
}

/// Whoever manages accounts. Named before a handler's body, as [`Manager`] is.
#[derive(Debug, Clone)]
pub struct AccountManager(pub Caller);

impl<S: Sync> FromRequestParts<S> for AccountManager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        recorded(parts, state, Permission::ManageAccounts).await.map(Self)
    }
}

/// A caller whose doings are recorded, with the request that asked for them.
async fn recorded<S: Sync>(parts: &mut Parts, state: &S, permission: Permission) -> Result<Caller, Problem> {
    let caller = allowed(parts, state, permission).await?;
    let id = parts.extensions.get::<RequestId>();
    Ok(id.map_or(caller.clone(), |id| caller.in_request(id.as_str())))
}

async fn allowed<S: Sync>(parts: &mut Parts, state: &S, permission: Permission) -> Result<Caller, Problem> {
    let caller = Caller::from_request_parts(parts, state).await?;
    caller.authorize(permission).map_err(ServiceError::from)?;
    Ok(caller)
}

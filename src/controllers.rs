//! HTTP: one file per noun. A handler extracts, calls one service, and responds; `http/problem.rs` alone gives errors their status.

pub mod actions;
pub mod body;
pub mod cached;
pub mod entries;
pub mod history;
pub mod leaderboards;
pub mod operations;
pub mod page;
pub mod params;
pub mod scores;
pub mod streams;
pub mod users;
pub mod whole;

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    http::problem::Problem,
    services::{
        actions::Actions, error::ServiceError, health::Health, history::History, latest::LatestScores,
        leaderboards::Leaderboards, rankings::Rankings, scores::Scores, streams::Streams, tokens::Principal, tokens::Scope,
        tokens::Tokens, tops::Tops, users::Users,
    },
};

/// The services behind the API.
pub struct Services {
    pub tokens: Tokens,
    pub leaderboards: Leaderboards,
    pub actions: Actions,
    pub users: Users,
    pub scores: Arc<Scores>,
    pub history: History,
    pub latest: LatestScores,
    pub rankings: Arc<Rankings>,
    pub tops: Arc<Tops>,
    pub streams: Arc<Streams>,
    pub health: Health,
    /// What the short paths stand for.
    pub default_leaderboard: String,
}

/// How handlers get at the services.
pub type App = axum::extract::State<Arc<Services>>;

/// Who is asking; put into each request below `/api` by the authentication middleware.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Option<Arc<Principal>>,
    /// Why the token that was sent was not accepted, where the route goes on without one.
    pub refused: Option<Cow<'static, str>>,
    /// The client's address, IPv6 as its /64.
    pub address: IpAddr,
}

impl Caller {
    /// The token's holder, where it carries one of these scopes.
    pub fn require_any(&self, scopes: &[Scope]) -> Result<&Arc<Principal>, ServiceError> {
        let principal = self.principal.as_ref().ok_or(ServiceError::Unauthenticated)?;
        principal.require_any(scopes)?;
        Ok(principal)
    }

    /// What to say where the lack of a token is at fault, and one was sent.
    pub fn explain(&self, error: ServiceError) -> ServiceError {
        match (&self.refused, error) {
            (Some(why), ServiceError::Unauthenticated) => ServiceError::InvalidToken(why.clone()),
            (_, error) => error,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ServiceError::Internal("a route below /api lacks the authentication layer".into()).into())
    }
}

/// Whoever manages leaderboards, actions and users. Named before a handler's body, it keeps strangers from having theirs read.
#[derive(Debug, Clone, Copy)]
pub struct Admin;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.require_any(&[Scope::LeaderboardsAdmin])?;
        Ok(Self)
    }
}

/// Whoever submits scores, anybody's or their own. Named before a handler's body, as [`Admin`] is.
#[derive(Debug, Clone)]
pub struct Submitter(pub Arc<Principal>);

impl<S: Sync> FromRequestParts<S> for Submitter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(caller.require_any(&[Scope::ScoresWrite, Scope::ScoresSelf])?.clone()))
    }
}

//! `/api/accounts`: accounts, as administrators see them.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{
    domain::{
        account::{Account, AccountChange, AccountFilter, Login, Role, Roles},
        caller::{Caller, Permission},
        ids::{Noun, UserId},
        time::Timestamp,
    },
    http::{caller::AccountManager, problem::Problem},
    services::error::ServiceError,
};

use super::{
    App,
    auth::accounts,
    body::{self, Json},
    params::{Params, Segments, next_cursor},
};

/// An account as administrators see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: &'a UserId,
    login: Option<&'a Login>,
    roles: &'a Roles,
    disabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> From<&'a Account> for View<'a> {
    fn from(account: &'a Account) -> Self {
        let Account { id, login, roles, disabled, created_at, updated_at } = account;
        Self { id, login: login.as_ref(), roles, disabled: *disabled, created_at: *created_at, updated_at: *updated_at }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    accounts: Vec<View<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/accounts`
pub async fn list(State(services): App, caller: Caller, mut params: Params) -> Result<Response, Problem> {
    let accounts = accounts(&services)?;
    caller.authorize(Permission::ManageAccounts).map_err(ServiceError::from)?;
    let limit = params.number("limit", 1..=100, 20);
    let filter = AccountFilter {
        login: params.parsed("login", |login| Login::parse(login).map_err(|error| error.0.to_owned())),
        after: params.cursor::<28>().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    };
    params.finish()?;
    let page = accounts.list(&caller, &filter, usize::try_from(limit).unwrap_or_default()).await?;
    let next_cursor = page.next.map(|last| next_cursor(last.as_str()));
    Ok(axum::Json(PageView { accounts: page.accounts.iter().map(View::from).collect(), next_cursor }).into_response())
}

/// The account that a path names. Whoever may not manage accounts learns nothing about ids.
fn named(caller: &Caller, id: &str) -> Result<UserId, ServiceError> {
    caller.authorize(Permission::ManageAccounts)?;
    UserId::parse(id).map_err(|_| ServiceError::NotFound(Noun::Account))
}

/// `GET /api/accounts/{id}`
pub async fn get(State(services): App, caller: Caller, Segments(id): Segments<String>) -> Result<Response, Problem> {
    let account = accounts(&services)?.get(&caller, &named(&caller, &id)?).await?;
    Ok(axum::Json(View::from(&account)).into_response())
}

/// The body of `PATCH /api/accounts/{id}`; what is absent stays as it is.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    #[serde(default, deserialize_with = "body::present")]
    #[validate(length(min = 1, max = 3))]
    roles: Option<Vec<Role>>,
    #[serde(default, deserialize_with = "body::present")]
    disabled: Option<bool>,
}

/// `PATCH /api/accounts/{id}`
pub async fn update(
    State(services): App,
    AccountManager(caller): AccountManager,
    Segments(id): Segments<String>,
    Json(body): Json<ChangeBody>,
) -> Result<Response, Problem> {
    let change = AccountChange { roles: body.roles.map(|roles| roles.into_iter().collect()), disabled: body.disabled };
    let account = accounts(&services)?.update(&caller, &named(&caller, &id)?, &change).await?;
    Ok(axum::Json(View::from(&account)).into_response())
}

/// `DELETE /api/accounts/{id}`
pub async fn delete(
    State(services): App,
    AccountManager(caller): AccountManager,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    accounts(&services)?.delete(&caller, &named(&caller, &id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The body of `POST /api/accounts/invites`.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct InviteBody {
    login: Option<String>,
    #[serde(default, deserialize_with = "body::present")]
    #[validate(length(min = 1, max = 3))]
    roles: Option<Vec<Role>>,
}

/// A link, for whoever asked for it to hand over.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkView {
    link: String,
    expires_at: Timestamp,
}

fn answer(status: StatusCode, (link, expires_at): (String, Timestamp)) -> Response {
    let mut response = (status, axum::Json(LinkView { link, expires_at })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `POST /api/accounts/invites`
pub async fn invite(
    State(services): App,
    AccountManager(caller): AccountManager,
    Json(body): Json<InviteBody>,
) -> Result<Response, Problem> {
    let login = body.login.as_deref().map(Login::parse).transpose();
    let login = login.map_err(|error| ServiceError::invalid("login", "format", error.0))?;
    let roles = body.roles.map_or_else(Roles::player, |roles| roles.into_iter().collect());
    Ok(answer(StatusCode::CREATED, accounts(&services)?.invite(&caller, login.as_ref(), roles).await?))
}

/// `POST /api/accounts/{id}/reset-link`
pub async fn reset_link(
    State(services): App,
    AccountManager(caller): AccountManager,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, accounts(&services)?.reset_link(&caller, &named(&caller, &id)?).await?))
}

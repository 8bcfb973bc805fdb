//! Every route, in one table.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};

use crate::{
    controllers::{
        accounts, actions, api_keys, audit, auth,
        body::{BATCH_BODY_LIMIT, BODY_LIMIT},
        entries, history, leaderboards, moderation,
        operations::{self, Metrics},
        page::{self, PageSettings, files},
        reviews, runs, scores, search, seasons, streams, users,
    },
    middleware::{
        authentication::{Authentication, authenticate},
        in_band::refuse_in_band,
        rate_limit::RateLimit,
    },
    services::Services,
};

/// All that clients can reach. `metrics` is left out where it has an address of its own.
pub fn routes(
    services: Arc<Services>,
    authentication: Authentication,
    limit: &RateLimit,
    metrics: Option<Metrics>,
    pages: PageSettings,
) -> Router {
    let accounts = if services.accounts.is_some() { account_routes(pages.clone()) } else { Router::new() };
    let api = Router::new()
        .route("/api/scores", post(scores::submit))
        .route("/api/scores/batch", post(scores::submit_batch).layer(DefaultBodyLimit::max(BATCH_BODY_LIMIT)))
        .route("/api/leaderboards", get(leaderboards::list).post(leaderboards::create))
        .route("/api/leaderboards/{id}", get(leaderboards::get).patch(leaderboards::update).delete(leaderboards::delete))
        .route("/api/leaderboards/{id}/entries", get(entries::window))
        .route(
            "/api/leaderboards/{id}/entries/query",
            post(entries::friends).get(entries::entry_named_query).delete(entries::remove_named_query),
        )
        .route("/api/leaderboards/{id}/entries/{user_id}", get(entries::entry).delete(entries::remove))
        .route("/api/leaderboards/{id}/search", get(search::search))
        .route("/api/leaderboards/{id}/scores", get(history::latest))
        .route("/api/leaderboards/{id}/seasons", get(seasons::list).post(seasons::end))
        .route("/api/leaderboards/{id}/seasons/{season}", get(seasons::get).patch(seasons::rename))
        .route("/api/keys", get(api_keys::list).post(api_keys::create))
        .route("/api/keys/{id}", get(api_keys::get).patch(api_keys::update).delete(api_keys::delete))
        .route("/api/keys/{id}/rotate", post(api_keys::rotate))
        .route("/api/audit", get(audit::list))
        .route(
            "/api/moderation/decisions",
            get(moderation::list).post(moderation::decide).layer(DefaultBodyLimit::max(BATCH_BODY_LIMIT)),
        )
        .route("/api/moderation/decisions/{id}", delete(moderation::take_back))
        .route("/api/moderation/reviews", get(reviews::list).post(reviews::judge).layer(DefaultBodyLimit::max(BATCH_BODY_LIMIT)))
        .route("/api/runs", post(runs::begin))
        .route("/api/schedules/preview", post(seasons::preview))
        .route("/api/leaderboard", get(entries::default_window))
        .route("/api/actions", get(actions::list).post(actions::create))
        .route("/api/actions/{id}", get(actions::get).patch(actions::update).delete(actions::delete))
        .route("/api/users/{user_id}", get(users::get).put(users::put).patch(users::update))
        .route("/api/users/{user_id}/scores", get(history::page))
        .merge(accounts)
        .layer(limit.layer())
        .layer(from_fn_with_state(authentication.clone(), authenticate))
        .layer(DefaultBodyLimit::max(BODY_LIMIT));
    let streams = Router::new()
        .route("/api/leaderboards/{id}/stream", get(streams::leaderboard))
        .route("/api/leaderboard/stream", get(streams::default_leaderboard))
        .route("/api/stream", get(streams::several))
        .layer(limit.layer())
        .layer(from_fn_with_state(authentication, authenticate))
        .layer(from_fn(refuse_in_band));
    let open = Router::new()
        .route("/livez", get(operations::livez))
        .route("/readyz", get(operations::readyz))
        .route("/openapi.yaml", get(operations::openapi));
    let router = api.merge(streams).merge(open).merge(page_routes(pages)).with_state(services);
    match metrics {
        Some(metrics) => router.merge(metrics_route(metrics)),
        None => router,
    }
}

/// What people see.
fn page_routes(settings: PageSettings) -> Router<Arc<Services>> {
    Router::new()
        .route("/", get(page::home))
        .route("/boards/{id}", get(page::board))
        .route("/boards/{id}/embed", get(page::embed))
        .route("/boards/{id}/overlay", get(page::overlay))
        .route("/boards/{id}/", get(page::with_slash))
        .route("/boards/{id}/embed/", get(page::with_slash))
        .route("/boards/{id}/overlay/", get(page::with_slash))
        .route("/boards/{id}/card.svg", get(page::card))
        .route("/embed/v1/score-board.js", get(files::element))
        .route("/assets/board.js", get(files::board_script))
        .route("/assets/embed.js", get(files::embed_script))
        .route("/assets/overlay.js", get(files::overlay_script))
        .route("/assets/page.css", get(files::style))
        .route("/assets/favicon.svg", get(files::icon))
        .layer(Extension(settings))
}

/// Where there are accounts. Elsewhere nothing of it exists.
fn account_routes(settings: PageSettings) -> Router<Arc<Services>> {
    Router::new()
        .route("/api/auth/sign-up", post(auth::sign_up))
        .route("/api/auth/sign-in", post(auth::sign_in))
        .route("/api/auth/guest", post(auth::guest))
        .route("/api/auth/oidc", post(auth::providers::sign_in))
        .route("/api/auth/link", post(auth::link))
        .route("/api/auth/refresh", post(auth::refresh))
        .route("/api/auth/sign-out", post(auth::sign_out))
        .route("/api/auth/sessions", get(auth::sessions::list))
        .route("/api/auth/sessions/{id}", delete(auth::sessions::end))
        .route("/api/auth/password", post(auth::passwords::change))
        .route("/api/auth/password/forgot", post(auth::passwords::forgot))
        .route("/api/auth/password/reset", post(auth::passwords::reset))
        .route("/api/accounts", get(accounts::list))
        .route("/api/accounts/invites", post(accounts::invite))
        .route("/api/accounts/{id}", get(accounts::get).patch(accounts::update).delete(accounts::delete))
        .route("/api/accounts/{id}/reset-link", post(accounts::reset_link))
        .route("/account/invite", get(page::invite))
        .route("/account/reset", get(page::reset))
        .route("/assets/account.js", get(files::account_script))
        .layer(Extension(settings))
}

/// `/metrics` alone, for an address that only the operators reach.
pub fn metrics_route(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(operations::metrics)).with_state(metrics)
}

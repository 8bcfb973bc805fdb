//! HTTP: one file per noun. A handler extracts, calls one service, and responds; `http/problem.rs` alone maps errors to their
//! status.

pub mod accounts;
pub mod actions;
pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod body;
pub mod cached;
pub mod entries;
mod fair_play;
pub mod history;
pub mod leaderboards;
pub mod moderation;
pub mod operations;
pub mod page;
pub mod params;
mod restricted;
pub mod reviews;
mod rulings;
pub mod runs;
pub mod scores;
pub mod search;
pub mod seasons;
pub mod streams;
pub mod users;
pub mod whole;

use std::sync::Arc;

use crate::services::Services;

/// How handlers access the services.
pub type App = axum::extract::State<Arc<Services>>;

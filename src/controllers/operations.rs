//! Endpoints for operators: `/livez`, `/readyz`, `/metrics`, `/openapi.yaml`.

use std::{sync::Weak, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{
    http::problem::Problem,
    services::{Services, error::ServiceError},
};

use super::App;

/// `GET /livez`: the process answers.
pub async fn livez() -> Response {
    axum::Json(serde_json::json!({ "status": "alive" })).into_response()
}

/// `GET /readyz`: whether this instance should be sent requests, and what is down.
pub async fn readyz(State(services): App) -> Response {
    let report = services.health.check().await;
    let status = if report.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let up = |up: bool| if up { "up" } else { "down" };
    let mut body = serde_json::json!({
        "status": report.status(),
        "checks": { "ledger": up(report.ledger), "ranking": report.ranking.as_str() },
    });
    if !report.tasks {
        body["checks"]["tasks"] = up(false).into();
    }
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

/// How long metrics wait for the ledger.
const AUDIT_PATIENCE: Duration = Duration::from_millis(500);

/// The source of `/metrics`.
#[derive(Clone)]
pub struct Metrics {
    pub handle: PrometheusHandle,
    /// Whether anybody may read them. What is withheld changes no byte that is for all.
    pub public: bool,
    /// Weak: whoever asks for metrics keeps no server from stopping.
    pub services: Weak<Services>,
}

/// `GET /metrics`: Prometheus text, with what the operating system knows of the process at this moment.
pub async fn metrics(State(Metrics { handle, public, services }): State<Metrics>) -> Result<Response, Problem> {
    // Counting some ten thousand open files takes milliseconds.
    let rendered = tokio::task::spawn_blocking(move || {
        metrics_process::Collector::default().collect();
        handle.render()
    });
    let mut text = rendered.await.map_err(|error| ServiceError::Internal(error.to_string()))?;
    if public {
        text = without_reviews(&text);
    }
    let Some(services) = services.upgrade() else { return Ok(prometheus(text)) };
    // Written here, because its label changes with every entry.
    if let Ok(Some((seq, hash))) = tokio::time::timeout(AUDIT_PATIENCE, services.audit.head()).await {
        text.push_str(
            "# HELP scoreboard_audit_head Number of the newest entry of the audit trail, with its hash, to be kept elsewhere.\n",
        );
        text.push_str("# TYPE scoreboard_audit_head gauge\n");
        text.push_str(&format!("scoreboard_audit_head{{hash=\"{hash}\"}} {seq}\n\n"));
    }
    // Computed now instead of being stored as a gauge: a leaderboard that has become private must disappear at once.
    let watched = services.streams.watched();
    if !watched.is_empty() {
        text.push_str("# HELP scoreboard_watchers Streams that show a public leaderboard, by leaderboard.\n");
        text.push_str("# TYPE scoreboard_watchers gauge\n");
        for (id, watchers) in watched {
            // Ids contain nothing that a label would have to escape.
            text.push_str(&format!("scoreboard_watchers{{leaderboard=\"{id}\"}} {watchers}\n"));
        }
        text.push('\n');
    }
    Ok(prometheus(text))
}

/// The metrics without those of reviews.
fn without_reviews(text: &str) -> String {
    let told = |line: &&str| {
        let name = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")).unwrap_or(line);
        !name.starts_with("scoreboard_reviews_")
    };
    text.split_inclusive('\n').filter(told).collect()
}

fn prometheus(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// `GET /openapi.yaml`: the contract in machine form.
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], include_str!("../../openapi.yaml")).into_response()
}

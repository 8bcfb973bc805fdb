//! `scoreboard serve`

use tokio::signal::unix::{SignalKind, signal};

use crate::{app, config::Settings, domain::time::Clock};

/// Serves until SIGTERM or SIGINT.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    app::init_logging(settings.log.log_format, app::USUAL)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = tokio::select! {
        started = app::start(settings, Clock::system()) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    if settings.tokens.are_of_this_instance() {
        tracing::info!("tokens: scoreboard token --sub me --scope \"scores:write leaderboards:admin\"");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(())
}

//! Carries out scheduled boundaries when they come, and at the start those that passed while nothing ran.

use std::{sync::Arc, time::Duration};

use crate::services::boundaries::Boundaries;

/// How often the schedules are looked at, in case another instance has changed them, or this instance's clock is wrong.
const LOOK: Duration = Duration::from_secs(1);
/// How soon the ledger is asked again whether a boundary has come that this instance's clock says has come: each time later, in
/// case the clock is ahead.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Carries boundaries out for as long as it is polled.
pub async fn run(boundaries: Arc<Boundaries>) {
    let mut early = ASK_AGAIN;
    let mut asks = true;
    loop {
        let carried_out = if asks { boundaries.carry_out(None).await } else { Ok(0) };
        if let Err(error) = &carried_out {
            tracing::debug!(%error, "boundaries could not be carried out");
        }
        let pause = match boundaries.next().map(|next| boundaries.until(next)) {
            Some(until) if until > 0 => {
                early = ASK_AGAIN;
                LOOK.min(Duration::from_micros(until.unsigned_abs()))
            }
            Some(_) if carried_out.is_ok() => {
                early = (early * 2).min(LOOK);
                early
            }
            _ => LOOK,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = boundaries.changed() => {}
        }
        // A ledger with a clock of its own is asked at each look, because this instance's clock may be behind.
        asks = boundaries.next().is_some_and(|next| boundaries.follows_the_ledger() || boundaries.until(next) <= 0);
    }
}

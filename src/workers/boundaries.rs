//! Carries out scheduled boundaries when they come, and at the start those that passed while nothing ran.

use std::{sync::Arc, time::Duration};

use crate::services::boundaries::Boundaries;

/// How often the schedules are looked at, in case another instance has changed them, or this instance's clock is wrong.
const LOOK: Duration = Duration::from_secs(1);
/// How soon the ledger is asked again whether a boundary has come that this instance's clock says has come.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Carries boundaries out for as long as it is polled.
pub async fn run(boundaries: Arc<Boundaries>) {
    // Whatever this instance's clock says: the first look asks the ledger.
    let mut due = true;
    loop {
        let mut pause = LOOK;
        if due {
            match boundaries.carry_out(None).await {
                Ok(0) => pause = ASK_AGAIN,
                Ok(_) => pause = Duration::ZERO,
                Err(error) => tracing::debug!(%error, "boundaries could not be carried out"),
            }
        }
        let until = boundaries.next().map(|next| boundaries.until(next));
        if let Some(until) = until.filter(|until| *until > 0) {
            pause = LOOK.min(Duration::from_micros(until.unsigned_abs()));
        } else if until.is_none() {
            pause = LOOK;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = boundaries.changed() => {}
        }
        due = boundaries.next().is_some_and(|next| boundaries.until(next) <= 0);
    }
}

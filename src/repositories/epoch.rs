//! The name of a board's next epoch. The ledger allots a rebuild's epoch, starting at the number given here; the last event of
//! a ranking that was not ready gets an epoch of its own.

use std::sync::Arc;

use crate::domain::{
    time::Timestamp,
    version::{epoch_name, epoch_number},
};

/// The epoch of the present time, or the one right after the previous epoch if the clock is behind that.
pub(super) fn earliest_epoch(now: Timestamp, previous: Option<&str>) -> i64 {
    now.0.max(previous.and_then(epoch_number).unwrap_or(0).saturating_add(1))
}

/// The name of the earliest epoch.
pub(super) fn epoch_after(now: Timestamp, previous: Option<&str>) -> Arc<str> {
    epoch_name(earliest_epoch(now, previous)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_greater_than_the_previous_one_even_when_the_clock_steps_back() {
        let first = epoch_after(Timestamp(1_790_000_000_000_000), None);
        let second = epoch_after(Timestamp(5), Some(&first));
        assert!(second > first);
        assert_eq!(second, epoch_after(Timestamp(1_790_000_000_000_001), None));
    }
}

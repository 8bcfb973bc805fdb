//! The name of the next epoch of a board; both implementations of the standings ask for it when a rebuild ends.

use std::sync::Arc;

use crate::domain::{position::epoch_name, time::Timestamp};

/// The epoch of this moment, or the one right after the previous epoch where the clock stands behind that: a later epoch always
/// compares greater, even across instances whose clocks disagree.
pub(super) fn epoch_after(now: Timestamp, previous: Option<&str>) -> Arc<str> {
    let behind = previous.and_then(|name| i64::from_str_radix(name, 36).ok()).unwrap_or(0);
    epoch_name(now.0.max(behind.saturating_add(1))).into()
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

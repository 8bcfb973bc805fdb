//! Which receipts are stored together.

use uuid::Uuid;

use super::submission::Accepted;

/// The approximate number of standings in the receipts that are stored together: enough that a row costs little for each, and
/// few enough that a repeat reads few others with its own.
const STANDINGS_TOGETHER: usize = 32;

/// Divides the accepted submissions with a key into batches whose receipts are stored together. The id of a batch is that of
/// its first event.
#[derive(Default)]
pub struct ReceiptBatches {
    current: Uuid,
    standings: usize,
}

impl ReceiptBatches {
    /// The batch of the next accepted submission.
    pub fn of_next(&mut self, accepted: &Accepted) -> Uuid {
        if self.standings == 0 || self.standings >= STANDINGS_TOGETHER {
            *self = Self { current: accepted.event_id, standings: 0 };
        }
        self.standings += accepted.standings.len();
        self.current
    }
}

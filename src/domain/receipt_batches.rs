//! Which receipts are stored together.

use uuid::Uuid;

use super::submission::Accepted;

/// RankingStore in the receipts that are stored together, about: so many that a row costs little for each, so few that a repeat reads few others'
/// with its own.
const STANDINGS_TOGETHER: usize = 32;

/// Divides the accepted submissions with a key into those whose receipts are stored together. Each group is named after its first event.
#[derive(Default)]
pub struct ReceiptBatches {
    current: Uuid,
    standings: usize,
}

impl ReceiptBatches {
    /// The group of the next submission that was accepted.
    pub fn of_next(&mut self, accepted: &Accepted) -> Uuid {
        if self.standings == 0 || self.standings >= STANDINGS_TOGETHER {
            *self = Self { current: accepted.event_id, standings: 0 };
        }
        self.standings += accepted.standings.len();
        self.current
    }
}

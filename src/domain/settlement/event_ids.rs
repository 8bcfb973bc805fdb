//! The ids of events: UUIDs of their own times.

use uuid::Uuid;

use super::super::time::Timestamp;

/// A UUID v7 of this time: 48 bits of milliseconds, 12 of microseconds, and the rest at random. So events are stored in the
/// order of their times, to the microsecond.
pub fn event_id(at: Timestamp) -> Uuid {
    id_of(at, Uuid::new_v4().as_u128() & ((1 << 62) - 1))
}

/// The least id that an event of this time can have.
pub fn first_event_id(at: Timestamp) -> Uuid {
    id_of(at, 0)
}

/// The time in the id of an event: when it was committed, or the end of its season, if that came first.
pub fn time_of_event(id: Uuid) -> Timestamp {
    let bits = id.as_u128();
    let (millis, micros) = (bits >> 80, bits >> 66 & 0x3ff);
    Timestamp(i64::try_from(millis * 1000 + micros).unwrap_or(i64::MAX))
}

fn id_of(at: Timestamp, random: u128) -> Uuid {
    let micros = at.0.max(0).unsigned_abs();
    let millis = u128::from(micros / 1000) & ((1 << 48) - 1);
    Uuid::from_u128(millis << 80 | 7 << 76 | u128::from(micros % 1000) << 66 | 2 << 62 | random)
}

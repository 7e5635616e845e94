//! Phases of an event's line.

use serde::{Deserialize, Serialize};

/// Phase of an event's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The line is not open yet.
    Scheduled,
    /// The line is open, the sale is not.
    Prequeue,
    /// Batches are admitted.
    Open,
    /// The organiser stopped admission for now; joining goes on.
    Paused,
    /// No seat is available and none is held.
    SoldOut,
    /// The event is over.
    Closed,
}

impl Phase {
    /// Every phase, in the order of the codes in script replies.
    pub(super) const ALL: [Phase; 6] = [
        Phase::Scheduled,
        Phase::Prequeue,
        Phase::Open,
        Phase::Paused,
        Phase::SoldOut,
        Phase::Closed,
    ];
}

//! Seats that an organiser blocked, with their owner and the reason.

use serde::{Deserialize, Serialize};
use shared::time::Time;
use utoipa::ToSchema;

/// Note on seats that are blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockNote {
    /// For whom they are kept, such as a promoter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of the organiser's key.
    pub by: String,
    /// Time at which they were blocked.
    pub at: Time,
}

/// A seat that an organiser blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BlockedSeat {
    /// The seat.
    pub seat: String,
    /// Its place, such as "Stalls, row A, seat 1".
    pub label: String,
    /// Name of its category.
    pub category: String,
    /// For whom it is kept; null if no one was named.
    pub owner: Option<String>,
    /// Reason; null if none was given.
    pub reason: Option<String>,
    /// Name of the key with which it was blocked; null if it was blocked by an earlier version.
    pub by: Option<String>,
    /// Time at which it was blocked.
    pub at: Option<Time>,
}

/// Blocked seats, as stored.
pub struct StoredBlocks {
    /// Version of the plan that the indices are of.
    pub(super) plan_version: u32,
    /// Index of each seat in the layout, and its note.
    pub(super) seats: Vec<(u32, Option<String>)>,
}

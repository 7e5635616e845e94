//! Seats that an organiser blocked, with their owner and the reason.

use super::model::*;
use super::service::Inventory;
use serde::{Deserialize, Serialize};
use shared::group_commit::Unavailable;
use shared::ids::EventId;
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
    /// When it was blocked.
    pub at: Option<Time>,
}

/// Blocked seats, as stored.
pub struct StoredBlocks {
    /// Version of the plan that the indices are of.
    pub(super) plan_version: u32,
    /// Index of each seat in the layout, and its note.
    pub(super) seats: Vec<(u32, Option<String>)>,
}

impl Inventory {
    /// Returns the seats that an organiser blocked, in the order of the plan.
    pub async fn blocked_seats(&self, event: &EventId) -> Result<Vec<BlockedSeat>, Refused> {
        let blocks = self.blocks(event).await?;
        let map = self.seat_map(event).ok_or(Refused::NoSuchEvent)?;
        // For a moment after the plan was changed.
        if map.layout_version != blocks.plan_version {
            return Err(Unavailable.into());
        }
        let layout = &map.layout;
        let shown = blocks.seats.into_iter().filter_map(|(at, note)| {
            let seat = layout.seats.get(at as usize)?;
            let note: Option<BlockNote> = note.and_then(|note| serde_json::from_str(&note).ok());
            (!layout.is_not_for_sale(seat)).then(|| BlockedSeat {
                seat: seat.id.to_string(),
                label: layout.label(seat),
                category: layout.categories[usize::from(seat.category)].name.clone(),
                owner: note.as_ref().and_then(|note| note.owner.clone()),
                reason: note.as_ref().and_then(|note| note.reason.clone()),
                by: note.as_ref().map(|note| note.by.clone()),
                at: note.map(|note| note.at),
            })
        });
        Ok(shown.collect())
    }
}

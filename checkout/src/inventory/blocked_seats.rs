//! The inventory's list of blocked seats.

use super::block_note::{BlockNote, BlockedSeat};
use super::model::*;
use super::service::Inventory;
use shared::group_commit::Unavailable;
use shared::ids::EventId;

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

//! A database of the inventory, for organisers.

use serde::Serialize;
use shared::ids::EventId;
use utoipa::ToSchema;

/// A database that stores events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShardView {
    /// The database's own id.
    pub id: String,
    /// Host, port and name.
    pub database: String,
    /// Whether it is unreachable at the moment.
    #[serde(rename = "away")]
    pub is_away: bool,
    /// Events stored in it.
    pub events: Vec<EventId>,
}

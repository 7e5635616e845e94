//! An entry of the audit log.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

/// Number of the newest entries that are kept in memory for reading; the file keeps them all.
pub const ENTRIES_MAX: usize = 10_000;

/// One change by one organiser, or an incident at the door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// Time of the change.
    pub at: Time,
    /// The name of the organiser key; empty for strangers.
    pub by: String,
    /// The action, for example `event.update`.
    pub action: String,
    /// The event that it was done to; empty if to none.
    pub event: String,
    /// Address that the request counts for, as the rate limits see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The state before.
    pub from: Value,
    /// The state after.
    pub to: Value,
}

impl Entry {
    /// Whether the entry is one of the door rather than a change of a sale.
    pub fn is_incident(&self) -> bool {
        self.event.is_empty()
    }
}

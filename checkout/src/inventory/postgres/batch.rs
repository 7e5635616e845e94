//! A batch of an event's writer: what its requests change.

use crate::inventory::command::Command;
use crate::inventory::records::{ChangeSet, VisitorRecords};
use shared::ids::VisitorId;

/// Changes of a request and the visitor's records after them; boxed because they are moved often.
pub(super) struct Content {
    pub(super) records: Box<VisitorRecords>,
    pub(super) changes: Box<ChangeSet>,
}

/// A batch in flight.
pub(super) struct InFlight {
    pub(super) commands: Vec<Box<Command>>,
    pub(super) visitors: Vec<VisitorId>,
    /// Index of the event's connection that the batch uses.
    pub(super) connection: usize,
}

//! A batch of an event's writer: what its requests change.

use crate::inventory::command::Command;
use crate::inventory::records::{ChangeSet, VisitorRecords};
use shared::ids::VisitorId;
use shared::trace::{Parent, Span};

/// Changes of a request and the visitor's records after them; boxed because they are moved often.
pub(super) struct DecidedChanges {
    pub(super) records: Box<VisitorRecords>,
    pub(super) changes: Box<ChangeSet>,
}

/// A batch in flight.
pub(super) struct InFlight {
    pub(super) commands: Vec<Box<Command>>,
    pub(super) visitors: Vec<VisitorId>,
    /// Configuration number on which they were decided.
    pub(super) config: i64,
    /// Index of the event's connection that the batch uses.
    pub(super) connection: usize,
}

/// Begins a span in the trace of each request that shares a statement.
pub(super) fn spans(commands: &[Box<Command>], name: &str) -> Vec<Span> {
    let traces = commands.iter().map(|command| &command.trace);
    Parent::store_for_each(traces, "postgresql", name)
}

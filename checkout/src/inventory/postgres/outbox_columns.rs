//! Columns of the statements that write events.

use super::database::Statement;
use crate::inventory::outbox::OutboxEntry;

/// Events to be written, by column.
#[derive(Default)]
pub(super) struct OutboxColumns<'a> {
    request: Vec<i32>,
    id: Vec<&'a str>,
    aggregate_type: Vec<&'static str>,
    aggregate_id: Vec<&'a str>,
    event_type: Vec<&'static str>,
    payload: Vec<&'a str>,
    traceparent: Vec<Option<&'a str>>,
    at: Vec<i64>,
}

impl<'a> OutboxColumns<'a> {
    pub(super) fn add(&mut self, request: i32, entries: &'a [OutboxEntry]) {
        for entry in entries {
            self.request.push(request);
            self.id.push(&entry.id);
            self.aggregate_type
                .push(entry.event_type.aggregate().as_str());
            self.aggregate_id.push(&entry.aggregate);
            self.event_type.push(entry.event_type.as_str());
            self.payload.push(&entry.payload);
            self.traceparent.push(entry.traceparent.as_deref());
            self.at.push(entry.at.0);
        }
    }

    /// Returns the columns of events of which each is a request of its own.
    pub(super) fn of(entries: &'a [OutboxEntry]) -> OutboxColumns<'a> {
        let mut columns = OutboxColumns::default();
        for (request, entry) in entries.iter().enumerate() {
            columns.add(request as i32, std::slice::from_ref(entry));
        }
        columns
    }

    /// Binds the columns to a statement, in the order of `write_outbox`.
    pub(super) fn bind<'q>(&'q self, statement: Statement<'q>) -> Statement<'q> {
        statement
            .bind(&self.request)
            .bind(&self.id)
            .bind(&self.aggregate_type)
            .bind(&self.aggregate_id)
            .bind(&self.event_type)
            .bind(&self.payload)
            .bind(&self.traceparent)
            .bind(&self.at)
    }
}

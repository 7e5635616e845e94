//! The events that the line decides: read from its log, and written with the place in it.

use super::EventType;
use super::payload::{AdmissionPayload, DrawPayload, OutboxEntry, SCHEMA_VERSION};
use crate::inventory::commands::json;
use crate::inventory::model::Refused;
use async_trait::async_trait;
use shared::crypto::{hex, sha256};
use shared::ids::{EventId, VisitorId};
use shared::line_log::{LineDecision, LogEntry, LogPage, LogPlace};

/// The place of the outbox in the logs of the lines. Any number of nodes may read them.
#[async_trait]
pub trait LineLogStore: Send + Sync {
    /// Returns how far the log of an event's line was written to the outbox.
    ///
    /// # Errors
    /// `NoSuchEvent` without a sale.
    async fn log_place(&self, event: &EventId) -> Result<LogPlace, Refused>;

    /// Writes the decisions of a page to the outbox, and moves the place from where the page was asked
    /// for to its end, in one transaction. Returns false if the place is another by now, as another
    /// node was faster; nothing is written then.
    async fn take_log(
        &self,
        event: &EventId,
        from: &LogPlace,
        page: &LogPage,
    ) -> Result<bool, Refused>;
}

/// Returns the events of a page. Their ids follow from the life of the line, the entry and the visitor, so
/// that the same decision has the same one however often it is read.
pub(in crate::inventory) fn entries_of(event: &EventId, page: &LogPage) -> Vec<OutboxEntry> {
    let decided = page.entries.iter().flat_map(|entry| {
        let decisions = entry.decisions.iter();
        decisions.map(|decision| event_of(event, entry, decision))
    });
    decided.collect()
}

fn event_of(event: &EventId, entry: &LogEntry, decision: &LineDecision) -> OutboxEntry {
    let payload = |visitor: VisitorId, number: u64| AdmissionPayload {
        schema: SCHEMA_VERSION,
        event: event.as_str().to_owned(),
        visitor,
        number,
        claim_by: None,
        waited_seconds: None,
        how: None,
    };
    let (event_type, aggregate, payload, at) = match decision {
        LineDecision::Admitted {
            visitor,
            number,
            admitted_at,
            claim_by,
            waited_seconds,
        } => {
            let payload = AdmissionPayload {
                claim_by: Some(*claim_by),
                waited_seconds: *waited_seconds,
                ..payload(*visitor, *number)
            };
            let admitted = EventType::AdmissionAdmitted;
            (admitted, visitor.to_string(), json(&payload), *admitted_at)
        }
        LineDecision::Missed { visitor, number } => {
            let payload = json(&payload(*visitor, *number));
            let missed = EventType::AdmissionMissed;
            (missed, visitor.to_string(), payload, entry.at)
        }
        LineDecision::Finished {
            visitor,
            number,
            how,
        } => {
            let payload = AdmissionPayload {
                how: Some(*how),
                ..payload(*visitor, *number)
            };
            let finished = EventType::AdmissionFinished;
            (finished, visitor.to_string(), json(&payload), entry.at)
        }
        LineDecision::Drawn {
            seed,
            commitment,
            entries,
            root,
        } => {
            let payload = DrawPayload {
                schema: SCHEMA_VERSION,
                event: event.as_str().to_owned(),
                seed: seed.clone(),
                commitment: commitment.clone(),
                entries: *entries,
                root: root.clone(),
            };
            let held = EventType::DrawHeld;
            (held, event.as_str().to_owned(), json(&payload), entry.at)
        }
    };
    let id = id_of(event, entry, event_type, &aggregate);
    OutboxEntry {
        id,
        event_type,
        aggregate,
        payload,
        traceparent: None,
        at,
    }
}

fn id_of(event: &EventId, entry: &LogEntry, event_type: EventType, aggregate: &str) -> String {
    let (name, life, number, at) = (event_type.as_str(), &entry.life, entry.entry, entry.at.0);
    let identity = format!("{event} {life} {number} {at} {name} {aggregate}");
    format!("evt_{}", hex(&sha256(identity.as_bytes())[..20]))
}

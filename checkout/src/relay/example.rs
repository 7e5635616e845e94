//! A row of the outbox for tests.

use crate::inventory::outbox::OutboxRow;
use shared::time::Time;

/// Returns a row of an order.
pub(super) fn row(position: i64, order: &str) -> OutboxRow {
    OutboxRow {
        position,
        id: format!("evt_{position}"),
        event: "night".to_owned(),
        aggregate_type: "order".to_owned(),
        aggregate_id: order.to_owned(),
        event_type: "order.confirmed".to_owned(),
        payload: "{}".to_owned(),
        traceparent: None,
        at: Time(1_000),
    }
}

//! An event of the outbox as it is posted: the type, the time, and the data.

use crate::inventory::outbox::OutboxRow;
use crate::inventory::webhooks::{NewDelivery, WebhookEndpoint};
use serde_json::json;
use shared::crypto::random_id;
use shared::time::Time;

/// Returns the body of an event, whose payload is JSON already. Each attempt posts the same one.
fn body(row: &OutboxRow) -> String {
    let (event_type, at, payload) = (json!(row.event_type), json!(row.at), &row.payload);
    format!(r#"{{"type":{event_type},"timestamp":{at},"data":{payload}}}"#)
}

/// Returns the deliveries of events to the endpoints that want them.
pub(super) fn deliveries(rows: &[OutboxRow], endpoints: &[WebhookEndpoint]) -> Vec<NewDelivery> {
    let mut all = Vec::new();
    for row in rows {
        let wanting = endpoints.iter().filter(|endpoint| endpoint.wants(row));
        let mut wanting = wanting.peekable();
        if wanting.peek().is_none() {
            continue;
        }
        let body = body(row);
        all.extend(wanting.map(|endpoint| NewDelivery {
            endpoint: endpoint.id.clone(),
            id: row.id.clone(),
            event: row.event.clone(),
            event_type: row.event_type.clone(),
            aggregate: format!("{}/{}", row.aggregate_type, row.aggregate_id),
            body: body.clone(),
            in_order: endpoint.settings.as_ref().is_some_and(|it| it.is_ordered),
            created_at: row.at,
        }));
    }
    all
}

/// Returns a delivery that tries an endpoint.
pub(crate) fn test_message(endpoint: &str, now: Time) -> NewDelivery {
    let id = random_id("evt_");
    let event_type = "webhook.test";
    let data = json!({"schema": 1, "endpoint": endpoint});
    NewDelivery {
        endpoint: endpoint.to_owned(),
        aggregate: format!("webhook/{id}"),
        id,
        event: String::new(),
        event_type: event_type.to_owned(),
        body: json!({"type": event_type, "timestamp": now, "data": data}).to_string(),
        in_order: false,
        created_at: now,
    }
}

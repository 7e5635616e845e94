//! An event of the outbox as a CloudEvents 1.0 message in binary mode.
//!
//! Each broker's binding says how attributes become headers: `ce_` for Kafka, `ce-` for NATS,
//! `cloudEvents_` for AMQP (<https://github.com/cloudevents/spec/tree/main/cloudevents/bindings>).

use crate::inventory::outbox::OutboxRow;
use std::fmt::Write as _;

/// Media type of the data of all events.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// An event to be published.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Unique; consumers remove duplicates by it.
    pub(super) id: String,
    /// Type, such as `order.confirmed`.
    pub(super) event_type: String,
    /// Kind of the aggregate, such as `order`.
    pub(super) aggregate_type: String,
    /// The aggregate, whose events keep their order.
    pub(super) key: String,
    /// Time of the change, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Attributes by name, without `datacontenttype`, which bindings treat each in its own way.
    pub(super) attributes: Vec<(&'static str, String)>,
    /// JSON.
    pub(super) data: Vec<u8>,
}

impl Message {
    /// Returns the message of a row. `source` is the public URL.
    pub(super) fn of(row: &OutboxRow, source: &str) -> Message {
        let mut attributes = vec![
            ("specversion", "1.0".to_owned()),
            ("id", row.id.clone()),
            ("source", source.to_owned()),
            ("type", row.event_type.clone()),
            ("subject", row.aggregate_id.clone()),
            ("time", row.at.to_string()),
        ];
        if let Some(traceparent) = &row.traceparent {
            attributes.push(("traceparent", traceparent.clone()));
        }
        Message {
            id: row.id.clone(),
            event_type: row.event_type.clone(),
            aggregate_type: row.aggregate_type.clone(),
            key: row.aggregate_id.clone(),
            at_ms: row.at.0,
            attributes,
            data: row.payload.clone().into_bytes(),
        }
    }
}

/// Encodes an attribute for a header of NATS, as its binding says (section 3.1.3.2): everything but
/// printable ASCII, and blanks, double quotes and percent signs, as `%XY` of its UTF-8 bytes.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!' | b'#' | b'$' | b'&'..=b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes all"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::super::example::row;
    use super::*;

    #[test]
    fn header_values_are_encoded_as_the_binding_has_it() {
        // The example of the specification.
        let encoded = percent_encoded("Euro € 😀");
        assert_eq!(encoded, "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("a\"b%c~!"), "a%22b%25c~!");
    }

    #[test]
    fn a_message_has_the_attributes_that_cloud_events_asks_for() {
        let mut row = row(7, "ord_1");
        row.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        let message = Message::of(&row, "https://tickets.example");
        let attribute = |name| {
            let mut all = message.attributes.iter();
            let found = all.find(|(at, _)| *at == name);
            found.map(|(_, value)| value.as_str())
        };
        for (name, value) in [
            ("specversion", "1.0"),
            ("id", "evt_7"),
            ("source", "https://tickets.example"),
            ("type", "order.confirmed"),
            ("subject", "ord_1"),
            ("time", "1970-01-01T00:00:01Z"),
        ] {
            assert_eq!(attribute(name), Some(value), "{name}");
        }
        assert_eq!(attribute("traceparent"), row.traceparent.as_deref());
    }
}

//! Events as brokers deliver them: CloudEvents 1.0 in binary mode.

use shared::time::Time;
use std::collections::BTreeMap;

/// A message as a broker delivered it.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Its place at the broker, which is its id where it has none of its own.
    pub place: String,
    /// Attributes of CloudEvents, by their names without the binding's prefix.
    pub attributes: BTreeMap<String, String>,
    /// Its data.
    pub data: Vec<u8>,
}

/// An event, or a message that is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id, or the place of a message without one.
    pub id: String,
    /// Its type, such as `order.confirmed`; empty if it has none.
    pub event_type: String,
    /// The aggregate whose events keep their order; empty if it has none.
    pub aggregate: String,
    /// When the change was made.
    pub at: Time,
    /// JSON, unless the message is malformed.
    pub data: Vec<u8>,
    /// Why the message is no event, if it is none.
    pub fault: Option<String>,
}

impl Event {
    /// Reads a message. One that is no event has a fault.
    pub fn of(delivery: Delivery) -> Event {
        let Delivery {
            place,
            attributes,
            data,
        } = delivery;
        let attribute = |name: &str| attributes.get(name).filter(|text| !text.is_empty());
        let missing = ["specversion", "id", "type", "subject", "time"]
            .into_iter()
            .find(|name| attribute(name).is_none());
        let text = |name: &str| attribute(name).cloned().unwrap_or_default();
        let at = Time::parse(&text("time"));
        let version = text("specversion");
        let fault = match (&missing, &at) {
            (Some(name), _) => Some(format!("the message has no attribute {name}")),
            _ if version != "1.0" => Some(format!("the message is of CloudEvents {version}")),
            (_, Err(why)) => Some(format!("the attribute time: {why}")),
            _ => None,
        };
        Event {
            id: attribute("id").cloned().unwrap_or(place),
            event_type: text("type"),
            aggregate: text("subject"),
            at: at.unwrap_or_default(),
            data,
            fault,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a message with these attributes beside those that it needs.
    pub(crate) fn delivery(more: &[(&str, &str)]) -> Delivery {
        let attributes = [
            ("specversion", "1.0"),
            ("id", "evt_1"),
            ("type", "order.confirmed"),
            ("subject", "ord_1"),
            ("time", "2026-11-28T06:00:00Z"),
        ];
        let all = attributes.iter().chain(more);
        Delivery {
            place: "fairline/7".to_owned(),
            attributes: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            data: b"{}".to_vec(),
        }
    }

    #[test]
    fn an_event_has_the_attributes_of_its_message() {
        let event = Event::of(delivery(&[]));
        assert_eq!(event.fault, None);
        assert_eq!((&*event.id, &*event.aggregate), ("evt_1", "ord_1"));
        assert_eq!(event.event_type, "order.confirmed");
        assert_eq!(event.at, Time::parse("2026-11-28T06:00:00Z").unwrap());
    }

    #[test]
    fn a_message_that_is_no_event_says_why() {
        for (name, value, why) in [
            ("id", "", "no attribute id"),
            ("type", "", "no attribute type"),
            ("subject", "", "no attribute subject"),
            ("specversion", "0.3", "CloudEvents 0.3"),
            ("time", "soon", "RFC 3339"),
        ] {
            let event = Event::of(delivery(&[(name, value)]));
            let fault = event.fault.unwrap_or_default();
            assert!(fault.contains(why), "{name}: {fault}");
        }
        let event = Event::of(delivery(&[("id", "")]));
        assert_eq!(event.id, "fairline/7");
    }
}

//! JSON Schemas of the payloads, and the AsyncAPI document of the events, made of the types.

use super::{
    AdmissionPayload, Aggregate, DrawPayload, EventPayload, EventType, HoldPayload, OrderPayload,
    PaymentPayload, TicketPayload,
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Path of shared schemas in an OpenAPI or AsyncAPI document.
const COMPONENTS: &str = "#/components/schemas/";

/// Schema of a payload, and those that it refers to, by name.
struct Described {
    /// First word of the types that have it.
    subject: &'static str,
    name: String,
    schema: Value,
    referenced: Map<String, Value>,
}

impl Described {
    fn of<T: ToSchema>(subject: &'static str) -> Described {
        let mut referenced = Vec::new();
        T::schemas(&mut referenced);
        let referenced = referenced.into_iter();
        Described {
            subject,
            name: T::name().into_owned(),
            schema: json!(T::schema()),
            referenced: referenced
                .map(|(name, schema)| (name, json!(schema)))
                .collect(),
        }
    }

    fn all() -> [Described; 7] {
        [
            Described::of::<OrderPayload>("order"),
            Described::of::<TicketPayload>("ticket"),
            Described::of::<HoldPayload>("hold"),
            Described::of::<PaymentPayload>("payment"),
            Described::of::<EventPayload>("event"),
            Described::of::<AdmissionPayload>("admission"),
            Described::of::<DrawPayload>("draw"),
        ]
    }
}

/// Returns the JSON Schema of each payload, by the first word of the types that have it.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let all = Described::all().into_iter();
    let complete = all.map(|described| {
        let types = types_of(described.subject).map(EventType::as_str);
        let mut schema = described.schema;
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = types.collect::<Vec<_>>().join(", ").into();
        if !described.referenced.is_empty() {
            schema["$defs"] = described.referenced.into();
        }
        localise(&mut schema);
        (described.subject, schema)
    });
    complete.collect()
}

/// Has a schema refer to its own definitions.
fn localise(schema: &mut Value) {
    match schema {
        Value::Object(members) => members.values_mut().for_each(localise),
        Value::Array(items) => items.iter_mut().for_each(localise),
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(COMPONENTS) {
                *text = format!("#/$defs/{name}");
            }
        }
        _ => {}
    }
}

fn types_of(subject: &str) -> impl Iterator<Item = EventType> {
    let all = EventType::ALL.into_iter();
    all.filter(move |event_type| event_type.subject() == subject)
}

/// Returns the AsyncAPI document of the events: a channel for each kind of aggregate.
pub fn asyncapi() -> Value {
    let mut schemas = Map::new();
    let mut messages = Map::new();
    for described in Described::all() {
        for event_type in types_of(described.subject) {
            let payload = format!("{COMPONENTS}{}", described.name);
            messages.insert(
                event_type.as_str().to_owned(),
                json!({"name": event_type.as_str(), "title": event_type.as_str(), "summary": event_type.summary(),
                    "contentType": "application/json", "payload": {"$ref": payload}}),
            );
        }
        schemas.extend(described.referenced);
        schemas.insert(described.name, described.schema);
    }
    let channels = Aggregate::ALL.into_iter().map(|aggregate| {
        let types = EventType::ALL.into_iter();
        let types = types.filter(|event_type| event_type.aggregate() == aggregate);
        let of_channel = types.map(|event_type| {
            let name = event_type.as_str();
            (
                name.to_owned(),
                json!({"$ref": format!("#/components/messages/{name}")}),
            )
        });
        let name = aggregate.as_str();
        let channel = json!({"address": name, "description": description(aggregate),
            "messages": of_channel.collect::<Map<_, _>>()});
        (name.to_owned(), channel)
    });
    let operations = Aggregate::ALL.into_iter().map(|aggregate| {
        let name = aggregate.as_str();
        let operation =
            json!({"action": "send", "channel": {"$ref": format!("#/channels/{name}")}});
        (format!("publish_{name}"), operation)
    });
    json!({
        "asyncapi": "3.1.0",
        "info": {"title": "Fairline events", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": channels.collect::<Map<_, _>>(),
        "operations": operations.collect::<Map<_, _>>(),
        "components": {"messages": messages, "schemas": schemas},
    })
}

const ABOUT: &str = "Events of the checkout, each published at least once, after the change that it tells of was committed. Those of \
    one aggregate come in the order in which they happened; know by its id (`evt_…`) an event that you have had already. A \
    payload is JSON, with the version of its schema in `schema`: fields are added, none is taken away or given another type. \
    Ignore types and fields that you do not know.";

fn description(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Order => "Orders, with their tickets and payments. Key: the order's id.",
        Aggregate::Hold => "Holds. Key: the hold's id.",
        Aggregate::Event => "What is sold. Key: the event's id.",
        Aggregate::Admission => "Admissions from the line. Key: the visitor's id.",
        Aggregate::Draw => "Draws of lines. Key: the event's id.",
    }
}

//! Examples of the OpenAPI document: of every body, answer and parameter.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::mem;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder};
use utoipa::openapi::schema::{Array, ArrayItems};
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, Schema};

/// Examples by the name of their schema; where a schema has no name, by the id of its operation.
static EXAMPLES: &str = include_str!("examples.json");

/// Parameters by name: a description and an example, each for where there is none.
const PARAMETERS: [(&str, &str, &str); 14] = [
    ("event", "The event's id", "arena-night"),
    (
        "visitor",
        "`vis_…`, or a number",
        "vis_00c1f2a3b4d5968778695a4b3c2d1e0f",
    ),
    (
        "hold",
        "The hold's id",
        "hold_5e8c7a1f0b6d4932a7c15e8840f3b2d916c07e4a",
    ),
    (
        "order",
        "The order's id",
        "ord_0f3b2d916c07e4a5e8c7a1f0b6d4932a7c15e884",
    ),
    (
        "payment",
        "The payment's id",
        "pay_7a1f0b6d4932a7c15e8840f3b2d916c07e4a5e8c",
    ),
    ("number", "The invoice's number", "ARENA-I-000017"),
    (
        "ticket",
        "The ticket's id",
        "tix_5e8840f3b2d916c07e4a7a1f0b6d4932a7c15e88",
    ),
    (
        "mail",
        "The mail's id",
        "evt_5e8c7a1f0b6d4932a7c15e8840f3b2d916c07e4a",
    ),
    (
        "webhook",
        "The webhook's id",
        "whe_7a1f0b6d4932a7c15e8840f3b2d916c07e4a5e8c",
    ),
    (
        "delivery",
        "The delivery's id",
        "evt_5e8c7a1f0b6d4932a7c15e8840f3b2d916c07e4a",
    ),
    ("table", "The table and its format", "orders.csv"),
    ("minutes", "Minutes to look back", "60"),
    ("limit", "Largest number of answers", "50"),
    ("from", "Where to go on", "5000"),
];

/// Adds an example to each body, answer and parameter that has none.
pub(super) fn add(document: &mut OpenApi) {
    let examples: HashMap<String, Value> =
        serde_json::from_str(EXAMPLES).expect("the file is in the program, and a test reads it");
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let id = operation.operation_id.clone().unwrap_or_default();
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                describe(parameter);
            }
        }
        for content in contents(operation) {
            if content.example.is_none() && content.examples.is_empty() {
                content.example = example(&examples, content, &id);
            }
        }
    }
}

pub(super) fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut path.get,
        &mut path.post,
        &mut path.put,
        &mut path.patch,
        &mut path.delete,
    ];
    all.into_iter().flatten()
}

/// Returns the bodies that an operation takes and answers with.
fn contents(operation: &mut Operation) -> impl Iterator<Item = &mut Content> {
    let taken = match &mut operation.request_body {
        Some(RefOr::T(body)) => Some(body.content.values_mut()),
        _ => None,
    };
    let responses = operation.responses.responses.values_mut();
    let answered = responses.filter_map(|response| match response {
        RefOr::T(response) => Some(response.content.values_mut()),
        RefOr::Ref(_) => None,
    });
    let all = taken.into_iter().flatten().chain(answered.flatten());
    all.filter_map(|content| match content {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    })
}

fn describe(parameter: &mut Parameter) {
    let mut known = PARAMETERS.iter();
    let Some((_, what, example)) = known.find(|(name, ..)| *name == parameter.name) else {
        return;
    };
    let description = parameter.description.take();
    let own = json!(&*parameter).get("example").cloned();
    let described = ParameterBuilder::from(mem::take(parameter))
        .description(Some(description.unwrap_or_else(|| (*what).to_owned())))
        .example(own.or_else(|| Some(typed(example))));
    *parameter = described.build();
}

fn typed(example: &str) -> Value {
    example
        .parse::<u32>()
        .map_or_else(|_| json!(example), Value::from)
}

fn example(examples: &HashMap<String, Value>, content: &Content, operation: &str) -> Option<Value> {
    let named = |reference: &Ref| {
        let name = reference.ref_location.rsplit('/').next()?;
        // A view adds to what it shows only what may be absent.
        let shown = || examples.get(name.strip_suffix("View")?);
        examples.get(name).or_else(shown).cloned()
    };
    let of_schema = match content.schema.as_ref()? {
        RefOr::Ref(reference) => named(reference),
        RefOr::T(Schema::Array(Array {
            items: ArrayItems::RefOrSchema(item),
            ..
        })) => match &**item {
            RefOr::Ref(reference) => named(reference).map(|one| json!([one])),
            RefOr::T(_) => None,
        },
        RefOr::T(_) => None,
    };
    of_schema.or_else(|| examples.get(operation).cloned())
}

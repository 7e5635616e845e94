//! The schemas of the events: as `docs/events/` has them, and compatible with what was published.

use checkout::inventory::outbox::{EventType, asyncapi, schemas};
use serde_json::{Value, json};
use std::path::Path;

/// Compares a schema that was published with the present one, and returns what a consumer of the
/// former would stumble over.
fn broken(at: &str, before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for word in ["type", "format", "$ref", "const"] {
        if !before[word].is_null() && before[word] != after[word] {
            found.push(format!("{at}: {word} {} is {}", before[word], after[word]));
        }
    }
    let listed = |schema: &Value, word: &str| schema[word].as_array().cloned().unwrap_or_default();
    for word in ["required", "enum"] {
        let after = listed(after, word);
        let gone = listed(before, word).into_iter();
        let gone = gone.filter(|name| !after.contains(name));
        found.extend(gone.map(|name| format!("{at}: {name} is not among {word}")));
    }
    for word in ["properties", "$defs"] {
        for (name, before) in before[word].as_object().into_iter().flatten() {
            found.extend(broken(&format!("{at}.{name}"), before, &after[word][name]));
        }
    }
    if !before["items"].is_null() {
        found.extend(broken(
            &format!("{at}[]"),
            &before["items"],
            &after["items"],
        ));
    }
    let options = listed(before, "oneOf")
        .into_iter()
        .zip(listed(after, "oneOf"));
    found.extend(options.flat_map(|(before, after)| broken(at, &before, &after)));
    found
}

/// Compares a document with its copy in `docs/events/`.
fn compare(name: &str, document: &Value, check: impl Fn(&Value) -> Vec<String>) {
    let text = format!("{document:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events");
    let path = path.join(name);
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&made, &text).unwrap();
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let broken = check(&serde_json::from_str(&kept).unwrap());
    assert!(
        broken.is_empty(),
        "{name}: consumers rely on it: {broken:#?}"
    );
    let copy = format!("cp {} {}", made.display(), path.display());
    assert!(
        kept == text,
        "a schema has more in it than its copy: {copy}"
    );
}

#[test]
fn schemas_are_published_as_they_are_and_take_nothing_away() {
    for (subject, schema) in schemas() {
        compare(&format!("{subject}.schema.json"), &schema, |kept| {
            broken(subject, kept, &schema)
        });
    }
    let document = asyncapi();
    compare("asyncapi.json", &document, |kept| {
        let types = kept["components"]["messages"].as_object();
        let gone = types.into_iter().flatten().filter(|(name, _)| {
            let mut known = EventType::ALL.into_iter();
            !known.any(|known| known.as_str() == name.as_str())
        });
        gone.map(|(name, _)| name.clone()).collect()
    });
}

#[test]
fn a_field_that_is_gone_or_of_another_type_is_noticed_and_one_more_is_not() {
    let (_, before) = schemas().remove(0);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut after = before.clone();
        change(&mut after);
        broken("order", &before, &after)
    };
    let fields = |schema: &mut Value, field: &str, to: Value| schema["properties"][field] = to;
    assert_eq!(
        with(&|schema| fields(schema, "more", json!({"type": "string"}))),
        [""; 0]
    );
    assert!(!with(&|schema| fields(schema, "visitor", json!({"type": "integer"}))).is_empty());
    assert!(!with(&|schema| fields(schema, "tickets", Value::Null)).is_empty());
    let optional = |schema: &mut Value| schema["required"] = json!(["schema"]);
    assert!(!with(&optional).is_empty());
    let nested = |schema: &mut Value| {
        schema["$defs"]["Money"]["properties"]["amount"] = json!({"type": "string"});
    };
    assert!(!with(&nested).is_empty());
}

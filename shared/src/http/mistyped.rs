//! Refusals of a JSON value, in the words of clients: serde names the types of this program.

/// Unit of all amounts, for refusals.
pub const MINOR_UNITS: &str = "prices are whole minor units: 4500 is 45.00 EUR";

/// Returns the field that is wrong and the reason, from the path and the text of serde's error. An
/// empty path stands for all of it, which is called `whole`.
pub(super) fn in_words(whole: &str, path: &str, text: &str) -> (String, String) {
    let missing = text.strip_prefix("missing field `");
    if let Some(name) = missing.and_then(|rest| rest.strip_suffix('`')) {
        let dot = if path.is_empty() { "" } else { "." };
        return (format!("{path}{dot}{name}"), "it is missing".to_owned());
    }
    let field = if path.is_empty() { whole } else { path };
    let name = field.rsplit('.').next().unwrap_or_default();
    let unit = match is_money(name) && text.starts_with("invalid type: floating point") {
        true => format!(": {MINOR_UNITS}"),
        false => String::new(),
    };
    (field.to_owned(), reason(text) + &unit)
}

/// Returns whether a field of this name is an amount of money.
pub(super) fn is_money(name: &str) -> bool {
    matches!(name, "price" | "amount")
}

fn reason(text: &str) -> String {
    if text.starts_with("data did not match any variant") {
        return "it has none of the forms that are known".to_owned();
    }
    let known = match text {
        "recursion limit exceeded" => Some("it is nested too deeply"),
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            Some("a whole number is needed")
        }
        "number too large to fit in target type" => Some("the number is too large"),
        "provided string was not `true` or `false`" => Some("true or false is needed"),
        _ => None,
    };
    if let Some(known) = known {
        return known.to_owned();
    }
    let Some((met, expected)) = text.rsplit_once(", expected ") else {
        return text.to_owned();
    };
    let met = met.replace("floating point", "the number");
    let (kind, met) = met.split_once(": ").unwrap_or(("", &met));
    match kind {
        "invalid type" | "invalid value" => {
            format!("{} is needed, not {}", kind_of(expected), value(met))
        }
        _ => text.to_owned(),
    }
}

/// Returns a type as clients know it.
fn kind_of(expected: &str) -> String {
    let known = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "null",
        _ if is_type(expected) => "an object",
        _ => expected,
    };
    known.to_owned()
}

/// Returns whether an expectation is the name of a type of ours.
fn is_type(expected: &str) -> bool {
    let kinds = [
        "struct ",
        "enum ",
        "tuple ",
        "unit struct ",
        "internally tagged ",
        "adjacently tagged ",
        "newtype ",
    ];
    kinds.iter().any(|kind| expected.starts_with(kind))
}

/// Returns a value as serde names it, without its names of types.
fn value(met: &str) -> &str {
    match met {
        "map" => "an object",
        "sequence" => "a list",
        "unit value" => "null",
        "Option value" | "newtype struct" | "enum" => "this",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::http::problem::parse_json;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        #[serde(rename = "quantity")]
        _quantity: u32,
        #[serde(rename = "names", default)]
        _names: Vec<String>,
        #[serde(rename = "next", default)]
        _next: Option<Box<Wish>>,
        #[serde(rename = "either", default)]
        _either: Option<Either>,
        #[serde(rename = "named", default)]
        _named: BTreeMap<String, u32>,
        #[serde(rename = "any", default)]
        _any: serde_json::Value,
        #[serde(rename = "price", default)]
        _price: Option<i64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(#[expect(dead_code, reason = "only read")] u32),
        Other(#[expect(dead_code, reason = "only read")] Vec<u32>),
    }

    #[test]
    fn a_price_with_a_decimal_point_is_refused_with_the_unit_of_prices() {
        for (text, words) in [
            (
                r#"{"quantity": 1.5}"#,
                "quantity: a whole number from 0 to 4294967295 is needed, not the number `1.5`",
            ),
            (r#"{"quantity": 1.0, "price": 45.00}"#, "a whole number"),
            (
                r#"{"quantity": 1, "next": {"quantity": 1, "price": 45.00}}"#,
                "next.price: a whole number is needed, not the number `45.0`: prices are whole minor units: 4500 is 45.00 EUR",
            ),
        ] {
            let refused = parse_json::<Wish>(text.as_bytes()).unwrap_err();
            let told = refused.into_value()["detail"].to_string();
            assert!(told.contains(words), "{told}");
        }
        assert!(parse_json::<Wish>(br#"{"quantity": 1.0, "price": 45}"#).is_ok());
    }

    #[test]
    fn refusals_name_the_field_and_no_type_of_this_program() {
        let told = |text: &str| {
            let refused = parse_json::<Wish>(text.as_bytes())
                .unwrap_err()
                .into_value();
            let error = &refused["errors"][0];
            let words = |name: &str| error[name].as_str().unwrap().to_owned();
            (words("field"), words("detail"))
        };
        for (text, field, detail) in [
            ("null", "body", "an object is needed, not null"),
            ("5", "body", "an object is needed, not integer `5`"),
            ("{}", "quantity", "it is missing"),
            (
                r#"{"quantity": "a"}"#,
                "quantity",
                "a whole number from 0 to 4294967295 is needed, not string \"a\"",
            ),
            (
                r#"{"quantity": -1}"#,
                "quantity",
                "a whole number from 0 to 4294967295 is needed, not integer `-1`",
            ),
            (
                r#"{"quantity": {}}"#,
                "quantity",
                "a whole number from 0 to 4294967295 is needed, not an object",
            ),
            (
                r#"{"quantity": 1, "names": 5}"#,
                "names",
                "a list is needed, not integer `5`",
            ),
            (
                r#"{"quantity": 1, "names": [[]]}"#,
                "names[0]",
                "a text is needed, not a list",
            ),
            (
                r#"{"quantity": 1, "next": {}}"#,
                "next.quantity",
                "it is missing",
            ),
            (
                r#"{"quantity": 1, "next": 7}"#,
                "next",
                "an object is needed, not integer `7`",
            ),
            (
                r#"{"quantity": 1, "either": "x"}"#,
                "either",
                "it has none of the forms that are known",
            ),
        ] {
            assert_eq!(told(text), (field.to_owned(), detail.to_owned()), "{text}");
        }
        let deep = format!(
            "{}1{}",
            r#"{"quantity":1,"next":"#.repeat(200),
            "}".repeat(200)
        );
        let refused = parse_json::<Wish>(deep.as_bytes()).unwrap_err();
        assert!(!refused.into_value().to_string().contains("recursion"));
    }

    #[test]
    fn a_key_that_is_given_twice_is_refused_by_its_name_in_objects_of_any_kind() {
        for (text, field) in [
            (r#"{"quantity": 1, "quantity": 2}"#, "quantity"),
            (
                r#"{"quantity": 1, "next": {"quantity": 1, "quantity": 1}}"#,
                "next.quantity",
            ),
            (
                r#"{"quantity": 1, "named": {"a": 1, "b": 2, "a": 3}}"#,
                "named.a",
            ),
            // Also as it may be written otherwise, and where numbers are read as whole ones.
            (
                r#"{"quantity": 1.0, "named": {"a": 1.0, "\u0061": 3.0}}"#,
                "named.a",
            ),
            (
                r#"{"quantity": 1, "any": {"list": [{"x": {}, "y": 1, "x": 2}]}}"#,
                "any.list[0].x",
            ),
        ] {
            let refused = parse_json::<Wish>(text.as_bytes()).unwrap_err();
            let told = refused.into_value();
            assert_eq!(told["status"], 422, "{text}");
            assert_eq!(told["errors"][0]["field"], field, "{text}");
            let key = field.rsplit('.').next().unwrap();
            let detail = format!("the key '{key}' is given twice");
            assert_eq!(told["errors"][0]["detail"], detail, "{text}");
        }
        let once = r#"{"quantity": 1, "named": {"a": 1, "A": 1}, "any": [{"x": 1}, {"x": 1}]}"#;
        assert!(parse_json::<Wish>(once.as_bytes()).is_ok());
    }

    #[test]
    fn refusals_of_a_query_name_what_is_needed() {
        for (text, detail) in [
            ("invalid digit found in string", "a whole number is needed"),
            (
                "number too large to fit in target type",
                "the number is too large",
            ),
            (
                "provided string was not `true` or `false`",
                "true or false is needed",
            ),
        ] {
            let (field, told) = super::in_words("query", "minutes", text);
            assert_eq!((field.as_str(), told.as_str()), ("minutes", detail));
        }
    }
}

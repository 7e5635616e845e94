//! Encodings, wrappers, and what is no seating plan.

use super::*;
use crate::inventory::layout::restore;
use serde_json::json;

const PLAN: &str = r#"{"categories": [{"name": "A", "price": 1}], "zones": [{"rows": [
    {"row_number": "Ä", "seats": [{"seat_guid": "g", "seat_number": "1", "category": "A"}]}]}]}"#;

fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn byte_order_marks_and_utf_16_are_read() {
    let mark = "\u{feff}";
    for bytes in [
        PLAN.as_bytes().to_vec(),
        [mark.as_bytes(), PLAN.as_bytes()].concat(),
        utf_16(&format!("{mark}{PLAN}"), u16::to_le_bytes),
        utf_16(&format!("{mark}{PLAN}"), u16::to_be_bytes),
        utf_16(PLAN, u16::to_le_bytes),
        utf_16(PLAN, u16::to_be_bytes),
    ] {
        let layout = parse(&bytes).unwrap();
        assert_eq!(label(&layout, "g"), "Row Ä, seat 1");
        // The stored text is read again when the event is loaded.
        assert_eq!(layout.plan, PLAN);
    }
}

#[test]
fn the_answers_of_pretix_are_opened() {
    let name = serde_json::Value::from(PLAN).to_string();
    for plan in [
        format!(r#"{{"id": 3, "name": "Hall", "layout": {PLAN}}}"#),
        format!(r#"{{"id": 3, "name": "Hall", "layout": {name}}}"#),
        format!(
            r#"{{"count": 1, "next": null, "results": [{{"id": 3, "name": "Hall", "layout": {PLAN}}}]}}"#
        ),
        format!(
            r#"{{"plan": {{"id": 3, "name": "Hall", "layout": {name}}}, "prices": {{"A": 5}}}}"#
        ),
    ] {
        assert_eq!(parse(plan.as_bytes()).unwrap().seats.len(), 1, "{plan}");
    }
    let two = format!(
        r#"{{"count": 2, "results": [{{"name": "Hall", "layout": {PLAN}}}, {{"name": "Studio", "layout": {PLAN}}}]}}"#
    );
    let told = refusal(&two)["detail"].to_string();
    assert!(
        told.contains(
            "the list has 2 seating plans ('Hall', 'Studio'): send the one that is meant"
        ),
        "{told}"
    );
}

#[test]
fn what_is_no_seating_plan_is_told_which_formats_are() {
    for other in [
        "<svg xmlns='x'/>",
        "name;price\n1;2",
        r#"{"objects": [], "categories": null}"#,
        "{}",
        "7",
        "",
        r#"{"plan": 7}"#,
        "\u{0}\u{0}",
    ] {
        let told = refusal(other).to_string();
        assert!(
            told.contains("A seating plan is Fairline's own JSON"),
            "{other}: {told}"
        );
    }
    for list in [format!("[{PLAN}]"), format!(r#"{{"plan": [{PLAN}]}}"#)] {
        let told = refusal(&list).to_string();
        assert!(told.contains("an object is needed, not a list"), "{told}");
    }
    let bytes = parse(&[0xFF, 0x00, 0x61]).unwrap_err().into_value();
    assert!(bytes.to_string().contains("no text in UTF-8 or UTF-16"));
    let broken = refusal("{\n  \"categories\": [\n").to_string();
    assert!(broken.contains("line 3"), "{broken}");
}

#[test]
fn a_stored_plan_of_an_earlier_version_is_loaded_whatever_is_a_fault_by_now() {
    // Earlier versions sold a plan without prices for nothing, and looked at no other field.
    let stored = PLAN.replace(r#", "price": 1"#, "").replace(
        r#""categories""#,
        r#""accessible": ["no"], "prices": 7, "categories""#,
    );
    assert!(parse(stored.as_bytes()).is_err());
    let layout = restore(&stored).unwrap();
    assert_eq!(layout.categories[0].price, 0);
    assert_eq!(layout.find("g"), Some(0));
    assert_eq!(layout.plan, stored);
}

#[test]
fn a_key_that_is_given_twice_is_refused_in_a_new_plan_and_the_last_counts_in_a_stored_one() {
    let twice = PLAN.replace(r#""price": 1"#, r#""price": 1, "price": 2"#);
    let wrapped = json!({"plan": twice.clone()}).to_string();
    for plan in [&twice, &wrapped] {
        let told = refusal(plan);
        let wanted =
            json!([{"field": "categories[0].price", "detail": "the key 'price' is given twice"}]);
        assert_eq!(told["errors"], wanted);
    }
    assert_eq!(restore(&twice).unwrap().categories[0].price, 2);
}

#[test]
fn names_with_nothing_to_see_are_refused_in_all_formats_and_stored_ones_are_loaded() {
    let list = "section,row,seat,category\nS,\u{200b},1,C\n";
    let pretix = r#"{"zones": [{"name": "\u00ad", "rows": [{"seats": [{"seat_guid": "g", "seat_number": "1",
        "category": "C"}]}]}], "categories": [{"name": "C"}]}"#;
    for plan in [list, pretix] {
        let wrapped = json!({"plan": plan, "prices": {"C": 100}}).to_string();
        let told = refusal(&wrapped).to_string();
        assert!(told.contains("has nothing that can be seen"), "{told}");
        assert_eq!(restore(&wrapped).unwrap().seats.len(), 1);
    }
    let own = r#"{"categories": [{"id": "A", "name": "A", "price": 1}], "areas": [{"id": "a", "category": "A",
        "capacity": 1}]}"#;
    for plan in [PLAN, own] {
        assert!(parse(plan.as_bytes()).is_ok());
        let blank = plan.replace(r#""name": "A""#, r#""name": " ""#);
        assert!(refusal(&blank).to_string().contains("it has no name"));
    }
}

#[test]
fn a_byte_order_mark_may_stand_before_a_plan_that_is_a_text() {
    let list = "\u{feff}section,row,seat,category\nS,A,1,C\n";
    let plan = "\u{feff} {\"zones\": [{\"rows\": [{\"seats\": [{\"seat_guid\": \"S-A-1\", \
        \"seat_number\": \"1\", \"category\": \"C\"}]}]}], \"categories\": [{\"name\": \"C\"}]}";
    for text in [list, plan] {
        let wrapped = serde_json::json!({"layout": text, "prices": {"C": 100}});
        let layout = read(wrapped.to_string().as_bytes()).unwrap().layout;
        assert_eq!(layout.seats.len(), 1, "{text}");
    }
}

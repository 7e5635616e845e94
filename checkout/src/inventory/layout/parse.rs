//! Parses seating plans of both formats.

use super::{Layout, ours, pretix};
use serde_json::Value;
use shared::http::problem::{Problem, parse_json};

/// Parses a plan in either format.
///
/// # Errors
/// A problem with status 400 or 422 that names the line or the field.
pub fn parse(bytes: &[u8]) -> Result<Layout, Problem> {
    let shape: Value = parse_json(bytes)?;
    let layout = if shape.get("zones").is_some() {
        pretix::read(parse_json(bytes)?)
    } else {
        ours::read(parse_json(bytes)?)
    };
    let mut layout = layout.map_err(|(field, why)| Problem::invalid(&field, why))?;
    if layout.seats.is_empty() {
        return Err(Problem::invalid("sections", "the plan has no seats"));
    }
    layout.plan = String::from_utf8_lossy(bytes).into_owned();
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(plan: &str) -> String {
        parse(plan.as_bytes()).unwrap_err().into_value().to_string()
    }

    #[test]
    fn our_plan_names_seats_by_section_row_and_number() {
        let plan = r#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "st", "category": "c", "rows": 28, "seats_per_row": 3}],
            "areas": [{"id": "floor", "category": "c", "capacity": 5}]}"#;
        let layout = parse(plan.as_bytes()).unwrap();
        assert_eq!(layout.seats.len(), 28 * 3 + 5);
        assert_eq!(&*layout.seats[0].id, "st-A-1");
        assert_eq!(layout.find("st-AB-3"), Some(83));
        assert_eq!(layout.find("floor-5"), Some(88));
        assert_eq!(layout.rows.len(), 29);
        assert_eq!(layout.find("st-A-4"), None);
    }

    #[test]
    fn a_pretix_plan_keeps_its_guids() {
        let plan = r##"{"name": "Hall", "size": {"width": 100, "height": 100},
            "categories": [{"name": "Cat A", "color": "#f00"}, {"name": "Cat B", "color": "#0f0"}],
            "zones": [{"name": "Ground", "position": {"x": 10, "y": 10}, "rows": [
                {"row_number": "1", "position": {"x": 0, "y": 0}, "seats": [
                    {"seat_number": "1", "seat_guid": "g-1", "position": {"x": 0, "y": 0}, "category": "Cat A"},
                    {"seat_number": "2", "seat_guid": "g-2", "position": {"x": 25, "y": 0}, "category": "Cat B"}]}]}]}"##;
        let layout = parse(plan.as_bytes()).unwrap();
        assert_eq!(layout.find("g-2"), Some(1));
        assert_eq!(layout.rows, vec![0..1, 1..2]);
    }

    #[test]
    fn a_malformed_plan_names_the_line_and_the_field() {
        let broken = refusal("{\n  \"categories\": [\n");
        assert!(broken.contains("line 3"), "{broken}");
        let mistyped =
            refusal("{\"categories\": [\n {\"id\": \"a\", \"name\": \"A\", \"price\": \"x\"}]}");
        assert!(
            mistyped.contains("categories[0].price") && mistyped.contains("\"line\":2"),
            "{mistyped}"
        );
        let unknown = refusal(
            r#"{"categories": [{"id": "a", "name": "A", "price": 1}],
            "sections": [{"id": "s", "category": "b", "rows": 1, "seats_per_row": 1}]}"#,
        );
        assert!(unknown.contains("sections[0].category"), "{unknown}");
        let twice = refusal(
            r#"{"categories": [{"id": "a", "name": "A", "price": 1}],
            "areas": [{"id": "s", "category": "a", "capacity": 1}, {"id": "s", "category": "a", "capacity": 1}]}"#,
        );
        assert!(twice.contains("stands twice"), "{twice}");
        let huge = refusal(
            r#"{"categories": [{"id": "a", "name": "A", "price": 1}],
            "areas": [{"id": "s", "category": "a", "capacity": 4000000000}]}"#,
        );
        assert!(huge.contains("at most 200000 seats"), "{huge}");
        assert!(refusal("{\"categories\": []}").contains("at least one category"));
    }
}

//! Parses seating plans of both formats.

use super::{Layout, ours, pretix};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::http::problem::{Problem, parse_json};
use tokio::task::spawn_blocking;

/// What tells the formats apart.
#[derive(Deserialize)]
struct Shape {
    zones: Option<IgnoredAny>,
}

/// Parses a plan on a blocking thread, so that other requests go on meanwhile.
///
/// # Errors
/// Those of [`parse`].
pub async fn parse_on_a_thread(bytes: Vec<u8>) -> Result<Layout, Problem> {
    let parsed = spawn_blocking(move || parse(&bytes)).await;
    parsed.unwrap_or_else(|_| Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)))
}

/// Parses a plan in either format.
///
/// # Errors
/// A problem with status 400 or 422 that names the line or the field.
pub fn parse(bytes: &[u8]) -> Result<Layout, Problem> {
    let shape: Shape = parse_json(bytes)?;
    let layout = if shape.zones.is_some() {
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
    use crate::inventory::layout::{BLOCKS_MAX, CATEGORIES_MAX};

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
    #[test]
    fn a_plan_has_a_bounded_number_of_categories_sections_areas_and_zones() {
        let category = |at: usize| format!(r#"{{"id": "c{at}", "name": "C", "price": 1}}"#);
        let ours = |categories: usize, sections: usize, areas: usize| {
            let list = |count: usize, one: &dyn Fn(usize) -> String| {
                (0..count).map(one).collect::<Vec<_>>().join(", ")
            };
            let section = |at: usize| {
                format!(r#"{{"id": "s{at}", "category": "c0", "rows": 1, "seats_per_row": 1}}"#)
            };
            let area = |at: usize| format!(r#"{{"id": "a{at}", "category": "c0", "capacity": 1}}"#);
            format!(
                r#"{{"categories": [{}], "sections": [{}], "areas": [{}]}}"#,
                list(categories, &category),
                list(sections, &section),
                list(areas, &area)
            )
        };
        assert!(parse(ours(CATEGORIES_MAX, BLOCKS_MAX, BLOCKS_MAX).as_bytes()).is_ok());
        let many = refusal(&ours(CATEGORIES_MAX + 1, 1, 1));
        assert!(many.contains("categories: at most 1000"), "{many}");
        let many = refusal(&ours(1, BLOCKS_MAX + 1, 1));
        assert!(many.contains("sections: at most 1000"), "{many}");
        let many = refusal(&ours(1, 1, BLOCKS_MAX + 1));
        assert!(many.contains("areas: at most 1000"), "{many}");
        let zones = r#"{"rows": []}, "#.repeat(BLOCKS_MAX);
        let zones =
            format!(r#"{{"categories": [{{"name": "C"}}], "zones": [{zones}{{"rows": []}}]}}"#);
        let many = refusal(&zones);
        assert!(many.contains("zones: at most 1000"), "{many}");
        let long = ours(1, 1, 0).replace(
            r#""name": "C""#,
            &format!(r#""name": "{}""#, "ä".repeat(201)),
        );
        assert!(refusal(&long).contains("categories[0].name: at most 200 characters"));
        let guid = |length| {
            let guid = "ä".repeat(length);
            format!(
                r#"{{"categories": [{{"name": "C"}}], "zones": [{{"rows": [{{"seats": [
                    {{"seat_guid": "{guid}", "category": "C"}}]}}]}}]}}"#
            )
        };
        assert!(
            parse(guid(100).as_bytes()).is_ok(),
            "bytes are not characters"
        );
        assert!(refusal(&guid(101)).contains("a seat's id has 1 to 100 characters"));
    }

    #[test]
    fn a_seat_that_stands_beyond_all_numbers_is_refused() {
        for (zone, seat) in [("1e308", "1e308"), ("0", "1e7"), ("-1e7", "0")] {
            let plan = format!(
                r#"{{"categories": [{{"name": "C"}}], "zones": [{{"position": {{"x": {zone}, "y": 0}}, "rows": [
                {{"seats": [{{"seat_guid": "g", "category": "C", "position": {{"x": {seat}, "y": 0}}}}]}}]}}]}}"#
            );
            let far = refusal(&plan);
            assert!(far.contains("zones[0].rows[0].seats[0].position"), "{far}");
        }
    }

    #[test]
    fn empty_rows_of_a_pretix_plan_are_not_drawn() {
        let plan = r#"{"categories": [{"name": "C"}], "zones": [{"rows": [
            {"row_number": "1", "seats": []},
            {"row_number": "2", "seats": [{"seat_guid": "g", "category": "C"}]}]}]}"#;
        let layout = parse(plan.as_bytes()).unwrap();
        let drawn = layout.to_json(1, crate::inventory::Currency::EUR, &Default::default());
        assert_eq!(drawn["blocks"][0]["rows"][0]["label"], "2");
    }
}

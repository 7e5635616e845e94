//! Fairline's own format.

use super::*;
use crate::inventory::layout::{BLOCKS_MAX, CATEGORIES_MAX};

#[test]
fn our_plan_names_seats_by_section_row_and_number() {
    let plan = r#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "st", "name": "Stalls", "category": "c", "rows": 28, "seats_per_row": 3,
                      "door": "Door 2", "notes": "Bring a cushion"}],
        "areas": [{"id": "floor", "name": "Floor", "category": "c", "capacity": 5}]}"#;
    let layout = parse(plan.as_bytes()).unwrap();
    assert_eq!(layout.seats.len(), 28 * 3 + 5);
    assert_eq!(&*layout.seats[0].id, "st-A-1");
    assert_eq!(layout.find("st-AB-3"), Some(83));
    assert_eq!(layout.find("floor-5"), Some(88));
    assert_eq!(layout.rows.len(), 29);
    assert_eq!(layout.find("st-A-4"), None);
    assert_eq!(label(&layout, "st-AB-3"), "Stalls, row AB, seat 3");
    assert_eq!(label(&layout, "floor-5"), "Floor");
    let place = layout.place(83);
    assert_eq!(place.door.as_deref(), Some("Door 2"));
    assert_eq!(place.notes.as_deref(), Some("Bring a cushion"));
    assert_eq!(place.row.as_deref(), Some("AB"));
    assert_eq!(layout.place(88).number, None);
}

#[test]
fn rows_may_differ_in_length_label_and_numbers() {
    let plan = r#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [
            {"id": "l", "category": "c", "rows": [2, 3], "row_labels": ["AA", 7], "numbering": "even"},
            {"id": "r", "category": "c", "rows": [2], "numbering": "odd", "first_number": 11},
            {"id": "m", "category": "c", "rows": 1, "seats_per_row": 2, "first_number": 0}]}"#;
    let layout = parse(plan.as_bytes()).unwrap();
    assert_eq!(
        runs(&layout),
        [
            vec!["l-AA-2", "l-AA-4"],
            vec!["l-7-2", "l-7-4", "l-7-6"],
            vec!["r-A-11", "r-A-13"],
            vec!["m-A-0", "m-A-1"]
        ]
    );
    assert_eq!(label(&layout, "l-7-6"), "l, row 7, seat 6");
    let rows = &drawn(&layout)["blocks"][0]["rows"];
    assert_eq!(rows[1]["label"], "7");
    assert_eq!(rows[1]["marks"].as_array().unwrap().len(), 2);
}

#[test]
fn all_faults_of_our_plan_are_told_at_once_in_words() {
    let plan = r#"{"categories": [{"id": "c", "name": "C", "price": "65"}], "colour": "red",
        "sections": [{"id": "s t", "category": "x", "rows": 1, "seats_per_row": 2},
            {"id": "u", "category": "c", "rows": [1, 2], "row_labels": ["A"]},
            {"id": "v", "category": "c", "rows": 1, "seats_per_row": 0},
            {"id": "w", "category": "c", "rows": 1},
            {"id": "e", "category": "c", "rows": [1], "numbering": "even", "first_number": 3}],
        "areas": [{"id": "f", "category": "c", "capacity": 1}, {"id": "f", "category": "c", "capacity": 1}],
        "accessible": ["no"], "companion": ["nor this"]}"#;
    let reasons = reasons(plan).join("\n");
    for reason in [
        "the price of 'C' is no whole number from 0 to 10000000000: prices are whole minor units",
        "there is no field 'colour' here",
        "section 's t': an id has 1 to 40 letters",
        "there is no category 'x' for s t, row A, seat 1, nor for 1 more",
        "section 'u': row labels are 2 texts",
        "section 'v': seats per row is no whole number from 1 to 1000",
        "section 'w': it needs rows and seats_per_row",
        "section 'e': the first number does not fit the numbering",
        "area 'f': its id 'f-1' is also that of f",
        "there is no seat 'no', which is listed as accessible",
        "there is no seat 'nor this', which is listed as companion",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    for word in ["i64", "struct", "invalid type", "expected"] {
        assert!(!reasons.contains(word), "{word}: {reasons}");
    }
}

#[test]
fn a_plan_has_a_bounded_number_of_seats_categories_sections_and_areas() {
    let list = |count: usize, one: &dyn Fn(usize) -> String| {
        (0..count).map(one).collect::<Vec<_>>().join(", ")
    };
    let category = |at: usize| format!(r#"{{"id": "c{at}", "name": "C", "price": 1}}"#);
    let section = |at: usize| {
        format!(r#"{{"id": "s{at}", "category": "c0", "rows": 1, "seats_per_row": 1}}"#)
    };
    let area = |at: usize| format!(r#"{{"id": "a{at}", "category": "c0", "capacity": 1}}"#);
    let plan = |categories: usize, sections: usize, areas: usize| {
        format!(
            r#"{{"categories": [{}], "sections": [{}], "areas": [{}]}}"#,
            list(categories, &category),
            list(sections, &section),
            list(areas, &area)
        )
    };
    let most = plan(CATEGORIES_MAX, BLOCKS_MAX / 2, BLOCKS_MAX / 2);
    assert!(parse(most.as_bytes()).is_ok());
    let told = |plan: &str| refusal(plan)["detail"].to_string();
    let many = told(&plan(CATEGORIES_MAX + 1, 1, 1));
    assert!(many.contains("at most 1000 categories"), "{many}");
    let many = told(&plan(1, BLOCKS_MAX + 1, 1));
    assert!(many.contains("at most 1000 sections"), "{many}");
    let many = told(&plan(1, 1, BLOCKS_MAX + 1));
    assert!(many.contains("at most 1000 areas"), "{many}");
    let long = plan(1, 1, 0).replace(
        r#""name": "C""#,
        &format!(r#""name": "{}""#, "ä".repeat(201)),
    );
    assert!(told(&long).contains("name has more than 200 characters"));
    let huge = plan(1, 1, 1).replace(r#""capacity": 1"#, r#""capacity": 4000000000"#);
    assert!(told(&huge).contains("capacity is no whole number from 0 to 200000"));
    let full = plan(1, 1, 2).replace(r#""capacity": 1"#, r#""capacity": 150000"#);
    assert!(told(&full).contains("at most 200000 seats"));
    assert!(told("{\"categories\": []}").contains("no categories"));
}

#[test]
fn faults_are_listed_up_to_a_limit_and_the_rest_is_counted() {
    let accessible: Vec<String> = (0..250).map(|at| format!("\"no-{at}\"")).collect();
    let plan = format!(
        r#"{{"categories": [{{"id": "c", "name": "C", "price": 1}}],
            "areas": [{{"id": "a", "category": "c", "capacity": 1}}], "accessible": [{}]}}"#,
        accessible.join(",")
    );
    let refusal = refusal(&plan);
    assert_eq!(refusal["errors"].as_array().unwrap().len(), 100);
    assert_eq!(refusal["more"], 150);
    let detail = refusal["detail"].as_str().unwrap();
    assert!(detail.ends_with("and 245 more"), "{detail}");
}

#[test]
fn a_price_with_a_decimal_point_is_refused_and_one_that_was_stored_stays_as_it_is() {
    for (price, told) in [("45.00", "45.0"), ("45.5", "45.5"), ("4500.0", "4500.0")] {
        let beside = format!(
            r#"{{"prices": {{"c": {price}}}, "plan": {{"categories": [{{"id": "c", "name": "C"}}],
                "areas": [{{"id": "a", "category": "c", "capacity": 1}}]}}}}"#
        );
        let within = format!(
            r#"{{"categories": [{{"id": "c", "name": "C", "price": {price}}}],
                "areas": [{{"id": "a", "category": "c", "capacity": 1}}]}}"#
        );
        for plan in [&within, &beside] {
            let reasons = reasons(plan).join("\n");
            let why = format!("is {told}: prices are whole minor units: 4500 is 45.00 EUR");
            assert!(reasons.contains(&why), "{reasons}");
        }
        let stored = restore(&within).unwrap();
        if price != "45.5" {
            assert_eq!(
                stored.categories[0].price,
                told.parse::<f64>().unwrap() as i64
            );
        }
    }
}

#[test]
fn a_label_that_turns_the_direction_of_the_text_is_set_right() {
    let plan = r#"{"categories": [{"id": "c", "name": "\u202eC\u2028", "price": 1}],
        "areas": [{"id": "a", "name": "Floor\u202e left", "category": "c", "capacity": 1}]}"#;
    let layout = parse(plan.as_bytes()).unwrap();
    assert_eq!(layout.categories[0].name, "C");
    assert_eq!(label(&layout, "a-1"), "Floor  left");
}

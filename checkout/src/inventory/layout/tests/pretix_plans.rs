//! pretix's format.

use super::*;

/// A hall of one zone with rows of JSON, whose categories A and B have prices.
fn hall(rows: &str) -> String {
    format!(
        r##"{{"name": "Hall", "categories": [{{"name": "A", "color": "#f00", "price": 1200}},
            {{"name": "B", "price": 900}}],
            "zones": [{{"name": "Ground", "position": {{"x": 10, "y": 10}}, "rows": [{rows}]}}]}}"##
    )
}

fn seat_at(guid: &str, number: &str, x: f64, category: &str) -> String {
    format!(
        r#"{{"seat_guid": "{guid}", "seat_number": "{number}", "position": {{"x": {x}, "y": 0}}, "category": "{category}"}}"#
    )
}

#[test]
fn a_pretix_plan_keeps_its_guids_and_names_seats_as_printed() {
    let row = format!(
        r#"{{"row_number": "1", "seats": [{}, {}]}}, {{"row_number": "2", "row_label": "Reihe %s", "seat_label": "Platz %s",
            "position": {{"x": 0, "y": 30}}, "seats": [{}]}}"#,
        seat_at("g-1", "1", 0.0, "A"),
        seat_at("g-2", "2", 25.0, "B"),
        seat_at("g-3", "7b", 0.0, "A")
    );
    let layout = parse(hall(&row).as_bytes()).unwrap();
    assert_eq!(layout.find("g-2"), Some(1));
    assert_eq!(runs(&layout), [vec!["g-1"], vec!["g-2"], vec!["g-3"]]);
    assert_eq!(label(&layout, "g-1"), "Ground, row 1, seat 1");
    assert_eq!(label(&layout, "g-3"), "Ground, Reihe 2, Platz 7b");
    let map = drawn(&layout);
    assert_eq!(map["stage"], false, "the plan is a picture of its own");
    assert_eq!(map["categories"][0]["color"], "#f00");
    assert_eq!(map["blocks"][0]["rows"][1]["row_text"], "Reihe %s");
}

#[test]
fn a_plan_without_prices_is_refused_in_words_and_takes_them_beside_it() {
    let plan = hall(&format!(
        r#"{{"row_number": "1", "seats": [{}]}}"#,
        seat_at("g", "1", 0.0, "A")
    ))
    .replace(r#""price": 1200"#, r#""prise": 1200"#);
    let reasons = reasons(&plan);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("the category 'A' has no price: give it beside the plan"));
    let beside = format!(r#"{{"plan": {plan}, "prices": {{"A": 1300, "B": null}}}}"#);
    let layout = parse(beside.as_bytes()).unwrap();
    assert_eq!(layout.categories[0].price, 1300);
    assert!(layout.categories[1].is_not_for_sale);
    let wrong = format!(r#"{{"plan": {plan}, "prices": {{"A": 12.5, "C": 1}}, "price": 1}}"#);
    let reasons = super::reasons(&wrong).join("\n");
    assert!(
        reasons.contains("the price of 'A' is 12.5: prices are whole minor units"),
        "{reasons}"
    );
    assert!(
        reasons.contains("the plan has no category 'C'"),
        "{reasons}"
    );
    assert!(
        reasons.contains("there is no field 'price' here"),
        "{reasons}"
    );
}

#[test]
fn every_repeated_guid_is_told_by_zone_row_and_number() {
    let row = |number: &str| {
        let seats = [
            seat_at("g-1", "1", 0.0, "A"),
            seat_at("g-2", "2", 25.0, "A"),
        ];
        format!(
            r#"{{"row_number": "{number}", "seats": [{}]}}"#,
            seats.join(",")
        )
    };
    let reasons = reasons(&hall(&[row("AA"), row("AB")].join(",")));
    assert_eq!(
        reasons,
        [
            "Ground, row AB, seat 1: its id 'g-1' is also that of Ground, row AA, seat 1",
            "Ground, row AB, seat 2: its id 'g-2' is also that of Ground, row AA, seat 2"
        ]
    );
}

#[test]
fn seats_out_of_the_sale_and_for_people_with_a_disability_survive_the_import() {
    let seats = ["A", "A", "A", "NOT AVAILABLE"].map(|c| (c, "g"));
    let seats: Vec<String> = (0..)
        .zip(seats)
        .map(|(at, (category, g))| {
            seat_at(
                &format!("{g}-{at}"),
                &at.to_string(),
                25.0 * f64::from(at),
                category,
            )
        })
        .collect();
    let plan = format!(
        r#"{{"categories": [{{"name": "A", "price": 1}}, {{"name": "NOT AVAILABLE", "not_for_sale": true}}],
            "zones": [{{"rows": [{{"row_number": "1", "seats": [{}]}}]}}],
            "accessible": ["g-0"], "companion": ["g-1"]}}"#,
        seats.join(",")
    );
    let layout = parse(plan.as_bytes()).unwrap();
    assert_eq!(layout.blocked().collect::<Vec<_>>(), [3]);
    let map = drawn(&layout);
    assert_eq!(map["accessible"][0], "g-0");
    assert_eq!(map["companion"][0], "g-1");
    let unknown = plan.replace(r#"["g-0"]"#, r#"["no"]"#);
    assert_eq!(
        reasons(&unknown),
        ["there is no seat 'no', which is listed as accessible"]
    );
    assert_eq!(
        label(&layout, "g-2"),
        "Row 1, seat 2",
        "a zone without a name"
    );
}

#[test]
fn malformed_parts_of_a_pretix_plan_are_told_in_words() {
    let plan = r#"{"categories": [{"name": "A", "price": 1}], "zones": [{"name": "Z", "rows": [
        {"row_number": 5, "seats": [
            {"seat_guid": "g", "seat_number": 3, "category": "A", "position": null},
            {"seat_guid": {}, "seat_number": "4", "category": "A", "position": 7},
            9]}, "no row"], "areas": {}}, []]}"#;
    let reasons = reasons(plan).join("\n");
    for reason in [
        "row 5, seat 4: seat guid is no text",
        "row 5, seat 4: position is no position with x and y",
        "row 5, seat without a number: this is no object",
        "zone 1, row 2: this is no object",
        "zone 1: areas is no list",
        "zone 2: an object is needed, not a list",
        "Z, row 5, seat 4: a seat has an id of 1 to 100 characters",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    assert!(
        !reasons.contains("seat 3"),
        "a number is a label, and null no position"
    );
}

#[test]
fn a_seat_that_stands_beyond_all_numbers_is_refused() {
    for (zone, seat) in [("1e308", "1e308"), ("0", "1e7"), ("-1e7", "0")] {
        let plan = format!(
            r#"{{"categories": [{{"name": "C", "price": 1}}], "zones": [{{"position": {{"x": {zone}, "y": 0}}, "rows": [
            {{"seats": [{{"seat_guid": "g", "category": "C", "position": {{"x": {seat}, "y": 0}}}}]}}]}}]}}"#
        );
        let far = refusal(&plan).to_string();
        assert!(far.contains("zones[0].rows[0].seats[0].position"), "{far}");
    }
}

#[test]
fn empty_rows_are_not_drawn_and_a_thousand_zones_are_enough() {
    let plan = r#"{"categories": [{"name": "C", "price": 1}], "zones": [{"rows": [
        {"row_number": "1", "seats": []},
        {"row_number": "2", "seats": [{"seat_guid": "g", "category": "C"}]}]}]}"#;
    let layout = parse(plan.as_bytes()).unwrap();
    assert_eq!(drawn(&layout)["blocks"][0]["rows"][0]["label"], "2");
    let zones = r#"{"rows": []}, "#.repeat(1000);
    let zones = format!(
        r#"{{"categories": [{{"name": "C", "price": 1}}], "zones": [{zones}{{"rows": []}}]}}"#
    );
    let many = refusal(&zones).to_string();
    assert!(many.contains("at most 1000 zones"), "{many}");
    let guid = |length| plan.replace("\"g\"", &format!("\"{}\"", "ä".repeat(length)));
    assert!(
        parse(guid(100).as_bytes()).is_ok(),
        "bytes are not characters"
    );
    assert!(reasons(&guid(101))[0].contains("a seat has an id of 1 to 100 characters"));
}

#[test]
fn shapes_are_drawn_where_the_plan_has_them() {
    let plan = r##"{"categories": [{"name": "C", "price": 1}], "zones": [{"position": {"x": 100, "y": 100},
        "rows": [{"row_number": "1", "row_number_position": "start", "seats": [
            {"seat_guid": "a", "category": "C", "radius": 5}, {"seat_guid": "b", "category": "C", "position": {"x": 25, "y": 0}}]}],
        "areas": [
            {"shape": "rectangle", "position": {"x": 0, "y": 50}, "rectangle": {"width": 100, "height": 25}, "rotation": 90,
             "color": "#ccc", "border_color": "Red", "text": {"text": "STAGE", "position": {"x": 50, "y": 12.5}, "size": 20, "color": "#000"}},
            {"shape": "circle", "position": {"x": 0, "y": 0}, "circle": {"radius": 50}, "color": "url(x)"},
            {"shape": "ellipse", "position": {"x": 0, "y": 0}, "ellipse": {"radius": {"x": 50, "y": 25}}},
            {"shape": "polygon", "position": {"x": 0, "y": 0}, "polygon": {"points": [{"x": 0, "y": 0}, {"x": 25, "y": 0}, {"x": 0, "y": 25}]}},
            {"shape": "text", "position": {"x": 0, "y": 0}, "text": {"text": "FLOOR 2"}},
            {"shape": "spiral"},
            {"width": 50, "height": 25, "position": {"x": 0, "y": 0}, "text": "Bar"}]}]}"##;
    let layout = parse(plan.as_bytes()).unwrap();
    let map = drawn(&layout);
    let shapes = map["shapes"].as_array().unwrap();
    assert_eq!(shapes.len(), 6);
    assert_eq!(shapes[0]["rectangle"], serde_json::json!([4.0, 1.0]));
    assert_eq!(shapes[0]["border"], "red");
    assert_eq!(shapes[0]["rotation"], 90.0);
    assert_eq!(shapes[0]["text"]["text"], "STAGE");
    assert_eq!(shapes[1].get("fill"), None, "no colour that fetches");
    assert_eq!(shapes[5]["text"]["x"], 1.0);
    let row = &map["blocks"][0]["rows"][0];
    assert_eq!(row["marks"].as_array().unwrap().len(), 1);
    assert_eq!(row["seats"][0]["radius"], 0.2);
    let corner = |name: &str| map["size"][name].as_f64().unwrap();
    assert!(corner("width") > 5.0 && corner("height") > 5.0, "{map}");
}

#[test]
fn a_plan_without_categories_takes_those_of_the_prices() {
    let seats = r#"{"zones": [{"name": "Tables", "rows": [{"row_number": "37", "seats": [
        {"seat_guid": "g-1", "seat_number": "1"}, {"seat_guid": "g-2", "seat_number": "2", "category": ""}]}]}]}"#;
    assert!(reasons(seats)[0].contains("the plan has no categories"));
    let plan = format!(r#"{{"plan": {seats}, "prices": {{"Bench": 900}}}}"#);
    let layout = parse(plan.as_bytes()).unwrap();
    assert_eq!(layout.categories[0].price, 900);
    assert_eq!(label(&layout, "g-2"), "Tables, row 37, seat 2");
    let two = format!(r#"{{"plan": {seats}, "prices": {{"Bench": 900, "Box": 1}}}}"#);
    assert_eq!(
        reasons(&two),
        ["Tables, row 37, seat 1: it has no category, nor for 1 more"]
    );
}

#[test]
fn the_rows_nearest_to_a_named_point_come_first() {
    let row = |number: &str, y: u32| {
        let seats: Vec<String> = (0..5)
            .map(|at| {
                format!(
                    r#"{{"seat_guid": "{number}-{at}", "category": "C", "position": {{"x": {}, "y": {y}}}}}"#,
                    at * 25
                )
            })
            .collect();
        format!(
            r#"{{"row_number": "{number}", "seats": [{}]}}"#,
            seats.join(",")
        )
    };
    let plan = format!(
        r#"{{"categories": [{{"name": "C", "price": 1}}], "zones": [{{"rows": [{}, {}, {}]}}], "focus": {{"x": 75, "y": 300}}}}"#,
        row("back", 0),
        row("middle", 50),
        row("front", 100)
    );
    let layout = parse(plan.as_bytes()).unwrap();
    let first: Vec<&str> = runs(&layout).iter().map(|run| run[0]).collect();
    assert_eq!(first, ["front-0", "middle-0", "back-0"]);
    let scores = |id: &str| layout.scores[layout.find(id).unwrap() as usize];
    assert!(scores("front-3") < scores("front-2"), "nearer to the point");
    assert_eq!(
        layout.find("back-0"),
        Some(0),
        "seats stay in the order of the file"
    );
}

#[test]
fn additions_that_are_misspelt_inside_a_plan_are_not_passed_over_in_silence() {
    let seats = seat_at("g-1", "1", 0.0, "A");
    let plan = format!(
        r#"{{"name": "Hall", "size": {{"width": 9, "height": 9}}, "accesible": ["g-1"],
            "categories": [{{"name": "A", "price": 1, "not_for_sell": true}}],
            "zones": [{{"rows": [{{"row_number": "1", "seats": [{seats}]}}]}}]}}"#
    );
    let warnings = read(plan.as_bytes()).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "the field 'accesible' of the plan is not used",
            "the field 'not_for_sell' of category 'A' is not used"
        ]
    );
}

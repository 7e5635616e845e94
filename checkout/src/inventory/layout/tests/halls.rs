//! Generated halls with everything that real plans have: each is understood as it was meant, and no
//! input ends in a panic.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A row of a generated hall.
#[derive(Clone, Debug)]
struct HallRow {
    label: String,
    has_texts: bool,
    ends: Option<&'static str>,
    /// Number of seats on each side of an aisle; there is none if the second is 0.
    seats: (usize, usize),
    /// Radius of the row's curve in seat distances; straight if there is none.
    curve: Option<f64>,
    /// Whether the file lists the seats from the middle out.
    is_shuffled: bool,
    category: usize,
}

#[derive(Clone, Debug)]
struct Hall {
    zones: Vec<(String, Vec<HallRow>)>,
    /// Distance of seats in pixels.
    distance: f64,
    has_uuids: bool,
    has_shapes: bool,
    has_focus: bool,
    /// Whether prices stand in the plan, and not beside it.
    has_own_prices: bool,
    wrapper: u8,
    encoding: u8,
}

fn row() -> impl Strategy<Value = HallRow> {
    let ends = prop_oneof![
        Just(None),
        Just(Some("start")),
        Just(Some("end")),
        Just(Some("both"))
    ];
    (
        "[A-Z]{0,2}",
        any::<bool>(),
        ends,
        (1..8_usize, prop_oneof![Just(0), 1..6_usize]),
        proptest::option::of(12.0..40.0_f64),
        any::<bool>(),
        0..3_usize,
    )
        .prop_map(
            |(label, has_texts, ends, seats, curve, is_shuffled, category)| HallRow {
                label,
                has_texts,
                ends,
                // An aisle is told by the other distances, of which more have to be short.
                seats: match seats {
                    (left, 0) => (left, 0),
                    (left, right) => (left.max(3), right),
                },
                curve,
                // Of a few seats round an aisle no order can be told.
                is_shuffled: is_shuffled && seats.1 == 0,
                category,
            },
        )
}

fn hall() -> impl Strategy<Value = Hall> {
    let zone = ("[A-Z]?[a-z ]{0,8}", proptest::collection::vec(row(), 1..4));
    (
        proptest::collection::vec(zone, 1..4),
        10.0..30.0_f64,
        any::<[bool; 4]>(),
        0..6_u8,
        0..4_u8,
    )
        .prop_map(|(zones, distance, is, wrapper, encoding)| Hall {
            zones,
            distance,
            has_uuids: is[0],
            has_shapes: is[1],
            has_focus: is[2],
            has_own_prices: is[3],
            wrapper,
            encoding,
        })
}

const CATEGORIES: [&str; 3] = ["A", "b7a1d9a0-0000-4000-8000-000000000001", "NOT AVAILABLE"];

/// A seat as the hall means it.
struct Meant {
    id: String,
    zone: String,
    row: String,
    number: usize,
    has_texts: bool,
    category: usize,
    /// Id of the seat after it, if it is a neighbour.
    next: Option<String>,
}

impl Hall {
    fn id(&self, zone: usize, row: usize, number: usize) -> String {
        if self.has_uuids {
            return uuid::Uuid::from_u128((zone * 10_000 + row * 100 + number) as u128).to_string();
        }
        format!("{zone}-{row}-{number}")
    }

    fn meant(&self) -> Vec<Meant> {
        let mut meant = Vec::new();
        for (zone_at, (zone, rows)) in self.zones.iter().enumerate() {
            for (row_at, row) in rows.iter().enumerate() {
                let count = row.seats.0 + row.seats.1;
                for number in 1..=count {
                    let has_next = number < count && number != row.seats.0;
                    meant.push(Meant {
                        id: self.id(zone_at, row_at, number),
                        zone: zone.trim().to_owned(),
                        row: row.label.clone(),
                        number,
                        has_texts: row.has_texts,
                        category: row.category,
                        next: has_next.then(|| self.id(zone_at, row_at, number + 1)),
                    });
                }
            }
        }
        meant
    }

    fn seat(&self, zone: usize, row_at: usize, row: &HallRow, number: usize) -> Value {
        let aisle = if number > row.seats.0 { 1.5 } else { 0.0 };
        let along = (number as f64 + aisle) * self.distance;
        let (x, y) = match row.curve {
            Some(radius) => {
                let angle = along / (radius * self.distance);
                let radius = radius * self.distance;
                (radius * angle.sin(), radius * angle.cos())
            }
            None => (along, 0.0),
        };
        json!({"seat_guid": self.id(zone, row_at, number), "seat_number": number.to_string(),
            "position": {"x": x, "y": y}, "category": CATEGORIES[row.category],
            "radius": self.distance * 0.4, "uuid": "not ours"})
    }

    fn plan(&self) -> Value {
        let rows = |zone: usize, rows: &[HallRow]| -> Vec<Value> {
            let rows = rows.iter().enumerate();
            rows.map(|(at, row)| {
                let mut numbers: Vec<usize> = (1..=row.seats.0 + row.seats.1).collect();
                if row.is_shuffled {
                    let middle = numbers.len() as i64 / 2;
                    numbers.sort_by_key(|number| (*number as i64 - middle).abs());
                }
                let seats: Vec<Value> = numbers
                    .iter()
                    .map(|number| self.seat(zone, at, row, *number))
                    .collect();
                let mut shown = json!({"row_number": row.label, "row_number_position": row.ends,
                    "position": {"x": 0.0, "y": at as f64 * 3.0 * self.distance}, "seats": seats});
                if row.has_texts {
                    shown["row_label"] = json!("Reihe %s");
                    shown["seat_label"] = json!("Platz %s");
                }
                shown
            })
            .collect()
        };
        let shapes = match self.has_shapes {
            true => json!([
                {"shape": "rectangle", "position": {"x": -50, "y": 0}, "rectangle": {"width": 40, "height": 900},
                 "rotation": 34, "color": "#123456", "border_color": "gold"},
                {"shape": "polygon", "position": {"x": 0, "y": 0}, "polygon": {"points": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}},
                {"shape": "ellipse", "position": {"x": 9, "y": 9}, "ellipse": {"radius": {"x": 5, "y": 3}}},
                {"shape": "text", "position": {"x": 9, "y": 9}, "text": {"text": "SCHERMO", "size": 30}}]),
            false => json!([]),
        };
        let zones: Vec<Value> = self
            .zones
            .iter()
            .enumerate()
            .map(|(at, (name, list))| {
                json!({"name": name, "position": {"x": at as f64 * 5000.0, "y": 0}, "rows": rows(at, list),
                    "areas": shapes, "zone_id": at})
            })
            .collect();
        let mut plan = json!({"name": "Hall", "size": {"width": 1, "height": 1}, "zones": zones,
            "categories": CATEGORIES.map(|name| json!({"name": name, "color": "#0a0"}))});
        if self.has_own_prices {
            plan["categories"][0]["price"] = json!(1200);
            plan["categories"][1]["price"] = json!(900);
            plan["categories"][2]["not_for_sale"] = json!(true);
        } else if self.wrapper < 3 {
            plan["prices"] = json!({CATEGORIES[0]: 1200, CATEGORIES[1]: 900, CATEGORIES[2]: null});
        }
        if self.has_focus {
            plan["focus"] = json!({"x": 100, "y": -100});
        }
        plan
    }

    /// Returns the file that an organiser may have.
    fn file(&self) -> Vec<u8> {
        let plan = self.plan();
        let text = match self.wrapper {
            0 => plan.to_string(),
            1 => json!({"id": 1, "name": "Hall", "layout": plan}).to_string(),
            2 => json!({"count": 1, "results": [{"id": 1, "name": "Hall", "layout": plan.to_string()}]})
                .to_string(),
            _ if self.has_own_prices => json!({"plan": plan}).to_string(),
            _ => json!({"plan": plan, "not_for_sale": [CATEGORIES[2]],
                "prices": {CATEGORIES[0]: 1200, CATEGORIES[1]: 900}})
            .to_string(),
        };
        let units = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect();
        match self.encoding {
            0 => text.into_bytes(),
            1 => ["\u{feff}".as_bytes(), text.as_bytes()].concat(),
            2 => units(u16::to_le_bytes),
            _ => units(u16::to_be_bytes),
        }
    }

    fn csv(&self, delimiter: char) -> String {
        let mut list =
            format!("section{delimiter}row{delimiter}seat{delimiter}category{delimiter}id\n");
        for seat in self.meant() {
            let cells = [
                &seat.zone,
                &seat.row,
                &seat.number.to_string(),
                CATEGORIES[seat.category],
                &seat.id,
            ]
            .map(|cell| format!("\"{cell}\""));
            list += &cells.join(&delimiter.to_string());
            list.push('\n');
        }
        list
    }
}

fn expected_label(seat: &Meant) -> String {
    let (row, number) = match seat.has_texts {
        true => (
            format!("Reihe {}", seat.row),
            format!("Platz {}", seat.number),
        ),
        false => (format!("row {}", seat.row), format!("seat {}", seat.number)),
    };
    let mut parts = vec![];
    if !seat.zone.is_empty() {
        parts.push(seat.zone.clone());
    }
    if !seat.row.is_empty() {
        parts.push(row);
    }
    parts.push(number);
    let text = parts.join(", ");
    match seat.zone.as_str() {
        "" => text[..1].to_uppercase() + &text[1..],
        _ => text,
    }
}

/// Checks what holds for every layout.
fn check(layout: &Layout) {
    let slots: usize = layout.rows.iter().map(ExactSizeIterator::len).sum();
    assert_eq!(
        (slots, layout.order.len()),
        (layout.seats.len(), layout.seats.len())
    );
    for (at, seat) in layout.seats.iter().enumerate() {
        assert_eq!(layout.order[seat.slot as usize], at as u32);
        assert!(layout.rows[seat.row as usize].contains(&seat.slot));
        assert!(!layout.label(seat).is_empty());
    }
    let map = drawn(layout);
    let blocks = map["blocks"].as_array().unwrap().iter();
    let rows = blocks.flat_map(|block| block["rows"].as_array().into_iter().flatten());
    let seats = rows.flat_map(|row| row["seats"].as_array().unwrap());
    let drawn: Vec<&str> = seats.map(|seat| seat["id"].as_str().unwrap()).collect();
    let in_rows = layout
        .seats
        .iter()
        .filter(|seat| !layout.areas.contains(&seat.row));
    let own: Vec<&str> = in_rows.map(|seat| &*seat.id).collect();
    assert_eq!(drawn, own, "the map counts the seats as the layout does");
}

fn neighbours(layout: &Layout, a: &str, b: &str) -> bool {
    let (a, b) = (seat(layout, a), seat(layout, b));
    a.row == b.row && a.slot.abs_diff(b.slot) == 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_generated_hall_is_understood_as_it_is_meant(hall in hall()) {
        let layout = parse(&hall.file()).map_err(|problem| problem.into_value()).unwrap();
        check(&layout);
        let meant = hall.meant();
        prop_assert_eq!(layout.seats.len(), meant.len());
        for expected in &meant {
            let found = seat(&layout, &expected.id);
            prop_assert_eq!(layout.label(found), expected_label(expected));
            prop_assert_eq!(&*layout.categories[found.category as usize].id, CATEGORIES[expected.category]);
            prop_assert_eq!(layout.is_not_for_sale(found), expected.category == 2);
            if let Some(next) = &expected.next {
                prop_assert!(neighbours(&layout, &expected.id, next), "{} and {next}", expected.id);
            }
        }
        let parted: Vec<&Meant> = meant.iter().filter(|seat| seat.next.is_none()).collect();
        for pair in parted.windows(2) {
            prop_assert!(!neighbours(&layout, &pair[0].id, &pair[1].id));
        }
        prop_assert_eq!([layout.categories[0].price, layout.categories[1].price], [1200, 900]);
        prop_assert_eq!(layout.scores.is_empty(), !hall.has_focus);
        let shapes = drawn(&layout)["shapes"].as_array().unwrap().len();
        prop_assert_eq!(shapes, if hall.has_shapes { 4 * hall.zones.len() } else { 0 });
        let restored = restore(&layout.plan).unwrap();
        prop_assert_eq!(drawn(&restored), drawn(&layout));
        prop_assert_eq!(restored.rows, layout.rows);
    }

    #[test]
    fn a_list_of_a_generated_hall_has_the_same_seats(hall in hall(), delimiter in 0..3_usize) {
        let list = hall.csv([',', ';', '\t'][delimiter]);
        let used: std::collections::HashSet<usize> = hall.meant().iter().map(|seat| seat.category).collect();
        let mut prices = json!({});
        for category in used {
            prices[CATEGORIES[category]] = json!(5);
        }
        let file = json!({"plan": list, "prices": prices}).to_string();
        let layout = parse(file.as_bytes()).map_err(|problem| problem.into_value()).unwrap();
        check(&layout);
        for expected in hall.meant() {
            let found = seat(&layout, &expected.id);
            let expected = Meant { has_texts: false, ..expected };
            prop_assert_eq!(layout.label(found), expected_label(&expected));
        }
    }

    #[test]
    fn no_damaged_plan_ends_in_a_panic_or_speaks_of_types(
        hall in hall(), places in proptest::collection::vec((any::<prop::sample::Index>(), 0..9_usize), 1..6),
        cut in any::<prop::sample::Index>(), is_cut in any::<bool>(),
    ) {
        let mut plan = hall.plan();
        for (place, junk) in places {
            let mut nodes = Vec::new();
            paths(&plan, String::new(), &mut nodes);
            let node = plan.pointer_mut(&nodes[place.index(nodes.len())]).unwrap();
            *node = [json!(null), json!(-1), json!(1e300), json!("x"), json!([]), json!({}), json!([[]]),
                json!(true), json!("\u{0}ä\n")][junk].clone();
        }
        let mut bytes = plan.to_string().into_bytes();
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match parse(&bytes) {
            Ok(layout) => check(&layout),
            Err(problem) => {
                let told = problem.into_value()["detail"].to_string();
                for word in ["i64", "f64", "struct", "invalid type", "sequence"] {
                    prop_assert!(!told.contains(word), "{}", told);
                }
            }
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = restore(text).map(|layout| check(&layout));
        }
    }

    #[test]
    fn no_bytes_end_in_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in 0..4_usize) {
        let head: &[u8] = [&b""[..], b"seat,row\n", b"{\"zones\": [", b"\xff\xfe"][head];
        let _ = parse(&[head, &bytes].concat()).map(|layout| check(&layout));
    }
}

/// Collects the pointers to every part of a value.
fn paths(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths(item, format!("{at}/{index}"), all);
            }
        }
        Value::Object(members) => {
            for (name, item) in members {
                paths(item, format!("{at}/{name}"), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

#[test]
fn a_hall_of_a_hundred_thousand_seats_is_read_without_quadratic_work() {
    // Everything that could be compared with everything: one row, one place, one id each, no category
    // that is known.
    let seat = |at: usize| json!({"seat_guid": at.to_string(), "category": "A", "seat_number": at.to_string()});
    let seats: Vec<Value> = (0..100_000).map(seat).collect();
    let mut plan =
        json!({"categories": [{"name": "A", "price": 1}], "zones": [{"rows": [{"seats": seats}]}]});
    assert_eq!(
        parse(plan.to_string().as_bytes()).unwrap().seats.len(),
        100_000
    );
    plan["categories"] = json!([{"name": "B", "price": 1}]);
    let told = parse(plan.to_string().as_bytes()).unwrap_err().into_value();
    assert_eq!(told["errors"].as_array().unwrap().len(), 1);
}

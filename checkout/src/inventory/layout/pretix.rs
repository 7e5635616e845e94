//! Plans in pretix's open JSON format. Fields that only its editor needs are ignored.

use super::additions::{ADDITIONS, Additions, category, finish_category};
use super::draft::{Draft, DraftRow, DraftSeat, DraftZone, Ends};
use super::findings::{Findings, Object, Spot};
use super::shapes::Shape;
use super::{BLOCKS_MAX, Category, Hints, Layout};

/// Usual distance between seats in pretix's plans, in pixels.
const SEAT: f64 = 25.0;
/// Limits of that distance: seats of a hall of few are far from each other, and still seats.
const SEAT_MIN: f64 = 8.0;
const SEAT_MAX: f64 = 30.0;
/// Fields of a plan, and of a category of one: all others may be ours, misspelt.
const PLAN_FIELDS: [&str; 4] = ["name", "size", "categories", "zones"];
const CATEGORY_FIELDS: [&str; 4] = ["name", "color", "price", "not_for_sale"];
/// Largest number of shapes of a plan.
const SHAPES_MAX: usize = 10_000;

pub(super) fn read(plan: &Object, additions: &Additions, findings: &mut Findings) -> Layout {
    let nowhere = &|| Spot {
        path: String::new(),
        words: String::new(),
    };
    let known = [PLAN_FIELDS.as_slice(), ADDITIONS.as_slice()].concat();
    findings.warn_of_others(plan, &known, "the plan");
    let categories = categories(plan, findings);
    let mut shapes_left = SHAPES_MAX;
    let list = findings.list(plan, "zones", nowhere);
    if list.len() > BLOCKS_MAX {
        findings.fault("zones", format!("a plan has at most {BLOCKS_MAX} zones"));
    }
    let zones = (0..).zip(list.iter().take(BLOCKS_MAX));
    let zones = zones.filter_map(|(at, value)| {
        let path = || Spot {
            path: format!("zones[{at}]"),
            words: format!("zone {}", at + 1),
        };
        let zone = findings.object(value, &path)?;
        Some(read_zone(zone, at, &mut shapes_left, findings))
    });
    let zones: Vec<DraftZone<'_>> = zones.collect();
    let draft = Draft {
        categories,
        zones,
        unit: |usual| match usual {
            0.0 => SEAT,
            usual => usual.clamp(SEAT_MIN, SEAT_MAX),
        },
        path: |[zone, row, seat]| format!("zones[{zone}].rows[{row}].seats[{seat}]"),
        // The plan is a picture of its own.
        has_stage: false,
    };
    draft.build(additions, findings)
}

fn categories(plan: &Object, findings: &mut Findings) -> Vec<Category> {
    let nowhere = &|| Spot {
        path: "categories".to_owned(),
        words: String::new(),
    };
    let list = findings.list(plan, "categories", nowhere);
    let mut categories = Vec::new();
    for (at, value) in list.iter().take(super::CATEGORIES_MAX + 1).enumerate() {
        let field = format!("categories[{at}]");
        let spot = || Spot {
            path: field.clone(),
            words: format!("category {}", at + 1),
        };
        let Some(from) = findings.object(value, &spot) else {
            continue;
        };
        let id = findings.id(from, "name", &spot).into_owned();
        let name = findings.name(from, "name", &spot).into_owned();
        if name.is_empty() && !id.is_empty() {
            findings.fault_at(&spot, "name", "it has no name");
        }
        let mut category = category(&id, &name);
        finish_category(&mut category, from, &field, findings);
        findings.warn_of_others(from, &CATEGORY_FIELDS, &format!("category '{name}'"));
        categories.push(category);
    }
    categories
}

fn read_zone<'v>(
    zone: &'v Object,
    at: u32,
    shapes_left: &mut usize,
    findings: &mut Findings,
) -> DraftZone<'v> {
    let spot = || Spot {
        path: format!("zones[{at}]"),
        words: format!("zone {}", at + 1),
    };
    let name = findings.name(zone, "name", &spot).into_owned();
    let corner = findings.point(zone, "position", &spot);
    let mut draft = DraftZone {
        hints: Hints {
            door: findings.notes(zone, "door", &spot),
            notes: findings.notes(zone, "notes", &spot),
        },
        name,
        ..DraftZone::default()
    };
    let rows = findings.list(zone, "rows", &spot);
    for (row_at, value) in (0..).zip(rows) {
        let spot = || Spot {
            path: format!("zones[{at}].rows[{row_at}]"),
            words: format!("zone {}, row {}", at + 1, row_at + 1),
        };
        let Some(row) = findings.object(value, &spot) else {
            continue;
        };
        let row = read_row(row, [at, row_at, 0], corner, findings);
        // There may be any number of empty rows, which show nothing.
        if !row.seats.is_empty() {
            draft.rows.push(row);
        }
    }
    let areas = findings.list(zone, "areas", &spot);
    for (area_at, value) in areas.iter().enumerate() {
        let spot = || Spot {
            path: format!("zones[{at}].areas[{area_at}]"),
            words: format!("area {} of zone {}", area_at + 1, at + 1),
        };
        if *shapes_left == 0 {
            findings.warn(format!("only {SHAPES_MAX} shapes are drawn"));
            break;
        }
        *shapes_left -= 1;
        let area = findings.object(value, &spot);
        let shape = area.and_then(|area| Shape::read(area, corner, findings, &spot));
        draft.shapes.extend(shape);
    }
    draft
}

fn read_row<'v>(
    row: &'v Object,
    [zone_at, row_at, _]: [u32; 3],
    (zone_x, zone_y): (f64, f64),
    findings: &mut Findings,
) -> DraftRow<'v> {
    let spot = || Spot {
        path: format!("zones[{zone_at}].rows[{row_at}]"),
        words: format!("zone {}, row {}", zone_at + 1, row_at + 1),
    };
    let label = findings.name(row, "row_number", &spot).into_owned();
    let (row_x, row_y) = findings.point(row, "position", &spot);
    let mut text = |name| {
        let text = findings.name(row, name, &spot);
        (!text.is_empty()).then(|| text.into_owned())
    };
    let (row_text, seat_text) = (text("row_label"), text("seat_label"));
    let ends = match &*findings.name(row, "row_number_position", &spot) {
        "start" | "left" => Ends::Start,
        "end" | "right" => Ends::End,
        "" | "both" => Ends::Both,
        other => {
            findings.warn(format!("the labels of rows are never put at '{other}'"));
            Ends::Both
        }
    };
    let mut seats = Vec::new();
    for (seat_at, value) in (0..).zip(findings.list(row, "seats", &spot)) {
        let spot = || Spot {
            path: format!("zones[{zone_at}].rows[{row_at}].seats[{seat_at}]"),
            words: seat_in_words(value, &label),
        };
        let Some(seat) = findings.object(value, &spot) else {
            continue;
        };
        let (x, y) = findings.point(seat, "position", &spot);
        seats.push(DraftSeat {
            id: findings.id(seat, "seat_guid", &spot),
            number: findings.name(seat, "seat_number", &spot),
            category: findings.id(seat, "category", &spot),
            at: (zone_x + row_x + x, zone_y + row_y + y),
            radius: findings.number(seat, "radius", &spot).unwrap_or(0.0),
            hints: Hints {
                door: findings.notes(seat, "door", &spot),
                notes: findings.notes(seat, "notes", &spot),
            },
            is_accessible: findings.flag(seat, "accessible", &spot),
            is_companion: findings.flag(seat, "companion", &spot),
            spot: [zone_at, row_at, seat_at],
        });
    }
    DraftRow {
        label,
        row_text,
        seat_text,
        ends,
        seats,
    }
}

/// Returns how a seat is called that may be malformed.
fn seat_in_words(value: &serde_json::Value, row: &str) -> String {
    let number = value.get("seat_number").and_then(|number| number.as_str());
    format!("row {row}, seat {}", number.unwrap_or("without a number"))
}

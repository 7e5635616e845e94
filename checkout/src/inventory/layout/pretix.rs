//! Plans in pretix's open JSON format.

use super::builder::{Builder, Wrong, check_blocks, check_name, round};
use super::{Category, Layout};
use serde::Deserialize;
use serde_json::json;

/// A plan in pretix's format. Fields that only its editor needs are ignored.
#[derive(Deserialize)]
pub(super) struct PretixPlan {
    categories: Vec<PretixCategory>,
    zones: Vec<PretixZone>,
}

#[derive(Deserialize)]
struct PretixCategory {
    name: String,
    /// Extension of the format: pretix keeps prices with its products, not in the plan.
    #[serde(default)]
    price: i64,
}

#[derive(Deserialize, Clone, Copy, Default)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Deserialize)]
struct PretixZone {
    #[serde(default)]
    name: String,
    #[serde(default)]
    position: Point,
    rows: Vec<PretixRow>,
}

#[derive(Deserialize)]
struct PretixRow {
    #[serde(default)]
    row_number: String,
    #[serde(default)]
    position: Point,
    seats: Vec<PretixSeat>,
}

#[derive(Deserialize)]
struct PretixSeat {
    seat_guid: String,
    #[serde(default)]
    seat_number: String,
    #[serde(default)]
    position: Point,
    category: String,
}

/// Usual distance between seats in pretix's plans, in pixels.
const PRETIX_SEAT: f64 = 25.0;
/// Furthest that a seat may be from the origin, in pixels. The sum of positions of any size may be
/// no number at all.
const PIXELS_MAX: f64 = 1_000_000.0;

/// Returns where a seat stands, in pixels.
fn position(zone: &PretixZone, row: &PretixRow, seat: &PretixSeat) -> Point {
    Point {
        x: zone.position.x + row.position.x + seat.position.x,
        y: zone.position.y + row.position.y + seat.position.y,
    }
}

pub(super) fn read(plan: PretixPlan) -> Result<Layout, Wrong> {
    let categories = plan
        .categories
        .iter()
        .map(|category| Category {
            id: category.name.as_str().into(),
            name: category.name.clone(),
            price: category.price,
        })
        .collect();
    let mut builder = Builder::new(categories, &["categories", "name"])?;
    check_blocks(plan.zones.len(), "zones")?;
    let origin = pretix_origin(&plan);
    for (zone_at, zone) in plan.zones.iter().enumerate() {
        let mut rows = Vec::new();
        let mut top = f64::MAX;
        let mut left = f64::MAX;
        check_name(&zone.name, &format!("zones[{zone_at}].name"))?;
        for (row_at, row) in zone.rows.iter().enumerate() {
            // There may be any number of empty rows, which show nothing.
            if row.seats.is_empty() {
                continue;
            }
            let number = format!("zones[{zone_at}].rows[{row_at}].row_number");
            check_name(&row.row_number, &number)?;
            let mut seats = Vec::new();
            let mut start = builder.seats.len();
            for (seat_at, seat) in row.seats.iter().enumerate() {
                let field = format!("zones[{zone_at}].rows[{row_at}].seats[{seat_at}]");
                let category = builder.category(&seat.category, &format!("{field}.category"))?;
                check_name(&seat.seat_number, &format!("{field}.seat_number"))?;
                let is_other = builder
                    .seats
                    .get(start)
                    .is_some_and(|first| first.category != category);
                if is_other {
                    builder.end_row(start);
                    start = builder.seats.len();
                }
                let Point { x, y } = position(zone, row, seat);
                if x.abs().max(y.abs()) > PIXELS_MAX {
                    let why = format!("within {PIXELS_MAX} pixels of the origin");
                    return Err((format!("{field}.position"), why));
                }
                let x = x / PRETIX_SEAT - origin.x + 1.0;
                let y = y / PRETIX_SEAT - origin.y + 2.0;
                builder.width = builder.width.max(x + 1.0);
                builder.height = builder.height.max(y + 1.0);
                (top, left) = (top.min(y), left.min(x));
                seats.push(json!({"id": seat.seat_guid, "x": round(x), "y": round(y),
                    "category": seat.category, "label": seat.seat_number}));
                builder.seat(
                    seat.seat_guid.clone(),
                    category,
                    &format!("{field}.seat_guid"),
                )?;
            }
            builder.end_row(start);
            rows.push(json!({"label": row.row_number, "seats": seats}));
        }
        if top < f64::MAX {
            builder.drawing.push(
                json!({"kind": "section", "id": zone.name, "name": zone.name,
                "x": round(left), "y": round(top - 1.2), "rows": rows}),
            );
        }
    }
    Ok(builder.done())
}

fn pretix_origin(plan: &PretixPlan) -> Point {
    let mut origin = Point {
        x: f64::MAX,
        y: f64::MAX,
    };
    for zone in &plan.zones {
        for row in &zone.rows {
            for seat in &row.seats {
                let Point { x, y } = position(zone, row, seat);
                origin = Point {
                    x: origin.x.min(x / PRETIX_SEAT),
                    y: origin.y.min(y / PRETIX_SEAT),
                };
            }
        }
    }
    origin
}

//! Plans in Fairline's own format: sections of rows, and areas of general admission.

use super::builder::{Builder, Wrong, check_blocks, check_name, round};
use super::{Category, Layout};
use serde::Deserialize;
use serde_json::json;

/// Largest number of rows of a section, and of seats of a row.
const PER_ROW_MAX: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnPlan {
    categories: Vec<PlanCategory>,
    #[serde(default)]
    sections: Vec<PlanSection>,
    #[serde(default)]
    areas: Vec<PlanArea>,
    /// Ids of the seats for people with a disability, which are allocated only on request.
    #[serde(default)]
    accessible: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanCategory {
    id: String,
    name: String,
    price: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanSection {
    id: String,
    name: Option<String>,
    category: String,
    rows: u32,
    seats_per_row: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanArea {
    id: String,
    name: Option<String>,
    category: String,
    capacity: u32,
}

fn check_id(id: &str, field: &str) -> Result<(), Wrong> {
    let sound = !id.is_empty()
        && id.len() <= 40
        && id
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
    let why = || {
        (
            field.to_owned(),
            "1 to 40 of letters, digits, '-' and '_'".to_owned(),
        )
    };
    sound.then_some(()).ok_or_else(why)
}

pub(super) fn read(plan: OwnPlan) -> Result<Layout, Wrong> {
    let categories = plan
        .categories
        .into_iter()
        .map(|category| Category {
            id: category.id.into(),
            name: category.name,
            price: category.price,
        })
        .collect();
    let mut builder = Builder::new(categories, &["categories", "id"])?;
    check_blocks(plan.sections.len(), "sections")?;
    check_blocks(plan.areas.len(), "areas")?;
    // Areas are drawn nearest to the stage, then the sections one behind the other; all are
    // centred.
    let widest = plan
        .sections
        .iter()
        .map(|section| section.seats_per_row)
        .max()
        .unwrap_or(0);
    let middle = f64::from(widest).max(24.0) / 2.0 + 1.0;
    let mut areas_height = 0.0;
    for area in &plan.areas {
        areas_height += area_height(area) + 1.0;
    }
    let mut y = 1.0 + areas_height;
    for (at, section) in plan.sections.iter().enumerate() {
        y = draw_section(&mut builder, section, at, (middle, y))?;
    }
    let mut area_y = 0.0;
    for (at, area) in plan.areas.iter().enumerate() {
        let field = format!("areas[{at}]");
        area_y += draw_area(&mut builder, area, &field, (middle, area_y))? + 1.0;
    }
    builder.width = middle * 2.0;
    builder.height = y.max(area_y);
    for (at, id) in plan.accessible.iter().enumerate() {
        let seat = builder.index.get(id.as_str());
        let missing = || {
            (
                format!("accessible[{at}]"),
                format!("there is no seat '{id}'"),
            )
        };
        let seat = *seat.ok_or_else(missing)?;
        builder.seats[seat as usize].is_accessible = true;
    }
    Ok(builder.done())
}

fn draw_section(
    builder: &mut Builder,
    section: &PlanSection,
    at: usize,
    (middle, top): (f64, f64),
) -> Result<f64, Wrong> {
    let field = |name: &str| format!("sections[{at}].{name}");
    check_id(&section.id, &field("id"))?;
    check_name(section.name.as_deref().unwrap_or_default(), &field("name"))?;
    let category = builder.category(&section.category, &field("category"))?;
    for (name, count) in [
        ("rows", section.rows),
        ("seats_per_row", section.seats_per_row),
    ] {
        if !(1..=PER_ROW_MAX).contains(&count) {
            return Err((field(name), format!("1 to {PER_ROW_MAX}")));
        }
    }
    let half = f64::from(section.seats_per_row - 1) / 2.0;
    let mut rows = Vec::new();
    let bend = 2.0;
    for row in 0..section.rows {
        let letters = row_letters(row);
        let start = builder.seats.len();
        let mut seats = Vec::new();
        for number in 1..=section.seats_per_row {
            let id = format!("{}-{letters}-{number}", section.id);
            let offset = f64::from(number - 1) - half;
            let curve = if half > 0.0 {
                bend * (1.0 - (offset / half).powi(2))
            } else {
                bend
            };
            let y = top + 1.2 + f64::from(row) * 1.1 + curve;
            seats.push(json!({"id": id, "x": round(middle + offset), "y": round(y)}));
            builder.seat(id, category, &field("id"))?;
        }
        builder.end_row(start);
        rows.push(json!({"label": letters, "category": section.category, "seats": seats}));
    }
    let height = 1.2 + f64::from(section.rows) * 1.1 + bend;
    builder.drawing.push(json!({
        "kind": "section", "id": section.id, "name": section.name.as_ref().unwrap_or(&section.id),
        "category": section.category, "x": round(middle - half - 0.5), "y": round(top),
        "width": half * 2.0 + 1.0, "height": round(height), "rows": rows,
    }));
    Ok(top + height + 1.0)
}

fn draw_area(
    builder: &mut Builder,
    area: &PlanArea,
    field: &str,
    (middle, top): (f64, f64),
) -> Result<f64, Wrong> {
    check_id(&area.id, &format!("{field}.id"))?;
    check_name(
        area.name.as_deref().unwrap_or_default(),
        &format!("{field}.name"),
    )?;
    let category = builder.category(&area.category, &format!("{field}.category"))?;
    let start = builder.seats.len();
    for number in 1..=area.capacity {
        builder.seat(format!("{}-{number}", area.id), category, field)?;
    }
    builder.areas.insert(builder.rows.len() as u32);
    builder.end_row(start);
    let height = area_height(area);
    let width = height * 4.0;
    builder.drawing.push(json!({
        "kind": "area", "id": area.id, "name": area.name.as_ref().unwrap_or(&area.id), "category": area.category,
        "capacity": area.capacity, "x": middle - width / 2.0, "y": top, "width": width, "height": height,
    }));
    builder.width = builder.width.max(width);
    Ok(height)
}

fn area_height(area: &PlanArea) -> f64 {
    (f64::from(area.capacity).sqrt() / 4.0).clamp(3.0, 10.0)
}

/// Returns the letters of a row: A, B, … Z, AA, AB, …
fn row_letters(row: u32) -> String {
    let letter = char::from(b'A' + (row % 26) as u8);
    match row / 26 {
        0 => letter.to_string(),
        more => format!("{}{letter}", row_letters(more - 1)),
    }
}

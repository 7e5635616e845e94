//! Plans in Fairline's own format: sections of rows, and areas of general admission.

use super::additions::{ADDITIONS, Additions, category, finish_category};
use super::builder::{Adjacency, Builder, NewSeat};
use super::findings::{Findings, Object, Spot, Where};
use super::shapes::round;
use super::{BLOCKS_MAX, CATEGORIES_MAX, Category, Hints, Layout, PlanRow, PlanSection, SEATS_MAX};
use serde_json::Value;
use shared::plain_text::has_visible;
use std::borrow::Cow;

/// Largest number of rows of a section, and of seats of a row.
const PER_ROW_MAX: u32 = 1000;
/// Largest first number of a row.
const FIRST_NUMBER_MAX: u32 = 100_000;
/// Longest label of a row, as it is a part of the ids of its seats.
const ROW_LABEL_CHARS_MAX: usize = 20;
/// Curvature of a row: distance by which its middle lies further from the stage than its ends, in seat
/// widths.
const BEND_MAX: f64 = 2.0;
const BEND: f64 = 0.15;

const CATEGORY_FIELDS: [&str; 5] = ["id", "name", "price", "color", "not_for_sale"];
const SECTION_FIELDS: [&str; 10] = [
    "id",
    "name",
    "category",
    "rows",
    "seats_per_row",
    "row_labels",
    "first_number",
    "numbering",
    "door",
    "notes",
];
const AREA_FIELDS: [&str; 6] = ["id", "name", "category", "capacity", "door", "notes"];

/// A section of rows.
struct Section {
    id: String,
    name: String,
    category: String,
    hints: Hints,
    /// Number of seats of each row.
    rows: Vec<u32>,
    labels: Vec<String>,
    first_number: u32,
    /// From one number to the next.
    step: u32,
}

struct Area {
    id: String,
    name: String,
    category: String,
    hints: Hints,
    capacity: u32,
}

pub(super) fn read(plan: &Object, additions: &Additions, findings: &mut Findings) -> Layout {
    let nowhere = &|| Spot {
        path: String::new(),
        words: String::new(),
    };
    let mut known = vec!["categories", "sections", "areas"];
    known.extend(ADDITIONS);
    findings.no_others(plan, &known, nowhere);
    let categories = each(plan, "categories", CATEGORIES_MAX, findings, read_category);
    let sections = each(plan, "sections", BLOCKS_MAX, findings, read_section);
    let areas = each(plan, "areas", BLOCKS_MAX, findings, read_area);
    let mut builder = Builder::new(categories, additions, findings);
    // Areas are drawn nearest to the stage, then the sections one behind the other; all are
    // centred.
    let widest = sections.iter().flat_map(|section| &section.rows).max();
    let middle = f64::from(*widest.unwrap_or(&0)).max(24.0) / 2.0 + 1.0;
    let heights = areas.iter().map(|area| area_height(area.capacity) + 1.0);
    let mut y = 1.0 + heights.sum::<f64>();
    for section in &sections {
        y = draw_section(&mut builder, section, (middle, y));
        if builder.is_full() {
            break;
        }
    }
    let (mut area_y, mut width) = (0.0, middle * 2.0);
    for area in &areas {
        if builder.is_full() {
            break;
        }
        let size = draw_area(&mut builder, area, (middle, area_y));
        width = f64::max(width, size.0);
        area_y += size.1 + 1.0;
    }
    builder.draw(Vec::new(), (width, f64::max(y, area_y)), true);
    builder.done(additions, additions.focus)
}

/// Reads the objects of a list, up to a limit.
fn each<T>(
    plan: &Object,
    name: &str,
    most: usize,
    findings: &mut Findings,
    read: fn(&Object, Where<'_>, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let nowhere = &|| Spot {
        path: String::new(),
        words: String::new(),
    };
    let list = findings.list(plan, name, nowhere);
    if list.len() > most {
        findings.fault(name, format!("a plan has at most {most} {name}"));
    }
    let mut items = Vec::new();
    for (at, value) in list.iter().take(most).enumerate() {
        let one = name.trim_end_matches('s');
        let one = if one == "categorie" { "category" } else { one };
        let spot = || Spot {
            path: format!("{name}[{at}]"),
            words: match value.get("id").and_then(Value::as_str) {
                Some(id) => format!("{one} '{id}'"),
                None => format!("{one} {}", at + 1),
            },
        };
        let object = findings.object(value, &spot);
        items.extend(object.and_then(|object| read(object, &spot, findings)));
    }
    items
}

fn read_category(from: &Object, at: Where<'_>, findings: &mut Findings) -> Option<Category> {
    findings.no_others(from, &CATEGORY_FIELDS, at);
    let id = findings.id(from, "id", at);
    let name = findings.name(from, "name", at);
    let is_blank =
        |name: &Value| name.is_null() || name.as_str().is_some_and(|name| name.trim().is_empty());
    if from.get("name").is_none_or(is_blank) {
        findings.fault_at(at, "name", "it has no name");
    }
    let mut category = category(&id, &name);
    finish_category(&mut category, from, &at().path, findings);
    Some(category)
}

fn read_id(from: &Object, at: Where<'_>, findings: &mut Findings) -> String {
    let id = findings.id(from, "id", at);
    let is_sound = (1..=40).contains(&id.len())
        && id
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
    if !is_sound {
        let why = "an id has 1 to 40 letters of a to z, digits, '-' and '_'";
        findings.fault_at(at, "id", why);
    }
    id.into_owned()
}

fn read_hints(from: &Object, at: Where<'_>, findings: &mut Findings) -> Hints {
    Hints {
        door: findings.notes(from, "door", at),
        notes: findings.notes(from, "notes", at),
    }
}

fn read_section(from: &Object, at: Where<'_>, findings: &mut Findings) -> Option<Section> {
    findings.no_others(from, &SECTION_FIELDS, at);
    let id = read_id(from, at, findings);
    let name = findings.name(from, "name", at);
    let rows = read_rows(from, at, findings)?;
    let labels = read_labels(from, rows.len(), at, findings);
    let (least, step) = match &*findings.name(from, "numbering", at) {
        "" | "all" => (1, 1),
        "odd" => (1, 2),
        "even" => (2, 2),
        _ => {
            findings.fault_at(at, "numbering", "numbering is 'all', 'odd' or 'even'");
            (1, 1)
        }
    };
    let range = (0, FIRST_NUMBER_MAX);
    let first = findings.count(from, "first_number", range, at);
    let first_number = first.unwrap_or(least);
    if step == 2 && first_number % 2 != least % 2 {
        let why = "the first number does not fit the numbering";
        findings.fault_at(at, "first_number", why);
    }
    Some(Section {
        name: name_or(&id, name),
        id,
        category: findings.id(from, "category", at).into_owned(),
        hints: read_hints(from, at, findings),
        rows,
        labels,
        first_number,
        step,
    })
}

/// Reads the numbers of seats: `rows` times `seats_per_row`, or a list of them.
fn read_rows(from: &Object, at: Where<'_>, findings: &mut Findings) -> Option<Vec<u32>> {
    let range = (1, PER_ROW_MAX);
    if !matches!(from.get("rows"), Some(Value::Array(_))) {
        let rows = findings.count(from, "rows", range, at);
        let seats = findings.count(from, "seats_per_row", range, at);
        for (name, count) in [("rows", rows), ("seats_per_row", seats)] {
            if count.is_none() && from.get(name).is_none_or(Value::is_null) {
                let why = "it needs rows and seats_per_row, or rows as a list of their lengths";
                findings.fault_at(at, name, why);
            }
        }
        return Some(vec![seats?; rows? as usize]);
    }
    if from.contains_key("seats_per_row") {
        let why = "rows is a list of their lengths already";
        findings.fault_at(at, "seats_per_row", why);
    }
    let list = findings.list(from, "rows", at);
    let length = |value: &Value| {
        let length = super::findings::whole(value).and_then(|length| u32::try_from(length).ok());
        length.filter(|length| (1..=PER_ROW_MAX).contains(length))
    };
    let rows: Option<Vec<u32>> = list.iter().map(length).collect();
    let rows = rows.filter(|rows| (1..=PER_ROW_MAX as usize).contains(&rows.len()));
    if rows.is_none() {
        let why = format!("rows are 1 to {PER_ROW_MAX}, each of 1 to {PER_ROW_MAX} seats");
        findings.fault_at(at, "rows", &why);
    }
    rows
}

/// Reads the labels of rows; letters if there are none.
fn read_labels(from: &Object, count: usize, at: Where<'_>, findings: &mut Findings) -> Vec<String> {
    let letters = || (0..count as u32).map(row_letters).collect();
    let list = findings.list(from, "row_labels", at);
    if list.is_empty() {
        return letters();
    }
    let label = |value: &Value| {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let is_short = (1..=ROW_LABEL_CHARS_MAX).contains(&text.chars().count());
        (is_short && has_visible(&text) && !text.chars().any(char::is_control)).then_some(text)
    };
    let labels: Option<Vec<String>> = list.iter().map(label).collect();
    match labels.filter(|labels| labels.len() == count) {
        Some(labels) => labels,
        None => {
            let why = format!(
                "row labels are {count} texts, one for each row, of 1 to {ROW_LABEL_CHARS_MAX} characters, of which some can be seen"
            );
            findings.fault_at(at, "row_labels", &why);
            letters()
        }
    }
}

/// Returns a name, or the id of what has none.
fn name_or(id: &str, name: Cow<'_, str>) -> String {
    match name.is_empty() {
        true => id.to_owned(),
        false => name.into_owned(),
    }
}

fn read_area(from: &Object, at: Where<'_>, findings: &mut Findings) -> Option<Area> {
    findings.no_others(from, &AREA_FIELDS, at);
    let id = read_id(from, at, findings);
    let name = findings.name(from, "name", at);
    let capacity = findings.count(from, "capacity", (0, SEATS_MAX as u32), at);
    if capacity.is_none() && from.get("capacity").is_none_or(Value::is_null) {
        findings.fault_at(at, "capacity", "it has no capacity");
    }
    Some(Area {
        name: name_or(&id, name),
        id,
        category: findings.id(from, "category", at).into_owned(),
        hints: read_hints(from, at, findings),
        capacity: capacity?,
    })
}

/// Draws a section from `top` on, and returns where the next one begins.
fn draw_section(builder: &mut Builder<'_>, section: &Section, (middle, top): (f64, f64)) -> f64 {
    let longest = section.rows.iter().max().copied().unwrap_or(1);
    let widest = f64::from(longest - 1) / 2.0;
    let bend = (widest * BEND).min(BEND_MAX);
    builder.block(PlanSection {
        id: section.id.clone(),
        name: section.name.clone(),
        hints: section.hints.clone(),
        ..PlanSection::default()
    });
    let rows = section.rows.iter().zip(&section.labels);
    for (row, (count, label)) in (0..).zip(rows) {
        let line = PlanRow {
            label: label.clone(),
            ..PlanRow::default()
        };
        builder.line(line.clone());
        let half = f64::from(count - 1) / 2.0;
        let height = |offset: f64| {
            let curve = if widest > 0.0 {
                bend * (1.0 - (offset / widest).powi(2))
            } else {
                bend
            };
            round(top + 1.2 + f64::from(row) * 1.1 + curve)
        };
        for at in 0..*count {
            let offset = f64::from(at) - half;
            let number = (section.first_number + at * section.step).to_string();
            let id = format!("{}-{label}-{number}", section.id);
            let spot = || Spot {
                path: format!("sections '{}'", section.id),
                words: Builder::spoken(&section.name, &line, &number),
            };
            let seat = NewSeat {
                id: &id,
                number: &number,
                category: &section.category,
                x: round(middle + offset),
                y: height(offset),
                radius: 0.0,
            };
            builder.seat(&seat, &spot);
        }
        builder.end_line(Adjacency::Listed);
        let marks = [-half - 1.1, half + 1.1];
        let marks = marks.map(|offset| (round(middle + offset), height(offset.clamp(-half, half))));
        builder.mark(marks.to_vec());
        if builder.is_full() {
            break;
        }
    }
    let height = 1.2 + section.rows.len() as f64 * 1.1 + bend;
    let size = (widest * 2.0 + 1.0, round(height));
    builder.put_block((round(middle - widest - 0.5), round(top)), Some(size));
    top + height + 1.0
}

/// Draws an area and returns its size.
fn draw_area(builder: &mut Builder<'_>, area: &Area, (middle, top): (f64, f64)) -> (f64, f64) {
    builder.block(PlanSection {
        id: area.id.clone(),
        name: area.name.clone(),
        hints: area.hints.clone(),
        is_area: true,
        ..PlanSection::default()
    });
    builder.line(PlanRow::default());
    for number in 1..=area.capacity {
        let spot = || Spot {
            path: format!("areas '{}'", area.id),
            words: format!("area '{}'", area.id),
        };
        let seat = NewSeat {
            id: &format!("{}-{number}", area.id),
            number: "",
            category: &area.category,
            x: middle,
            y: top,
            radius: 0.0,
        };
        if builder.seat(&seat, &spot).is_none() && builder.is_full() {
            break;
        }
    }
    builder.end_line(Adjacency::Listed);
    let height = area_height(area.capacity);
    let size = (height * 4.0, height);
    builder.put_block((middle - size.0 / 2.0, top), Some(size));
    size
}

fn area_height(capacity: u32) -> f64 {
    (f64::from(capacity).sqrt() / 4.0).clamp(3.0, 10.0)
}

/// Returns the letters of a row: A, B, … Z, AA, AB, …
fn row_letters(row: u32) -> String {
    let letter = char::from(b'A' + (row % 26) as u8);
    match row / 26 {
        0 => letter.to_string(),
        more => format!("{}{letter}", row_letters(more - 1)),
    }
}

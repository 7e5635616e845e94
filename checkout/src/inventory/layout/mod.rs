//! Seating plans, in Fairline's format, pretix's open JSON format or CSV, and the layout made from
//! them: seats in a fixed order, with labels for people and positions on a map.

mod additions;
mod builder;
mod csv_list;
mod draft;
mod drawing;
mod findings;
mod neighbours;
mod ours;
mod parse;
mod pretix;
mod preview;
mod shapes;
#[cfg(test)]
mod tests;

pub use parse::{
    Parsed, PlanFormat, parse, parse_on_a_thread, preview_on_a_thread, restore, restore_on_a_thread,
};
pub use preview::{CategoryPreview, PlanPreview};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use utoipa::ToSchema;

/// Largest number of seats of one event.
pub const SEATS_MAX: usize = 200_000;
/// Largest number of categories of a plan.
pub const CATEGORIES_MAX: usize = 1000;
/// Largest number of sections and areas, or of zones, of a plan.
pub const BLOCKS_MAX: usize = 1000;
/// Index of a seat that a layout does not have, where a number is needed. Postgres has no larger one.
pub(super) const NOWHERE: u32 = i32::MAX as u32;

/// A category of seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Id of the category.
    pub id: Arc<str>,
    /// Name shown to fans.
    pub name: String,
    /// Price of a seat, in minor units.
    pub price: i64,
    /// Colour in which the plan draws it, as CSS has it.
    pub color: Option<String>,
    /// Whether its seats are blocked from the start, and stay so.
    pub is_not_for_sale: bool,
}

/// A seat of a layout.
#[derive(Clone, Debug)]
pub struct LayoutSeat {
    /// Id of the seat.
    pub id: Arc<str>,
    /// Index of its category.
    pub category: u16,
    /// Index of its row in `Layout::rows`.
    pub row: u32,
    /// Position in `Layout::order`.
    pub slot: u32,
    /// Whether it is reserved for people with a disability: it is allocated only on request.
    pub is_accessible: bool,
    /// Whether it is reserved for their companions, as those seats are.
    pub is_companion: bool,
    /// Index of its section or area, and of its line there.
    block: u32,
    line: u32,
    /// Its number as printed; empty in areas.
    number: Box<str>,
    /// Position in seat widths.
    x: f64,
    y: f64,
    /// Radius in seat widths, 0 if the plan does not say.
    radius: f64,
}

/// Place of a seat as people read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// All of it in one line, such as "Stalls, row A, seat 1".
    #[serde(default)]
    pub label: String,
    /// Name of the section, zone or area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Row as printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// Number as printed; none in an area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Door to go in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
    /// Notes, such as "restricted view".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// Door and notes, of a section or of one seat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hints {
    door: Option<String>,
    notes: Option<String>,
}

/// A section of seats, or an area of general admission.
#[derive(Clone, Debug, Default)]
struct PlanSection {
    id: String,
    name: String,
    hints: Hints,
    /// Position and size in seat widths; those of a section without a size are of its name.
    x: f64,
    y: f64,
    size: Option<(f64, f64)>,
    /// Lines of seats; an area has one.
    lines: Vec<PlanRow>,
    is_area: bool,
}

/// A row as the plan has it. Gaps and categories part it into runs of neighbours.
#[derive(Clone, Debug, Default)]
struct PlanRow {
    /// Row as printed.
    label: String,
    /// Texts around the row's label and a seat's number, in place of `%s`.
    row_text: Option<String>,
    seat_text: Option<String>,
    seats: Range<u32>,
    /// Positions of the row's label on the map.
    marks: Vec<(f64, f64)>,
}

/// A parsed seating plan.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The categories.
    pub categories: Vec<Category>,
    /// The seats, in the order used by maps and seat indices: that of the plan.
    pub seats: Vec<LayoutSeat>,
    /// Indices of the seats, with neighbours side by side.
    pub order: Vec<u32>,
    /// Runs of adjacent seats of one category, as ranges of `order`, best first.
    pub rows: Vec<Range<u32>>,
    /// Rows that are general admission, where seats have no neighbours.
    pub areas: HashSet<u32>,
    /// Distance of each seat from the focal point, and to its side; lower is better. Empty if the
    /// plan names no focal point.
    pub scores: Vec<f32>,
    /// The plan as it was received.
    pub plan: String,
    blocks: Vec<PlanSection>,
    hints: HashMap<u32, Hints>,
    /// Shapes drawn beside the seats.
    shapes: Vec<Value>,
    /// Whether a stage is drawn in front of the first row: not where the plan is a picture.
    has_stage: bool,
    size: (f64, f64),
    index: HashMap<Arc<str>, u32>,
}

impl Layout {
    /// Returns the index of a seat.
    pub fn find(&self, id: &str) -> Option<u32> {
        self.index.get(id).copied()
    }

    /// Returns the index of a category.
    pub fn category(&self, id: &str) -> Option<u16> {
        let at = self
            .categories
            .iter()
            .position(|category| *category.id == *id)?;
        u16::try_from(at).ok()
    }

    /// Returns whether the plan keeps a seat out of the sale.
    pub fn is_not_for_sale(&self, seat: &LayoutSeat) -> bool {
        let category = self.categories.get(usize::from(seat.category));
        category.is_some_and(|category| category.is_not_for_sale)
    }

    /// Returns the indices of the seats that the plan keeps out of the sale.
    pub fn blocked(&self) -> impl Iterator<Item = u32> {
        let seats = (0..).zip(&self.seats);
        seats
            .filter(|(_, seat)| self.is_not_for_sale(seat))
            .map(|(at, _)| at)
    }

    /// Returns the seats that are blocked once this plan is set: those that it keeps out of the sale,
    /// and those with these ids.
    pub(super) fn blocked_with<'i>(&self, ids: impl Iterator<Item = &'i str>) -> Vec<u32> {
        self.blocked()
            .chain(ids.filter_map(|id| self.find(id)))
            .collect()
    }

    /// Returns for each seat its index in another layout, `NOWHERE` if that does not have it.
    pub(super) fn places_in(&self, other: &Layout) -> Vec<u32> {
        let places = self.seats.iter().map(|seat| other.find(&seat.id));
        places.map(|place| place.unwrap_or(NOWHERE)).collect()
    }

    /// Returns the place of a seat in one line.
    pub fn label(&self, seat: &LayoutSeat) -> String {
        let Some(block) = self.blocks.get(seat.block as usize) else {
            return seat.id.to_string();
        };
        match block.lines.get(seat.line as usize) {
            _ if block.is_area => block.name.clone(),
            Some(line) => {
                label(&block.name, line, &seat.number).unwrap_or_else(|| seat.id.to_string())
            }
            None => seat.id.to_string(),
        }
    }

    /// Returns the place of a seat in all its parts.
    pub fn place(&self, seat: u32) -> Place {
        let Some(found) = self.seats.get(seat as usize) else {
            return Place::default();
        };
        let block = self.blocks.get(found.block as usize);
        let line = block.and_then(|block| block.lines.get(found.line as usize));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let own = self.hints.get(&seat);
        let hint = |part: fn(&Hints) -> &Option<String>| {
            let of_seat = own.and_then(|hints| part(hints).clone());
            of_seat.or_else(|| block.and_then(|block| part(&block.hints).clone()))
        };
        Place {
            label: self.label(found),
            section: block.and_then(|block| some(&block.name)),
            row: line.and_then(|line| some(&line.label)),
            number: some(&found.number),
            door: hint(|hints| &hints.door),
            notes: hint(|hints| &hints.notes),
        }
    }
}

/// Returns the place of a seat in one line, or `None` if the plan names no part of it. The map
/// puts it together likewise (`static/seat-list.js`).
fn label(section: &str, line: &PlanRow, number: &str) -> Option<String> {
    let part = |text: &Option<String>, usual: &str, value: &str| {
        let text = text.as_deref().unwrap_or(usual);
        (!value.is_empty()).then(|| text.replace("%s", value))
    };
    let row = part(&line.row_text, "row %s", &line.label);
    let seat = part(&line.seat_text, "seat %s", number);
    let parts = [row, seat].into_iter().flatten();
    if !section.is_empty() {
        let parts: Vec<String> = std::iter::once(section.to_owned()).chain(parts).collect();
        return Some(parts.join(", "));
    }
    let text = parts.collect::<Vec<String>>().join(", ");
    let mut chars = text.chars();
    let first = chars.next()?;
    Some(first.to_uppercase().chain(chars).collect())
}

//! A plan as it was understood, before it is set.

use super::Layout;
use super::parse::{Parsed, PlanFormat};
use serde::Serialize;
use utoipa::ToSchema;

/// A plan as it was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanPreview {
    /// Format of the plan.
    pub format: PlanFormat,
    /// Number of seats and places.
    pub capacity: u32,
    /// Number of those that would be on sale.
    pub for_sale: u32,
    /// The categories.
    pub categories: Vec<CategoryPreview>,
    /// Number of sections with seats.
    pub sections: u32,
    /// Number of rows.
    pub rows: u32,
    /// Number of areas of general admission.
    pub areas: u32,
    /// Number of shapes drawn beside the seats.
    pub shapes: u32,
    /// Number of shapes with a text.
    pub texts: u32,
    /// Number of seats for people with a disability.
    pub accessible: u32,
    /// Number of seats for their companions.
    pub companion: u32,
    /// Whether the best seats are those near a point that the plan names, or else those of the
    /// first rows.
    pub focus: bool,
    /// Names of the categories that have no price yet: with them the plan cannot be set.
    pub unpriced: Vec<String>,
    /// Labels of some seats, as fans will read them.
    pub examples: Vec<String>,
    /// Parts that were left out or look like a mistake.
    pub warnings: Vec<String>,
}

/// A category of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CategoryPreview {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Price of a seat, in minor units; null if it is not for sale or has no price yet.
    pub price: Option<i64>,
    /// Number of its seats.
    pub seats: u32,
}

impl Parsed {
    /// Returns the plan as it was understood.
    pub fn preview(self) -> PlanPreview {
        let layout = &self.layout;
        let mut seats = vec![0; layout.categories.len()];
        for seat in &layout.seats {
            if let Some(count) = seats.get_mut(usize::from(seat.category)) {
                *count += 1;
            }
        }
        let categories: Vec<CategoryPreview> = layout
            .categories
            .iter()
            .zip(seats)
            .map(|(category, seats)| CategoryPreview {
                id: category.id.to_string(),
                name: category.name.clone(),
                price: (!category.is_not_for_sale && !self.unpriced.contains(&category.name))
                    .then_some(category.price),
                seats,
            })
            .collect();
        let (areas, sections): (Vec<_>, Vec<_>) =
            layout.blocks.iter().partition(|block| block.is_area);
        let rows = sections.iter().map(|block| block.lines.len());
        let texts = layout.shapes.iter();
        let mut warnings = self.warnings;
        warnings.extend(doubts(layout, &categories, self.format));
        PlanPreview {
            format: self.format,
            capacity: layout.seats.len() as u32,
            for_sale: (layout.seats.len() - layout.blocked().count()) as u32,
            sections: sections.len() as u32,
            rows: rows.sum::<usize>() as u32,
            areas: areas.len() as u32,
            shapes: layout.shapes.len() as u32,
            texts: texts.filter(|shape| shape.get("text").is_some()).count() as u32,
            accessible: count(layout, |seat| seat.is_accessible),
            companion: count(layout, |seat| seat.is_companion),
            focus: !layout.scores.is_empty(),
            unpriced: self.unpriced,
            examples: examples(layout),
            categories,
            warnings,
        }
    }
}

fn count(layout: &Layout, is_counted: fn(&super::LayoutSeat) -> bool) -> u32 {
    layout.seats.iter().filter(|seat| is_counted(seat)).count() as u32
}

/// Returns the labels of the first seat, of one in the middle and of the last.
fn examples(layout: &Layout) -> Vec<String> {
    let last = layout.seats.len().saturating_sub(1);
    let mut places = vec![0, last / 2, last];
    places.dedup();
    let seats = places.into_iter().filter_map(|at| layout.seats.get(at));
    seats.map(|seat| layout.label(seat)).collect()
}

/// Returns what looks like a mistake, in sentences.
fn doubts(layout: &Layout, categories: &[CategoryPreview], format: PlanFormat) -> Vec<String> {
    let mut doubts = Vec::new();
    for category in categories {
        let name = &category.name;
        if category.seats == 0 {
            doubts.push(format!("the category '{name}' has no seats"));
        }
        if category.price == Some(0) {
            doubts.push(format!("seats of the category '{name}' cost nothing"));
        }
        if uuid::Uuid::try_parse(name).is_ok() {
            doubts.push(format!("fans will read '{name}' as the name of a category"));
        }
    }
    let labels = layout.seats.iter().map(|seat| layout.label(seat));
    let is_area = |seat: &super::LayoutSeat| layout.areas.contains(&seat.row);
    let mut seen = std::collections::HashSet::new();
    let repeated = labels
        .zip(&layout.seats)
        .filter(|(label, seat)| !is_area(seat) && !seen.insert(label.clone()));
    let repeated: Vec<String> = repeated.map(|(label, _)| label).collect();
    if let Some(first) = repeated.first() {
        let count = repeated.len();
        doubts.push(match count {
            1 => format!("a seat is called as another one is: \"{first}\""),
            _ => format!("{count} seats are called as another one is, such as \"{first}\""),
        });
    }
    if layout.scores.is_empty() && format == PlanFormat::Pretix {
        let why = "the plan names no focus, so the best seats are those of its first rows";
        doubts.push(why.to_owned());
    }
    doubts
}

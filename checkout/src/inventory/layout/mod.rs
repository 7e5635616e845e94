//! Seating plans, in Fairline's format or pretix's open JSON format, and the layout made from them: seats in a
//! fixed order, with positions on a map.

mod ours;
mod pretix;

use super::model::{Currency, Money};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::problem::{Problem, parse_json};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Largest number of seats of one event.
pub const SEATS_MAX: usize = 200_000;
const PER_ROW_MAX: u32 = 1000;

/// A category of seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Id of the category.
    pub id: Arc<str>,
    /// Name shown to fans.
    pub name: String,
    /// Price of a seat, in minor units.
    pub price: i64,
}

/// A seat of a layout.
#[derive(Clone, Debug)]
pub struct LayoutSeat {
    /// Id of the seat.
    pub id: Arc<str>,
    /// Index of its category.
    pub category: u16,
    /// Index of its row.
    pub row: u32,
    /// Whether it is reserved for people with a disability: it is allocated only on request.
    pub is_accessible: bool,
}

/// A parsed seating plan.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The categories.
    pub categories: Vec<Category>,
    /// The seats, in the order used by maps and seat indices.
    pub seats: Vec<LayoutSeat>,
    /// Runs of adjacent seats of one category, best first.
    pub rows: Vec<Range<u32>>,
    /// Rows that are general admission, where seats have no neighbours.
    pub areas: HashSet<u32>,
    /// The plan as it was received.
    pub plan: String,
    /// Drawing of the map: blocks with rows and seats, or areas; positions in seat widths.
    drawing: Vec<Value>,
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

    /// Returns the layout as JSON.
    pub fn to_json(&self, version: u32, currency: Currency) -> Value {
        let categories: Vec<Value> = self
            .categories
            .iter()
            .map(|category| {
                json!({"id": category.id, "name": category.name,
                    "price": Money { amount: category.price, currency }})
            })
            .collect();
        let accessible = self.seats.iter().filter(|seat| seat.is_accessible);
        json!({
            "version": version,
            "capacity": self.seats.len(),
            "accessible": accessible.map(|seat| &*seat.id).collect::<Vec<_>>(),
            "size": {"width": self.size.0, "height": self.size.1},
            "categories": categories,
            "blocks": self.drawing,
        })
    }
}

/// Parses a plan in either format.
///
/// # Errors
/// A problem with status 400 or 422 that names the line or the field.
pub fn parse(bytes: &[u8]) -> Result<Layout, Problem> {
    let shape: Value = parse_json(bytes)?;
    let layout = if shape.get("zones").is_some() {
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

type Wrong = (String, String);

struct Builder {
    categories: Vec<Category>,
    seats: Vec<LayoutSeat>,
    rows: Vec<Range<u32>>,
    areas: HashSet<u32>,
    drawing: Vec<Value>,
    index: HashMap<Arc<str>, u32>,
    width: f64,
    height: f64,
}

impl Builder {
    fn new(categories: Vec<Category>, fields: &[&str]) -> Result<Builder, Wrong> {
        let field = fields[0];
        if categories.is_empty() {
            return Err((field.to_owned(), "at least one category".to_owned()));
        }
        for (at, category) in categories.iter().enumerate() {
            let wrong = |name: &str, why: &str| (format!("{field}[{at}].{name}"), why.to_owned());
            if category.id.is_empty() || category.id.len() > 100 {
                return Err(wrong(fields[1], "1 to 100 characters"));
            }
            if categories[..at].iter().any(|other| other.id == category.id) {
                return Err(wrong(fields[1], "this id stands twice"));
            }
            if !(0..=100_000_000).contains(&category.price) {
                return Err(wrong("price", "0 to 100000000 minor units"));
            }
        }
        Ok(Builder {
            categories,
            seats: Vec::new(),
            rows: Vec::new(),
            areas: HashSet::new(),
            drawing: Vec::new(),
            index: HashMap::new(),
            width: 0.0,
            height: 0.0,
        })
    }

    fn category(&self, id: &str, field: &str) -> Result<u16, Wrong> {
        let at = self
            .categories
            .iter()
            .position(|category| *category.id == *id);
        at.and_then(|at| u16::try_from(at).ok())
            .ok_or_else(|| (field.to_owned(), format!("there is no category '{id}'")))
    }

    fn seat(&mut self, id: String, category: u16, field: &str) -> Result<(), Wrong> {
        let at = self.seats.len();
        if at >= SEATS_MAX {
            return Err((
                field.to_owned(),
                format!("at most {SEATS_MAX} seats in all"),
            ));
        }
        if id.is_empty() || id.len() > 100 {
            return Err((
                field.to_owned(),
                "a seat's id has 1 to 100 characters".to_owned(),
            ));
        }
        let id: Arc<str> = id.into();
        if self.index.insert(id.clone(), at as u32).is_some() {
            return Err((field.to_owned(), format!("the seat '{id}' stands twice")));
        }
        let row = self.rows.len() as u32;
        self.seats.push(LayoutSeat {
            id,
            category,
            row,
            is_accessible: false,
        });
        Ok(())
    }

    /// Ends the row that began at seat `start`.
    fn end_row(&mut self, start: usize) {
        if self.seats.len() > start {
            self.rows.push(start as u32..self.seats.len() as u32);
        }
    }

    fn area(&mut self, area: &ours::PlanArea, field: &str, at: (f64, f64)) -> Result<f64, Wrong> {
        ours::check_id(&area.id, &format!("{field}.id"))?;
        let category = self.category(&area.category, &format!("{field}.category"))?;
        let start = self.seats.len();
        for number in 1..=area.capacity {
            self.seat(format!("{}-{number}", area.id), category, field)?;
        }
        self.areas.insert(self.rows.len() as u32);
        self.end_row(start);
        let height = (f64::from(area.capacity).sqrt() / 4.0).clamp(3.0, 10.0);
        let width = height * 4.0;
        self.drawing.push(json!({
            "kind": "area", "id": area.id, "name": area.name.as_ref().unwrap_or(&area.id), "category": area.category,
            "capacity": area.capacity, "x": at.0 - width / 2.0, "y": at.1, "width": width, "height": height,
        }));
        self.width = self.width.max(width);
        Ok(height)
    }

    fn done(self) -> Layout {
        Layout {
            categories: self.categories,
            seats: self.seats,
            rows: self.rows,
            areas: self.areas,
            plan: String::new(),
            drawing: self.drawing,
            size: (self.width, self.height),
            index: self.index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

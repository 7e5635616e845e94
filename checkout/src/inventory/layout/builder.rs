//! Builds the layout of a plan, whichever its format.

use super::{BLOCKS_MAX, CATEGORIES_MAX, Category, Layout, LayoutSeat, SEATS_MAX};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Name of a field and why it is wrong.
pub(super) type Wrong = (String, String);

/// Longest name of a category, section or area, and longest label of a row or seat.
const NAME_CHARS_MAX: usize = 200;
const ID_CHARS_MAX: usize = 100;
/// Largest price in any currency, in minor units; that of the event may have a lower limit.
const PRICE_MAX: i64 = 10_000_000_000;

/// A layout that is being built.
pub(super) struct Builder {
    categories: Vec<Category>,
    category_index: HashMap<Arc<str>, u16>,
    pub(super) seats: Vec<LayoutSeat>,
    pub(super) rows: Vec<Range<u32>>,
    pub(super) areas: HashSet<u32>,
    pub(super) drawing: Vec<Value>,
    pub(super) index: HashMap<Arc<str>, u32>,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Builder {
    pub(super) fn new(categories: Vec<Category>, fields: &[&str]) -> Result<Builder, Wrong> {
        let field = fields[0];
        if categories.is_empty() {
            return Err((field.to_owned(), "at least one category".to_owned()));
        }
        if categories.len() > CATEGORIES_MAX {
            return Err((field.to_owned(), format!("at most {CATEGORIES_MAX}")));
        }
        let mut category_index = HashMap::new();
        for (at, category) in (0..).zip(&categories) {
            let name = |name: &str| format!("{field}[{at}].{name}");
            let wrong = |of: &str, why: &str| Err((name(of), why.to_owned()));
            if category.id.is_empty() || category.id.chars().count() > ID_CHARS_MAX {
                return wrong(fields[1], "1 to 100 characters");
            }
            check_name(&category.name, &name("name"))?;
            if category_index.insert(category.id.clone(), at).is_some() {
                return wrong(fields[1], "this id stands twice");
            }
            if !(0..=PRICE_MAX).contains(&category.price) {
                return wrong("price", &format!("0 to {PRICE_MAX} minor units"));
            }
        }
        Ok(Builder {
            categories,
            category_index,
            seats: Vec::new(),
            rows: Vec::new(),
            areas: HashSet::new(),
            drawing: Vec::new(),
            index: HashMap::new(),
            width: 0.0,
            height: 0.0,
        })
    }

    pub(super) fn category(&self, id: &str, field: &str) -> Result<u16, Wrong> {
        let at = self.category_index.get(id).copied();
        at.ok_or_else(|| (field.to_owned(), format!("there is no category '{id}'")))
    }

    pub(super) fn seat(&mut self, id: String, category: u16, field: &str) -> Result<(), Wrong> {
        let at = self.seats.len();
        if at >= SEATS_MAX {
            return Err((
                field.to_owned(),
                format!("at most {SEATS_MAX} seats in all"),
            ));
        }
        if id.is_empty() || id.chars().count() > ID_CHARS_MAX {
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
    pub(super) fn end_row(&mut self, start: usize) {
        if self.seats.len() > start {
            self.rows.push(start as u32..self.seats.len() as u32);
        }
    }

    pub(super) fn done(self) -> Layout {
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

/// Checks the number of sections and areas, or of zones.
pub(super) fn check_blocks(count: usize, field: &str) -> Result<(), Wrong> {
    let why = || (field.to_owned(), format!("at most {BLOCKS_MAX}"));
    (count <= BLOCKS_MAX).then_some(()).ok_or_else(why)
}

/// Checks the length of a name or label.
pub(super) fn check_name(name: &str, field: &str) -> Result<(), Wrong> {
    let is_short = name.len() <= NAME_CHARS_MAX || name.chars().count() <= NAME_CHARS_MAX;
    let why = || {
        (
            field.to_owned(),
            format!("at most {NAME_CHARS_MAX} characters"),
        )
    };
    is_short.then_some(()).ok_or_else(why)
}

/// Rounds a position to hundredths of a seat's width.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

//! Builds the layout of a plan, whichever its format.

use super::{Category, Layout, LayoutSeat, SEATS_MAX};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Name of a field and why it is wrong.
pub(super) type Wrong = (String, String);

/// A layout that is being built.
pub(super) struct Builder {
    pub(super) categories: Vec<Category>,
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

    pub(super) fn category(&self, id: &str, field: &str) -> Result<u16, Wrong> {
        let at = self
            .categories
            .iter()
            .position(|category| *category.id == *id);
        at.and_then(|at| u16::try_from(at).ok())
            .ok_or_else(|| (field.to_owned(), format!("there is no category '{id}'")))
    }

    pub(super) fn seat(&mut self, id: String, category: u16, field: &str) -> Result<(), Wrong> {
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

/// Rounds a position to hundredths of a seat's width.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

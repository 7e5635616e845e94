//! Seating plans, in Fairline's format or pretix's open JSON format, and the layout made from them:
//! seats in a fixed order, with positions on a map.

mod builder;
mod ours;
mod parse;
mod pretix;

pub use parse::{parse, parse_on_a_thread};

use super::charges::{Charges, Fee, FeePer, total};
use super::model::{Currency, Money, PriceLine, SeatPrice};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Largest number of seats of one event.
pub const SEATS_MAX: usize = 200_000;
/// Largest number of categories of a plan.
pub const CATEGORIES_MAX: usize = 1000;
/// Largest number of sections and areas, or of zones, of a plan.
pub const BLOCKS_MAX: usize = 1000;

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

    /// Returns the layout as JSON, with what one ticket of each category costs.
    pub fn to_json(&self, version: u32, currency: Currency, charges: &Charges) -> Value {
        let categories: Vec<Value> = self
            .categories
            .iter()
            .map(|category| {
                let price = Money {
                    amount: category.price,
                    currency,
                };
                let seat = SeatPrice {
                    id: category.id.clone(),
                    category: category.id.clone(),
                    price,
                };
                let lines = charges.ticket(&seat, &category.name);
                let total = Money {
                    amount: total(&lines),
                    currency,
                };
                let lines: Vec<PriceLine> = lines.iter().map(|line| line.show(currency)).collect();
                json!({"id": category.id, "name": category.name, "price": price, "total": total,
                    "lines": lines})
            })
            .collect();
        let order_fees = charges.fees.iter().filter(|fee| fee.per == FeePer::Order);
        let order_fees: Vec<&Fee> = order_fees.collect();
        let accessible = self.seats.iter().filter(|seat| seat.is_accessible);
        json!({
            "version": version,
            "capacity": self.seats.len(),
            "accessible": accessible.map(|seat| &*seat.id).collect::<Vec<_>>(),
            "size": {"width": self.size.0, "height": self.size.1},
            "categories": categories,
            "order_fees": order_fees,
            "blocks": self.drawing,
        })
    }
}

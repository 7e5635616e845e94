//! Lines of a price, as fans and organisers see them.

use super::money::Money;
use super::seat_price::TicketType;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Tickets of one category.
    Ticket,
    /// A fee.
    Fee,
    /// A tax.
    Tax,
}

/// A line of a price. The amounts of all lines that are not `included` add up to the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceLine {
    /// `ticket`, `fee` or `tax`.
    pub kind: LineKind,
    /// Name of the category, the fee or the tax.
    pub name: String,
    /// Category of the tickets that it is for; absent if it is for the order as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub category: Option<Arc<str>>,
    /// Type of the tickets that it is for, where their category has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TicketType>)]
    pub ticket_type: Option<Arc<TicketType>>,
    /// Number of tickets that it is for; 1 for the order as a whole.
    pub quantity: u32,
    /// Amount for each.
    pub unit: Money,
    /// Amount for all of them.
    pub amount: Money,
    /// Whether other lines contain it, as with an included tax: it is not added to the total.
    pub included: bool,
}

impl PriceLine {
    /// Returns its name as people read it: that of tickets with their type.
    pub fn label(&self) -> String {
        match &self.ticket_type {
            Some(own) if self.kind == LineKind::Ticket => format!("{}, {}", self.name, own.name),
            _ => self.name.clone(),
        }
    }
}

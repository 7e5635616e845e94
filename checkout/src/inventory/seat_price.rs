//! Seats with their prices and the types of their tickets.

use super::money::Money;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Ticket types that a fan chose, by seat. A seat that is not named gets a ticket of the standard type.
pub type ChosenTypes = BTreeMap<String, String>;

/// Type of a ticket: the price of its category, or one of its other prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketType {
    /// `standard`, or the id that the organiser gave it.
    pub id: String,
    /// Name that fans and doors read, such as "Child".
    pub name: String,
}

/// A seat and its price at the time it was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatPrice {
    /// The seat.
    #[schema(value_type = String)]
    pub id: Arc<str>,
    /// Its place as people read it, such as "Stalls, row A, seat 1".
    #[serde(default = "no_label", skip_serializing_if = "is_empty")]
    #[schema(value_type = String)]
    pub label: Arc<str>,
    /// Its category.
    #[schema(value_type = String)]
    pub category: Arc<str>,
    /// Type of its ticket, where its category has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TicketType>)]
    pub ticket_type: Option<Arc<TicketType>>,
    /// Its price.
    pub price: Money,
}

/// Returns the label of seats that were stored before there were labels.
fn no_label() -> Arc<str> {
    "".into()
}

fn is_empty(label: &Arc<str>) -> bool {
    label.is_empty()
}

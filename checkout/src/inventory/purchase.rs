//! Seats with their prices, and the request to buy them.

use super::charges::{ChosenTypes, TicketType};
use super::model::Buyer;
use super::money::Money;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

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

/// Request for an order: a hold with its buyer, and what the fan chose and was shown.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The hold.
    pub hold: String,
    /// The buyer.
    pub buyer: Buyer,
    /// Types of the tickets.
    pub ticket_types: ChosenTypes,
    /// Total that the fan was shown; an order of another one is refused.
    pub total: Option<Money>,
}

impl Purchase {
    /// Returns a request for tickets of the standard type, at whatever they cost.
    pub fn of(hold: &str, buyer: Buyer) -> Purchase {
        Purchase {
            hold: hold.to_owned(),
            buyer,
            ticket_types: ChosenTypes::new(),
            total: None,
        }
    }
}

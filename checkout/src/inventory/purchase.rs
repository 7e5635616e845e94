//! The request to buy what is held.

use super::model::Buyer;
use super::money::Money;
use super::seat_price::ChosenTypes;
use shared::texts::Language;

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
    /// Language of the page; none if it is not known.
    pub language: Option<Language>,
}

impl Purchase {
    /// Returns a request for tickets of the standard type, at whatever they cost.
    pub fn of(hold: &str, buyer: Buyer) -> Purchase {
        Purchase {
            hold: hold.to_owned(),
            buyer,
            ticket_types: ChosenTypes::new(),
            total: None,
            language: None,
        }
    }
}

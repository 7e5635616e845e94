//! Moves of tickets to other seats: as they are asked for, and with what they come to.

use super::money::Money;
use super::price_line::PriceLine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A ticket's move to another seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeatMove {
    /// Seat that the order has.
    pub from: String,
    /// Seat that its ticket is moved to.
    pub to: String,
}

/// Settlement of a difference in price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceSettlement {
    /// The difference is given back, as the new seats cost less.
    Refund,
    /// Nothing is charged and nothing is given back.
    Waive,
}

/// Tickets of an order that are to be moved, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseat {
    /// The moves.
    pub moves: Vec<SeatMove>,
    /// Whether seats that an organiser blocked may be taken.
    pub takes_blocked: bool,
    /// Difference in price that was shown, and how it is settled if it is not 0; `None` to be shown it.
    pub confirmed: Option<(Money, Option<DifferenceSettlement>)>,
}

/// A ticket that is moved, with the prices of its seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReseatedTicket {
    /// Seat that the order has.
    pub from: String,
    /// Its place as people read it.
    pub from_label: String,
    /// Seat that its ticket is moved to.
    pub to: String,
    /// Its place as people read it.
    pub to_label: String,
    /// Lines of the price that the ticket was sold for: ticket, fees and taxes.
    pub sold_for: Vec<PriceLine>,
    /// The amount paid for it, less the amounts given back when it was moved before.
    pub paid: Money,
    /// Lines of the price of the new seat, which are those of now unless it is of the category that the
    /// ticket was sold in.
    pub costs: Vec<PriceLine>,
    /// Price of the new seat less what was paid; below 0 if it costs less.
    pub difference: Money,
}

/// Tickets that are moved, and what that comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reseated {
    /// The tickets.
    pub tickets: Vec<ReseatedTicket>,
    /// Sum of the differences in price; below 0 if the new seats cost less.
    pub difference: Money,
    /// Amount that `refund` gives back, which is no more than what is left of the payment; once it is
    /// done, the amount that it gave back.
    pub refund: Money,
    /// Whether the tickets were moved.
    pub done: bool,
}

/// Difference in price that is given back for a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeatDifference {
    /// The seat that the ticket has now.
    pub seat: String,
    /// Amount given back for it.
    pub amount: Money,
}

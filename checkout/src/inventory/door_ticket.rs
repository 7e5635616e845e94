//! Tickets and check-ins as they are stored.

use super::seat_price::{SeatPrice, TicketType};
use serde::Serialize;
use shared::ids::VisitorId;
use shared::time::Time;
use std::sync::Arc;
use utoipa::ToSchema;

/// Largest number of tickets listed at one time.
pub(super) const TICKETS_MAX: usize = 5_000;
/// Largest number of doors whose check-ins are told apart.
pub(super) const DOORS_MAX: i64 = 200;
/// Number of the latest check-ins that are shown.
pub(super) const CHECK_INS_MAX: i64 = 20;

/// A ticket, as a door sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct IssuedTicket {
    /// `tix_…`
    pub id: String,
    /// The seat.
    pub seat: String,
    /// Place of the seat, such as "Stalls, row A, seat 1".
    pub label: String,
    /// Its type, where the category of the seat has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TicketType>)]
    pub ticket_type: Option<Arc<TicketType>>,
    /// The order.
    pub order: String,
    /// When it was checked in; null if it was not.
    pub used_at: Option<Time>,
    /// Door at which it was checked in.
    pub door: Option<String>,
}

impl IssuedTicket {
    /// Returns it as checked in, or not.
    pub(super) fn used(mut self, check_in: Option<&CheckIn>) -> IssuedTicket {
        self.used_at = check_in.map(|check_in| check_in.at);
        self.door = check_in.map(|check_in| check_in.door.clone());
        self
    }
}

/// A scan with which a ticket was checked in, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckIn {
    pub(super) at: Time,
    /// Empty if the ticket was checked in by version 0.1.0.
    pub(super) door: String,
    pub(super) scan: Option<String>,
}

/// A ticket as a door looks for it.
#[derive(Clone, Debug)]
pub struct DoorTicket {
    pub(super) id: String,
    /// Index of the seat in the layout.
    pub(super) seat: u32,
    /// Version of the plan whose layout that is.
    pub(super) plan_version: u32,
    pub(super) order: String,
    /// `None` if the order is gone.
    pub(super) visitor: Option<VisitorId>,
    pub(super) check_in: Option<CheckIn>,
    /// Seats of its order, if they have ticket types; otherwise none.
    pub(super) priced: Vec<SeatPrice>,
    /// Whether it was not given back.
    pub(super) is_valid: bool,
}

/// Number of tickets that were checked in at a door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DoorCount {
    /// The door.
    pub door: String,
    /// Number of tickets that were checked in at it.
    pub checked_in: u64,
}

/// Check-ins of an event, as stored.
pub struct DoorFigures {
    pub(super) tickets: u64,
    pub(super) checked_in: u64,
    pub(super) doors: Vec<DoorCount>,
    pub(super) latest: Vec<DoorTicket>,
}

//! The lines of a price, as they are stored with holds and orders.

use crate::inventory::money::{Currency, Money};
use crate::inventory::price_line::{LineKind, PriceLine};
use crate::inventory::seat_price::{SeatPrice, TicketType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A line of a price, as it is stored with a hold or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::inventory) struct ChargeLine {
    pub(in crate::inventory) kind: LineKind,
    pub(in crate::inventory) name: String,
    /// Category of the tickets that it is for; `None` if it is for the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::inventory) category: Option<Arc<str>>,
    /// Type of those tickets, where their category has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::inventory) ticket_type: Option<Arc<TicketType>>,
    pub(in crate::inventory) quantity: u32,
    /// Amount for one of `quantity`, in minor units.
    pub(in crate::inventory) unit: i64,
    /// Whether other lines contain it, so that it is not added to the total.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::inventory) included: bool,
    /// Whether it is kept when the order is refunded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::inventory) kept: bool,
}

/// Lines of a hold or an order; `None` if there were neither fees nor taxes, nor prices beside the
/// plan, when it was held.
pub(in crate::inventory) type Lines = Option<Arc<Vec<ChargeLine>>>;

impl ChargeLine {
    pub(super) fn of(kind: LineKind, name: &str, unit: i64) -> ChargeLine {
        ChargeLine {
            kind,
            name: name.to_owned(),
            category: None,
            ticket_type: None,
            quantity: 1,
            unit,
            included: false,
            kept: false,
        }
    }

    /// Returns whether the ticket of a seat is one of those that it is for.
    pub(in crate::inventory) fn is_for(&self, seat: &SeatPrice) -> bool {
        self.category.as_ref() == Some(&seat.category) && self.ticket_type == seat.ticket_type
    }

    pub(super) fn amount(&self) -> i64 {
        self.unit * i64::from(self.quantity)
    }

    pub(in crate::inventory) fn show(&self, currency: Currency) -> PriceLine {
        let money = |amount| Money { amount, currency };
        PriceLine {
            kind: self.kind,
            name: self.name.clone(),
            category: self.category.clone(),
            ticket_type: self.ticket_type.clone(),
            quantity: self.quantity,
            unit: money(self.unit),
            amount: money(self.amount()),
            included: self.included,
        }
    }
}

/// Seats of one category with tickets of one type, which all have the same price.
pub(super) struct Group {
    pub(super) category: Arc<str>,
    pub(super) ticket_type: Option<Arc<TicketType>>,
    pub(super) price: i64,
    pub(super) quantity: u32,
}

pub(super) fn groups(seats: &[SeatPrice]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for seat in seats {
        let mut known = groups.iter_mut();
        match known
            .find(|group| group.category == seat.category && group.ticket_type == seat.ticket_type)
        {
            Some(group) => group.quantity += 1,
            None => groups.push(Group {
                category: seat.category.clone(),
                ticket_type: seat.ticket_type.clone(),
                price: seat.price.amount,
                quantity: 1,
            }),
        }
    }
    groups
}

/// Returns the ticket lines of seats, without fees and taxes.
pub(in crate::inventory) fn ticket_lines(
    seats: &[SeatPrice],
    name: impl Fn(&str) -> String,
) -> Vec<ChargeLine> {
    let line = |group: Group| ChargeLine {
        category: Some(group.category.clone()),
        ticket_type: group.ticket_type.clone(),
        quantity: group.quantity,
        ..ChargeLine::of(LineKind::Ticket, &name(&group.category), group.price)
    };
    groups(seats).into_iter().map(line).collect()
}

/// Gives seats of a hold the prices that its lines say they were held for.
pub(in crate::inventory) fn set_prices(lines: &Lines, seats: &mut [SeatPrice]) {
    let Some(lines) = lines else { return };
    for seat in seats {
        let mut lines = lines.iter();
        let own = lines.find(|line| {
            line.kind == LineKind::Ticket && line.category.as_ref() == Some(&seat.category)
        });
        if let Some(line) = own {
            seat.price.amount = line.unit;
            seat.ticket_type.clone_from(&line.ticket_type);
        }
    }
}

/// Returns the sum of the lines that are not contained in others.
pub(in crate::inventory) fn total(lines: &[ChargeLine]) -> i64 {
    let added = lines.iter().filter(|line| !line.included);
    added.map(ChargeLine::amount).sum()
}

/// Returns what a seat costs with all that its ticket bears.
pub(in crate::inventory) fn seat_total(lines: &Lines, seat: &SeatPrice) -> i64 {
    let Some(lines) = lines else {
        return seat.price.amount;
    };
    let own = lines.iter();
    let own = own.filter(|line| !line.included && line.is_for(seat));
    own.map(|line| line.unit).sum()
}

/// Returns the fees and taxes that are not refunded with an order.
pub(in crate::inventory) fn kept(lines: &Lines) -> i64 {
    let kept = lines.iter().flat_map(|lines| lines.iter());
    kept.filter(|line| line.kept).map(ChargeLine::amount).sum()
}

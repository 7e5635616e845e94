//! Commands on refunds: of a whole order, or of some of its seats.

use super::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::records::{OrderRow, OrderState, RefundRow};
use shared::crypto::random_id;

impl UnitOfWork<'_> {
    /// Begins the refund of these seats, or of all that the order still has.
    pub(in crate::inventory) fn begin_refund(
        &mut self,
        id: &str,
        seats: Option<&[String]>,
    ) -> Result<PaymentRef, Refused> {
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        if order.state != OrderState::Confirmed {
            return Err(Refused::OrderState(order.state.as_str().to_owned()));
        }
        if order.payment().is_left_alone() {
            return Err(Refused::InReview);
        }
        let paid = order.payment().id.clone();
        // For which seats the money went back is not known.
        if seats.is_some() && order.payment().charged_back() > 0 {
            return Err(Refused::InReview);
        }
        let part = match seats {
            Some(seats) => self.part(order, seats)?,
            None => None,
        };
        let is_whole = part.is_none();
        let part = part.or_else(|| self.all_but_kept(order));
        if self.advance(id, &paid, PaymentEvent::RefundBegun).is_none() {
            return Err(Refused::PaymentRunning);
        }
        if let Some(part) = part {
            self.change_payment(id, &paid, |row| row.refunds.push(part));
        }
        if is_whole {
            self.set_order(id, OrderState::Refunding, None);
        }
        let row = self.payment_row(id, &paid).ok_or(Refused::NoSuchPayment)?;
        Ok(self.payment_ref(id, row))
    }

    /// Returns the refund of all that an order still has, if fees of it are kept: none are once the
    /// show was cancelled.
    fn all_but_kept(&self, order: &OrderRow) -> Option<RefundRow> {
        let paid = order.payment();
        let kept = self.event_state.kept(&order.lines);
        let amount = (paid.left() - kept).max(0);
        let tickets = order.tickets.iter();
        (kept > 0).then(|| RefundRow {
            id: random_id("ref_"),
            seats: tickets.map(|ticket| ticket.seat).collect(),
            amount,
            is_done: false,
            differences: Vec::new(),
        })
    }

    /// Returns the refund of some seats, each with the fees and taxes of its ticket; `None` if they
    /// are all that the order still has.
    pub(super) fn part(
        &self,
        order: &OrderRow,
        seats: &[String],
    ) -> Result<Option<RefundRow>, Refused> {
        let plan = self.plan()?;
        let given_back: Vec<u32> = order.payment().seats_given_back().collect();
        let has = |seat: u32| {
            let mut tickets = order.tickets.iter();
            tickets.any(|ticket| ticket.seat == seat) && !given_back.contains(&seat)
        };
        let mut part = RefundRow {
            id: random_id("ref_"),
            seats: Vec::new(),
            amount: 0,
            is_done: false,
            differences: Vec::new(),
        };
        let mut unknown = Vec::new();
        for id in seats {
            let priced = order.seats.iter().find(|priced| *priced.id == **id);
            let place = plan.layout.find(id).filter(|place| has(*place));
            match (priced, place) {
                (Some(_), Some(place)) if part.seats.contains(&place) => {}
                (Some(priced), Some(place)) => {
                    part.seats.push(place);
                    part.amount += order.worth(priced);
                }
                _ => unknown.push(id.clone()),
            }
        }
        if !unknown.is_empty() {
            return Err(Refused::UnknownSeats(unknown));
        }
        if part.seats.is_empty() {
            let why = "at least one seat of the order".to_owned();
            return Err(Refused::Invalid(vec![("seats".to_owned(), why)]));
        }
        // Some of their money may have gone back already, at the provider itself.
        let paid = order.payment();
        let left = paid.left() - self.event_state.kept(&order.lines);
        part.amount = part.amount.min(left.max(0));
        let has_ticket = |seat: &&u32| order.tickets.iter().any(|ticket| ticket.seat == **seat);
        let left = order.tickets.len() - given_back.iter().filter(has_ticket).count();
        Ok((part.seats.len() < left).then_some(part))
    }

    /// Records that the money was given back, and frees its seats.
    pub(in crate::inventory) fn refunded(
        &mut self,
        payment: &PaymentRef,
    ) -> Result<Order, Refused> {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        // An answer about an earlier refund changes nothing.
        let is_open = row.open_refund().is_some_and(|open| {
            payment
                .refund
                .as_ref()
                .is_none_or(|asked| asked.id == open.id)
        });
        if !is_open {
            return Ok(self.show(id));
        }
        // The provider made it after all.
        if row.review.is_some() {
            self.change_payment(id, &payment.id, |row| row.review = None);
        }
        let order = self.records.order(id).ok_or(Refused::NoSuchPayment)?;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        match row.refunds.iter().find(|refund| !refund.is_done).cloned() {
            Some(part) => self.refunded_in_part(payment, &part),
            None => {
                // An earlier attempt's money may go back while the order stays as it is.
                let is_of_order =
                    order.state == OrderState::Refunding && order.payment().id == payment.id;
                let rest = row.left();
                self.advance(id, &payment.id, PaymentEvent::Refunded);
                self.change_payment(id, &payment.id, |row| {
                    row.refunded += rest;
                    row.end_disputes();
                });
                self.credit_rest(id, &payment.id, rest);
                if is_of_order {
                    self.refunded_whole(id);
                }
            }
        }
        Ok(self.show(id))
    }

    fn refunded_in_part(&mut self, payment: &PaymentRef, part: &RefundRow) {
        let id = &payment.order;
        self.advance(id, &payment.id, PaymentEvent::RefundedInPart);
        self.change_payment(id, &payment.id, |row| {
            row.refunded += part.amount;
            let mut refunds = row.refunds.iter_mut();
            if let Some(refund) = refunds.find(|refund| refund.id == part.id) {
                refund.is_done = true;
            }
        });
        if part.differences.is_empty() {
            self.credit(id, &payment.id, &part.seats, part.amount);
        } else {
            self.credit_differences(id, &payment.id, part);
        }
        if self.order_row(id).state == OrderState::Refunding {
            return self.refunded_whole(id);
        }
        self.void_tickets(id, &part.seats);
    }

    /// Issues the credit note for the rest of an order's money, for the seats that it still has.
    pub(super) fn credit_rest(&mut self, id: &str, payment: &str, amount: i64) {
        let tickets = self.order_row(id).tickets.iter();
        let seats: Vec<u32> = tickets.map(|ticket| ticket.seat).collect();
        self.credit(id, payment, &seats, amount);
    }

    pub(super) fn refunded_whole(&mut self, id: &str) {
        self.set_order(id, OrderState::Refunded, None);
        let tickets = std::mem::take(&mut self.order_row(id).tickets);
        let seats: Vec<u32> = tickets.iter().map(|ticket| ticket.seat).collect();
        self.void(id, tickets);
        // Money for seats that were gone goes back without seats.
        if !seats.is_empty() {
            let hold = self.order_row(id).hold.clone();
            self.free_seats(&hold, SeatState::Booked, seats);
            self.set_hold(&hold, HoldState::Released, None);
        }
    }
}

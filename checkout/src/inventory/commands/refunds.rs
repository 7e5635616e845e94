//! Commands on refunds: of a whole order, or of some of its seats.

use super::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::records::{OrderRow, OrderState, RefundRow};

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
        let row = order.payment();
        let paid = row.id.clone();
        // For which seats the money went back is not known, or how much of it there is.
        let is_unclear = seats.is_some() && row.charged_back() > 0;
        if is_unclear || row.charged_back_elsewise().is_some() {
            return Err(Refused::InReview);
        }
        let part = match seats {
            Some(seats) => self.part(order, seats)?,
            None => None,
        };
        let is_whole = part.is_none();
        let part = part.or_else(|| self.all_but_kept(order));
        if row.state.after(PaymentEvent::RefundBegun).is_none() {
            return Err(Refused::PaymentRunning);
        }
        if let Some(part) = part {
            self.change_payment(id, &paid, |row| row.refunds.push(part));
        }
        self.advance(id, &paid, PaymentEvent::RefundBegun);
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
            seats: tickets.map(|ticket| ticket.seat).collect(),
            ..paid.new_refund(amount)
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
        let mut part = order.payment().new_refund(0);
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
        let is_asked = |open: &RefundRef| {
            let asked = payment.refund.as_ref();
            asked.is_none_or(|asked| asked.id == open.id)
        };
        let Some(open) = row.open_refund().filter(is_asked) else {
            return Ok(self.show(id));
        };
        let part = row
            .refunds
            .iter()
            .find(|refund| !refund.is_done && !refund.is_rest);
        let part = part.cloned();
        // The provider made it after all. A dispute is looked at still.
        let review = row.review.as_ref();
        if review.is_some_and(|review| review.reason != ReviewReason::Disputed) {
            self.change_payment(id, &payment.id, |row| row.review = None);
        }
        match part {
            Some(part) => self.refunded_in_part(payment, &part),
            None => self.refunded_all(payment, open.amount),
        }
        let row = self.payment_row(id, &payment.id);
        if open.is_overtaken && row.is_some_and(|row| row.review.is_none()) {
            self.review_dispute(id, &payment.id);
        }
        Ok(self.show(id))
    }

    /// Replaces a refund that the provider has not made, and that money was charged back for since: one
    /// of the order by one of what is left now. For which seats the money went back is not known, so
    /// that one of some of them ends, and a person has to look.
    pub(in crate::inventory) fn replace_overtaken(
        &mut self,
        payment: &PaymentRef,
    ) -> Result<Order, Refused> {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        let asked = payment.refund.as_ref().map(|refund| &refund.id);
        let open = row.open_refund();
        let is_asked = open.is_some_and(|open| open.is_overtaken && Some(&open.id) == asked);
        if !is_asked || row.is_left_alone() {
            return Ok(self.show(id));
        }
        let order = self.records.order(id).ok_or(Refused::NoSuchPayment)?;
        let is_of_order = order.payment().id == payment.id && order.state == OrderState::Refunding;
        let is_rest = row.refunds.iter().any(|refund| refund.is_rest);
        if !is_of_order && !is_rest {
            self.keep_money(id, &payment.id);
            self.review_dispute(id, &payment.id);
            return Ok(self.show(id));
        }
        let anew = self.all_but_kept(order).filter(|_| is_of_order);
        let anew = anew.unwrap_or_else(|| row.new_rest());
        self.change_payment(id, &payment.id, |row| {
            row.refunds.retain(|refund| refund.is_done);
            row.refunds.push(anew);
        });
        Ok(self.show(id))
    }

    /// Everything that was left of a payment was given back.
    fn refunded_all(&mut self, payment: &PaymentRef, rest: i64) {
        let id = &payment.order;
        let order = self.order_row(id);
        // An earlier attempt's money may go back while the order stays as it is.
        let is_of_order = order.state == OrderState::Refunding && order.payment().id == payment.id;
        self.advance(id, &payment.id, PaymentEvent::Refunded);
        self.change_payment(id, &payment.id, |row| {
            row.refunded += rest;
            row.end_disputes(0);
        });
        self.credit_rest(id, &payment.id, rest);
        if is_of_order {
            self.refunded_whole(id);
        }
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
        let order = self.records.order(id);
        if let Some(order) = order.filter(|order| order.state == OrderState::Refunding) {
            let kept = self.event_state.kept(&order.lines);
            self.change_payment(id, &payment.id, |row| row.end_disputes(kept));
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

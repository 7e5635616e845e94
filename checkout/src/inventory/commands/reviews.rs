//! Commands on payments that need a look, and on money that was refunded at the provider itself.

use super::UnitOfWork;
use crate::inventory::event_state::EventState;
use crate::inventory::model::*;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::records::{OrderRow, OrderState, PaymentRow, RefundRow, TicketRow};
use crate::inventory::reviewing::{Settling, SettlingOutside};

/// Returns how a payment may be settled through its provider.
pub(in crate::inventory) fn settlements(
    event_state: &EventState,
    order: &OrderRow,
    row: &PaymentRow,
) -> Vec<Settlement> {
    let Some(review) = &row.review else {
        return Vec::new();
    };
    // How much of its money is left is not known here: it is settled outside.
    if row.charged_back_elsewise().is_some() {
        return Vec::new();
    }
    let is_latest = order.payment().id == row.id;
    match row.state {
        PaymentState::Captured | PaymentState::Refunded
            if review.reason == ReviewReason::Disputed =>
        {
            let has_tickets = is_latest && order.state == OrderState::Confirmed;
            let all = [Settlement::Keep, Settlement::TakeBackSeats];
            all.into_iter().take(1 + usize::from(has_tickets)).collect()
        }
        PaymentState::Captured if review.reason == ReviewReason::RefundedElsewhere => {
            vec![Settlement::Keep, Settlement::TakeBackSeats]
        }
        PaymentState::Captured if is_latest && order.state == OrderState::Confirmed => {
            vec![Settlement::AskAgain, Settlement::Keep, Settlement::GiveBack]
        }
        PaymentState::Captured => vec![Settlement::AskAgain, Settlement::Keep],
        // The tickets are there still, and of use unless the show was cancelled.
        PaymentState::Refunding
            if is_latest && !order.tickets.is_empty() && !event_state.is_cancelled() =>
        {
            vec![Settlement::AskAgain, Settlement::Keep]
        }
        PaymentState::Created
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Authorised
        | PaymentState::Capturing => vec![Settlement::AskAgain, Settlement::GiveBack],
        _ => vec![Settlement::AskAgain],
    }
}

/// Returns how a payment may be settled outside of its provider.
pub(in crate::inventory) fn outside(order: &OrderRow, row: &PaymentRow) -> Vec<OutsideOutcome> {
    // Money that was paid outside is given back there, too.
    let was_paid = row.outside.is_some() && row.state == PaymentState::Captured;
    if was_paid {
        return vec![OutsideOutcome::Returned];
    }
    if row.review.is_none() {
        return Vec::new();
    }
    let is_latest = order.payment().id == row.id;
    let can_be_paid = match row.state {
        PaymentState::Created
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Authorised
        | PaymentState::Capturing => is_latest && order.state == OrderState::NeedsReview,
        PaymentState::Captured => is_latest && order.state == OrderState::Confirmed,
        _ => false,
    };
    let both = [OutsideOutcome::Paid, OutsideOutcome::Returned];
    let skipped = usize::from(!can_be_paid);
    both.into_iter().skip(skipped).collect()
}

impl UnitOfWork<'_> {
    /// Settles a payment that needs a look, through its provider.
    pub(in crate::inventory) fn settle_review(
        &mut self,
        settling: &Settling,
    ) -> Result<Settled, Refused> {
        let Settling {
            order: id,
            payment,
            how,
            seats,
        } = settling;
        let how = *how;
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        let row = self.payment_row(id, payment);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        if !settlements(self.event_state, order, row).contains(&how) {
            return Err(Refused::CannotSettle);
        }
        let reason = row
            .review
            .as_ref()
            .map_or(ReviewReason::Unclear, |review| review.reason);
        let now = self.now;
        self.change_payment(id, payment, |row| {
            row.review = None;
            row.next_at = row.provider.moves_money().then_some(now);
        });
        self.resume(id);
        match how {
            Settlement::AskAgain => {}
            Settlement::Keep => self.keep_money(id, payment),
            Settlement::GiveBack => self.give_up(id, payment),
            Settlement::TakeBackSeats if reason == ReviewReason::Disputed => {
                self.take_back_disputed(id, payment, seats)?;
            }
            Settlement::TakeBackSeats => self.take_back(id, payment, seats)?,
        }
        self.review_dispute_after(id, payment, reason);
        let row = self.payment_row(id, payment);
        let next = row.map(|row| DuePayment {
            payment: self.payment_ref(id, row),
            state: row.state,
        });
        // How it is at the provider is asked only where that is what was wanted.
        let next = next.filter(|next| how == Settlement::AskAgain || next.state.is_ours());
        Ok(Settled {
            order: self.show(id),
            next,
        })
    }

    /// Has an order whose payment needed a look go on where it was.
    fn resume(&mut self, id: &str) {
        let order = self.order_row(id);
        if order.state != OrderState::NeedsReview || order.payment().review.is_some() {
            return;
        }
        let state = match order.payment().state {
            PaymentState::Created | PaymentState::RequiresAction => OrderState::Paying,
            _ => OrderState::Confirming,
        };
        self.set_order(id, state, None);
    }

    /// Withdraws the refund that is open, if one is: its tickets are valid again.
    pub(super) fn keep_money(&mut self, id: &str, payment: &str) {
        let event = PaymentEvent::RefundWithdrawn;
        if self.advance(id, payment, event).is_none() {
            return;
        }
        self.change_payment(id, payment, |row| {
            row.refunds.retain(|refund| refund.is_done)
        });
        if self.order_row(id).state == OrderState::Refunding {
            self.set_order(id, OrderState::Confirmed, None);
        }
    }

    /// Lets a payment go that is not captured, or begins to refund one that is.
    fn give_up(&mut self, id: &str, payment: &str) {
        let state = self.payment_row(id, payment).map(|row| row.state);
        match state {
            Some(PaymentState::Captured) => {
                self.advance(id, payment, PaymentEvent::RefundBegun);
                return self.set_order(id, OrderState::Refunding, None);
            }
            Some(PaymentState::Capturing) => self.unbook(id),
            _ => {}
        }
        let to = self.advance(id, payment, PaymentEvent::GivenUp);
        // No provider knows of it.
        if to == Some(PaymentState::Failed) {
            self.cancel(id, payment);
        }
    }

    /// Ends an order whose seats are held for this payment, and frees them.
    fn cancel(&mut self, id: &str, payment: &str) {
        let order = self.order_row(id);
        if !order.state.is_open() || order.payment().id != payment {
            return;
        }
        let hold = order.hold.clone();
        self.set_order(id, OrderState::Cancelled, None);
        self.end_hold(&hold, HoldState::Released);
    }

    /// Takes tickets back whose money was refunded at the provider itself.
    fn take_back(&mut self, id: &str, payment: &str, seats: &[String]) -> Result<(), Refused> {
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        let Some(part) = self.part(order, seats)? else {
            let why = "one seat at least stays: refund the whole order instead".to_owned();
            return Err(Refused::Invalid(vec![("seats".to_owned(), why)]));
        };
        self.change_payment(id, payment, |row| {
            let mut refunds = row.refunds.iter_mut().rev();
            if let Some(refund) =
                refunds.find(|refund| refund.seats.is_empty() && refund.differences.is_empty())
            {
                refund.seats.clone_from(&part.seats);
            }
        });
        self.void_tickets(id, &part.seats);
        Ok(())
    }

    /// Makes tickets of a booked order void, and frees their seats.
    pub(super) fn void_tickets(&mut self, id: &str, seats: &[u32]) {
        let order = self.order_row(id);
        let hold = order.hold.clone();
        let is_void = |ticket: &mut TicketRow| seats.contains(&ticket.seat);
        let tickets: Vec<TicketRow> = order.tickets.extract_if(.., is_void).collect();
        self.void(id, tickets);
        self.free_seats(&hold, SeatState::Booked, seats.to_vec());
    }

    /// Settles a payment outside of its provider, which is not asked about it any more.
    pub(in crate::inventory) fn settle_outside(
        &mut self,
        settling: &SettlingOutside,
    ) -> Result<Order, Refused> {
        let SettlingOutside {
            order: id,
            payment,
            outcome,
            note,
        } = settling;
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        let row = self.payment_row(id, payment);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        if !outside(order, row).contains(outcome) {
            return Err(Refused::CannotSettle);
        }
        let state = row.state;
        self.change_payment(id, payment, |row| row.review = None);
        self.resume(id);
        match outcome {
            OutsideOutcome::Paid => self.count_as_paid(id, payment, state)?,
            OutsideOutcome::Returned => self.count_as_returned(id, payment, state)?,
        }
        let now = self.now;
        self.change_payment(id, payment, |row| {
            row.outside = Some(note.clone());
            row.next_at = None;
            row.note(now, Some(note.clone()));
        });
        Ok(self.show(id))
    }

    fn count_as_paid(
        &mut self,
        id: &str,
        payment: &str,
        state: PaymentState,
    ) -> Result<(), Refused> {
        if state == PaymentState::Captured {
            return Ok(());
        }
        if state != PaymentState::Capturing && !self.book(id) {
            return Err(Refused::CannotSettle);
        }
        self.advance(id, payment, PaymentEvent::Captured);
        self.confirm(id);
        Ok(())
    }

    fn count_as_returned(
        &mut self,
        id: &str,
        payment: &str,
        state: PaymentState,
    ) -> Result<(), Refused> {
        match state {
            PaymentState::Captured | PaymentState::Refunding => {
                self.advance(id, payment, PaymentEvent::RefundBegun);
                let is_sold = self.order_row(id).state == OrderState::Confirmed;
                if state == PaymentState::Captured && is_sold {
                    self.set_order(id, OrderState::Refunding, None);
                }
                let row = self.payment_row(id, payment);
                let row = row.ok_or(Refused::NoSuchPayment)?;
                let refund = self.payment_ref(id, row);
                self.refunded(&refund)?;
            }
            PaymentState::Capturing => {
                self.advance(id, payment, PaymentEvent::Voided);
                let order = self.order_row(id);
                let hold = order.hold.clone();
                let seats: Vec<u32> = order.tickets.iter().map(|ticket| ticket.seat).collect();
                self.void_tickets(id, &seats);
                self.set_hold(&hold, HoldState::Released, None);
                self.set_order(id, OrderState::Cancelled, None);
            }
            PaymentState::Created => self.give_up(id, payment),
            _ => {
                self.advance(id, payment, PaymentEvent::Voided);
                self.cancel(id, payment);
            }
        }
        Ok(())
    }

    /// Records what was refunded at the provider itself: `theirs` is the sum of what was given back
    /// there. Returns what is new of it, in minor units; `None` if that is not clear while a refund of
    /// ours is under way.
    pub(in crate::inventory) fn refunded_elsewhere(
        &mut self,
        payment: &PaymentRef,
        theirs: i64,
    ) -> Result<Option<i64>, Refused> {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        let more = theirs.min(row.amount.amount) - row.refunded;
        let is_known = row.review.as_ref().is_none_or(|review| {
            // Another one before it was looked at.
            review.reason == ReviewReason::RefundedElsewhere
        });
        match row.state {
            _ if row.outside.is_some() || more <= 0 => return Ok(Some(0)),
            PaymentState::Refunding => {
                let open = row.open_refund().map_or(0, |refund| refund.amount);
                return Ok((more == open).then_some(0));
            }
            PaymentState::Captured if is_known => {}
            PaymentState::Captured => return Ok(None),
            _ => return Ok(Some(0)),
        }
        let is_whole = row.refunded + more == row.amount.amount;
        let note = Some(format!("{more} was refunded at the provider itself"));
        self.advance_noted(id, &payment.id, PaymentEvent::RefundBegun, note);
        if is_whole {
            self.refunded_whole_elsewhere(payment);
        } else {
            self.refunded_part_elsewhere(payment, more);
        }
        Ok(Some(more))
    }

    fn refunded_whole_elsewhere(&mut self, payment: &PaymentRef) {
        let id = &payment.order;
        self.advance(id, &payment.id, PaymentEvent::Refunded);
        let mut rest = 0;
        self.change_payment(id, &payment.id, |row| {
            rest = row.amount.amount - row.refunded;
            row.refunded = row.amount.amount;
            row.end_disputes(0);
            row.review = None;
        });
        self.credit_rest(id, &payment.id, rest);
        let order = self.order_row(id);
        if order.state == OrderState::Confirmed && order.payment().id == payment.id {
            self.refunded_whole(id);
        }
    }

    /// For which seats it was is for the organiser to say.
    fn refunded_part_elsewhere(&mut self, payment: &PaymentRef, amount: i64) {
        let id = &payment.order;
        self.advance(id, &payment.id, PaymentEvent::RefundedInPart);
        self.change_payment(id, &payment.id, |row| {
            row.refunded += amount;
            row.refunds.push(RefundRow {
                is_done: true,
                ..row.new_refund(amount)
            });
        });
        self.credit(id, &payment.id, &[], amount);
        let currency = payment.amount.currency;
        let why = format!("{amount} {currency:?} in minor units; its tickets are valid still");
        self.review(id, &payment.id, ReviewReason::RefundedElsewhere, why);
    }
}

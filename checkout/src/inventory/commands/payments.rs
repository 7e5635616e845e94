//! Commands on payments and refunds: marks, verdicts of the provider, and their effect on the
//! seats.

use super::UnitOfWork;
use super::orders::PaymentStep;
use crate::inventory::model::*;
use crate::inventory::records::{
    Key, Mark, NEVER, NewTicket, OrderRow, OrderState, Owner, PaymentRow, PaymentState, SeatChange,
    TicketRow,
};
use shared::crypto::random_id;
use shared::http::idempotency::Attempt;

/// Largest number of attempts to pay an order, so that lists of stolen cards cannot be tried on it.
const ATTEMPTS_PER_ORDER_MAX: i32 = 20;
/// Largest number of attempts of a visitor that were declined, whatever the order: an order can be
/// given up for another.
pub const ATTEMPTS_PER_VISITOR_MAX: u32 = 40;

impl UnitOfWork<'_> {
    pub(in crate::inventory) fn begin_payment(
        &mut self,
        key: &Key,
        payment: &str,
        attempt: Option<&Attempt>,
        declines_max: u32,
    ) -> Result<Begun, Refused> {
        if let Some(mark) = self.answered::<Mark>(attempt)? {
            return self.end_attempt(&mark, attempt);
        }
        if let Some(order) = self.answered_order(attempt)? {
            return Ok(Begun::Replayed(Box::new(order)));
        }
        self.session(key)?;
        let of = |order: &&OrderRow| order.payments.iter().any(|row| row.id == payment);
        let order = self.records.orders.iter().find(of);
        let order = order.ok_or(Refused::NoSuchPayment)?;
        // A declined attempt is over; a payment under its old id means the attempt that is open
        // now.
        let open = order.payment();
        match (order.state, open.state) {
            (OrderState::Paying | OrderState::Declined, PaymentState::Created) => {}
            (OrderState::Paying | OrderState::Confirming, PaymentState::Processing) => {
                return Err(Refused::PaymentRunning);
            }
            (state, _) => return Err(Refused::OrderState(state.as_str().to_owned())),
        }
        if open.attempt > ATTEMPTS_PER_ORDER_MAX {
            return Err(Refused::TooManyAttempts(ATTEMPTS_PER_ORDER_MAX as u32));
        }
        let declines = self.declines();
        if declines >= declines_max {
            return Err(Refused::TooManyDeclines(declines_max));
        }
        let asked = PaymentRef {
            event: self.event_state.event.clone(),
            order: order.id.clone(),
            id: open.id.clone(),
            amount: order.total,
            promised_at: None,
        };
        let step = PaymentStep {
            begun_at: Some(self.now),
            ..PaymentStep::new(PaymentState::Created, PaymentState::Processing)
        };
        self.set_payment(&asked.order, &asked.id, step);
        self.set_order(&asked.order, OrderState::Paying, None);
        if declines > 0 {
            // Refuses a node that does not know of the declines of other orders.
            let sequence = self.records.take_sequence();
            self.changes.sequences.push(sequence);
        }
        let mark = Mark {
            order: asked.order.clone(),
            payment: asked.id.clone(),
        };
        self.keep(attempt, &mark, true);
        Ok(Begun::Ask(asked))
    }

    /// Returns how many attempts of the visitor were declined, or may yet be.
    fn declines(&self) -> u32 {
        let payments = self.records.orders.iter().flat_map(|order| &order.payments);
        let counts = |row: &&PaymentRow| match row.state {
            PaymentState::Failed => row.begun_at.is_some(),
            state => state == PaymentState::Processing,
        };
        u32::try_from(payments.filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// Answers an attempt that was marked as running with the order, if its payment was settled
    /// meanwhile.
    fn end_attempt(&mut self, mark: &Mark, attempt: Option<&Attempt>) -> Result<Begun, Refused> {
        let order = self.records.order(&mark.order);
        let order = order.ok_or(Refused::NoSuchPayment)?;
        // An attempt that the provider decides later was answered with that promise.
        let is_running = order.payments.iter().any(|row| {
            row.id == mark.payment
                && row.state == PaymentState::Processing
                && row.settles_at.is_none()
        });
        if is_running {
            return Err(Refused::StillRunning);
        }
        let order = self.show(&mark.order);
        self.keep_order(attempt, &order, false);
        Ok(Begun::Replayed(Box::new(order)))
    }

    pub(in crate::inventory) fn settle(
        &mut self,
        payment: &PaymentRef,
        verdict: &Verdict,
        attempt: Option<&Attempt>,
    ) -> Result<Order, Refused> {
        let order = self.records.order(&payment.order);
        let order = order.ok_or(Refused::NoSuchPayment)?;
        let state = order.state;
        let id = &payment.order;
        let was = PaymentState::Processing;
        match verdict {
            Verdict::Captured => {
                // A verdict that arrives twice counts once.
                let step = PaymentStep::new(was, PaymentState::Captured);
                if self.set_payment(id, &payment.id, step) {
                    self.money_is_ours(payment);
                } else {
                    self.give_back_stray(payment);
                }
            }
            Verdict::Declined(reason) => {
                // The money may have been promised since the provider was asked for this: then the
                // promise counts.
                let mut payments = order.payments.iter();
                let is_known = payments
                    .any(|row| row.id == payment.id && row.settles_at == payment.promised_at);
                let step = PaymentStep::new(was, PaymentState::Failed);
                let is_over = is_known && self.set_payment(id, &payment.id, step);
                if is_over && matches!(state, OrderState::Paying | OrderState::Confirming) {
                    self.new_payment(id);
                    self.set_order(id, OrderState::Declined, Some(reason.clone()));
                }
            }
            Verdict::Pending(at) => {
                let step = PaymentStep {
                    settles_at: Some(*at),
                    ..PaymentStep::new(was, was)
                };
                let is_open = self.set_payment(id, &payment.id, step);
                if !is_open {
                    self.give_back_stray(payment);
                } else if state == OrderState::Paying {
                    self.set_order(id, OrderState::Confirming, None);
                }
            }
        }
        let order = self.show(id);
        self.keep_order(attempt, &order, false);
        Ok(order)
    }

    /// Refunds money that was or will be paid for a payment that counted as failed: the order went
    /// on without it, and may have been paid by another.
    fn give_back_stray(&mut self, payment: &PaymentRef) {
        let step = PaymentStep::new(PaymentState::Failed, PaymentState::Refunding);
        if self.set_payment(&payment.order, &payment.id, step) {
            tracing::warn!(
                order = payment.order,
                payment = payment.id,
                "money came for a payment that counted as failed; it goes back"
            );
        }
    }

    /// Books the seats of a captured payment, if they are still the buyer's, or free again and still
    /// wanted; otherwise refunds it.
    fn money_is_ours(&mut self, payment: &PaymentRef) {
        let id = &payment.order;
        if !self.book(id) {
            tracing::info!(
                order = id,
                "money came for seats that are gone or no longer wanted; it goes back"
            );
            let step = PaymentStep::new(PaymentState::Captured, PaymentState::Refunding);
            self.set_payment(id, &payment.id, step);
            return self.set_order(id, OrderState::Refunding, None);
        }
        self.set_order(id, OrderState::Confirmed, None);
        let session = self.order_row(id).session;
        self.close_session(&session);
    }

    /// Books the seats of an order, all or none: those that its own hold has, which only the owner
    /// can change, or free ones, which are taken as by any other fan.
    fn book(&mut self, id: &str) -> bool {
        let order = self
            .records
            .order(id)
            .expect("the order was just looked at");
        let (hold, is_held) = (order.hold.clone(), order.state.is_open());
        let plan = self.event_state.plan.as_ref();
        let seats = plan.and_then(|plan| plan.places(&order.seats));
        let (Some(seats), Some(plan)) = (seats, plan) else {
            return false;
        };
        let is_free = |seat: &u32| plan.states.seats[*seat as usize] == SeatState::Available;
        let may_book = is_held || seats.iter().all(is_free) && self.may_buy_late(order);
        if !may_book {
            return false;
        }
        let from = if is_held {
            Owner::hold(SeatState::Held, &hold)
        } else {
            Owner::none(SeatState::Available)
        };
        for seat in seats {
            self.give(SeatChange {
                seat,
                from: from.clone(),
                to: Owner::hold(SeatState::Booked, &hold),
                order: Some(id.to_owned()),
                lapses_at: NEVER,
            });
            let ticket = TicketRow {
                seat,
                id: random_id("tix_"),
            };
            self.order_row(id).tickets.push(ticket.clone());
            self.changes.new_tickets.push(NewTicket {
                order: id.to_owned(),
                ticket,
            });
        }
        self.order_row(id).tickets.sort_by_key(|ticket| ticket.seat);
        if !is_held {
            self.set_hold(&hold, HoldState::Converted, None);
            // The seats count again, so a hold that does not know of them must fail.
            let sequence = self.records.take_sequence();
            self.changes.sequences.push(sequence);
        }
        true
    }

    /// Returns whether an order that expired may be booked after all: within the limit of its
    /// visitor, and unless the visitor bought, or is about to buy, something else instead.
    fn may_buy_late(&self, order: &OrderRow) -> bool {
        let rules = &self.event_state.rules;
        let seats = order.seats.len() as u32;
        let is_instead = |other: &&OrderRow| {
            other.id != order.id
                && (other.state == OrderState::Confirmed || other.state.is_open())
                && (other.session == order.session || other.created_at >= order.created_at)
        };
        self.records.seats_owned() + seats <= rules.max_seats_per_visitor
            && !self.records.orders.iter().any(|other| is_instead(&other))
    }

    pub(in crate::inventory) fn begin_refund(&mut self, id: &str) -> Result<PaymentRef, Refused> {
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        let payment = PaymentRef {
            event: self.event_state.event.clone(),
            order: id.to_owned(),
            id: order.payment().id.clone(),
            amount: order.total,
            promised_at: order.payment().settles_at,
        };
        if order.state != OrderState::Confirmed {
            return Err(Refused::OrderState(order.state.as_str().to_owned()));
        }
        let step = PaymentStep::new(PaymentState::Captured, PaymentState::Refunding);
        self.set_payment(id, &payment.id, step);
        self.set_order(id, OrderState::Refunding, None);
        Ok(payment)
    }

    pub(in crate::inventory) fn refunded(
        &mut self,
        payment: &PaymentRef,
    ) -> Result<Order, Refused> {
        let id = &payment.order;
        let order = self.records.order(id).ok_or(Refused::NoSuchPayment)?;
        let hold = order.hold.clone();
        // An earlier attempt's money may go back while the order stays as it is.
        let is_of_order = order.state == OrderState::Refunding && order.payment().id == payment.id;
        let step = PaymentStep::new(PaymentState::Refunding, PaymentState::Refunded);
        if self.set_payment(id, &payment.id, step) && is_of_order {
            self.set_order(id, OrderState::Refunded, None);
            let tickets = std::mem::take(&mut self.order_row(id).tickets);
            let void = tickets.iter().map(|ticket| ticket.seat);
            self.changes.tickets_void.extend(void);
            // Money for seats that were gone goes back without seats.
            if !tickets.is_empty() {
                self.free(&hold, SeatState::Booked);
                self.set_hold(&hold, HoldState::Released, None);
            }
        }
        Ok(self.show(id))
    }
}

//! Steps of a payment by the table of its states, and the record of what changed.

use super::UnitOfWork;
use crate::inventory::engine::SILENCE_MS;
use crate::inventory::model::*;
use crate::inventory::payment_review::Review;
use crate::inventory::payment_state::{PaymentEvent, PaymentState};
use crate::inventory::records::{OrderState, PaymentChange, PaymentRow};
use shared::time::Time;

/// Time in which the node that begins a step asks the provider itself.
const OWN_STEP_MS: i64 = 5_000;

impl UnitOfWork<'_> {
    /// Takes a payment to the state after an event, and returns that; `None` if the event changes
    /// nothing.
    pub(super) fn advance(
        &mut self,
        order: &str,
        payment: &str,
        event: PaymentEvent,
    ) -> Option<PaymentState> {
        self.advance_noted(order, payment, event, None)
    }

    /// As `advance`, with a note for the payment's history.
    pub(super) fn advance_noted(
        &mut self,
        order: &str,
        payment: &str,
        event: PaymentEvent,
        note: Option<String>,
    ) -> Option<PaymentState> {
        let to = self.payment_row(order, payment)?.state.after(event)?;
        let now = self.now;
        self.change_payment(order, payment, |row| {
            row.enter(to);
            row.next_at = next_at(row, now);
            row.note(now, note);
        });
        Some(to)
    }

    /// Changes a payment.
    pub(super) fn change_payment(
        &mut self,
        order: &str,
        payment: &str,
        change: impl FnOnce(&mut PaymentRow),
    ) {
        let new = &self.changes.new_payments;
        let is_new = new.iter().any(|new| new.payment.id == payment);
        let changed = &self.changes.payments;
        let is_changed = changed.iter().any(|known| known.to.id == payment);
        let row = self.order_row(order);
        let mut payments = row.payments.iter_mut();
        let Some(row) = payments.find(|row| row.id == payment) else {
            return;
        };
        let before = row.clone();
        change(row);
        if !is_new && !is_changed {
            row.revision += 1;
        }
        let to = row.clone();
        // Changes of one payment are merged into one that starts from the original state.
        for new in &mut self.changes.new_payments {
            if new.payment.id == payment {
                new.payment = to.clone();
            }
        }
        for known in &mut self.changes.payments {
            if known.to.id == payment {
                known.to = to.clone();
            }
        }
        if !is_new && !is_changed {
            self.changes.payments.push(PaymentChange {
                order: order.to_owned(),
                from: before.state,
                promised_at: before.settles_at,
                revision: before.revision,
                refunded: before.refunded,
                disputes: before.disputes,
                to,
                invoice: None,
            });
        }
    }

    pub(in crate::inventory) fn payment_row(
        &self,
        order: &str,
        payment: &str,
    ) -> Option<&PaymentRow> {
        let payments = &self.records.order(order)?.payments;
        payments.iter().find(|row| row.id == payment)
    }

    /// Returns a payment as its provider is asked about it.
    pub(super) fn payment_ref(&self, order: &str, row: &PaymentRow) -> PaymentRef {
        let event = self.event_state.event.clone();
        row.as_ref(event, order.to_owned())
    }

    /// Returns a payment of which the checkout has the next step: this one, or the order's newest.
    pub(super) fn next_step(&self, order: &str, payment: &str) -> Option<DuePayment> {
        let newest = self.records.order(order)?.payments.last();
        let rows = self.payment_row(order, payment).into_iter().chain(newest);
        let mut ours = rows.filter(|row| {
            row.state.is_ours() && !row.is_left_alone() && row.provider.moves_money()
        });
        let row = ours.next()?;
        Some(DuePayment {
            payment: self.payment_ref(order, row),
            state: row.state,
        })
    }

    /// Marks that a person has to look at a payment. Seats of an order that is not paid yet stay
    /// frozen until then.
    pub(super) fn review(&mut self, order: &str, payment: &str, reason: ReviewReason, why: String) {
        tracing::error!(order, payment, why, "a payment needs a look");
        let since = self.now;
        self.change_payment(order, payment, |row| {
            row.note(since, Some(why.clone()));
            row.review = Some(Review {
                reason,
                detail: why,
                since,
            });
        });
        if self.order_row(order).state.is_open() {
            self.set_order(order, OrderState::NeedsReview, None);
        }
    }

    /// Adds a complaint about a payment that is left alone to its history, once.
    pub(super) fn note_complaint(&mut self, order: &str, payment: &str, why: &str) {
        let row = self.payment_row(order, payment);
        let mut history = row.iter().flat_map(|row| &row.history);
        if !history.any(|entry| entry.note.as_deref() == Some(why)) {
            let now = self.now;
            self.change_payment(order, payment, |row| row.note(now, Some(why.to_owned())));
        }
    }
}

/// Returns when the reconciler looks at a payment that has just come to a state. Those of providers
/// that move no money follow from when they began.
fn next_at(row: &PaymentRow, now: Time) -> Option<Time> {
    let ms = match row.state {
        _ if !row.provider.moves_money() => return None,
        PaymentState::RequiresAction | PaymentState::Processing => SILENCE_MS,
        PaymentState::Voiding => 0,
        _ => OWN_STEP_MS,
    };
    Some(Time(now.0 + ms))
}

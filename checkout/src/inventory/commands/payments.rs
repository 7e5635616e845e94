//! Commands on payments: marks, verdicts of the provider, and their effect on the seats.

use super::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::records::{Key, Mark, OrderRow, OrderState, PaymentRow};
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
        self.check_goes_on()?;
        let of = |order: &&OrderRow| order.payments.iter().any(|row| row.id == payment);
        let order = self.records.orders.iter().find(of);
        let order = order.ok_or(Refused::NoSuchPayment)?;
        // A declined attempt is over; a payment under its old id means the attempt that is open
        // now.
        let open = order.payment();
        match (order.state, open.state) {
            // A provider that moves money is told the card by the fan's browser.
            _ if open.provider != ProviderId::Simulated => return Err(Refused::NoSuchPayment),
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
        let asked = self.payment_ref(&order.id, open);
        let now = self.now;
        self.advance(&asked.order, &asked.id, PaymentEvent::Asked);
        self.change_payment(&asked.order, &asked.id, |row| row.begun_at = Some(now));
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

    /// Records that the provider knows a payment, and waits for the fan.
    pub(in crate::inventory) fn offered(
        &mut self,
        payment: &PaymentRef,
        offer: &Offer,
    ) -> Result<Settled, Refused> {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        if row.reference.is_none() {
            self.advance(id, &payment.id, PaymentEvent::Offered);
            let now = self.now;
            self.change_payment(id, &payment.id, |row| {
                row.reference = Some(offer.reference.clone());
                row.client_secret.clone_from(&offer.client_secret);
                row.begun_at = Some(now);
            });
        }
        Ok(Settled {
            order: self.show(id),
            next: self.next_step(id, &payment.id),
        })
    }

    /// Returns a payment of a session's visitor.
    pub(in crate::inventory) fn own_payment(
        &self,
        key: &Key,
        payment: &str,
    ) -> Result<PaymentRef, Refused> {
        self.session(key)?;
        let mut orders = self.records.orders.iter();
        let found = orders.find_map(|order| {
            let row = order.payments.iter().find(|row| row.id == payment)?;
            Some(self.payment_ref(&order.id, row))
        });
        found.ok_or(Refused::NoSuchPayment)
    }

    /// Returns a payment as it is in the books, if its provider means the same one.
    pub(in crate::inventory) fn find_payment(
        &self,
        payment: &PaymentRef,
    ) -> Result<PaymentRef, Refused> {
        let row = self.payment_row(&payment.order, &payment.id);
        let row = row.filter(|row| row.reference == payment.reference);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        Ok(self.payment_ref(&payment.order, row))
    }

    /// Records what the provider says about a payment.
    pub(in crate::inventory) fn settle(
        &mut self,
        payment: &PaymentRef,
        verdict: &Verdict,
        attempt: Option<&Attempt>,
    ) -> Result<Settled, Refused> {
        let order = self.records.order(&payment.order);
        order.ok_or(Refused::NoSuchPayment)?;
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let state = row.map_or(PaymentState::Created, |row| row.state);
        // While a person looks at it, nothing is done by itself.
        let is_left_alone = row.is_some_and(PaymentRow::is_left_alone);
        match verdict {
            Verdict::Contradiction(why) if is_left_alone => {
                self.note_complaint(id, &payment.id, why);
            }
            _ if is_left_alone => {}
            Verdict::RequiresAction => {
                self.advance(id, &payment.id, PaymentEvent::Offered);
            }
            Verdict::Processing => self.is_at_work(payment, None),
            Verdict::Pending(at) => self.is_at_work(payment, Some(*at)),
            Verdict::Authorised => self.authorised(payment),
            Verdict::Captured => self.captured(payment),
            Verdict::Declined(reason) => self.declined(payment, reason),
            Verdict::Voided => self.voided(payment),
            Verdict::OtherAmount(theirs) => {
                let ours = payment.amount;
                let why = format!(
                    "the provider has {} {:?} and the books {} {:?}, in minor units",
                    theirs.amount, theirs.currency, ours.amount, ours.currency
                );
                self.review(id, &payment.id, ReviewReason::OtherAmount, why);
            }
            Verdict::Contradiction(why) => {
                self.review(id, &payment.id, ReviewReason::of(state), why.clone());
            }
        }
        let order = self.show(id);
        self.keep_order(attempt, &order, false);
        Ok(Settled {
            order,
            next: self.next_step(id, &payment.id),
        })
    }

    /// The provider decides later, perhaps by a promised time.
    fn is_at_work(&mut self, payment: &PaymentRef, until: Option<shared::time::Time>) {
        let id = &payment.order;
        let Some(row) = self.payment_row(id, &payment.id) else {
            return;
        };
        let is_late = matches!(row.state, PaymentState::Failed | PaymentState::Voided);
        if is_late && until.is_some() {
            // It promises money for a payment that counted as failed.
            return self.give_back_stray(payment);
        }
        self.advance(id, &payment.id, PaymentEvent::Asked);
        let row = self.payment_row(id, &payment.id);
        if row.is_none_or(|row| row.state != PaymentState::Processing) {
            return;
        }
        let now = self.now;
        self.change_payment(id, &payment.id, |row| {
            row.settles_at = until.or(row.settles_at);
            row.begun_at = row.begun_at.or(Some(now));
        });
        if self.order_row(id).state == OrderState::Paying {
            self.set_order(id, OrderState::Confirming, None);
        }
    }

    /// The money is reserved: books the seats, so that it can be taken, or lets it go.
    fn authorised(&mut self, payment: &PaymentRef) {
        let id = &payment.order;
        let to = self.advance(id, &payment.id, PaymentEvent::Authorised);
        if to == Some(PaymentState::Voiding) {
            tracing::warn!(
                order = id,
                payment = payment.id,
                "a late authorisation is let go"
            );
        }
        if self.buys_late(id, &payment.id) {
            self.advance(id, &payment.id, PaymentEvent::Booked);
            return self.set_order(id, OrderState::Confirming, None);
        }
        // Also one that was recorded and not decided yet.
        let row = self.payment_row(id, &payment.id);
        if row.is_none_or(|row| row.state != PaymentState::Authorised) {
            return;
        }
        if self.book(id) {
            self.advance(id, &payment.id, PaymentEvent::Booked);
            return self.set_order(id, OrderState::Confirming, None);
        }
        tracing::info!(
            order = id,
            "money was reserved for seats that are gone; it is let go"
        );
        self.advance(id, &payment.id, PaymentEvent::GivenUp);
    }

    /// Books seats for money that was reserved though its order had expired, and whose payment is not
    /// cancelled yet, if it buys any by the policy of the event.
    fn buys_late(&mut self, id: &str, payment: &str) -> bool {
        let order = self.order_row(id);
        let (is_expired, latest) = (order.state == OrderState::Expired, order.payment());
        is_expired && latest.id == payment && latest.state == PaymentState::Voiding && self.book(id)
    }

    /// The money was taken: for seats that are booked, or to be booked now. Otherwise it goes back.
    fn captured(&mut self, payment: &PaymentRef) {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let is_booked = row.is_some_and(|row| row.state == PaymentState::Capturing);
        match self.advance(id, &payment.id, PaymentEvent::Captured) {
            Some(PaymentState::Captured) if is_booked => self.confirm(id),
            Some(PaymentState::Captured) => self.money_is_ours(payment),
            Some(PaymentState::Refunding) => {
                tracing::warn!(
                    order = id,
                    payment = payment.id,
                    "money came for a payment that was given up; it goes back"
                );
                let order = self.order_row(id);
                // It was being let go while its order was open.
                if order.state.is_open() && order.payment().id == payment.id {
                    let hold = order.hold.clone();
                    self.set_order(id, OrderState::Refunding, None);
                    self.end_hold(&hold, HoldState::Expired);
                }
            }
            // A verdict that arrives twice counts once.
            _ => {}
        }
    }

    fn declined(&mut self, payment: &PaymentRef, reason: &str) {
        let id = &payment.order;
        let Some(row) = self.payment_row(id, &payment.id) else {
            return;
        };
        // The money may have been promised since the provider was asked for this: then the promise
        // counts.
        if row.settles_at != payment.promised_at {
            return;
        }
        let (was_booked, provider) = (row.state == PaymentState::Capturing, row.provider);
        let note = Some(reason.to_owned());
        let to = self.advance_noted(id, &payment.id, PaymentEvent::Declined, note);
        if to == Some(PaymentState::Voided) {
            return self.let_go(id);
        }
        if to != Some(PaymentState::Failed) {
            return;
        }
        if was_booked {
            self.unbook(id);
        }
        // It may have been declined before, with another card.
        if self.order_row(id).state.is_open() {
            // A provider that is told the cards by browsers makes none beyond the limits.
            let is_over = self.order_row(id).payments.len() > ATTEMPTS_PER_ORDER_MAX as usize
                || self.declines() >= ATTEMPTS_PER_VISITOR_MAX;
            if !(provider.moves_money() && is_over) {
                self.new_payment(id, provider);
            }
            self.set_order(id, OrderState::Declined, Some(reason.to_owned()));
        }
    }

    fn voided(&mut self, payment: &PaymentRef) {
        let id = &payment.order;
        let Some(row) = self.payment_row(id, &payment.id) else {
            return;
        };
        match row.state {
            PaymentState::Voiding => {
                self.advance(id, &payment.id, PaymentEvent::Voided);
                self.let_go(id);
            }
            PaymentState::Captured | PaymentState::Refunding => {
                let why = "the provider says that it was cancelled".to_owned();
                self.review(id, &payment.id, ReviewReason::Cancelled, why);
            }
            // Cancelled there without us: the fan may pay anew.
            _ => self.declined(payment, "cancelled"),
        }
    }

    /// Ends an open order whose payment was cancelled at the provider.
    fn let_go(&mut self, id: &str) {
        let order = self.order_row(id);
        if !order.state.is_open() || order.payment().state != PaymentState::Voided {
            return;
        }
        let (hold, pay_by) = (order.hold.clone(), order.pay_by);
        self.end_order(id, &hold, pay_by);
    }

    /// Refunds money that is promised for a payment that counted as failed: the order went on
    /// without it, and may have been paid by another.
    fn give_back_stray(&mut self, payment: &PaymentRef) {
        let event = PaymentEvent::Captured;
        if self.advance(&payment.order, &payment.id, event).is_some() {
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
            self.advance(id, &payment.id, PaymentEvent::RefundBegun);
            return self.set_order(id, OrderState::Refunding, None);
        }
        self.confirm(id);
    }

    pub(super) fn confirm(&mut self, id: &str) {
        self.set_order(id, OrderState::Confirmed, None);
        self.invoice(id);
        let session = self.order_row(id).session;
        self.close_session(&session);
    }
}

//! The inventory's operations on payments and refunds.

use super::command::Subject;
use super::commands::{ATTEMPTS_PER_VISITOR_MAX, Target, UnitOfWork};
use super::model::*;
use super::records::OrderState;
use super::service::{Inventory, first};
use crate::instruments::{ORDER_SECONDS, ORDERS_CONFIRMED};
use shared::http::idempotency::Attempt;
use shared::ids::EventId;

impl Inventory {
    /// Marks a payment as requested from the provider. The provider is called only after this is
    /// committed.
    pub async fn begin_payment(
        &self,
        keys: SessionKeys,
        payment: &str,
        attempt: Option<Attempt>,
    ) -> Result<Begun, Refused> {
        let most = ATTEMPTS_PER_VISITOR_MAX;
        self.begin_payment_within(keys, payment, attempt, most)
            .await
    }

    /// As `begin_payment`, if fewer attempts of the visitor were declined than this.
    pub async fn begin_payment_within(
        &self,
        keys: SessionKeys,
        payment: &str,
        attempt: Option<Attempt>,
        declines_max: u32,
    ) -> Result<Begun, Refused> {
        first(keys, Refused::NoSuchPayment, |key| {
            let (payment, attempt) = (payment.to_owned(), attempt.clone());
            let subject =
                Subject::new(&key.event, Target::Session(key.hash)).once(attempt.as_ref());
            self.decide(subject, move |work| {
                work.begin_payment(&key.hash, &payment, attempt.as_ref(), declines_max)
            })
        })
        .await
    }

    /// Records that a provider knows a payment, and waits for the fan.
    pub async fn offered(&self, payment: &PaymentRef, offer: Offer) -> Result<Settled, Refused> {
        let payment = payment.clone();
        let subject = Subject::new(&payment.event, Target::Order(payment.order.clone()));
        self.decide(subject, move |work| work.offered(&payment, &offer))
            .await
    }

    /// Applies the provider's verdict. The order is then booked, declined or still waiting, or the
    /// money must be refunded. A decline that was asked for before the provider promised to decide
    /// later changes nothing.
    pub async fn settle(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused> {
        let settled = self.report(payment, verdict, attempt).await?;
        Ok(settled.order)
    }

    /// As `settle`, and returns the next step of the payment if the checkout has it.
    pub async fn report(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Settled, Refused> {
        // The answer is written over the mark of this same attempt, so that it need not be read.
        let reported = self.record_report(payment, move |work, payment| {
            Ok((work.settle(payment, &verdict, attempt.as_ref())?, ()))
        });
        let (settled, ()) = reported.await?;
        Ok(settled)
    }

    /// Applies what a provider tells of a payment, if the books mean the same one. Returns what is next,
    /// and the payment as it is in the books with what was told of it.
    pub async fn report_told(
        &self,
        told: &PaymentRef,
        verdict: Verdict,
        amount: Option<Money>,
    ) -> Result<(Settled, (PaymentRef, Verdict)), Refused> {
        self.record_report(told, move |work, told| {
            let payment = work.find_payment(told)?;
            let verdict = verdict.clone().on_amount(amount, payment.amount);
            let settled = work.settle(&payment, &verdict, None)?;
            Ok((settled, (payment, verdict)))
        })
        .await
    }

    async fn record_report<T: Send + 'static>(
        &self,
        payment: &PaymentRef,
        mut settle: impl FnMut(&mut UnitOfWork<'_>, &PaymentRef) -> Result<(Settled, T), Refused>
        + Send
        + 'static,
    ) -> Result<(Settled, T), Refused> {
        let payment = payment.clone();
        let subject = Subject::new(&payment.event, Target::Order(payment.order.clone()));
        let reported = self.decide(subject, move |work| {
            let reported = settle(work, &payment)?;
            let mut changes = work.changes.orders.iter();
            let is_new = changes.any(|change| change.to == OrderState::Confirmed);
            Ok((reported, is_new, work.now))
        });
        let (reported, is_new, now) = reported.await?;
        if is_new {
            ORDERS_CONFIRMED.inc();
            let waited_ms = now.0 - reported.0.order.created_at.0;
            ORDER_SECONDS.observe(waited_ms as f64 / 1000.0);
        }
        Ok(reported)
    }

    /// Marks a confirmed order as being refunded. The provider is called only after this is
    /// committed.
    pub async fn begin_refund(&self, event: &EventId, order: &str) -> Result<PaymentRef, Refused> {
        self.begin_refund_of(event, order, None).await
    }

    /// As `begin_refund`, of some of its seats; of all that the order still has if none are named.
    pub async fn begin_refund_of(
        &self,
        event: &EventId,
        order: &str,
        seats: Option<Vec<String>>,
    ) -> Result<PaymentRef, Refused> {
        let order = order.to_owned();
        let subject = Subject::new(event, Target::Order(order.clone()));
        self.decide(subject, move |work| {
            work.begin_refund(&order, seats.as_deref())
        })
        .await
    }

    /// As `begin_refund_of`, once: a repeated attempt begins no other. Returns the amount, the refund if
    /// it is on its way still, and the order as it is.
    pub async fn begin_refund_once(
        &self,
        event: &EventId,
        order: &str,
        seats: Option<Vec<String>>,
        attempt: Option<Attempt>,
    ) -> Result<(Once<i64>, Option<PaymentRef>, Order), Refused> {
        let order = order.to_owned();
        let subject = Subject::fresh(event, Target::Order(order.clone())).once(attempt.as_ref());
        self.decide(subject, move |work| {
            let amount = work.once(attempt.as_ref(), |work| {
                let begun = work.begin_refund(&order, seats.as_deref())?;
                Ok(begun.refund.map_or(0, |refund| refund.amount))
            })?;
            let row = work.records.order(&order).ok_or(Refused::NoSuchOrder)?;
            let shown = work.event_state.show(row);
            Ok((amount, work.open_refund_of(&order), shown))
        })
        .await
    }

    /// Returns the order of a payment.
    pub async fn show_paid(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        let order = payment.order.clone();
        let subject = Subject::fresh(&payment.event, Target::Order(order.clone()));
        self.decide(subject, move |work| {
            let row = work.records.order(&order).ok_or(Refused::NoSuchOrder)?;
            Ok(work.event_state.show(row))
        })
        .await
    }

    /// Returns a payment of a session among those of a request.
    pub async fn own_payment(
        &self,
        keys: SessionKeys,
        payment: &str,
    ) -> Result<PaymentRef, Refused> {
        first(keys, Refused::NoSuchPayment, |key| {
            let payment = payment.to_owned();
            let subject = Subject::fresh(&key.event, Target::Session(key.hash));
            self.decide(subject, move |work| work.own_payment(&key.hash, &payment))
        })
        .await
    }

    /// Returns a payment as it is in the books, if the provider means the same by it.
    pub async fn find_payment(&self, payment: &PaymentRef) -> Result<PaymentRef, Refused> {
        let payment = payment.clone();
        let subject = Subject::fresh(&payment.event, Target::Order(payment.order.clone()));
        self.decide(subject, move |work| work.find_payment(&payment))
            .await
    }

    /// Replaces a refund that the provider has not made, and that money was charged back for since.
    pub async fn replace_overtaken(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        let payment = payment.clone();
        let subject = Subject::fresh(&payment.event, Target::Order(payment.order.clone()));
        self.decide(subject, move |work| work.replace_overtaken(&payment))
            .await
    }

    /// Records that the money was refunded, and makes its seats available again.
    pub async fn refunded(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        let payment = payment.clone();
        let subject = Subject::new(&payment.event, Target::Order(payment.order.clone()));
        self.decide(subject, move |work| work.refunded(&payment))
            .await
    }
}

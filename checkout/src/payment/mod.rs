//! Payments: the provider is asked outside of every transaction, and its verdict is recorded in a
//! transaction of its own.

mod api;
mod compare;
pub(crate) mod declines;
pub(crate) mod inbox;
pub(crate) mod provider;
mod providers;
mod razorpay;
pub(crate) mod razorpay_return;
pub(crate) mod reconciler;
mod secrets;
pub(crate) mod simulated;
mod steps;
mod stripe;
pub(crate) mod unsettled;
pub(crate) mod webhook;

use crate::app::Shop;
use crate::instruments::PAYMENTS;
use crate::inventory::{Begun, Once, Order, PaymentRef, RefundRef, Refused, SessionKeys, Verdict};
use crate::mail;
use crate::relay;
use crate::webhooks;
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::group_commit::{ANSWER_SECONDS_MAX, Unavailable};
use shared::http::detached::carried;
use shared::http::idempotency::Attempt;
use shared::trace::Span;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

pub use compare::{ReconcileArgs, reconcile};
pub use provider::{Answer, Listed, ListedDispute, PaymentReport, Provider, Reservation, Told};
pub use providers::{PaymentArgs, Providers};
pub use razorpay::RazorpayArgs;
use steps::count;
pub use stripe::StripeArgs;
pub use unsettled::Unsettled;

/// Pause before a verdict that the inventory did not take is offered again; doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Time for which the store must have answered until other nodes have recorded the verdicts that
/// they hold: the longest pause, an attempt that failed before it, and one that did not.
const OTHERS_SETTLE: Duration = Duration::from_secs(5 + 2 * ANSWER_SECONDS_MAX);

/// A request to pay by card.
pub(crate) struct CardPayment {
    pub(crate) keys: SessionKeys,
    /// Id of the payment.
    pub(crate) payment: String,
    pub(crate) card: String,
    pub(crate) attempt: Option<Attempt>,
    /// Where it comes from, if that is known.
    pub(crate) address: Option<IpAddr>,
    /// Largest number of declined attempts that its visitor may have had.
    pub(crate) declines_max: u32,
}

impl Shop {
    /// Marks the payment, charges the provider and records the verdict. All of it runs in a task of
    /// its own, so that neither a browser that hangs up nor a store that is away for a while stops
    /// it half way: a request repeated with the same key is answered once it is done.
    pub(crate) async fn pay(self: &Arc<Shop>, asked: CardPayment) -> Result<Once<Order>, Refused> {
        let until = Instant::now() + Duration::from_secs(ANSWER_SECONDS_MAX);
        let place = self.unsettled.place().ok_or(Unavailable)?;
        let shop = self.clone();
        let paying = self.unsettled.tasks.spawn(carried(async move {
            let (attempt, most) = (asked.attempt, asked.declines_max);
            let inventory = &shop.inventory;
            let begun =
                inventory.begin_payment_within(asked.keys, &asked.payment, attempt.clone(), most);
            let payment = match begun.await? {
                Begun::Replayed(order) => {
                    return Ok(Once {
                        value: *order,
                        is_replayed: true,
                    });
                }
                Begun::Ask(payment) => payment,
            };
            let entered = shop.unsettled.enter(place, &payment.id);
            PAYMENTS.begun.inc();
            let asked_at = Instant::now();
            let span = Span::client("charge");
            let now = shop.inventory.now();
            let verdict = shop.providers.chosen().charge(&asked.card, now).await;
            drop(span);
            let took = asked_at.elapsed().as_secs_f64();
            PAYMENTS.provider_seconds.observe(took);
            let verdict = verdict.unwrap_or_else(|| Verdict::Declined("unknown_card".to_owned()));
            if matches!(verdict, Verdict::Declined(_)) {
                let now = shop.inventory.now();
                shop.declines.count(asked.address, now).await;
            }
            let order = shop.settle(&payment, verdict, attempt).await;
            drop(entered);
            shop.to_report.notify_one();
            Ok(Once {
                value: order?,
                is_replayed: false,
            })
        }));
        match timeout_at(until, paying).await {
            Ok(Ok(paid)) => paid,
            _ => Err(Unavailable.into()),
        }
    }

    /// Records a verdict, and tries until the inventory has taken it: it is kept nowhere else, and
    /// may be that money was paid.
    async fn settle(
        &self,
        payment: &PaymentRef,
        offered: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused> {
        let stop = &self.site.stop;
        let mut pause = RETRY_FIRST;
        loop {
            let store_is_back = self.unsettled.store_is_back.notified();
            let (verdict, attempt) = (offered.clone(), attempt.clone());
            match self.inventory.settle(payment, verdict, attempt).await {
                Err(Refused::Unavailable(_)) => {}
                Err(refused) => {
                    tracing::error!(payment = payment.id, error = %refused, "a payment cannot be settled");
                    self.give_back_unknown(payment, &offered).await;
                    return Err(refused);
                }
                Ok(order) => {
                    count(&offered);
                    return Ok(order);
                }
            }
            tracing::warn!(
                payment = payment.id,
                "a payment is not settled yet; it is tried again"
            );
            if stop.is_cancelled() {
                // The process is shutting down: often, while there is time.
                sleep(RETRY_FIRST).await;
                continue;
            }
            tokio::select! {
                () = sleep(pause) => pause = (2 * pause).min(RETRY_MAX),
                () = store_is_back => pause = RETRY_FIRST,
                () = stop.cancelled() => {}
            }
        }
    }

    /// Refunds an order that the store no longer has, and records it in the audit log.
    async fn give_back_unknown(&self, payment: &PaymentRef, verdict: &Verdict) {
        if matches!(verdict, Verdict::Declined(_)) {
            return;
        }
        let entry = Entry {
            at: self.inventory.now(),
            by: "checkout".to_owned(),
            action: "payment.give-back".to_owned(),
            event: payment.event.as_str().to_owned(),
            address: None,
            from: json!({"order": payment.order, "payment": payment.id, "amount": payment.amount}),
            to: Value::Null,
        };
        self.site.audit.record(entry).await;
        let refund = RefundRef {
            id: format!("{}_rest", payment.id),
            amount: payment.amount.amount,
            is_overtaken: false,
        };
        if let Some(provider) = self.providers.of(payment.provider) {
            provider.refund(payment, &refund).await;
        }
    }

    /// Waits, for a bounded time, until all payments charged by this process are settled and the
    /// relay has ended. Called at the shutdown, when the ticks have ended that would find a store to
    /// be back.
    pub async fn drain(&self) {
        let look = async {
            loop {
                let _ = self.inventory.publish().await;
                sleep(RETRY_FIRST).await;
            }
        };
        let settled = async {
            tokio::select! {
                () = self.unsettled.drain() => {}
                () = look => {}
            }
        };
        tokio::join!(
            settled,
            relay::drain(self),
            mail::drain(self),
            webhooks::drain(self)
        );
    }

    /// Returns whether the verdict on a payment without an answer is on its way from the node that
    /// charged it: this one, or another that could not reach the store either.
    fn is_settled_elsewhere(&self, payment: &PaymentRef) -> bool {
        let is_silent = payment.promised_at.is_none();
        self.unsettled.has(&payment.id)
            || is_silent && self.inventory.reached_for(&payment.event) < OTHERS_SETTLE
    }
}

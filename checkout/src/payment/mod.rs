//! Payments: the provider is asked outside of every transaction, and what it says is taken in a transaction of its own.

mod simulated;
mod unsettled;

use crate::Shop;
use crate::inventory::{Begun, Order, PaymentRef, Refused, SessionKeys, Verdict};
use shared::group_commit::{ANSWER_SECONDS_MAX, Unavailable};
use shared::http::idempotency::Attempt;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

pub use simulated::Simulated;
pub use unsettled::Unsettled;

/// A verdict that the inventory did not take is offered again after this, then after twice as long each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Who takes the money. The only one that is built in so far decides by the card's number.
pub enum Provider {
    /// For demonstrations and tests.
    Simulated(Simulated),
}

impl Provider {
    /// The provider that a setting names.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn named(name: &str) -> Result<Provider, String> {
        match name {
            "simulated" => Ok(Provider::Simulated(Simulated)),
            other => Err(format!(
                "FAIRLINE_PAYMENTS: '{other}' is not built into this version; use 'simulated'"
            )),
        }
    }

    async fn charge(&self, card: &str, now: Time) -> Option<Verdict> {
        match self {
            Provider::Simulated(provider) => provider.charge(card, now).await,
        }
    }

    async fn look_up(&self, payment: &PaymentRef, promised_at: Option<Time>) -> Verdict {
        match self {
            Provider::Simulated(provider) => provider.look_up(payment, promised_at).await,
        }
    }

    async fn refund(&self, payment: &PaymentRef) {
        match self {
            Provider::Simulated(provider) => provider.refund(payment).await,
        }
    }

    /// Whether the provider can make anything of a card number.
    pub(crate) fn knows(&self, card: &str) -> bool {
        match self {
            Provider::Simulated(provider) => provider.knows(card),
        }
    }
}

impl Shop {
    /// Pays: marks, asks, takes the answer. In a task of its own, so that neither a browser that hangs up nor a store that is
    /// away for a while stops it half way: who asks again with the same key is answered once it is done.
    pub(crate) async fn pay(
        self: &Arc<Shop>,
        keys: SessionKeys,
        payment: &str,
        card: String,
        attempt: Option<Attempt>,
    ) -> Result<(Order, bool), Refused> {
        let until = Instant::now() + Duration::from_secs(ANSWER_SECONDS_MAX);
        let place = self.unsettled.place().ok_or(Unavailable)?;
        let payment = match self
            .inventory
            .begin_payment(keys, payment, attempt.clone())
            .await?
        {
            Begun::Replayed(order) => return Ok((*order, true)),
            Begun::Command(payment) => payment,
        };
        let entered = self.unsettled.enter(place, &payment.id);
        let shop = self.clone();
        let paying = self.unsettled.tasks.spawn(async move {
            let now = shop.inventory.now();
            let verdict = shop.provider.charge(&card, now).await;
            let verdict = verdict.unwrap_or_else(|| Verdict::Declined("unknown_card".to_owned()));
            let order = shop.settle(&payment, verdict, attempt).await;
            drop(entered);
            shop.to_report.notify_one();
            order
        });
        match timeout_at(until, paying).await {
            Ok(Ok(order)) => Ok((order?, false)),
            _ => Err(Unavailable.into()),
        }
    }

    /// Has the inventory take a verdict, however often it must be offered: it is kept nowhere else, and may be that there is
    /// money.
    async fn settle(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused> {
        let stop = &self.site.stop;
        let mut pause = RETRY_FIRST;
        loop {
            let (verdict, attempt) = (verdict.clone(), attempt.clone());
            match self.inventory.settle(payment, verdict, attempt).await {
                Err(Refused::Unavailable(_)) => {}
                Err(refused) => {
                    tracing::error!(payment = payment.id, error = %refused, "a payment cannot be settled");
                    return Err(refused);
                }
                Ok(order) => return Ok(order),
            }
            tracing::warn!(
                payment = payment.id,
                "a payment is not settled yet; it is tried again"
            );
            if stop.is_cancelled() {
                sleep(RETRY_FIRST).await;
                // The ticks have ended, by which a store that was away is found to be back.
                let _ = self.inventory.publish().await;
            } else {
                // The process is about to go: at once, while there is time.
                let _ = stop.run_until_cancelled(sleep(pause)).await;
                pause = (2 * pause).min(RETRY_MAX);
            }
        }
    }

    /// Asks what became of a payment that nobody heard of since, and takes the answer.
    pub(crate) async fn resolve(&self, payment: &PaymentRef, promised_at: Option<Time>) {
        let verdict = self.provider.look_up(payment, promised_at).await;
        if let Err(error) = self.inventory.settle(payment, verdict, None).await {
            tracing::warn!(payment = payment.id, %error, "a payment could not be settled; it is tried again");
        }
        self.to_report.notify_one();
    }

    /// Gives money back. Asking twice is no harm.
    pub(crate) async fn give_back(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        self.provider.refund(payment).await;
        self.inventory.refunded(payment).await
    }
}

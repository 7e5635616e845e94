//! Payments: the provider is asked outside of every transaction, and what it says is taken in a transaction of its own.

mod simulated;

use crate::Shop;
use crate::inventory::{Begun, Keys, Order, PaymentRef, Refused, Verdict};
use shared::idempotency::Attempt;
use shared::time::Time;
use std::sync::Arc;

pub use simulated::Simulated;

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
    /// Pays: marks, asks, takes the answer. In a task of its own, so that a browser that hangs up stops nothing half way.
    pub(crate) async fn pay(
        self: &Arc<Shop>,
        keys: Keys,
        payment: &str,
        card: String,
        attempt: Option<Attempt>,
    ) -> Result<(Order, bool), Refused> {
        let payment = match self
            .inventory
            .begin_payment(keys, payment, attempt.clone())
            .await?
        {
            Begun::Replayed(order) => return Ok((*order, true)),
            Begun::Ask(payment) => payment,
        };
        let shop = self.clone();
        let paying = tokio::spawn(async move {
            let now = shop.site.clock.now();
            let verdict = shop.provider.charge(&card, now).await;
            let verdict = verdict.unwrap_or_else(|| Verdict::Declined("unknown_card".to_owned()));
            let order = shop.inventory.settle(&payment, verdict, attempt).await;
            shop.to_report.notify_one();
            order
        });
        let order = paying.await.map_err(|_| shared::combine::Unavailable)??;
        Ok((order, false))
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

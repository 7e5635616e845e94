//! Payment providers.

use super::simulated::Simulated;
use crate::inventory::{PaymentRef, Verdict};
use shared::time::Time;

/// Payment provider. The only one built in so far decides by the card's number.
pub enum Provider {
    /// For demonstrations and tests.
    Simulated(Simulated),
}

impl Provider {
    /// Returns the provider that a setting names.
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

    pub(super) async fn charge(&self, card: &str, now: Time) -> Option<Verdict> {
        match self {
            Provider::Simulated(provider) => provider.charge(card, now).await,
        }
    }

    pub(super) async fn look_up(&self, payment: &PaymentRef) -> Verdict {
        match self {
            Provider::Simulated(provider) => provider.look_up(payment).await,
        }
    }

    pub(super) async fn refund(&self, payment: &PaymentRef) {
        match self {
            Provider::Simulated(provider) => provider.refund(payment).await,
        }
    }

    /// Returns whether the provider accepts a card number.
    pub(crate) fn knows(&self, card: &str) -> bool {
        match self {
            Provider::Simulated(provider) => provider.knows(card),
        }
    }
}

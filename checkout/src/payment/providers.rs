//! The providers of a process: the one for new orders, and those that need no account.

use super::provider::Provider;
use super::simulated::Simulated;
use super::stripe::{Stripe, StripeArgs};
use crate::inventory::ProviderId;
use shared::mistakes::Mistakes;
use std::sync::Arc;

/// Settings of payments, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PaymentArgs {
    /// Payment provider: simulated or stripe [default: simulated]
    #[arg(long, env = "FAIRLINE_PAYMENTS", global = true)]
    pub payments: Option<String>,
    #[command(flatten)]
    pub stripe: StripeArgs,
}

impl PaymentArgs {
    /// Reads the settings, and records every mistake.
    pub fn read(&self, mistakes: &mut Mistakes) -> Option<Providers> {
        match self.payments.as_deref().unwrap_or("simulated") {
            "simulated" => Some(Providers::default()),
            "stripe" => {
                let stripe = Stripe::new(self.stripe.read(mistakes)?);
                Some(Providers {
                    stripe: Some(Arc::new(stripe)),
                })
            }
            other => {
                mistakes.add(format!(
                    "FAIRLINE_PAYMENTS: '{other}' is not built into this version; use 'simulated' or 'stripe'"
                ));
                None
            }
        }
    }

    /// Returns whether payments are simulated.
    pub fn are_simulated(&self) -> bool {
        self.payments.as_deref().unwrap_or("simulated") == "simulated"
    }
}

/// The payment providers.
#[derive(Default)]
pub struct Providers {
    stripe: Option<Arc<Stripe>>,
}

impl Providers {
    /// Returns the provider of new orders.
    pub fn chosen(&self) -> &dyn Provider {
        match &self.stripe {
            Some(stripe) => &**stripe,
            None => &Simulated,
        }
    }

    /// Returns the provider of a payment, unless it is one that is not configured any more.
    pub(crate) fn of(&self, id: ProviderId) -> Option<&dyn Provider> {
        match id {
            // Nothing is to be given back of what was free.
            ProviderId::Simulated | ProviderId::Free => Some(&Simulated),
            ProviderId::Stripe => self.stripe.as_deref().map(|stripe| stripe as &dyn Provider),
        }
    }

    pub(crate) fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_deref()
    }
}

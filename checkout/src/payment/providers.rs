//! The providers of a process: the one for new orders, those that are configured beside it for the
//! payments they have, and those that need no account.

use super::provider::Provider;
use super::razorpay::{Razorpay, RazorpayArgs};
use super::simulated::Simulated;
use super::stripe::{Stripe, StripeArgs};
use crate::inventory::ProviderId;
use shared::mistakes::Mistakes;

/// Settings of payments, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PaymentArgs {
    /// Payment provider of new orders: simulated, stripe or razorpay [default: simulated]. Another
    /// whose key is set goes on with the payments that it has
    #[arg(long, env = "FAIRLINE_PAYMENTS", global = true)]
    pub payments: Option<String>,
    #[command(flatten)]
    pub stripe: StripeArgs,
    #[command(flatten)]
    pub razorpay: RazorpayArgs,
}

impl PaymentArgs {
    /// Reads the settings, and records every mistake.
    pub fn read(&self, mistakes: &mut Mistakes) -> Option<Providers> {
        let chosen = match self.payments.as_deref().unwrap_or("simulated") {
            "simulated" => ProviderId::Simulated,
            "stripe" => ProviderId::Stripe,
            "razorpay" => ProviderId::Razorpay,
            other => {
                mistakes.add(format!(
                    "FAIRLINE_PAYMENTS: '{other}' is not built into this version; use 'simulated', 'stripe' or 'razorpay'"
                ));
                return None;
            }
        };
        let mut providers = Providers {
            chosen,
            ..Providers::default()
        };
        let mut is_complete = true;
        let is_set = |key: &Option<String>| key.as_ref().is_some_and(|key| !key.is_empty());
        if chosen == ProviderId::Stripe || is_set(&self.stripe.stripe_key) {
            providers.stripe = self.stripe.read(mistakes).map(Stripe::new);
            is_complete &= providers.stripe.is_some();
        }
        if chosen == ProviderId::Razorpay || is_set(&self.razorpay.razorpay_key_id) {
            providers.razorpay = self.razorpay.read(mistakes).map(Razorpay::new);
            is_complete &= providers.razorpay.is_some();
        }
        is_complete.then_some(providers)
    }

    /// Returns whether payments are simulated.
    pub fn are_simulated(&self) -> bool {
        self.payments.as_deref().unwrap_or("simulated") == "simulated"
    }
}

/// The payment providers.
#[derive(Default)]
pub struct Providers {
    chosen: ProviderId,
    stripe: Option<Stripe>,
    razorpay: Option<Razorpay>,
}

impl Providers {
    /// Returns the provider of new orders.
    pub fn chosen(&self) -> &dyn Provider {
        self.of(self.chosen).unwrap_or(&Simulated)
    }

    /// Returns the provider of a payment, unless it is one that is not configured any more.
    pub(crate) fn of(&self, id: ProviderId) -> Option<&dyn Provider> {
        match id {
            // Nothing is to be given back of what was free, and the desk hands money back itself.
            ProviderId::Simulated
            | ProviderId::Free
            | ProviderId::Cash
            | ProviderId::CardAtDesk
            | ProviderId::Invoice
            | ProviderId::Comp => Some(&Simulated),
            ProviderId::Stripe => self.stripe().map(|stripe| stripe as &dyn Provider),
            ProviderId::Razorpay => self.razorpay().map(|razorpay| razorpay as &dyn Provider),
        }
    }

    /// Returns the configured providers at which money moves.
    pub(crate) fn with_money(&self) -> impl Iterator<Item = &dyn Provider> {
        let all = [ProviderId::Stripe, ProviderId::Razorpay];
        all.into_iter().filter_map(|id| self.of(id))
    }

    pub(crate) fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_ref()
    }

    pub(crate) fn razorpay(&self) -> Option<&Razorpay> {
        self.razorpay.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(payments: &str) -> PaymentArgs {
        let secret = Some("whsec_0123456789".to_owned());
        PaymentArgs {
            payments: Some(payments.to_owned()),
            stripe: StripeArgs {
                stripe_key: Some("sk_test_0123456789".to_owned()),
                stripe_webhook_secret: secret.clone(),
                ..StripeArgs::default()
            },
            razorpay: RazorpayArgs {
                razorpay_key_id: Some("rzp_test_0123456789".to_owned()),
                razorpay_key_secret: secret.clone(),
                razorpay_webhook_secrets: secret,
                ..RazorpayArgs::default()
            },
        }
    }

    #[test]
    fn one_provider_takes_new_orders_and_the_other_goes_on_with_the_payments_that_it_has() {
        for (name, chosen) in [
            ("stripe", ProviderId::Stripe),
            ("razorpay", ProviderId::Razorpay),
            ("simulated", ProviderId::Simulated),
        ] {
            let mut mistakes = Mistakes::default();
            let providers = both(name).read(&mut mistakes).unwrap();
            assert_eq!(mistakes.0, [""; 0]);
            assert_eq!(providers.chosen().id(), chosen);
            let ids: Vec<ProviderId> = providers.with_money().map(Provider::id).collect();
            assert_eq!(ids, [ProviderId::Stripe, ProviderId::Razorpay]);
        }
        let mut half = both("stripe");
        half.razorpay.razorpay_webhook_secrets = None;
        let mut mistakes = Mistakes::default();
        assert!(half.read(&mut mistakes).is_none());
        assert_eq!(mistakes.0.len(), 1);
        let alone = PaymentArgs {
            razorpay: RazorpayArgs::default(),
            ..both("stripe")
        };
        let alone = alone.read(&mut Mistakes::default()).unwrap();
        assert!(alone.of(ProviderId::Razorpay).is_none());
    }
}

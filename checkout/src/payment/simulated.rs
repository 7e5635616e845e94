//! The simulated provider: the card's number decides the outcome of a payment.

use crate::inventory::{PaymentRef, Verdict};
use shared::time::Time;

const LATE_SECONDS: u32 = 20;

/// A provider without money.
pub struct Simulated;

impl Simulated {
    pub(super) fn knows(&self, card: &str) -> bool {
        verdict(card, Time(0)).is_some()
    }

    pub(super) async fn charge(&self, card: &str, now: Time) -> Option<Verdict> {
        verdict(card, now)
    }

    /// Returns the verdict on a payment. One that was to arrive late has arrived; one whose process
    /// died was never charged, as this provider remembers nothing but its promises.
    pub(super) async fn look_up(&self, payment: &PaymentRef) -> Verdict {
        match payment.promised_at {
            Some(_) => Verdict::Captured,
            None => Verdict::Declined("interrupted".to_owned()),
        }
    }

    pub(super) async fn refund(&self, payment: &PaymentRef) {
        tracing::debug!(payment = payment.id, "refunded");
    }
}

fn verdict(card: &str, now: Time) -> Option<Verdict> {
    match card {
        "4242424242424242" => Some(Verdict::Captured),
        "4000000000000002" => Some(Verdict::Declined("card_declined".to_owned())),
        "4000000000009995" => Some(Verdict::Declined("insufficient_funds".to_owned())),
        "4000000000000259" => Some(Verdict::Pending(now.plus_seconds(LATE_SECONDS))),
        _ => None,
    }
}

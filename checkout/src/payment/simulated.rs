//! The simulated provider: the card's number decides the outcome of a payment.

use super::provider::{Answer, Listed, ListedDispute, PaymentReport, Provider, Told};
use crate::inventory::{DisputeReport, Offer, PaymentRef, ProviderId, RefundRef, Verdict};
use async_trait::async_trait;
use shared::time::Time;

const LATE_SECONDS: u32 = 20;

/// A provider without money. It charges at once, so that nothing is left to capture or to cancel.
pub(crate) struct Simulated;

#[async_trait]
impl Provider for Simulated {
    fn id(&self) -> ProviderId {
        ProviderId::Simulated
    }

    fn is_test(&self) -> bool {
        true
    }

    async fn offer(&self, _: &PaymentRef) -> Answer<Offer> {
        Answer::Refused("its payments are made by card number".to_owned())
    }

    async fn charge(&self, card: &str, now: Time) -> Option<Verdict> {
        verdict(card, now)
    }

    /// Returns the verdict on a payment. One that was to arrive late has arrived; one whose process
    /// died was never charged, as this provider remembers nothing but its promises.
    async fn fetch(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        let verdict = match payment.promised_at {
            Some(_) => Verdict::Captured,
            None => Verdict::Declined("interrupted".to_owned()),
        };
        Answer::Known(report(verdict))
    }

    async fn look_up(&self, _: &str) -> Answer<Option<Told>> {
        Answer::Known(None)
    }

    async fn capture(&self, _: &PaymentRef) -> Answer<PaymentReport> {
        Answer::Known(report(Verdict::Captured))
    }

    async fn cancel(&self, _: &PaymentRef) -> Answer<PaymentReport> {
        Answer::Known(report(Verdict::Voided))
    }

    async fn has_refund(&self, _: &PaymentRef, _: &RefundRef) -> Answer<bool> {
        Answer::Known(false)
    }

    async fn refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<()> {
        tracing::debug!(payment = payment.id, amount = refund.amount, "refunded");
        Answer::Known(())
    }

    async fn dispute(&self, _: &str) -> Answer<DisputeReport> {
        Answer::Refused("simulated payments are not disputed".to_owned())
    }

    async fn disputes(&self, _: Time) -> Answer<Vec<ListedDispute>> {
        Answer::Known(Vec::new())
    }

    async fn list(&self, _: Time, _: Time) -> Answer<Vec<Listed>> {
        Answer::Refused("simulated payments are listed nowhere".to_owned())
    }
}

/// Returns whether this is the number of one of its cards.
pub(crate) fn is_card(card: &str) -> bool {
    verdict(card, Time(0)).is_some()
}

fn report(verdict: Verdict) -> PaymentReport {
    PaymentReport {
        verdict,
        amount: None,
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

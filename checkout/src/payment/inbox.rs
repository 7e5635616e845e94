//! Webhooks that were received: each acts once, in any order.

use super::provider::{Answer, Report};
use crate::app::Shop;
use crate::inventory::{InboxEvent, PaymentRef, ProviderId, Refused, Verdict};
use crate::payment::stripe::Intent;
use shared::group_commit::Unavailable;
use shared::ids::EventId;

/// Outcome of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Its effect is committed.
    Done,
    /// It had been received before.
    Repeated,
    /// Its payment is not known; it waits.
    Parked,
    /// It is about nothing of ours.
    Ignored,
}

impl Shop {
    /// Has a webhook take effect, about a payment that the provider calls `reference`.
    ///
    /// A webhook is a hint: where it was before others that are known already, the provider is asked
    /// how the payment is. States never go back, so that it does not matter in which order webhooks
    /// come, and how often.
    ///
    /// # Errors
    /// If it has to be sent again: the store or the provider did not answer.
    pub(crate) async fn receive(
        &self,
        id: &str,
        reference: &str,
        told: Option<Intent>,
    ) -> Result<Received, Refused> {
        if self.inventory.has_received(id).await? {
            return Ok(Received::Repeated);
        }
        let received = self.act_on(reference, told).await?;
        let event = InboxEvent {
            id: id.to_owned(),
            reference: reference.to_owned(),
            is_parked: received == Received::Parked,
        };
        self.inventory.receive(event).await?;
        Ok(received)
    }

    /// Looks at webhooks again whose payments were not known.
    pub(super) async fn take_parked(&self) {
        let parked = match self.inventory.parked().await {
            Ok(parked) => parked,
            Err(error) => return tracing::debug!(%error, "parked webhooks wait"),
        };
        for event in parked {
            match self.act_on(&event.reference, None).await {
                Ok(Received::Parked) | Err(_) => {}
                Ok(_) => {
                    let done = InboxEvent {
                        is_parked: false,
                        ..event
                    };
                    let _ = self.inventory.receive(done).await;
                }
            }
        }
    }

    async fn act_on(&self, reference: &str, told: Option<Intent>) -> Result<Received, Refused> {
        let stripe = self.providers.stripe().ok_or(Unavailable)?;
        // Only what moves a payment forward is believed without asking.
        let forward = told
            .filter(|intent| matches!(intent.verdict(), Verdict::Authorised | Verdict::Captured));
        let intent = match forward {
            Some(intent) => intent,
            None => match stripe.intent(reference).await {
                Answer::Known(intent) => intent,
                Answer::Refused(_) => return Ok(Received::Ignored),
                Answer::Unknown => return Err(Unavailable.into()),
            },
        };
        let Some(payment) = payment_of(&intent) else {
            return Ok(Received::Ignored);
        };
        let payment = match self.inventory.find_payment(&payment).await {
            Ok(payment) => payment,
            Err(Refused::NoSuchOrder | Refused::NoSuchPayment | Refused::NoSuchEvent) => {
                return Ok(Received::Parked);
            }
            Err(other) => return Err(other),
        };
        let report = Report {
            verdict: intent.verdict(),
            amount: intent.money(),
        };
        let told = Answer::Known(report);
        if let Some(next) = self.take(stripe, &payment, told).await? {
            self.drive(next).await;
        }
        // An organiser may refund in Stripe's dashboard, too.
        if let Some(refunded) = intent.refunded().filter(|refunded| *refunded > 0)
            && !self
                .inventory
                .refunded_elsewhere(&payment, refunded)
                .await?
        {
            return Ok(Received::Parked);
        }
        Ok(Received::Done)
    }
}

/// Returns our payment that a PaymentIntent is for, by what was written to it.
fn payment_of(intent: &Intent) -> Option<PaymentRef> {
    let metadata = &intent.metadata;
    Some(PaymentRef {
        event: EventId::parse(metadata.event.as_deref()?).ok()?,
        order: metadata.order.clone()?,
        id: metadata.payment.clone()?,
        amount: intent.money()?,
        promised_at: None,
        provider: ProviderId::Stripe,
        reference: Some(intent.id.clone()),
        refund: None,
    })
}

//! Webhooks that were received: each acts once, in any order.

use super::provider::{Answer, Claim, Notice, Provider, Told};
use crate::app::Shop;
use crate::instruments::disputes;
use crate::inventory::{
    DisputeReport, HeardDispute, InboxEvent, Money, PaymentRef, ProviderId, Refused,
};
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::group_commit::Unavailable;

/// Largest number of times that a provider is asked about a dispute for one webhook: once more for
/// each end of it that is recorded meanwhile.
const DISPUTE_ASKED_MAX: usize = 3;

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
    /// Has a webhook take effect.
    ///
    /// A webhook is a hint: where it was before others that are known already, the provider is asked
    /// how the payment is. States never go back, so that it does not matter in which order webhooks
    /// come, and how often.
    ///
    /// # Errors
    /// If it has to be sent again: the store or the provider did not answer.
    pub(crate) async fn receive(&self, notice: Notice) -> Result<Received, Refused> {
        if self.inventory.has_received(&notice.id).await? {
            return Ok(Received::Repeated);
        }
        let received = self.act_on(&notice).await?;
        let event = InboxEvent {
            id: notice.id,
            reference: notice.reference,
            is_parked: received == Received::Parked,
            claim: notice.claim.stored(),
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
            let notice = Notice {
                id: event.id.clone(),
                provider: provider_of(&event.reference),
                reference: event.reference.clone(),
                told: None,
                claim: Claim::read(event.claim.as_deref()),
            };
            match self.act_on(&notice).await {
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

    async fn act_on(&self, notice: &Notice) -> Result<Received, Refused> {
        let provider = self.providers.of(notice.provider).ok_or(Unavailable)?;
        let told = match &notice.told {
            Some(told) => told.clone(),
            None => match provider.look_up(&notice.reference).await {
                Answer::Known(Some(told)) => told,
                Answer::Known(None) | Answer::Refused(_) => return Ok(Received::Ignored),
                Answer::Unknown => return Err(Unavailable.into()),
            },
        };
        match self.take_told(provider, told, &notice.claim).await {
            Err(Refused::NoSuchOrder | Refused::NoSuchPayment | Refused::NoSuchEvent) => {
                Ok(Received::Parked)
            }
            received => received,
        }
    }

    /// Takes what a provider says about a payment that the books may know.
    async fn take_told(
        &self,
        provider: &dyn Provider,
        told: Told,
        claim: &Claim,
    ) -> Result<Received, Refused> {
        if let Some(why) = &claim.complaint {
            let payment = self.inventory.find_payment(&told.payment).await?;
            self.review(&payment, why.clone()).await?;
            return Ok(Received::Done);
        }
        if let Some(dispute) = &claim.dispute {
            let payment = self.inventory.find_payment(&told.payment).await?;
            return self.hear_of_dispute(provider, &payment, dispute).await;
        }
        let reported =
            self.inventory
                .report_told(&told.payment, told.report.verdict, told.report.amount);
        let (settled, (payment, verdict)) = reported.await?;
        if let Some(next) = self.follow(provider, &payment, &verdict, settled).await? {
            self.drive(next).await;
        }
        // An organiser may refund in the provider's dashboard, too.
        if let Some(refunded) = told.refunded.filter(|refunded| *refunded > 0) {
            let inventory = &self.inventory;
            match inventory.refunded_elsewhere(&payment, refunded).await? {
                None => return Ok(Received::Parked),
                Some(0) => {}
                Some(amount) => self.record_elsewhere(&payment, amount).await,
            }
        }
        Ok(Received::Done)
    }

    /// Asks the provider how a dispute is, and records what is new of it.
    async fn hear_of_dispute(
        &self,
        provider: &dyn Provider,
        payment: &PaymentRef,
        id: &str,
    ) -> Result<Received, Refused> {
        let mut end = None;
        for _ in 0..DISPUTE_ASKED_MAX {
            let report = match provider.dispute(id).await {
                Answer::Known(report) => report,
                Answer::Refused(why) => {
                    let why = format!("it is disputed, and the provider does not tell how: {why}");
                    self.review(payment, why).await?;
                    return Ok(Received::Done);
                }
                Answer::Unknown => return Err(Unavailable.into()),
            };
            let heard = self.inventory.disputed(payment, report.clone(), end.take());
            match heard.await? {
                HeardDispute::Known => return Ok(Received::Done),
                HeardDispute::Ended(known) => end = Some(known),
                HeardDispute::New => {
                    self.tell_dispute(payment, &report).await;
                    return Ok(Received::Done);
                }
            }
        }
        Err(Unavailable.into())
    }

    /// Tells the operator of what is new of a dispute.
    async fn tell_dispute(&self, payment: &PaymentRef, report: &DisputeReport) {
        tracing::warn!(
            order = payment.order,
            payment = payment.id,
            dispute = report.id,
            state = report.state.as_str(),
            "a payment is disputed"
        );
        disputes(report.state.as_str()).inc();
        self.record_by_provider(payment, "payment.disputed", json!({"dispute": report}))
            .await;
    }

    /// Records in the audit log what was refunded at the provider itself, as done by the provider.
    async fn record_elsewhere(&self, payment: &PaymentRef, amount: i64) {
        let currency = payment.amount.currency;
        let to = json!({"amount": Money { amount, currency }});
        self.record_by_provider(payment, "payment.refunded-elsewhere", to)
            .await;
    }

    /// Records in the audit log what became of a payment, as done by its provider.
    async fn record_by_provider(&self, payment: &PaymentRef, action: &str, to: Value) {
        let entry = Entry {
            at: self.inventory.now(),
            by: payment.provider.as_str().to_owned(),
            action: action.to_owned(),
            event: payment.event.as_str().to_owned(),
            address: None,
            from: json!({"order": payment.order, "payment": payment.id}),
            to,
        };
        self.site.audit.record(entry).await;
    }
}

/// Returns the provider whose ids of payments look like this one.
fn provider_of(reference: &str) -> ProviderId {
    if reference.starts_with("order_") {
        ProviderId::Razorpay
    } else {
        ProviderId::Stripe
    }
}

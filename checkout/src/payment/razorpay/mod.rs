//! Razorpay: payments as orders with manual capture, over its HTTP API.
//!
//! An order is paid by one of several attempts, which Razorpay calls payments. Money that is reserved
//! cannot be let go: it goes back by itself unless it is captured, so that cancelling is to never
//! capture it.

mod api;
mod dispute;
mod entities;
mod event;
mod settings;
mod signature;

use super::api::Reply;
use super::provider::{Answer, Listed, ListedDispute, PaymentReport, Provider, Told};
use super::secrets::WebhookSecrets;
use crate::inventory::{DisputeReport, Money, Offer, PaymentRef, ProviderId, RefundRef, Verdict};
use api::{RazorpayApi, query};
use async_trait::async_trait;
use dispute::RazorpayDispute;
use entities::{Attempt, Collection, RazorpayOrder, RazorpayRefund};
pub(super) use event::notice;
use serde_json::json;
pub use settings::RazorpayArgs;
use settings::RazorpaySettings;
use shared::crypto::Secret;
use shared::time::Time;
pub(super) use signature::RazorpayReturn;
use std::collections::HashMap;

/// Largest number of entries of a page.
const PAGE_MAX: usize = 100;
/// Largest number of pages read of a list.
const PAGES_MAX: usize = 2_000;
/// Largest number of requests to capture in one go, each after a look at what the one before did.
const CAPTURES_MAX: usize = 3;
/// Minutes after which money that is reserved and was not captured goes back by itself: longer than
/// a store or a provider is away, and within the five days that Razorpay allows.
const RESERVED_MINUTES: u32 = 24 * 60;

/// The provider.
pub(crate) struct Razorpay {
    api: RazorpayApi,
    key_id: String,
    /// Signs what the fan's browser is given once it has paid.
    key_secret: Secret,
    webhooks: WebhookSecrets,
}

impl Razorpay {
    /// Creates the provider.
    pub(crate) fn new(settings: RazorpaySettings) -> Razorpay {
        Razorpay {
            api: RazorpayApi::new(&settings),
            key_secret: settings.key_secret.signing(),
            key_id: settings.key_id,
            webhooks: settings.webhook_secrets,
        }
    }

    /// Returns whether a header `X-Razorpay-Signature` signs this body.
    pub(crate) fn signed(&self, header: &str, body: &[u8]) -> bool {
        signature::accepts(&self.webhooks, header, body)
    }

    /// Returns whether what a browser returned says that this order was paid, by the signature of
    /// Razorpay.
    pub(super) fn confirms(&self, order: &str, returned: &RazorpayReturn) -> bool {
        returned.confirms(order, &self.key_secret)
    }

    /// Returns the attempts to pay an order.
    async fn attempts(&self, order: &str) -> Answer<Vec<Attempt>> {
        let path = format!("/v1/orders/{order}/payments");
        let reply: Reply<Collection<Attempt>> = self.api.get(&path).await;
        reply.into_answer().map(|found| found.items)
    }

    /// Returns the order that was made for a payment, the first if there are several.
    async fn made_for(&self, payment: &PaymentRef) -> Answer<Option<RazorpayOrder>> {
        let path = format!("/v1/orders?{}", query(&[("receipt", receipt(payment))]));
        let reply: Reply<Collection<RazorpayOrder>> = self.api.get(&path).await;
        reply.into_answer().map(|found| {
            let own = found.items.into_iter();
            own.filter(|order| order.is_for(payment))
                .min_by_key(|order| order.created_at)
        })
    }

    /// Returns whether a refund has been made of a payment.
    async fn finds_refund(&self, attempt: &Attempt, refund: &RefundRef) -> Answer<bool> {
        for page in 0..PAGES_MAX {
            let path = format!("/v1/payments/{}/refunds?{}", attempt.id, paged(page, &[]));
            let reply: Reply<Collection<RazorpayRefund>> = self.api.get(&path).await;
            let found = match reply.into_answer() {
                Answer::Known(found) => found.items,
                other => return other.map(|_| false),
            };
            if found.iter().any(|made| made.is(&refund.id)) {
                return Answer::Known(true);
            }
            if found.len() < PAGE_MAX {
                return Answer::Known(false);
            }
        }
        Answer::Unknown
    }
}

/// Returns our reference of an order: the payment without its prefix, as it may have 40 characters.
fn receipt(payment: &PaymentRef) -> String {
    let id = payment.id.strip_prefix("pay_").unwrap_or(&payment.id);
    id.chars().take(40).collect()
}

/// Returns the query of a page.
fn paged(page: usize, more: &[(&str, String)]) -> String {
    let place = [
        ("count", PAGE_MAX.to_string()),
        ("skip", (page * PAGE_MAX).to_string()),
    ];
    query(&[&place, more].concat())
}

/// Checks whether Razorpay takes an amount, in the minor units of ISO 4217.
///
/// # Errors
/// A sentence for the operator.
fn check_amount(amount: i64, code: &str) -> Result<(), String> {
    match (shared::currencies::exponent(code), code) {
        (Some(2), _) | (_, "JPY") => Ok(()),
        (_, "KWD" | "BHD" | "OMR") if amount % 10 == 0 => Ok(()),
        (_, "KWD" | "BHD" | "OMR") => Err(format!(
            "Razorpay takes amounts in {code} only with a 0 as the third decimal"
        )),
        _ => Err(format!("Razorpay is not known to take {code}")),
    }
}

fn never_offered<T>() -> Answer<T> {
    Answer::Refused("it was never offered".to_owned())
}

#[async_trait]
impl Provider for Razorpay {
    fn id(&self) -> ProviderId {
        ProviderId::Razorpay
    }

    fn is_test(&self) -> bool {
        self.key_id.starts_with("rzp_test_")
    }

    fn check_amount(&self, amount: i64, code: &str) -> Result<(), String> {
        check_amount(amount, code)
    }

    /// One that was made without being told to anyone cannot be paid, so that another may be made
    /// after a failure.
    async fn offer(&self, payment: &PaymentRef) -> Answer<Offer> {
        let Money { amount, currency } = payment.amount;
        if let Err(why) = check_amount(amount, currency.as_str()) {
            return Answer::Refused(why);
        }
        let body = json!({"amount": amount, "currency": currency, "receipt": receipt(payment),
            "notes": {"event": payment.event, "order": payment.order, "payment": payment.id},
            "payment": {"capture": "manual", "capture_options":
                {"manual_expiry_period": RESERVED_MINUTES, "refund_speed": "normal"}}});
        let reply: Reply<RazorpayOrder> = self.api.post("/v1/orders", &body, None).await;
        let made = match reply.into_answer() {
            Answer::Known(order) => Answer::Known(order),
            unclear => match self.made_for(payment).await {
                Answer::Known(Some(order)) => Answer::Known(order),
                Answer::Known(None) => unclear,
                _ => Answer::Unknown,
            },
        };
        made.map(|order| Offer {
            reference: order.id,
            client_secret: self.key_id.clone(),
        })
    }

    async fn charge(&self, _: &str, _: Time) -> Option<Verdict> {
        None
    }

    async fn fetch(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        let Some(reference) = &payment.reference else {
            return never_offered();
        };
        let attempts = self.attempts(reference).await;
        attempts.map(|attempts| entities::report(&attempts))
    }

    async fn look_up(&self, reference: &str) -> Answer<Option<Told>> {
        let order: Reply<RazorpayOrder> = self.api.get(&format!("/v1/orders/{reference}")).await;
        let payment = match order.into_answer() {
            Answer::Known(order) => order.payment(),
            other => return other.map(|_| None),
        };
        let Some(payment) = payment else {
            return Answer::Known(None);
        };
        let attempts = self.attempts(reference).await;
        attempts.map(|attempts| {
            Some(Told {
                payment,
                report: entities::report(&attempts),
                refunded: Some(entities::refunded(&attempts)),
            })
        })
    }

    async fn capture(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        let Some(reference) = &payment.reference else {
            return never_offered();
        };
        let mut refusal = None;
        for _ in 0..CAPTURES_MAX {
            let attempts = match self.attempts(reference).await {
                Answer::Known(attempts) => attempts,
                other => return other.map(|attempts| entities::report(&attempts)),
            };
            let report = entities::report(&attempts);
            let reserved = entities::reserved(&attempts);
            let Some(reserved) = reserved.filter(|_| report.amount == Some(payment.amount)) else {
                // It was captured already, has gone back by itself, or is of another amount.
                return match report.verdict {
                    Verdict::RequiresAction => Answer::Refused("nothing is reserved".to_owned()),
                    _ => Answer::Known(report),
                };
            };
            if let Some(why) = refusal {
                return Answer::Refused(why);
            }
            let path = format!("/v1/payments/{}/capture", reserved.id);
            let reply: Reply<Attempt> = self.api.post(&path, &json!(payment.amount), None).await;
            match reply {
                Reply::Done(taken) => return Answer::Known(entities::report(&[taken])),
                Reply::Refused(why) => refusal = Some(why),
                Reply::Failed | Reply::Lost => {}
            }
        }
        Answer::Unknown
    }

    /// Razorpay cannot cancel: what is reserved goes back by itself, as it is captured by the
    /// checkout alone, and no more after this.
    async fn cancel(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        self.fetch(payment)
            .await
            .map(|report| match report.verdict {
                Verdict::Captured | Verdict::Contradiction(_) => report,
                _ => PaymentReport {
                    verdict: Verdict::Voided,
                    amount: None,
                },
            })
    }

    async fn has_refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<bool> {
        let Some(reference) = &payment.reference else {
            return Answer::Known(false);
        };
        let attempts = match self.attempts(reference).await {
            Answer::Known(attempts) => attempts,
            other => return other.map(|_| false),
        };
        match attempts.iter().find(|attempt| attempt.is_captured()) {
            Some(taken) => self.finds_refund(taken, refund).await,
            None => Answer::Known(false),
        }
    }

    async fn refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<()> {
        let Some(reference) = &payment.reference else {
            return never_offered();
        };
        let attempts = match self.attempts(reference).await {
            Answer::Known(attempts) => attempts,
            other => return other.map(|_| ()),
        };
        let Some(taken) = attempts.iter().find(|attempt| attempt.is_captured()) else {
            return Answer::Refused("nothing of it was captured".to_owned());
        };
        // Razorpay does not say how long it remembers an idempotency key.
        match self.finds_refund(taken, refund).await {
            Answer::Known(false) => {}
            other => return other.map(|_| ()),
        }
        let path = format!("/v1/payments/{}/refund", taken.id);
        let body = json!({"amount": refund.amount, "speed": "normal",
            "notes": {"refund": refund.id, "payment": payment.id}});
        let reply: Reply<RazorpayRefund> = self.api.post(&path, &body, Some(&refund.id)).await;
        match reply {
            Reply::Done(made) if made.holds() => Answer::Known(()),
            Reply::Done(_) => Answer::Refused("the refund failed".to_owned()),
            other => match self.finds_refund(taken, refund).await {
                Answer::Known(true) => Answer::Known(()),
                Answer::Known(false) => other.into_answer().map(|_| ()),
                _ => Answer::Unknown,
            },
        }
    }

    async fn dispute(&self, id: &str) -> Answer<DisputeReport> {
        let reply: Reply<RazorpayDispute> = self.api.get(&format!("/v1/disputes/{id}")).await;
        reply.into_answer().and_then(RazorpayDispute::into_report)
    }

    async fn disputes(&self, from: Time) -> Answer<Vec<ListedDispute>> {
        let mut listed = Vec::new();
        for page in 0..PAGES_MAX {
            let path = format!("/v1/disputes?{}", paged(page, &[]));
            let reply: Reply<Collection<RazorpayDispute>> = self.api.get(&path).await;
            let found = match reply.into_answer() {
                Answer::Known(found) => found.items,
                other => return other.map(|_| Vec::new()),
            };
            let is_last = found.len() < PAGE_MAX;
            let is_new = |dispute: &RazorpayDispute| dispute.created_at * 1000 >= from.0;
            for dispute in found.into_iter().filter(is_new) {
                let path = format!("/v1/payments/{}", dispute.payment_id);
                let attempt: Reply<Attempt> = self.api.get(&path).await;
                match attempt.into_answer().map(|attempt| attempt.order_id) {
                    Answer::Known(Some(reference)) => match dispute.into_report() {
                        Answer::Known(report) => listed.push(ListedDispute { reference, report }),
                        other => return other.map(|_| Vec::new()),
                    },
                    // It is not ours.
                    Answer::Known(None) => {}
                    other => return other.map(|_| Vec::new()),
                }
            }
            if is_last {
                return Answer::Known(listed);
            }
        }
        Answer::Refused("there are more disputes than can be listed".into())
    }

    async fn list(&self, from: Time, to: Time) -> Answer<Vec<Listed>> {
        let period = [
            ("from", from.0.div_euclid(1000).to_string()),
            // Its last second is in it.
            ("to", (to.0.div_euclid(1000) - 1).to_string()),
        ];
        let mut by_order: HashMap<String, Vec<Attempt>> = HashMap::new();
        for page in 0..PAGES_MAX {
            let path = format!("/v1/payments?{}", paged(page, &period));
            let reply: Reply<Collection<Attempt>> = self.api.get(&path).await;
            let found = match reply.into_answer() {
                Answer::Known(found) => found.items,
                other => return other.map(|_| Vec::new()),
            };
            let is_last = found.len() < PAGE_MAX;
            for attempt in found {
                // One without an order is not ours.
                if let Some(order) = attempt.order_id.clone() {
                    by_order.entry(order).or_default().push(attempt);
                }
            }
            if is_last {
                let listed = by_order.into_iter();
                let listed = listed.map(|(order, attempts)| entities::listed(order, &attempts));
                return Answer::Known(listed.flatten().collect());
            }
        }
        Answer::Refused(
            "there are more payments than can be listed: choose a shorter period".into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_currencies_are_taken_whose_minor_units_are_those_of_razorpay() {
        let check = |amount: i64, code: &str| check_amount(amount, code).is_ok();
        for (amount, code) in [(4501, "INR"), (4501, "EUR"), (4501, "JPY"), (4510, "KWD")] {
            assert!(check(amount, code), "{amount} {code}");
        }
        for (amount, code) in [(4501, "KWD"), (4501, "BHD"), (4510, "TND"), (4500, "CLF")] {
            assert!(!check(amount, code), "{amount} {code}");
        }
    }
}

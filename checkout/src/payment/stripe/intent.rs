//! Stripe's answers: PaymentIntents and refunds.

use crate::inventory::{Currency, Money, Offer, PaymentRef, ProviderId, Verdict};
use crate::payment::provider::{Listed, PaymentReport, Reservation, Told};
use serde::Deserialize;
use shared::ids::EventId;

/// A PaymentIntent: a payment as Stripe knows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    status: String,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    #[serde(default)]
    currency: String,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    last_payment_error: Option<PaymentError>,
    #[serde(default)]
    latest_charge: Option<Charge>,
}

/// Our metadata of a PaymentIntent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Metadata {
    event: Option<String>,
    order: Option<String>,
    payment: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PaymentError {
    code: Option<String>,
    decline_code: Option<String>,
}

/// A charge, in full where it was asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Charge {
    Full { amount_refunded: i64 },
    Id(#[expect(dead_code, reason = "only its kind matters")] String),
}

/// A page of PaymentIntents.
#[derive(Deserialize)]
pub(super) struct IntentList {
    pub(super) data: Vec<Intent>,
    pub(super) has_more: bool,
}

/// A page of refunds.
#[derive(Deserialize)]
pub(super) struct RefundList {
    pub(super) data: Vec<StripeRefund>,
    pub(super) has_more: bool,
}

/// Money that was given back.
#[derive(Deserialize)]
pub(super) struct StripeRefund {
    pub(super) id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    metadata: RefundMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefundMetadata {
    refund: Option<String>,
}

impl StripeRefund {
    /// Returns whether this is our refund with this id, and holds.
    pub(super) fn is(&self, refund: &str) -> bool {
        self.metadata.refund.as_deref() == Some(refund) && self.holds()
    }

    /// Returns whether the money is given back or on its way.
    pub(super) fn holds(&self) -> bool {
        let status = self.status.as_deref();
        !matches!(status, Some("failed" | "canceled"))
    }
}

impl Intent {
    /// Returns what its status means for our payment.
    pub(super) fn verdict(&self) -> Verdict {
        match self.status.as_str() {
            "requires_payment_method" => match &self.last_payment_error {
                Some(error) => Verdict::Declined(error.reason().to_owned()),
                None => Verdict::RequiresAction,
            },
            "requires_confirmation" | "requires_action" => Verdict::RequiresAction,
            "processing" => Verdict::Processing,
            "requires_capture" => Verdict::Authorised,
            "succeeded" => Verdict::Captured,
            "canceled" => Verdict::Voided,
            other => Verdict::Contradiction(format!("the provider says '{other}'")),
        }
    }

    /// Returns how our payment stands.
    pub(super) fn report(&self) -> PaymentReport {
        PaymentReport {
            verdict: self.verdict(),
            amount: self.money(),
        }
    }

    /// Returns our payment that it is for, by what was written to it; `None` if it is not ours.
    pub(super) fn told(&self) -> Option<Told> {
        let metadata = &self.metadata;
        let payment = PaymentRef {
            event: EventId::parse(metadata.event.as_deref()?).ok()?,
            order: metadata.order.clone()?,
            id: metadata.payment.clone()?,
            amount: self.money()?,
            promised_at: None,
            provider: ProviderId::Stripe,
            reference: Some(self.id.clone()),
            refund: None,
        };
        Some(Told {
            payment,
            report: self.report(),
            refunded: self.refunded(),
        })
    }

    /// Returns the amount that it is about.
    fn money(&self) -> Option<Money> {
        Some(Money {
            amount: self.amount,
            currency: Currency::parse(&self.currency.to_ascii_uppercase())?,
        })
    }

    /// Returns the sum of what was given back, in minor units, if the charge is there in full.
    fn refunded(&self) -> Option<i64> {
        match &self.latest_charge {
            Some(Charge::Full { amount_refunded }) => Some(*amount_refunded),
            _ => None,
        }
    }

    /// Returns what the fan's browser needs to pay it.
    pub(super) fn into_offer(self) -> Offer {
        Offer {
            reference: self.id,
            client_secret: self.client_secret.unwrap_or_default(),
        }
    }

    /// Returns it as an entry of a list.
    pub(super) fn into_listed(self) -> Option<Listed> {
        let currency = self.money()?.currency;
        let refunded = self.refunded().unwrap_or(0);
        Some(Listed {
            reservation: match self.status.as_str() {
                "requires_capture" => Reservation::Standing,
                _ => Reservation::None,
            },
            reference: self.id,
            is_ours: Some(self.metadata.payment.is_some()),
            captured: Money {
                amount: self.amount_received,
                currency,
            },
            refunded,
        })
    }
}

impl PaymentError {
    /// Returns the reason in our words; those of the provider are for merchants.
    fn reason(&self) -> &'static str {
        let code = self.decline_code.as_deref().or(self.code.as_deref());
        match code {
            Some("insufficient_funds") => "insufficient_funds",
            Some("expired_card") => "expired_card",
            Some("incorrect_cvc" | "incorrect_number" | "invalid_expiry_year") => "wrong_details",
            Some("payment_intent_authentication_failure" | "authentication_required") => {
                "not_authenticated"
            }
            _ => "card_declined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn intent(status: &str, error: serde_json::Value) -> Intent {
        let intent = json!({"id": "pi_1", "status": status, "amount": 4500, "currency": "jpy",
            "last_payment_error": error, "latest_charge": "ch_1"});
        serde_json::from_value(intent).unwrap()
    }

    #[test]
    fn every_status_of_a_payment_intent_has_one_meaning() {
        let declined = |reason: &str| Verdict::Declined(reason.to_owned());
        let none = || serde_json::Value::Null;
        let cases = [
            ("requires_payment_method", none(), Verdict::RequiresAction),
            (
                "requires_payment_method",
                json!({"code": "card_declined", "decline_code": "insufficient_funds"}),
                declined("insufficient_funds"),
            ),
            (
                "requires_payment_method",
                json!({"code": "card_declined", "decline_code": "stolen_card"}),
                declined("card_declined"),
            ),
            ("requires_confirmation", none(), Verdict::RequiresAction),
            ("requires_action", none(), Verdict::RequiresAction),
            ("processing", none(), Verdict::Processing),
            ("requires_capture", none(), Verdict::Authorised),
            ("succeeded", none(), Verdict::Captured),
            ("canceled", none(), Verdict::Voided),
        ];
        for (status, error, verdict) in cases {
            assert_eq!(intent(status, error).verdict(), verdict, "{status}");
        }
        let unknown = intent("frozen", none()).verdict();
        assert!(matches!(unknown, Verdict::Contradiction(_)));
        assert_eq!(
            intent("succeeded", none())
                .money()
                .unwrap()
                .currency
                .as_str(),
            "JPY"
        );
    }
}

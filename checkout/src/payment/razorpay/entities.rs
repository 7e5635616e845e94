//! Razorpay's answers: orders, the attempts to pay them, and refunds.

use crate::inventory::{Currency, Money, PaymentRef, ProviderId, Verdict};
use crate::payment::provider::{Listed, PaymentReport, Reservation};
use serde::Deserialize;
use serde_json::Value;
use shared::ids::EventId;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Collection<T> {
    pub(super) items: Vec<T>,
}

/// An order: a payment of ours as Razorpay knows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RazorpayOrder {
    pub(super) id: String,
    amount: i64,
    currency: String,
    pub(super) created_at: i64,
    /// An object, or an empty array.
    #[serde(default)]
    notes: Value,
}

/// An attempt to pay an order, which Razorpay calls a payment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attempt {
    pub(super) id: String,
    amount: i64,
    currency: String,
    status: String,
    pub(super) order_id: Option<String>,
    captured: Option<bool>,
    amount_refunded: Option<i64>,
    error_reason: Option<String>,
    created_at: i64,
}

/// Money that was given back.
#[derive(Deserialize)]
pub(super) struct RazorpayRefund {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    notes: Value,
}

impl RazorpayOrder {
    /// Returns our payment that it was made for, by its notes; `None` if it is not ours.
    pub(super) fn payment(&self) -> Option<PaymentRef> {
        let note = |name: &str| self.notes.get(name).and_then(Value::as_str);
        Some(PaymentRef {
            event: EventId::parse(note("event")?).ok()?,
            order: note("order")?.to_owned(),
            id: note("payment")?.to_owned(),
            amount: money(self.amount, &self.currency)?,
            promised_at: None,
            provider: ProviderId::Razorpay,
            reference: Some(self.id.clone()),
            refund: None,
        })
    }

    /// Returns whether it was made for this payment.
    pub(super) fn is_for(&self, payment: &PaymentRef) -> bool {
        let own = self.payment();
        own.is_some_and(|own| own.id == payment.id && own.amount == payment.amount)
    }
}

impl Attempt {
    /// Returns whether its money was taken, given back since or not.
    pub(super) fn is_captured(&self) -> bool {
        self.captured == Some(true)
    }

    fn is_reserved(&self) -> bool {
        self.status == "authorized" && !self.is_captured()
    }
}

impl RazorpayRefund {
    /// Returns whether this is our refund with this id, and holds.
    pub(super) fn is(&self, refund: &str) -> bool {
        let own = self.notes.get("refund").and_then(Value::as_str);
        own == Some(refund) && self.holds()
    }

    /// Returns whether the money is given back or on its way.
    pub(super) fn holds(&self) -> bool {
        self.status.as_deref() != Some("failed")
    }
}

pub(super) fn money(amount: i64, currency: &str) -> Option<Money> {
    let currency = Currency::parse(currency)?;
    Some(Money { amount, currency })
}

/// Returns the attempt whose money is to be taken: the first that is reserved, the same at every
/// node.
pub(super) fn reserved(attempts: &[Attempt]) -> Option<&Attempt> {
    let reserved = attempts.iter().filter(|attempt| attempt.is_reserved());
    reserved.min_by_key(|attempt| (attempt.created_at, &attempt.id))
}

/// Returns how an order stands by all attempts to pay it.
pub(super) fn report(attempts: &[Attempt]) -> PaymentReport {
    let captured: Vec<&Attempt> = attempts.iter().filter(|one| one.is_captured()).collect();
    let known = if let Some(first) = captured.first() {
        // The sum of several is more than the order costs, so that a person looks at it.
        let sum = captured.iter().map(|attempt| attempt.amount).sum();
        Some((Verdict::Captured, money(sum, &first.currency)))
    } else {
        reserved(attempts).map(|one| (Verdict::Authorised, money(one.amount, &one.currency)))
    };
    match known {
        Some((verdict, Some(amount))) => PaymentReport {
            verdict,
            amount: Some(amount),
        },
        Some((_, None)) => PaymentReport {
            verdict: Verdict::Contradiction("the provider names no currency".to_owned()),
            amount: None,
        },
        None => PaymentReport {
            verdict: without_money(attempts),
            amount: None,
        },
    }
}

/// Returns the verdict on an order that has no money.
fn without_money(attempts: &[Attempt]) -> Verdict {
    let known = ["created", "failed", "refunded"];
    let odd = |attempt: &&Attempt| !known.contains(&attempt.status.as_str());
    if let Some(odd) = attempts.iter().find(odd) {
        return Verdict::Contradiction(format!("the provider says '{}'", odd.status));
    }
    let has = |status: &str| attempts.iter().any(|attempt| attempt.status == status);
    if has("created") {
        return Verdict::RequiresAction;
    }
    // Money that is refunded without having been captured went back by itself.
    if has("refunded") {
        return Verdict::Voided;
    }
    let last = attempts.iter().max_by_key(|attempt| attempt.created_at);
    match last {
        Some(failed) => Verdict::Declined(reason(failed.error_reason.as_deref()).to_owned()),
        None => Verdict::RequiresAction,
    }
}

/// Returns the reason of a decline in our words; those of the provider are for merchants.
fn reason(theirs: Option<&str>) -> &'static str {
    match theirs.unwrap_or("") {
        "insufficient_funds" => "insufficient_funds",
        "card_expired" => "expired_card",
        "card_number_invalid"
        | "incorrect_card_details"
        | "incorrect_card_expiry_date"
        | "incorrect_cardholder_name"
        | "incorrect_cvv"
        | "invalid_vpa" => "wrong_details",
        "authentication_failed"
        | "incorrect_otp"
        | "invalid_otp"
        | "incorrect_pin"
        | "otp_expired"
        | "otp_attempts_exceeded"
        | "pin_attempts_exceeded" => "not_authenticated",
        "payment_cancelled" | "payment_timed_out" => "cancelled",
        _ => "card_declined",
    }
}

/// Returns what was given back of what had been taken, in minor units.
pub(super) fn refunded(attempts: &[Attempt]) -> i64 {
    let captured = attempts.iter().filter(|attempt| attempt.is_captured());
    captured.filter_map(|attempt| attempt.amount_refunded).sum()
}

/// Returns the attempts to pay an order as one entry of a list; `None` if nothing was to be paid.
pub(super) fn listed(order: String, attempts: &[Attempt]) -> Option<Listed> {
    let first = attempts.first()?;
    let captured = || attempts.iter().filter(|attempt| attempt.is_captured());
    let sum: i64 = captured().map(|attempt| attempt.amount).sum();
    let currency = &captured().next().unwrap_or(first).currency;
    Some(Listed {
        reference: order,
        is_ours: None,
        captured: money(sum, currency)?,
        refunded: refunded(attempts),
        reservation: match reserved(attempts) {
            Some(_) => Reservation::Lapsing,
            None => Reservation::None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attempt(status: &str, at: i64, more: Value) -> Attempt {
        let mut attempt = json!({"id": format!("pay_{at}"), "status": status, "amount": 4500,
            "currency": "INR", "captured": false, "created_at": at, "order_id": "order_1"});
        for (name, value) in more.as_object().into_iter().flatten() {
            attempt[name] = value.clone();
        }
        serde_json::from_value(attempt).unwrap()
    }

    fn declined(reason: &str) -> Verdict {
        Verdict::Declined(reason.to_owned())
    }

    #[test]
    fn an_order_stands_as_the_attempts_to_pay_it_say_together() {
        let no = || json!({});
        let taken = || json!({"captured": true});
        let funds = || json!({"error_reason": "insufficient_funds"});
        let cases = [
            (vec![], Verdict::RequiresAction),
            (vec![attempt("created", 1, no())], Verdict::RequiresAction),
            (
                vec![attempt("failed", 1, funds())],
                declined("insufficient_funds"),
            ),
            (
                vec![attempt("failed", 2, no()), attempt("failed", 1, funds())],
                declined("card_declined"),
            ),
            (
                vec![attempt("created", 2, no()), attempt("failed", 1, no())],
                Verdict::RequiresAction,
            ),
            (
                vec![attempt("failed", 2, no()), attempt("authorized", 1, no())],
                Verdict::Authorised,
            ),
            (
                vec![
                    attempt("authorized", 2, no()),
                    attempt("captured", 1, taken()),
                ],
                Verdict::Captured,
            ),
            (vec![attempt("refunded", 1, taken())], Verdict::Captured),
            // It was not captured in time.
            (vec![attempt("refunded", 1, no())], Verdict::Voided),
        ];
        for (attempts, verdict) in cases {
            assert_eq!(report(&attempts).verdict, verdict, "{attempts:?}");
        }
        let odd = report(&[attempt("frozen", 1, no())]).verdict;
        assert!(matches!(odd, Verdict::Contradiction(_)), "{odd:?}");
        let nowhere = report(&[attempt("authorized", 1, json!({"currency": ""}))]);
        assert!(matches!(nowhere.verdict, Verdict::Contradiction(_)));
    }

    #[test]
    fn two_payments_of_an_order_are_more_than_it_costs_and_the_first_reserved_is_taken() {
        let taken = || json!({"captured": true});
        let both = [
            attempt("captured", 2, taken()),
            attempt("captured", 1, taken()),
        ];
        assert_eq!(report(&both).amount.unwrap().amount, 9000);
        let both = [
            attempt("authorized", 2, json!({})),
            attempt("authorized", 1, json!({})),
        ];
        assert_eq!(reserved(&both).unwrap().id, "pay_1");
        assert_eq!(listed("order_1".into(), &both).unwrap().captured.amount, 0);
    }

    #[test]
    fn an_order_without_our_notes_is_not_ours() {
        for notes in [
            json!([]),
            json!({}),
            json!({"payment": "pay_1"}),
            Value::Null,
        ] {
            let order = json!({"id": "order_1", "amount": 1, "currency": "INR", "created_at": 1,
                "notes": notes});
            let order: RazorpayOrder = serde_json::from_value(order).unwrap();
            assert_eq!(order.payment(), None);
        }
    }
}

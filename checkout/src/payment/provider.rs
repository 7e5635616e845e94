//! The contract of a payment provider.

use crate::inventory::{DisputeReport, Money, Offer, PaymentRef, ProviderId, RefundRef, Verdict};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::time::Time;

/// Outcome of a request to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The provider has answered.
    Known(T),
    /// The provider refuses, and will again: why, for the operator.
    Refused(String),
    /// There was no answer, or one that says nothing: it may have been done or not.
    Unknown,
}

impl<T> Answer<T> {
    /// Applies a function to a known answer.
    pub(crate) fn map<U>(self, then: impl FnOnce(T) -> U) -> Answer<U> {
        self.and_then(|value| Answer::Known(then(value)))
    }

    /// Applies a function that may refuse a known answer.
    pub(super) fn and_then<U>(self, then: impl FnOnce(T) -> Answer<U>) -> Answer<U> {
        match self {
            Answer::Known(value) => then(value),
            Answer::Refused(why) => Answer::Refused(why),
            Answer::Unknown => Answer::Unknown,
        }
    }
}

/// State of a payment as its provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentReport {
    /// Its meaning for the payment.
    pub verdict: Verdict,
    /// Amount that the provider was asked for; `None` if it does not say.
    pub amount: Option<Money>,
}

/// A payment that a provider tells of by its own id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The payment of ours, by what was written to it when it was offered.
    pub payment: PaymentRef,
    /// Its state.
    pub report: PaymentReport,
    /// Sum of what was given back, in minor units; `None` if that was not told.
    pub refunded: Option<i64>,
}

/// A webhook whose signature is right: a hint that something happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Id under which it is remembered, unique among all providers.
    pub(crate) id: String,
    /// Its sender.
    pub(crate) provider: ProviderId,
    /// The provider's own id of the payment.
    pub(crate) reference: String,
    /// State of the payment, if the webhook may be believed without asking.
    pub(crate) told: Option<Told>,
    /// Further facts that it tells.
    pub(crate) claim: Claim,
}

/// Facts of a webhook about its payment that the provider may not repeat when it is asked. It is
/// kept while the webhook is parked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Why a person has to look at the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) complaint: Option<String>,
    /// The provider's id of the dispute that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dispute: Option<String>,
}

impl Claim {
    /// Returns it as it is stored with a parked webhook; `None` if it says nothing.
    pub(super) fn stored(&self) -> Option<String> {
        (*self != Claim::default()).then(|| json!(self).to_string())
    }

    /// Reads a stored one.
    pub(super) fn read(stored: Option<&str>) -> Claim {
        let read = stored.map(serde_json::from_str).transpose();
        let read = read.inspect_err(|error| {
            tracing::error!(%error, "what a parked webhook said cannot be read");
        });
        read.ok().flatten().unwrap_or_default()
    }
}

/// Returns the complaint of a refund, in minor units, that failed at its provider later.
pub(super) fn refund_failed(amount: &Value) -> String {
    let amount = amount.as_i64().unwrap_or_default();
    format!("a refund of {amount} failed at the provider after it had been accepted")
}

/// A payment in a provider's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The provider's own id.
    pub reference: String,
    /// Whether it was made by us; `None` if the list does not say.
    pub is_ours: Option<bool>,
    /// Amount captured.
    pub captured: Money,
    /// Amount refunded, in minor units.
    pub refunded: i64,
    /// Money that was not taken.
    pub reservation: Reservation,
}

/// A dispute in a provider's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDispute {
    /// The provider's own id of its payment.
    pub reference: String,
    /// The dispute.
    pub report: DisputeReport,
}

/// Money of a fan that is reserved at a provider and was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// There is none.
    None,
    /// It stays until it is captured or cancelled.
    Standing,
    /// It cannot be cancelled, and goes back by itself unless it is captured.
    Lapsing,
}

/// A payment provider. Every call has a time limit, may be repeated, and takes effect once. None
/// runs inside a transaction.
///
/// A payment is offered, authorised by the fan, and captured once its seats are booked; or it is
/// cancelled before its seats are released.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns which one it is.
    fn id(&self) -> ProviderId;

    /// Returns whether its payments are tests, in which no money moves.
    fn is_test(&self) -> bool;

    /// Checks whether the provider takes an amount of a currency, in the minor units of ISO 4217.
    ///
    /// # Errors
    /// A sentence for the organiser.
    fn check_amount(&self, _amount: i64, _code: &str) -> Result<(), String> {
        Ok(())
    }

    /// Makes a payment known to the provider. Seats are frozen by then.
    async fn offer(&self, payment: &PaymentRef) -> Answer<Offer>;

    /// Charges a card whose number is known. Only the simulated provider takes numbers; `None` is a
    /// card that it does not know.
    async fn charge(&self, card: &str, now: Time) -> Option<Verdict>;

    /// Returns the state of a payment.
    async fn fetch(&self, payment: &PaymentRef) -> Answer<PaymentReport>;

    /// Returns a payment by the provider's own id; `None` if it was not made by us.
    async fn look_up(&self, reference: &str) -> Answer<Option<Told>>;

    /// Takes the money that is reserved.
    async fn capture(&self, payment: &PaymentRef) -> Answer<PaymentReport>;

    /// Cancels a payment, reserved or not. After a report that it is voided, the checkout takes no
    /// money by it any more.
    async fn cancel(&self, payment: &PaymentRef) -> Answer<PaymentReport>;

    /// Returns whether a refund has been made.
    async fn has_refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<bool>;

    /// Gives money back.
    async fn refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<()>;

    /// Returns a dispute by the provider's own id.
    async fn dispute(&self, id: &str) -> Answer<DisputeReport>;

    /// Returns the disputes that began at this instant or later.
    async fn disputes(&self, from: Time) -> Answer<Vec<ListedDispute>>;

    /// Returns the payments that the provider has heard of in this period, from the first instant
    /// to before the last.
    async fn list(&self, from: Time, to: Time) -> Answer<Vec<Listed>>;
}

/// Returns whether a text consists of the characters of ids and keys: letters, digits and `_`.
pub(super) fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

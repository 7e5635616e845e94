//! The contract of a payment provider.

use crate::inventory::{Money, Offer, PaymentRef, ProviderId, RefundRef, Verdict};
use async_trait::async_trait;
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
        match self {
            Answer::Known(value) => Answer::Known(then(value)),
            Answer::Refused(why) => Answer::Refused(why),
            Answer::Unknown => Answer::Unknown,
        }
    }
}

/// State of a payment as its provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its meaning for the payment.
    pub verdict: Verdict,
    /// Amount that the provider was asked for; `None` if it does not say.
    pub amount: Option<Money>,
}

/// A payment in a provider's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The provider's own id.
    pub reference: String,
    /// Our id of the payment, unless it was not made by us.
    pub payment: Option<String>,
    /// Amount captured.
    pub captured: Money,
    /// Amount refunded, in minor units.
    pub refunded: i64,
    /// Whether money is reserved and was not taken.
    pub is_reserved: bool,
}

/// A payment provider. Every call has a time limit, may be repeated, and takes effect once: it
/// carries an idempotency key made of the payment and the operation. None runs inside a transaction.
///
/// A payment is offered, authorised by the fan, and captured once its seats are booked; or it is
/// cancelled before its seats are released.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns which one it is.
    fn id(&self) -> ProviderId;

    /// Makes a payment known to the provider. Seats are frozen by then.
    async fn offer(&self, payment: &PaymentRef) -> Answer<Offer>;

    /// Charges a card whose number is known. Only the simulated provider takes numbers; `None` is a
    /// card that it does not know.
    async fn charge(&self, card: &str, now: Time) -> Option<Verdict>;

    /// Returns the state of a payment.
    async fn fetch(&self, payment: &PaymentRef) -> Answer<Report>;

    /// Takes the money that is reserved.
    async fn capture(&self, payment: &PaymentRef) -> Answer<Report>;

    /// Cancels a payment, reserved or not.
    async fn cancel(&self, payment: &PaymentRef) -> Answer<Report>;

    /// Gives money back.
    async fn refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<()>;

    /// Returns the payments that the provider has heard of in this period, from the first instant
    /// to before the last.
    async fn list(&self, from: Time, to: Time) -> Answer<Vec<Listed>>;
}

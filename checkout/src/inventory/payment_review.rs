//! Payments that need a look: why, and what an organiser may do about each.

use super::model::{Money, PaymentState};
use serde::{Deserialize, Serialize};
use shared::ids::EventId;
use shared::time::Time;
use utoipa::ToSchema;

/// Reason why a payment needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// The provider has another amount or currency than the books.
    OtherAmount,
    /// The provider does not take the payment.
    NotOffered,
    /// The provider does not take the money that it reserved.
    NotCaptured,
    /// The provider does not cancel the payment.
    NotCancelled,
    /// The provider does not refund it.
    NotRefunded,
    /// The provider says that it was cancelled, although it was captured.
    Cancelled,
    /// A part was refunded at the provider itself, and for which seats is not known.
    RefundedElsewhere,
    /// It is disputed at the bank, or was charged back.
    Disputed,
    /// The provider says something else that cannot be.
    Unclear,
}

impl ReviewReason {
    /// Returns the reason for a payment in this state about which the provider says something that
    /// cannot be, or of which it refuses the next step.
    pub(super) fn of(state: PaymentState) -> ReviewReason {
        match state {
            PaymentState::Created => ReviewReason::NotOffered,
            PaymentState::Capturing => ReviewReason::NotCaptured,
            PaymentState::Voiding => ReviewReason::NotCancelled,
            PaymentState::Refunding => ReviewReason::NotRefunded,
            _ => ReviewReason::Unclear,
        }
    }
}

/// Why a payment needs a look, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Review {
    pub(super) reason: ReviewReason,
    /// In the words of the provider, or of the books.
    pub(super) detail: String,
    pub(super) since: Time,
}

impl Review {
    /// Reads a stored one. Earlier versions stored the detail alone.
    pub(super) fn read(text: String) -> Review {
        serde_json::from_str(&text).unwrap_or(Review {
            reason: ReviewReason::Unclear,
            detail: text,
            since: Time(0),
        })
    }
}

/// Settlement of a payment that needs a look, through its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The provider is asked again for the step that it refused, or how the payment is.
    AskAgain,
    /// The money stays, and so do the tickets: an unfinished refund is withdrawn.
    Keep,
    /// The money goes back, or the payment is cancelled; the seats are free then.
    GiveBack,
    /// The money that was refunded was that of seats, which are named: they are free then. Of a payment
    /// that is disputed, all seats if none are named.
    TakeBackSeats,
}

/// Outcome of a payment that was settled outside of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsideOutcome {
    /// The order counts as paid: its tickets are issued, or stay.
    Paid,
    /// The order counts as not paid, or paid back: its seats are free.
    Returned,
}

/// A payment that needs a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentReview {
    /// The event.
    pub event: EventId,
    /// The order.
    pub order: String,
    /// State of the order.
    pub order_state: String,
    /// `pay_…`
    pub payment: String,
    /// State of the payment.
    pub state: PaymentState,
    /// Amount of the payment.
    pub amount: Money,
    /// Why it needs a look.
    pub reason: ReviewReason,
    /// Why, in the words of the provider or of the books.
    pub detail: String,
    /// Since when.
    pub since: Time,
    /// Ways to settle it, by `…/payments/{payment}/settle`.
    pub settlements: Vec<Settlement>,
    /// How it may be settled outside, by `…/payments/{payment}/settle-outside`.
    pub outside: Vec<OutsideOutcome>,
}

//! Stripe's disputes, in our words.

use crate::inventory::{Currency, DisputeReport, DisputeState, Money};
use crate::payment::provider::{Answer, ListedDispute};
use serde::Deserialize;
use shared::time::Time;

/// A dispute as Stripe tells it.
#[derive(Deserialize)]
pub(super) struct StripeDispute {
    pub(super) id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    reason: String,
    status: String,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    evidence_details: Evidence,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Evidence {
    /// In seconds since 1970.
    due_by: Option<i64>,
}

/// A page of disputes.
#[derive(Deserialize)]
pub(super) struct DisputeList {
    pub(super) data: Vec<StripeDispute>,
    pub(super) has_more: bool,
}

impl StripeDispute {
    /// Returns it in our words.
    pub(super) fn into_report(self) -> Answer<DisputeReport> {
        let Some(currency) = Currency::parse(&self.currency.to_ascii_uppercase()) else {
            return Answer::Refused(format!("'{}' is no currency", self.currency));
        };
        Answer::Known(DisputeReport {
            id: self.id,
            amount: Money {
                amount: self.amount,
                currency,
            },
            reason: self.reason,
            due_at: self.evidence_details.due_by.map(|at| Time(at * 1000)),
            // A state that is not known to end the dispute needs a look.
            state: match self.status.as_str() {
                "won" => DisputeState::Won,
                "lost" => DisputeState::Lost,
                "warning_closed" | "prevented" => DisputeState::Closed,
                _ => DisputeState::Open,
            },
        })
    }

    /// Returns it as an entry of a list; `None` if it is about no PaymentIntent.
    pub(super) fn into_listed(self) -> Option<ListedDispute> {
        let reference = self.payment_intent.clone()?;
        match self.into_report() {
            Answer::Known(report) => Some(ListedDispute { reference, report }),
            _ => None,
        }
    }
}

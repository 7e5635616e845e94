//! Razorpay's disputes, in our words.

use super::entities::money;
use crate::inventory::{DisputeReport, DisputeState};
use crate::payment::provider::Answer;
use serde::Deserialize;
use shared::time::Time;

/// A dispute as Razorpay tells it.
#[derive(Deserialize)]
pub(super) struct RazorpayDispute {
    id: String,
    /// The attempt that is disputed.
    pub(super) payment_id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    reason_code: String,
    /// In seconds since 1970.
    #[serde(default)]
    respond_by: Option<i64>,
    status: String,
    /// In seconds since 1970.
    #[serde(default)]
    pub(super) created_at: i64,
}

impl RazorpayDispute {
    /// Returns it in our words.
    pub(super) fn into_report(self) -> Answer<DisputeReport> {
        let Some(amount) = money(self.amount, &self.currency) else {
            return Answer::Refused(format!("'{}' is no currency", self.currency));
        };
        Answer::Known(DisputeReport {
            id: self.id,
            amount,
            reason: self.reason_code,
            due_at: self.respond_by.map(|at| Time(at * 1000)),
            // A state that is not known to end the dispute needs a look.
            state: match self.status.as_str() {
                "won" => DisputeState::Won,
                "lost" => DisputeState::Lost,
                "closed" => DisputeState::Closed,
                _ => DisputeState::Open,
            },
        })
    }
}

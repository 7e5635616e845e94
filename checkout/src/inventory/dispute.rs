//! Disputes of payments: a cardholder asks the bank for the money back, and the bank decides.

use super::money::{Currency, Money};
use serde::{Deserialize, Serialize};
use shared::time::Time;
use utoipa::ToSchema;

/// State of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisputeState {
    /// It waits for evidence, or for the bank. The provider may keep the money back meanwhile.
    Open,
    /// The money stays.
    Won,
    /// The money went back to the cardholder.
    Lost,
    /// It ended without moving money, such as an inquiry of the bank.
    Closed,
}

impl DisputeState {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            DisputeState::Open => "open",
            DisputeState::Won => "won",
            DisputeState::Lost => "lost",
            DisputeState::Closed => "closed",
        }
    }
}

/// A dispute as its provider knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DisputeReport {
    /// The provider's own id.
    pub id: String,
    /// Amount disputed.
    pub amount: Money,
    /// The provider's word for the reason.
    pub reason: String,
    /// Time until which evidence can be handed in; null if the provider names none.
    pub due_at: Option<Time>,
    /// Its state.
    pub state: DisputeState,
}

/// Outcome of what a provider told of a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeardDispute {
    /// It is recorded now.
    New,
    /// It was known.
    Known,
    /// It is open by this answer, and had ended as this report in the books. The answer may be older
    /// than the end, or the dispute was opened again: ask the provider once more.
    Ended(DisputeReport),
}

/// A dispute as stored with its payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DisputeRow {
    pub(super) report: DisputeReport,
    /// When it was heard of first.
    pub(super) since: Time,
    /// Price of the seats that were taken back for it, in minor units.
    #[serde(default)]
    pub(super) taken_back: i64,
    /// Sum of the credit notes that were issued for it, in minor units.
    #[serde(default)]
    pub(super) credited: i64,
}

impl DisputeRow {
    /// Returns the money of this currency that went back for it, in minor units.
    pub(super) fn charged_back(&self, currency: Currency) -> i64 {
        match self.report.state {
            DisputeState::Lost if self.report.amount.currency == currency => {
                self.report.amount.amount
            }
            _ => 0,
        }
    }

    /// Returns whether money of another currency than this went back for it.
    pub(super) fn is_charged_back_elsewise(&self, currency: Currency) -> bool {
        self.report.state == DisputeState::Lost && self.report.amount.currency != currency
    }

    /// Returns whether an organiser has to look at it: it is open, or lost.
    pub(super) fn is_pressing(&self) -> bool {
        matches!(self.report.state, DisputeState::Open | DisputeState::Lost)
    }

    /// Returns whether anything was told of it that is not among these.
    pub(super) fn has_news(&self, known: &[DisputeRow]) -> bool {
        known.iter().all(|known| known.report != self.report)
    }

    /// Returns it in words, for the organiser of a payment in this currency.
    pub(super) fn detail(&self, of_payment: Currency) -> String {
        let DisputeReport {
            id,
            amount,
            reason,
            state,
            ..
        } = &self.report;
        let (state, currency) = (state.as_str(), amount.currency.as_str());
        let other = match amount.currency == of_payment {
            true => "",
            false => " (another currency than the payment's, so that the books do not have it)",
        };
        let amount = amount.amount;
        format!("dispute {id} of {amount} {currency} in minor units{other}, {reason}: {state}")
    }
}

/// Returns disputes as their provider told them.
pub(super) fn reports(disputes: &[DisputeRow]) -> Vec<DisputeReport> {
    let each = disputes.iter().map(|dispute| dispute.report.clone());
    each.collect()
}

/// A dispute of a payment, as organisers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DisputeDetails {
    /// The dispute as the provider tells it.
    #[serde(flatten)]
    pub report: DisputeReport,
    /// When it was heard of first.
    pub since: Time,
    /// Price of the tickets that were made void for it.
    pub taken_back: Money,
}

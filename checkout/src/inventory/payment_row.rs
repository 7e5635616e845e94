//! The stored record of a payment, and of refunds of a part of it.

use super::dispute::DisputeRow;
use super::model::{Money, PaymentRef, PaymentView, ProviderId, RefundRef};
use super::payment_review::Review;
use super::payment_state::PaymentState;
use serde::{Deserialize, Serialize};
use shared::ids::EventId;
use shared::time::Time;

/// Largest number of entries of a payment's history; beyond it those after the first are dropped.
const HISTORY_MAX: usize = 100;

#[derive(Clone, Debug)]
pub(super) struct PaymentRow {
    pub(super) id: String,
    pub(super) attempt: i32,
    pub(super) state: PaymentState,
    pub(super) amount: Money,
    pub(super) client_secret: String,
    pub(super) begun_at: Option<Time>,
    /// Time at which the provider will have decided; set for the simulated card that pays late.
    pub(super) settles_at: Option<Time>,
    pub(super) provider: ProviderId,
    /// The provider's own id of it.
    pub(super) reference: Option<String>,
    /// Number of its changes. A change that was decided on an older one is refused.
    pub(super) revision: i32,
    /// Sum of what was given back, in minor units.
    pub(super) refunded: i64,
    /// Refunds of a part.
    pub(super) refunds: Vec<RefundRow>,
    /// Why it needs a look.
    pub(super) review: Option<Review>,
    /// Note with which it was settled outside of its provider, which is not asked about it any more.
    pub(super) outside: Option<String>,
    /// Its states, in order; empty for a payment of an earlier version.
    pub(super) history: Vec<HistoryEntry>,
    /// Its disputes, in the order in which they were heard of.
    pub(super) disputes: Vec<DisputeRow>,
    /// Time at which the reconciler asks the provider next; otherwise it follows from the state.
    pub(super) next_at: Option<Time>,
}

/// Refund of a part of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefundRow {
    pub(super) id: String,
    /// Indices of the seats in the layout.
    pub(super) seats: Vec<u32>,
    /// In minor units.
    pub(super) amount: i64,
    pub(super) is_done: bool,
    /// Differences that it gives back for tickets which were moved to seats that cost less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) differences: Vec<DifferenceRow>,
}

/// Difference in price that is given back for a ticket which was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DifferenceRow {
    /// Id of the seat that the ticket has now.
    pub(super) seat: String,
    /// In minor units.
    pub(super) amount: i64,
}

/// Entry of a payment's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HistoryEntry {
    pub(super) at: Time,
    /// State from then on.
    pub(super) state: PaymentState,
    /// Why, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// Seats that had been chosen and were gone, so that others of their categories were booked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) instead_of: Vec<String>,
}

impl PaymentRow {
    /// Adds its present state to its history.
    pub(super) fn note(&mut self, at: Time, note: Option<String>) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry {
            at,
            state: self.state,
            note,
            instead_of: Vec::new(),
        });
    }

    /// Adds to its history that other seats are booked than those that had been chosen.
    pub(super) fn note_exchange(&mut self, at: Time, instead_of: Vec<String>) {
        let note = format!("others are booked instead of {}", instead_of.join(", "));
        self.note(at, Some(note));
        if let Some(entry) = self.history.last_mut() {
            entry.instead_of = instead_of;
        }
    }

    /// Returns the seats that had been chosen, if others were booked instead.
    pub(super) fn instead_of(&self) -> Vec<String> {
        let exchanged = self.history.iter().rev();
        let mut exchanged = exchanged.filter(|entry| !entry.instead_of.is_empty());
        exchanged
            .next()
            .map_or(Vec::new(), |entry| entry.instead_of.clone())
    }

    /// Returns whether nothing is done about it by itself: it needs a look, or was settled outside.
    pub(super) fn is_left_alone(&self) -> bool {
        self.review.is_some() || self.outside.is_some()
    }

    /// Returns the refund that is under way, if one is: of a part, or of everything that is left.
    pub(super) fn open_refund(&self) -> Option<RefundRef> {
        if self.state != PaymentState::Refunding {
            return None;
        }
        let part = self.refunds.iter().find(|refund| !refund.is_done);
        Some(match part {
            Some(part) => RefundRef {
                id: part.id.clone(),
                amount: part.amount,
            },
            None => RefundRef {
                id: format!("{}_rest", self.id),
                amount: self.left(),
            },
        })
    }

    /// Returns it as its provider is asked about it.
    pub(super) fn as_ref(&self, event: EventId, order: String) -> PaymentRef {
        PaymentRef {
            event,
            order,
            id: self.id.clone(),
            amount: self.amount,
            promised_at: self.settles_at,
            provider: self.provider,
            reference: self.reference.clone(),
            refund: self.open_refund(),
        }
    }

    /// Returns its public view.
    pub(super) fn view(&self) -> PaymentView {
        let is_razorpay = self.provider == ProviderId::Razorpay;
        let order_id = self.reference.clone().filter(|_| is_razorpay);
        let key_id = order_id.is_some().then(|| self.client_secret.clone());
        PaymentView {
            provider: self.provider.as_str().to_owned(),
            id: self.id.clone(),
            client_secret: if is_razorpay {
                String::new()
            } else {
                self.client_secret.clone()
            },
            key_id,
            order_id,
            pending: self.state.is_pending(),
        }
    }

    /// Returns what was taken, in minor units.
    pub(super) fn captured(&self) -> i64 {
        match self.state {
            PaymentState::Captured | PaymentState::Refunding | PaymentState::Refunded => {
                self.amount.amount
            }
            _ => 0,
        }
    }

    /// Returns the seats whose money is being given back or was.
    pub(super) fn seats_given_back(&self) -> impl Iterator<Item = u32> {
        self.refunds
            .iter()
            .flat_map(|refund| refund.seats.iter().copied())
    }

    /// Returns the money that went back for disputes that were lost, in minor units.
    pub(super) fn charged_back(&self) -> i64 {
        self.disputes.iter().map(DisputeRow::charged_back).sum()
    }

    /// Returns the money that is left of what was paid, in minor units; never below 0.
    pub(super) fn left(&self) -> i64 {
        (self.amount.amount - self.refunded - self.charged_back()).max(0)
    }

    /// Returns the newest dispute that an organiser has to look at: open or lost.
    pub(super) fn pressing_dispute(&self) -> Option<&DisputeRow> {
        let mut newest = self.disputes.iter().rev();
        newest.find(|dispute| dispute.is_pressing())
    }
}

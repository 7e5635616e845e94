//! The stored record of a payment, and of refunds of a part of it.

use super::dispute::DisputeRow;
use super::model::{Money, PaymentRef, PaymentView, ProviderId, RefundRef};
use super::payment_review::Review;
use super::payment_state::PaymentState;
use serde::{Deserialize, Serialize};
use shared::crypto::random_id;
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
    /// Refunds of a part, and of everything that is left while that is under way.
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

/// Refund of a part of a payment, or of everything that is left of it.
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
    /// Whether it gives back everything that is left. Such a row ends with the refund.
    #[serde(default)]
    pub(super) is_rest: bool,
    /// Money that had been charged back when it began, in minor units.
    #[serde(default)]
    pub(super) charged_back: i64,
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

    /// Goes to a state. A refund that begins without a part of its own gives back everything that is
    /// left now, and its amount stays as it is from now on: it may have been sent.
    pub(super) fn enter(&mut self, state: PaymentState) {
        self.state = state;
        let is_open = self.refunds.iter().any(|refund| !refund.is_done);
        match state {
            PaymentState::Refunding if is_open => {}
            PaymentState::Refunding => self.refunds.push(self.new_rest()),
            _ => self.refunds.retain(|refund| !refund.is_rest),
        }
    }

    /// Returns a refund of this amount that begins now.
    pub(super) fn new_refund(&self, amount: i64) -> RefundRow {
        RefundRow {
            id: random_id("ref_"),
            seats: Vec::new(),
            amount,
            is_done: false,
            differences: Vec::new(),
            is_rest: false,
            charged_back: self.charged_back(),
        }
    }

    /// Returns a refund of everything that is left. That of the whole payment has always the same id,
    /// with which its provider makes it once.
    pub(super) fn new_rest(&self) -> RefundRow {
        let rest = RefundRow {
            is_rest: true,
            ..self.new_refund(self.left())
        };
        if rest.amount < self.amount.amount {
            return rest;
        }
        RefundRow {
            id: self.rest_id(),
            ..rest
        }
    }

    fn rest_id(&self) -> String {
        format!("{}_rest", self.id)
    }

    /// Returns the refund that is under way, if one is: of a part, or of everything that is left.
    pub(super) fn open_refund(&self) -> Option<RefundRef> {
        if self.state != PaymentState::Refunding {
            return None;
        }
        let open = self.refunds.iter().find(|refund| !refund.is_done);
        // An earlier version began that of everything without a row.
        let open = open.cloned().unwrap_or_else(|| RefundRow {
            id: self.rest_id(),
            ..self.new_rest()
        });
        Some(RefundRef {
            is_overtaken: self.charged_back() > open.charged_back,
            id: open.id,
            amount: open.amount,
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

    /// Returns the money that went back for disputes that were lost, in minor units. Amounts in
    /// another currency than the payment's are not in it.
    pub(super) fn charged_back(&self) -> i64 {
        let currency = self.amount.currency;
        let each = self.disputes.iter();
        each.map(|dispute| dispute.charged_back(currency)).sum()
    }

    /// Returns the dispute for which money went back in another currency than the payment's, if there
    /// is one: how much is left is for the organiser to say.
    pub(super) fn charged_back_elsewise(&self) -> Option<&DisputeRow> {
        let currency = self.amount.currency;
        let mut each = self.disputes.iter();
        each.find(|dispute| dispute.is_charged_back_elsewise(currency))
    }

    /// Returns what credit notes were issued for disputes, in minor units.
    pub(super) fn credited_for_disputes(&self) -> i64 {
        self.disputes.iter().map(|dispute| dispute.credited).sum()
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

//! What is stored: the rows of both engines, all that one visitor has in one event, and what a request changes of it.

use super::model::{Buyer, HoldState, Money, SeatPrice, SeatState};
use serde::{Deserialize, Serialize};
use shared::ids::VisitorId;
use shared::time::Time;
use std::sync::Arc;
use uuid::Uuid;

/// The hash of a session word.
pub(super) type Key = [u8; 32];

/// The states of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderState {
    Paying,
    Confirming,
    Declined,
    Confirmed,
    Expired,
    Cancelled,
    Refunding,
    Refunded,
    NeedsReview,
}

impl OrderState {
    pub(super) const ALL: [OrderState; 9] = [
        OrderState::Paying,
        OrderState::Confirming,
        OrderState::Declined,
        OrderState::Confirmed,
        OrderState::Expired,
        OrderState::Cancelled,
        OrderState::Refunding,
        OrderState::Refunded,
        OrderState::NeedsReview,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            OrderState::Paying => "paying",
            OrderState::Confirming => "confirming",
            OrderState::Declined => "declined",
            OrderState::Confirmed => "confirmed",
            OrderState::Expired => "expired",
            OrderState::Cancelled => "cancelled",
            OrderState::Refunding => "refunding",
            OrderState::Refunded => "refunded",
            OrderState::NeedsReview => "needs_review",
        }
    }

    /// Whether its seats are frozen for a payment.
    pub(super) fn is_open(self) -> bool {
        matches!(
            self,
            OrderState::Paying | OrderState::Confirming | OrderState::Declined
        )
    }
}

/// The states of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentState {
    Created,
    Processing,
    Captured,
    Failed,
    Refunding,
    Refunded,
}

impl PaymentState {
    pub(super) const ALL: [PaymentState; 6] = [
        PaymentState::Created,
        PaymentState::Processing,
        PaymentState::Captured,
        PaymentState::Failed,
        PaymentState::Refunding,
        PaymentState::Refunded,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            PaymentState::Created => "created",
            PaymentState::Processing => "processing",
            PaymentState::Captured => "captured",
            PaymentState::Failed => "failed",
            PaymentState::Refunding => "refunding",
            PaymentState::Refunded => "refunded",
        }
    }
}

/// What the waiting room has yet to hear of a session: 0 nothing, 1 started, 2 finished.
pub(super) const STARTED: i16 = 1;
pub(super) const FINISHED: i16 = 2;

#[derive(Clone, Debug)]
pub(super) struct SessionRow {
    pub(super) key: Key,
    pub(super) visitor: VisitorId,
    pub(super) number: u64,
    pub(super) jti: String,
    pub(super) token: String,
    pub(super) expires_at: Time,
    pub(super) is_over: bool,
    pub(super) report: i16,
}

#[derive(Clone, Debug)]
pub(super) struct HoldRow {
    pub(super) id: Arc<str>,
    pub(super) session: Key,
    pub(super) state: HoldState,
    pub(super) seats: Arc<Vec<SeatPrice>>,
    pub(super) total: Money,
    /// What the fan is told.
    pub(super) expires_at: Time,
    /// When others may take the seats: a little later, and not the same for all, so that a batch does not lapse at once.
    pub(super) lapses_at: Time,
    /// Until when the seats may be kept for a payment.
    pub(super) max_expires_at: Time,
    /// The order that was made of it.
    pub(super) order: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct PaymentRow {
    pub(super) id: String,
    pub(super) attempt: i32,
    pub(super) state: PaymentState,
    pub(super) amount: Money,
    pub(super) client_secret: String,
    pub(super) begun_at: Option<Time>,
    /// When the provider will have decided; for the simulated card that pays late.
    pub(super) settles_at: Option<Time>,
}

#[derive(Clone, Debug)]
pub(super) struct TicketRow {
    /// The seat's place in the layout.
    pub(super) seat: u32,
    pub(super) id: String,
}

#[derive(Clone, Debug)]
pub(super) struct OrderRow {
    pub(super) id: String,
    pub(super) hold: Arc<str>,
    pub(super) visitor: VisitorId,
    pub(super) session: Key,
    pub(super) state: OrderState,
    pub(super) seats: Arc<Vec<SeatPrice>>,
    pub(super) total: Money,
    pub(super) buyer: Buyer,
    pub(super) decline: Option<String>,
    pub(super) created_at: Time,
    pub(super) pay_by: Time,
    /// By attempt; the last one is open or was made last.
    pub(super) payments: Vec<PaymentRow>,
    /// By seat.
    pub(super) tickets: Vec<TicketRow>,
}

/// A hold's id, which a store may keep as its 128 bits.
pub(super) fn hold_id(id: Uuid) -> Arc<str> {
    let mut text = *b"hold_00000000000000000000000000000000";
    id.simple().encode_lower(&mut text[5..]);
    String::from_utf8_lossy(&text).into()
}

impl HoldRow {
    /// Whether it has seats or an order. Others are history.
    pub(super) fn is_kept(&self) -> bool {
        self.state.owns() || self.order.is_some()
    }
}

/// The bits of a hold's id; zeros when it is none.
pub(super) fn hold_uuid(id: &str) -> Uuid {
    let digits = id.strip_prefix("hold_").unwrap_or_default();
    Uuid::try_parse_ascii(digits.as_bytes()).unwrap_or_default()
}

impl OrderRow {
    pub(super) fn payment(&self) -> &PaymentRow {
        self.payments
            .last()
            .expect("an order is made with a payment")
    }
}

/// The stored answer of an attempt, or the `Mark` of one that is running.
#[derive(Clone, Debug)]
pub(super) struct AnswerRow {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) answer: String,
    pub(super) at: Time,
}

/// Stands for the answer of an attempt to pay until there is one. It has no life of its own: once the payment is settled, by
/// whichever node, the attempt is answered with the order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) order: String,
    pub(super) payment: String,
}

/// All that one visitor has in one event.
#[derive(Clone, Debug, Default)]
pub(super) struct VisitorRecords {
    pub(super) visitor: Option<VisitorId>,
    /// The number of what the visitor does next: whoever knows less takes one that is taken, and is refused.
    pub(super) next: i32,
    pub(super) sessions: Vec<SessionRow>,
    /// Those with seats or an order, and some that ended lately.
    pub(super) holds: Vec<HoldRow>,
    pub(super) orders: Vec<OrderRow>,
    /// In which generation of the visits so many sessions and orders lead to this.
    pub(super) found_by: Option<(u32, usize, usize)>,
}

impl VisitorRecords {
    pub(super) fn of(visitor: VisitorId) -> VisitorRecords {
        VisitorRecords {
            visitor: Some(visitor),
            ..VisitorRecords::default()
        }
    }

    /// Takes the next number.
    pub(super) fn turn(&mut self) -> i32 {
        let turn = self.next;
        self.next += 1;
        turn
    }

    /// As it was before these changes, if a hold was made: who makes one does nothing else.
    pub(super) fn without(mut self: Box<Self>, changes: &ChangeSet) -> Option<Box<VisitorRecords>> {
        self.next = changes.new_hold?;
        self.holds.pop();
        Some(self)
    }

    pub(super) fn session(&self, key: &Key) -> Option<&SessionRow> {
        self.sessions.iter().find(|session| session.key == *key)
    }

    pub(super) fn hold(&self, id: &str) -> Option<&HoldRow> {
        self.holds.iter().find(|hold| *hold.id == *id)
    }

    pub(super) fn order(&self, id: &str) -> Option<&OrderRow> {
        self.orders.iter().find(|order| order.id == id)
    }

    /// Seats held and booked.
    pub(super) fn seats_owned(&self) -> u32 {
        let owning = self.holds.iter().filter(|hold| hold.state.owns());
        owning.map(|hold| hold.seats.len() as u32).sum()
    }
}

/// Whose a seat is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) state: SeatState,
    pub(super) hold: Option<Arc<str>>,
}

impl Owner {
    pub(super) fn nobody(state: SeatState) -> Owner {
        Owner { state, hold: None }
    }

    pub(super) fn hold(state: SeatState, hold: &Arc<str>) -> Owner {
        Owner {
            state,
            hold: Some(hold.clone()),
        }
    }
}

/// A seat changes hands, if it still is `from`'s.
#[derive(Clone, Debug)]
pub(super) struct SeatChange {
    pub(super) seat: u32,
    pub(super) from: Owner,
    pub(super) to: Owner,
    /// With a booked seat.
    pub(super) order: Option<String>,
    /// When others may take it; `NEVER` while it is frozen, 0 while it is nobody's.
    pub(super) lapses_at: i64,
}

/// A seat that is frozen or booked does not lapse.
pub(super) const NEVER: i64 = i64::MAX;

#[derive(Clone, Debug)]
pub(super) struct HoldChange {
    pub(super) id: Arc<str>,
    pub(super) from: HoldState,
    pub(super) to: HoldState,
    pub(super) order: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct OrderChange {
    pub(super) id: String,
    pub(super) created_at: Time,
    pub(super) from: OrderState,
    pub(super) to: OrderState,
    pub(super) decline: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct PaymentChange {
    pub(super) order: String,
    pub(super) attempt: i32,
    pub(super) from: PaymentState,
    pub(super) to: PaymentState,
    pub(super) begun_at: Option<Time>,
    pub(super) settles_at: Option<Time>,
}

/// What one request changes. Every change names what it changes from: a row that is something else by now refuses the whole
/// request, which is then decided anew.
#[derive(Clone, Debug, Default)]
pub(super) struct ChangeSet {
    pub(super) seats: Vec<SeatChange>,
    /// Seats that no longer lapse; memory alone keeps that, the hold's state says it.
    pub(super) frozen: Vec<u32>,
    pub(super) new_sessions: Vec<SessionRow>,
    /// Sessions that end.
    pub(super) sessions_over: Vec<Key>,
    /// The visit's last hold is new: its number among what the visitor did. Its seats are all that change then.
    pub(super) new_hold: Option<i32>,
    /// Numbers that are taken without a hold: by what a hold may not be decided without knowing.
    pub(super) turns: Vec<i32>,
    pub(super) holds: Vec<HoldChange>,
    pub(super) new_orders: Vec<OrderRow>,
    pub(super) orders: Vec<OrderChange>,
    /// With the order's id.
    pub(super) new_payments: Vec<(String, PaymentRow)>,
    pub(super) payments: Vec<PaymentChange>,
    /// With the order's id.
    pub(super) new_tickets: Vec<(String, TicketRow)>,
    /// Seats whose tickets are void.
    pub(super) tickets_void: Vec<u32>,
    /// An answer, and whether there must be none yet. Most requests have none.
    pub(super) answer: Option<Box<(AnswerRow, bool)>>,
}

impl ChangeSet {
    /// Free seats that are taken.
    pub(super) fn takes(&self) -> impl Iterator<Item = &SeatChange> {
        let is_free = |change: &&SeatChange| change.from.state == SeatState::Available;
        self.seats.iter().filter(is_free)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
            && self.new_sessions.is_empty()
            && self.sessions_over.is_empty()
            && self.new_hold.is_none()
            && self.holds.is_empty()
            && self.new_orders.is_empty()
            && self.orders.is_empty()
            && self.new_payments.is_empty()
            && self.payments.is_empty()
            && self.new_tickets.is_empty()
            && self.tickets_void.is_empty()
            && self.answer.is_none()
    }
}

//! Stored records: the rows of both engines, all records of one visitor in one event, and the
//! changes made by a request.

use super::charges::{Lines, seat_total};
use super::dispute::DisputeRow;
use super::invoices::NewInvoice;
use super::model::{Buyer, HoldState, Money, SeatPrice, SeatState};
use super::outbox::OutboxEntry;
pub(super) use super::payment_row::{PaymentRow, RefundRow};
use super::payment_state::PaymentState;
use serde::{Deserialize, Serialize};
use shared::ids::VisitorId;
use shared::time::Time;
use std::sync::Arc;
use uuid::Uuid;

/// Hash of a session token.
pub(super) type Key = [u8; 32];

/// State of an order.
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

    /// Returns whether nothing more happens to the order by itself.
    pub(super) fn is_settled(self) -> bool {
        !self.is_open() && self != OrderState::Refunding
    }

    /// Returns whether the seats are frozen for a payment.
    pub(super) fn is_open(self) -> bool {
        matches!(
            self,
            OrderState::Paying | OrderState::Confirming | OrderState::Declined
        )
    }
}

/// Report owed to the waiting room about a session: 0 none, 1 started, 2 finished.
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
    pub(super) lines: Lines,
    pub(super) total: Money,
    /// Expiry shown to the fan.
    pub(super) expires_at: Time,
    /// Time after which others may take the seats. It is a little later than `expires_at` and
    /// varies between holds, so that those of a batch do not all lapse at once.
    pub(super) lapses_at: Time,
    /// Latest time until which the seats may be kept for a payment.
    pub(super) max_expires_at: Time,
    /// Id of the order made from the hold.
    pub(super) order: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct TicketRow {
    /// Index of the seat in the layout.
    pub(super) seat: u32,
    pub(super) id: String,
    /// Whether it was checked in, when it was read.
    pub(super) is_used: bool,
}

#[derive(Clone, Debug)]
pub(super) struct OrderRow {
    pub(super) id: String,
    pub(super) hold: Arc<str>,
    pub(super) visitor: VisitorId,
    pub(super) session: Key,
    pub(super) state: OrderState,
    pub(super) seats: Arc<Vec<SeatPrice>>,
    pub(super) lines: Lines,
    pub(super) total: Money,
    /// `None` once erased.
    pub(super) buyer: Option<Buyer>,
    /// Code of the language of the buyer's page, if it is known.
    pub(super) language: Option<String>,
    pub(super) decline: Option<String>,
    pub(super) created_at: Time,
    pub(super) pay_by: Time,
    /// In order of attempts; the last one is open or is the latest.
    pub(super) payments: Vec<PaymentRow>,
    /// In order of seats.
    pub(super) tickets: Vec<TicketRow>,
}

/// Formats the 128 bits that a store may keep of a hold's id.
pub(super) fn hold_id(id: Uuid) -> Arc<str> {
    let mut text = *b"hold_00000000000000000000000000000000";
    id.simple().encode_lower(&mut text[5..]);
    String::from_utf8_lossy(&text).into()
}

impl HoldRow {
    /// Returns whether the hold has seats or an order; any other is history.
    pub(super) fn is_kept(&self) -> bool {
        self.state.owns() || self.order.is_some()
    }
}

/// Returns the bits of a hold's id, or zeros if it is malformed.
pub(super) fn hold_uuid(id: &str) -> Uuid {
    let digits = id.strip_prefix("hold_").unwrap_or_default();
    Uuid::try_parse_ascii(digits.as_bytes()).unwrap_or_default()
}

/// Returns a visitor's id as Postgres stores it.
pub(super) fn visitor_uuid(visitor: VisitorId) -> Uuid {
    Uuid::from_u128(visitor.0)
}

impl OrderRow {
    pub(super) fn payment(&self) -> &PaymentRow {
        self.payments
            .last()
            .expect("every order is created with a payment")
    }

    /// Returns what a seat costs with all that its ticket bears, less what was given back for it when
    /// its ticket was moved.
    pub(super) fn worth(&self, seat: &SeatPrice) -> i64 {
        let refunds = self.payments.iter().flat_map(|payment| &payment.refunds);
        let differences = refunds.flat_map(|refund| &refund.differences);
        let own = differences.filter(|difference| *difference.seat == *seat.id);
        seat_total(&self.lines, seat) - own.map(|difference| difference.amount).sum::<i64>()
    }

    /// Returns the number of seats that were given back one by one, and may be others' by now.
    fn seats_given_back(&self) -> usize {
        let refunds = self.payments.iter().flat_map(|payment| &payment.refunds);
        let done = refunds.filter(|refund| refund.is_done);
        done.map(|refund| refund.seats.len()).sum()
    }
}

/// Stored answer of an attempt, or the `Mark` of an attempt that is still running.
#[derive(Clone, Debug)]
pub(super) struct AnswerRow {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) answer: String,
    pub(super) at: Time,
}

/// Placeholder stored as the answer of an attempt to pay while it runs. It does not expire: as soon
/// as any node has settled the payment, the attempt is answered with the order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) order: String,
    pub(super) payment: String,
}

/// All records of one visitor in one event.
#[derive(Clone, Debug, Default)]
pub(super) struct VisitorRecords {
    pub(super) visitor: Option<VisitorId>,
    /// Next sequence number of the visitor's changes. A node with outdated records uses a number
    /// that is taken, and is refused.
    pub(super) next: i32,
    pub(super) sessions: Vec<SessionRow>,
    /// Holds with seats or an order, and some that ended recently.
    pub(super) holds: Vec<HoldRow>,
    pub(super) orders: Vec<OrderRow>,
    /// Bookkeeping of the cache.
    pub(super) indexed_as: Option<Indexed>,
}

/// State of a cache entry when it was last indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) generation: u32,
    pub(super) sessions: usize,
    pub(super) orders: usize,
}

impl VisitorRecords {
    pub(super) fn of(visitor: VisitorId) -> VisitorRecords {
        VisitorRecords {
            visitor: Some(visitor),
            ..VisitorRecords::default()
        }
    }

    /// Takes the next sequence number.
    pub(super) fn take_sequence(&mut self) -> i32 {
        let sequence = self.next;
        self.next += 1;
        sequence
    }

    /// Returns the records as they were before these changes, if a hold was made; a request that
    /// makes a hold changes nothing else.
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

    /// Returns the holds with seats that are not paid for, oldest first: active ones, and those of orders
    /// that are open.
    pub(super) fn unpaid_holds(&self) -> impl Iterator<Item = &HoldRow> {
        let is_ordered = |hold: &HoldRow| {
            let mut open = self.orders.iter().filter(|order| order.state.is_open());
            open.any(|order| order.hold == hold.id)
        };
        let holds = self.holds.iter();
        holds.filter(move |hold| hold.state == HoldState::Active || is_ordered(hold))
    }

    /// Returns the number of seats held and booked.
    pub(super) fn seats_owned(&self) -> u32 {
        let owning = self.holds.iter().filter(|hold| hold.state.owns());
        let held: usize = owning.clone().map(|hold| hold.seats.len()).sum();
        let given_back = self.orders.iter().filter(|order| {
            let mut owning = owning.clone();
            owning.any(|hold| hold.id == order.hold)
        });
        let given_back: usize = given_back.map(OrderRow::seats_given_back).sum();
        held.saturating_sub(given_back) as u32
    }
}

/// State of a seat and the hold that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) state: SeatState,
    pub(super) hold: Option<Arc<str>>,
}

impl Owner {
    pub(super) fn none(state: SeatState) -> Owner {
        Owner { state, hold: None }
    }

    pub(super) fn hold(state: SeatState, hold: &Arc<str>) -> Owner {
        Owner {
            state,
            hold: Some(hold.clone()),
        }
    }
}

/// Change of a seat's owner, which applies only if the current owner is `from`.
#[derive(Clone, Debug)]
pub(super) struct SeatChange {
    pub(super) seat: u32,
    pub(super) from: Owner,
    pub(super) to: Owner,
    /// Id of the order, for a booked seat.
    pub(super) order: Option<String>,
    /// Time after which others may take the seat; `NEVER` while it is frozen or booked, 0 while it
    /// has no owner.
    pub(super) lapses_at: i64,
}

/// Lapse time of a seat that is frozen or booked.
pub(super) const NEVER: i64 = i64::MAX;

#[derive(Clone, Debug)]
pub(super) struct HoldChange {
    pub(super) id: Arc<str>,
    pub(super) from: HoldState,
    pub(super) to: HoldState,
    pub(super) order: Option<String>,
    /// Its seats, if they are others than before.
    pub(super) exchanged: Option<Exchanged>,
}

/// Seats that late money bought instead of those that had been held.
#[derive(Clone, Debug)]
pub(super) struct Exchanged {
    pub(super) seats: Arc<Vec<SeatPrice>>,
    /// Their indices in the layout.
    pub(super) places: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct OrderChange {
    pub(super) id: String,
    pub(super) created_at: Time,
    pub(super) from: OrderState,
    pub(super) to: OrderState,
    pub(super) decline: Option<String>,
    /// Its seats, if they are others than before.
    pub(super) seats: Option<Arc<Vec<SeatPrice>>>,
}

#[derive(Clone, Debug)]
pub(super) struct PaymentChange {
    pub(super) order: String,
    pub(super) from: PaymentState,
    /// Value of `settles_at` before the change.
    pub(super) promised_at: Option<Time>,
    /// Value of `revision` before the change.
    pub(super) revision: i32,
    /// Value of `refunded` before the change.
    pub(super) refunded: i64,
    /// The disputes before the change.
    pub(super) disputes: Vec<DisputeRow>,
    /// The payment after the change.
    pub(super) to: PaymentRow,
    /// Invoice or credit note that is issued with it.
    pub(super) invoice: Option<Box<NewInvoice>>,
}

#[derive(Clone, Debug)]
pub(super) struct NewPayment {
    pub(super) order: String,
    pub(super) payment: PaymentRow,
}

/// Ticket that an order gets or loses.
#[derive(Clone, Debug)]
pub(super) struct OrderTicket {
    pub(super) order: String,
    pub(super) ticket: TicketRow,
}

#[derive(Clone, Debug)]
pub(super) struct NewAnswer {
    pub(super) answer: AnswerRow,
    /// Whether it must be the first one of its attempt.
    pub(super) is_first: bool,
}

/// Changes made by one request. Each change names the state it starts from; if a row is no longer
/// in that state, the whole request is refused and decided again.
#[derive(Clone, Debug, Default)]
pub(super) struct ChangeSet {
    pub(super) seats: Vec<SeatChange>,
    /// Note on the seats that become blocked, as JSON; they keep the one that they have if there is
    /// none.
    pub(super) block_note: Option<String>,
    /// Seats that no longer lapse. Kept in memory only; in the store it follows from the state of
    /// the hold.
    pub(super) frozen: Vec<u32>,
    pub(super) new_sessions: Vec<SessionRow>,
    /// Sessions that end.
    pub(super) sessions_over: Vec<Key>,
    /// Sequence number of a new hold, the last one of the visitor. Its seats are then the only
    /// other change.
    pub(super) new_hold: Option<i32>,
    /// Sequence numbers consumed by changes other than a new hold. A concurrent hold that did not
    /// see these changes violates the unique key.
    pub(super) sequences: Vec<i32>,
    pub(super) holds: Vec<HoldChange>,
    pub(super) new_orders: Vec<OrderRow>,
    pub(super) orders: Vec<OrderChange>,
    pub(super) new_payments: Vec<NewPayment>,
    pub(super) payments: Vec<PaymentChange>,
    pub(super) new_tickets: Vec<OrderTicket>,
    /// Tickets that become void.
    pub(super) tickets_void: Vec<OrderTicket>,
    /// Whether tickets become void only if they were not used.
    pub(super) voids_only_unused: bool,
    /// Boxed, as most requests have none.
    pub(super) answer: Option<Box<NewAnswer>>,
    /// Events that follow from the changes, in order.
    pub(super) outbox: Vec<OutboxEntry>,
}

impl ChangeSet {
    /// Returns the changes that take a seat which no one has.
    pub(super) fn takes(&self) -> impl Iterator<Item = &SeatChange> {
        let is_free = |change: &&SeatChange| {
            change.from.hold.is_none() && change.to.state != SeatState::Available
        };
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

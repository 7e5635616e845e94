//! Domain types of the checkout: sessions, holds, orders, payments, tickets and refusals.

pub use super::buyer::Buyer;
pub use super::dispute::{DisputeDetails, DisputeReport, DisputeState, HeardDispute};
pub use super::layout::Place;
pub use super::money::{Currency, Money};
pub use super::payment::*;
pub use super::payment_review::{OutsideOutcome, PaymentReview, ReviewReason, Settlement};
pub use super::payment_state::PaymentState;
use super::plan_difference::PlanDifference;
pub use super::price_line::{LineKind, PriceLine};
use super::reseat::Reseated;
pub use super::seat_price::{SeatPrice, TicketType};
pub use super::shard_view::ShardView;
use serde::{Deserialize, Serialize};
use shared::cancellation::Cancellation;
use shared::group_commit::Unavailable;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::sync::Arc;
use utoipa::ToSchema;

/// Session keys sent with a request, at most 32; the one that matches is used.
pub type SessionKeys = Vec<SessionKey>;

/// Credential that identifies a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    /// The event; it determines the database that holds the session.
    pub event: EventId,
    /// Hash of the session token.
    pub hash: [u8; 32],
}

/// Largest number of reports returned at one time.
pub const REPORTS_MAX: u32 = 500;

/// State of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SeatState {
    /// Free to be held.
    Available = 0,
    /// Reserved by a hold until it ends.
    Held = 1,
    /// Sold.
    Booked = 2,
    /// Withdrawn from sale by the organiser.
    Blocked = 3,
}

impl SeatState {
    /// Converts a stored number; an unknown one is `Available`.
    pub fn of(number: i64) -> SeatState {
        match number {
            1 => SeatState::Held,
            2 => SeatState::Booked,
            3 => SeatState::Blocked,
            _ => SeatState::Available,
        }
    }
}

/// Session to be opened for an admission token.
pub struct NewSession {
    /// Hash of the session token.
    pub key: [u8; 32],
    /// The event.
    pub event: EventId,
    /// The visitor.
    pub visitor: VisitorId,
    /// The visitor's number in line.
    pub number: u64,
    /// Id of the admission (`jti`); it opens one session only.
    pub jti: String,
    /// The admission token, needed for reports to the waiting room.
    pub token: String,
    /// Expiry of the token.
    pub expires_at: Time,
    /// Whether the waiting room already knows that the visitor has arrived.
    pub is_reported: bool,
}

/// A visitor's stay in the checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Hash of the session token.
    pub key: [u8; 32],
    /// The event.
    pub event: EventId,
    /// The visitor.
    pub visitor: VisitorId,
    /// End of the session.
    pub expires_at: Time,
    /// Whether new holds are refused, because an order was confirmed or the fan left.
    pub is_over: bool,
}

/// Seats requested by a hold.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Exactly these seats.
    Seats(Vec<String>),
    /// The first list whose seats are all available; otherwise the best available seats, if given.
    AnyOf(Vec<Vec<String>>, Option<Best>),
    /// The best available seats, adjacent ones first.
    Best(Best),
    /// Exactly these seats, which are blocked, and are so again if they are not sold.
    Blocked(Vec<String>),
}

/// Request for the best available seats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Number of seats.
    #[schema(minimum = 1)]
    pub quantity: u32,
    /// Category of the seats; any if absent.
    pub category: Option<String>,
    /// Whether one of the seats must be accessible.
    #[serde(default)]
    pub accessible: bool,
}

/// State of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// The seats are reserved for the visitor.
    Active,
    /// The hold has become an order.
    Converted,
    /// The visitor released it.
    Released,
    /// Its time ran out.
    Expired,
}

impl HoldState {
    pub(super) const ALL: [HoldState; 4] = [
        HoldState::Active,
        HoldState::Converted,
        HoldState::Released,
        HoldState::Expired,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            HoldState::Active => "active",
            HoldState::Converted => "converted",
            HoldState::Released => "released",
            HoldState::Expired => "expired",
        }
    }

    /// Returns whether the hold still owns its seats.
    pub(super) fn owns(self) -> bool {
        matches!(self, HoldState::Active | HoldState::Converted)
    }
}

/// A hold of seats, released when it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// `hold_…`
    #[schema(value_type = String)]
    pub id: Arc<str>,
    /// The event.
    #[serde(deserialize_with = "event")]
    pub event: EventId,
    /// `active`, `converted` (there is an order), `released` or `expired`.
    #[schema(value_type = String)]
    pub state: HoldState,
    /// The seats.
    #[schema(value_type = Vec<SeatPrice>)]
    pub seats: Arc<Vec<SeatPrice>>,
    /// Lines of the price: tickets, fees, taxes. Those that are not included make the total.
    #[serde(default)]
    pub lines: Vec<PriceLine>,
    /// Sum of the lines that are not included in others.
    pub total: Money,
    /// Time at which the seats become available to others.
    pub expires_at: Time,
    /// Time until which they are kept at most while the payment provider is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Time>,
}

fn event<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
    EventId::deserialize(deserializer)
}

/// Payment details needed by the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentView {
    /// Name of the provider: `simulated`, `stripe`, `razorpay`; `free` for an order that costs nothing;
    /// `cash`, `card_at_desk`, `invoice` or `comp` for one of the organiser's desk.
    pub provider: String,
    /// `pay_…`: the current attempt to pay.
    pub id: String,
    /// Secret passed to the provider's own page. Empty until the provider has told it.
    pub client_secret: String,
    /// Id of the account's key, with which the page opens Razorpay's checkout. Absent with other
    /// providers, and until Razorpay has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Id of the order at Razorpay, `order_…`; present with `key_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Whether the provider has not decided yet: money may come even after the order expired.
    #[serde(default)]
    pub pending: bool,
}

impl PaymentView {
    /// Returns whether the provider knows the payment, so that the fan can pay it.
    pub(crate) fn is_offered(&self) -> bool {
        !self.client_secret.is_empty() || self.order_id.is_some()
    }
}

/// A ticket to one seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// `tix_…`
    pub id: String,
    /// The seat.
    pub seat: String,
    /// Its type, where the category of the seat has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TicketType>)]
    pub ticket_type: Option<Arc<TicketType>>,
    /// Place of the seat.
    #[serde(flatten)]
    pub place: Place,
    /// Content of the QR code, signed so that a forged ticket is recognised at the door.
    pub code: String,
    /// Code that people can type at the door, such as `5E88-40F3-9C1D`.
    #[serde(default)]
    pub short_code: String,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// `ord_…`
    pub id: String,
    /// The event.
    #[serde(deserialize_with = "event")]
    pub event: EventId,
    /// `paying`, `confirming`, `confirmed`, `declined` (pay again), `expired`, `cancelled`,
    /// `refunding`, `refunded` or `needs_review`.
    pub state: String,
    /// The seats.
    #[schema(value_type = Vec<SeatPrice>)]
    pub seats: Arc<Vec<SeatPrice>>,
    /// Lines of the price: tickets, fees, taxes. Those that are not included make the total.
    #[serde(default)]
    pub lines: Vec<PriceLine>,
    /// Sum of the lines that are not included in others.
    pub total: Money,
    /// The buyer; null once erased.
    pub buyer: Option<Buyer>,
    /// Language of its mails, tickets and invoices, such as `de`; absent if it is that of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The open payment, or the latest one.
    pub payment: PaymentView,
    /// Reason why the latest card was declined.
    pub decline_reason: Option<String>,
    /// Time of creation.
    pub created_at: Time,
    /// Time until which the seats are kept for the payment.
    pub pay_by: Time,
    /// The tickets, present once the order is confirmed, unless the show was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<Vec<Ticket>>,
    /// Seats that had been chosen, if others of their categories were booked instead, as the money came
    /// when these were gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead_of: Vec<String>,
    /// Their places as people read them, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead_of_labels: Vec<String>,
    /// Sum of what was refunded, present if something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Money>,
    /// Sum of what was charged back, if something was. Fans are not shown it.
    #[serde(skip)]
    pub charged_back: Option<Money>,
    /// Signed link to the page of the order, present once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Cancellation of the show, if it was cancelled: tickets let no one in, and money goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_cancelled: Option<Cancellation>,
}

impl Order {
    /// Returns the latest payment as one of which its provider has yet to hear.
    pub(crate) fn new_payment(&self, provider: ProviderId) -> PaymentRef {
        PaymentRef {
            event: self.event.clone(),
            order: self.id.clone(),
            id: self.payment.id.clone(),
            amount: self.total,
            promised_at: None,
            provider,
            reference: None,
            refund: None,
        }
    }
}

/// Credential with which an order is read.
#[derive(Clone, Debug)]
pub enum Reader {
    /// Session keys of a fan.
    Session(SessionKeys),
    /// Key of the signed link.
    Link(String),
}

/// An answer and whether it was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once<T> {
    /// The answer.
    pub value: T,
    /// Whether this is the stored answer of an earlier request.
    pub is_replayed: bool,
}

/// Outcome of `begin_payment`.
#[derive(Clone, Debug)]
pub enum Begun {
    /// The provider is to be called now.
    Ask(PaymentRef),
    /// The request was answered before; this is the order.
    Replayed(Box<Order>),
}

/// Outcome of a report about a payment.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The order.
    pub order: Order,
    /// The payment, if the checkout has the next step.
    pub next: Option<DuePayment>,
}

/// Direction of a change to blocked seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Withdraws seats from sale.
    Block,
    /// Puts them back on sale.
    Unblock,
}

/// Result of one sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of seats that became available.
    pub seats_released: u32,
    /// Whether there may be more to do, so that the next sweep should follow at once.
    pub has_more: bool,
}

/// A report to the waiting room, delivered at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The session.
    pub key: [u8; 32],
    /// The event.
    pub event: EventId,
    /// The fan's admission token.
    pub token: String,
    /// Whether the fan has finished; otherwise the fan has arrived.
    pub is_finished: bool,
}

/// Reason why an operation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("no such event")]
    NoSuchEvent,
    #[error("a session is needed")]
    NoSession,
    #[error("this session is over")]
    SessionOver,
    #[error("this admission was used already")]
    AdmissionUsed,
    #[error("seats are taken")]
    SeatsTaken(Vec<String>),
    #[error("not enough seats")]
    NotEnoughSeats,
    #[error("a single seat would be left over")]
    LeavesSingle(Vec<String>),
    #[error("no such seats")]
    UnknownSeats(Vec<String>),
    #[error("too many seats")]
    TooManySeats(u32),
    #[error("too many holds")]
    TooManyHolds(u32),
    #[error("no such ticket type: {0}")]
    UnknownType(String),
    #[error("the ticket type {0} is for another category")]
    TypeOfOtherCategory(String),
    #[error("at most {limit} tickets of the type {name}")]
    TooManyOfType { name: String, limit: u32 },
    #[error("the ticket type {0} is not sold alone")]
    Unaccompanied(String),
    #[error("the price has changed")]
    PriceChanged(Money),
    #[error("no such hold")]
    NoSuchHold,
    #[error("the hold is {0}")]
    HoldOver(String),
    #[error("there is an order for this hold: {0}")]
    HoldConverted(String),
    #[error("no such order")]
    NoSuchOrder,
    #[error("the buyer was erased")]
    BuyerGone,
    #[error("no such payment")]
    NoSuchPayment,
    #[error("no such ticket")]
    NoSuchTicket,
    #[error("the ticket is of the event {0}")]
    TicketOfOtherEvent(EventId),
    #[error("the ticket was given back")]
    TicketVoid,
    #[error("the ticket was checked in at {at} at the door {door}")]
    TicketUsed { at: Time, door: String },
    #[error("the show was cancelled: {0}")]
    EventCancelled(String),
    #[error("tickets were used")]
    SeatsUsed(Vec<String>),
    #[error("this move of tickets is not confirmed")]
    ReseatDiffers(Box<Reseated>),
    #[error("the order is {0}")]
    OrderState(String),
    #[error("a payment is under way")]
    PaymentRunning,
    #[error("a payment needs a look, or was settled outside")]
    InReview,
    #[error("this does not settle the payment")]
    CannotSettle,
    #[error("too many attempts to pay")]
    TooManyAttempts(u32),
    #[error("too many cards were declined")]
    TooManyDeclines(u32),
    #[error("too many open holds")]
    TooManyOpenHolds(u32),
    #[error("seats are held or booked")]
    InUse,
    #[error("this change of the plan is not confirmed")]
    PlanDiffers(Box<PlanDifference>),
    #[error("seats are held, or money is on its way")]
    EventInUse,
    #[error("no such shard")]
    NoSuchShard,
    #[error("the event is on sale")]
    OnSale,
    #[error("something was booked or paid")]
    HasOrders,
    #[error("this idempotency key was used with another body")]
    Mismatch,
    #[error("the first request with this key is still running")]
    StillRunning,
    #[error("a value is wrong")]
    Invalid(Vec<(String, String)>),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Refused {
    pub(super) fn fixed_currency() -> Refused {
        let why = "cannot be changed once there are holds or orders".to_owned();
        Refused::Invalid(vec![("currency".to_owned(), why)])
    }
}

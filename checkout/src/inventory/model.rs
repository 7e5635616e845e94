//! The words of the checkout: sessions, holds, orders, payments, tickets, and why something was refused.

pub use super::money::{Currency, Money};
use serde::{Deserialize, Serialize};
use shared::group_commit::Unavailable;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The sessions that a request came with, at most 32; the one that fits is used.
pub type SessionKeys = Vec<SessionKey>;

/// What shows that a session is somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    /// The event, which says where everything about it is kept.
    pub event: EventId,
    /// The hash of the session word.
    pub hash: [u8; 32],
}

/// Reports answered at one time, at most.
pub const REPORTS_MAX: u32 = 500;

/// The state of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SeatState {
    /// Can be held.
    Available = 0,
    /// Somebody's for a while.
    Held = 1,
    /// Sold.
    Booked = 2,
    /// Taken out of the sale by the organiser.
    Blocked = 3,
}

impl SeatState {
    /// Reads the number that is stored.
    pub fn of(number: i64) -> SeatState {
        match number {
            1 => SeatState::Held,
            2 => SeatState::Booked,
            3 => SeatState::Blocked,
            _ => SeatState::Available,
        }
    }
}

/// An admission that was traded in.
pub struct NewSession {
    /// The hash of the session word.
    pub key: [u8; 32],
    /// The event.
    pub event: EventId,
    /// The visitor.
    pub visitor: VisitorId,
    /// Their number in line.
    pub number: u64,
    /// The admission, good for one session.
    pub jti: String,
    /// The token itself, to tell the waiting room with.
    pub token: String,
    /// The token's end.
    pub expires_at: Time,
    /// The waiting room knows already that they arrived.
    pub is_reported: bool,
}

/// Being inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The hash of the session word.
    pub key: [u8; 32],
    /// The event.
    pub event: EventId,
    /// The visitor.
    pub visitor: VisitorId,
    /// Until when.
    pub expires_at: Time,
    /// No more holds: an order was confirmed, or the fan left.
    pub is_over: bool,
}

/// Which seats somebody wants.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Exactly these.
    Seats(Vec<String>),
    /// The first of these lists of which all seats are free; the best there are, if none is.
    AnyOf(Vec<Vec<String>>, Option<Best>),
    /// The best that there are, adjacent ones first.
    Best(Best),
}

/// The best seats that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// How many.
    pub quantity: u32,
    /// Of which category; any, if none.
    pub category: Option<String>,
    /// With an accessible seat among them.
    #[serde(default)]
    pub accessible: bool,
}

/// A seat with its price, as it was when it was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatPrice {
    /// The seat.
    #[schema(value_type = String)]
    pub id: Arc<str>,
    /// Its category.
    #[schema(value_type = String)]
    pub category: Arc<str>,
    /// Its price.
    pub price: Money,
}

/// The states of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Its seats are kept for the visitor.
    Active,
    /// There is an order.
    Converted,
    /// The visitor gave it up.
    Released,
    /// Its time is over.
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

    /// Whether its seats are the visitor's.
    pub(super) fn owns(self) -> bool {
        matches!(self, HoldState::Active | HoldState::Converted)
    }
}

/// Seats that are somebody's for a while.
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
    /// The sum of the prices.
    pub total: Money,
    /// When the seats become free for others.
    pub expires_at: Time,
}

fn event<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
    EventId::deserialize(deserializer)
}

/// Who buys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Buyer {
    /// 1 to 200 characters.
    pub name: String,
    /// Where to write to.
    pub email: String,
}

/// What the page needs to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentView {
    /// `simulated`.
    pub provider: String,
    /// `pay_…`: the attempt to pay that is open now.
    pub id: String,
    /// For the provider's own page.
    pub client_secret: String,
}

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// `tix_…`
    pub id: String,
    /// The seat.
    pub seat: String,
    /// What the QR code says: signed, so that the door can tell it from a made-up one.
    pub code: String,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// `ord_…`
    pub id: String,
    /// The event.
    #[serde(deserialize_with = "event")]
    pub event: EventId,
    /// `paying`, `confirming`, `confirmed`, `declined` (pay again), `expired`, `cancelled`, `refunding`, `refunded` or
    /// `needs_review`.
    pub state: String,
    /// The seats.
    #[schema(value_type = Vec<SeatPrice>)]
    pub seats: Arc<Vec<SeatPrice>>,
    /// The sum of the prices.
    pub total: Money,
    /// Who buys.
    pub buyer: Buyer,
    /// The payment that is open, or was made last.
    pub payment: PaymentView,
    /// Why the last card was declined.
    pub decline_reason: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// Until when the seats are kept for the payment.
    pub pay_by: Time,
    /// The tickets, once confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<Vec<Ticket>>,
    /// The page of the order, by a signed link, once confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Who asks for an order.
#[derive(Clone, Debug)]
pub enum Reader {
    /// A fan with a session.
    Session(SessionKeys),
    /// Whoever has the signed link.
    Link(String),
}

/// An answer, and whether it is a stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once<T> {
    /// The answer.
    pub value: T,
    /// It was given before.
    pub is_replayed: bool,
}

/// A payment to be asked of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRef {
    /// The event.
    pub event: EventId,
    /// The order.
    pub order: String,
    /// `pay_…`
    pub id: String,
    /// How much.
    pub amount: Money,
}

/// The answer to `begin_payment`.
#[derive(Clone, Debug)]
pub enum Begun {
    /// Ask the provider now.
    Command(PaymentRef),
    /// This was asked and answered before.
    Replayed(Box<Order>),
}

/// What a payment provider says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The money is ours.
    Captured,
    /// It is not, and this attempt is over.
    Declined(String),
    /// Not decided yet; ask again then.
    Pending(Time),
}

/// Whether seats are blocked or put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Out of the sale.
    Block,
    /// Back into it.
    Unblock,
}

/// The figures of a sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sales {
    /// Seats in all.
    pub capacity: u32,
    /// Seats that can be held.
    pub available: u32,
    /// Seats held.
    pub held: u32,
    /// Seats booked.
    pub booked: u32,
    /// Seats blocked.
    pub blocked: u32,
    /// How many orders are in each state.
    pub orders: BTreeMap<String, u32>,
    /// The sum of the confirmed orders.
    pub revenue: Money,
}

impl Sales {
    /// From the seats by state, and the number and sum of the orders by state.
    pub(super) fn of(
        [available, held, booked, blocked]: [u32; 4],
        orders: BTreeMap<String, (u32, i64)>,
        currency: Currency,
    ) -> Sales {
        let confirmed = orders.get("confirmed");
        Sales {
            capacity: available + held + booked + blocked,
            available,
            held,
            booked,
            blocked,
            revenue: Money {
                amount: confirmed.map_or(0, |(_, sum)| *sum),
                currency,
            },
            orders: orders
                .into_iter()
                .map(|(state, (count, _))| (state, count))
                .collect(),
        }
    }
}

/// What a sweep did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Seats that became available.
    pub seats_released: u32,
    /// Payments whose decision is due: ask the provider what became of them. With the instant that it promised, if any.
    pub due: Vec<(PaymentRef, Option<Time>)>,
    /// Refunds that were begun and whose end is not known: ask the provider for them again.
    pub refunds: Vec<PaymentRef>,
    /// There may be more: sweep again at once.
    pub has_more: bool,
}

/// Something the waiting room has yet to hear, at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The session.
    pub key: [u8; 32],
    /// The event.
    pub event: EventId,
    /// The fan's token.
    pub token: String,
    /// Done shopping; else arrived.
    pub is_finished: bool,
}

/// A database that events are kept in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShardView {
    /// What it calls itself.
    pub id: String,
    /// Host, port and name.
    pub database: String,
    /// It does not answer just now.
    #[serde(rename = "away")]
    pub is_away: bool,
    /// The events in it.
    pub events: Vec<EventId>,
}

/// Why an operation was not done.
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
    #[error("no such hold")]
    NoSuchHold,
    #[error("the hold is {0}")]
    HoldOver(String),
    #[error("there is an order for this hold: {0}")]
    HoldConverted(String),
    #[error("no such order")]
    NoSuchOrder,
    #[error("no such payment")]
    NoSuchPayment,
    #[error("the order is {0}")]
    OrderState(String),
    #[error("a payment is under way")]
    PaymentRunning,
    #[error("seats are held or booked")]
    InUse,
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

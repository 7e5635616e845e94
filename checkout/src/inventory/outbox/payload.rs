//! Payloads of the events. A field may be added; one that was published stays, with its type and its
//! meaning. No name and no address is in them: consumers ask by the order's id for what they may
//! know of its buyer.

use super::EventType;
use crate::inventory::dispute::DisputeReport;
use crate::inventory::model::{Currency, Money, SeatPrice};
use serde::{Deserialize, Serialize};
use shared::ids::VisitorId;
use shared::line_log::AdmissionEnd;
use shared::time::Time;
use std::sync::Arc;
use utoipa::ToSchema;

/// Version of the payloads, in each as `schema`. It rises when consumers must change.
pub const SCHEMA_VERSION: u32 = 1;

/// Payload of `order.…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event that the order is for.
    pub event: String,
    /// `ord_…`
    pub order: String,
    /// `vis_…`: the fan in this event's line.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// The seats, with what they cost.
    #[schema(value_type = Vec<SeatPrice>)]
    pub seats: Arc<Vec<SeatPrice>>,
    /// Sum of the prices.
    pub total: Money,
    /// Sum of what was given back so far.
    pub refunded: Money,
    /// `pay_…`: the latest attempt to pay.
    pub payment: String,
    /// `simulated`, `stripe` or `razorpay`; `free` for an order that costs nothing; `cash`, `card_at_desk`,
    /// `invoice` or `comp` for one of the organiser's desk.
    pub provider: String,
    /// The valid tickets.
    pub tickets: Vec<TicketSeat>,
    /// When the order was made.
    pub created_at: Time,
    /// `order.confirmed`: whether the fan had another confirmed order by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// A ticket and its seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketSeat {
    /// `tix_…`
    pub id: String,
    /// The seat.
    pub seat: String,
}

/// Payload of `ticket.…`. The code that opens the door is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event.
    pub event: String,
    /// `tix_…`
    pub ticket: String,
    /// The seat.
    pub seat: String,
    /// `ord_…`
    pub order: String,
    /// `vis_…`: the fan in this event's line.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// `ticket.checked_in`: when it was shown at the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_in_at: Option<Time>,
    /// `ticket.checked_in`: the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
    /// `ticket.voided` and `ticket.issued`: whether the ticket of one seat was replaced by that of
    /// another in the same order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
}

/// Payload of `hold.…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event.
    pub event: String,
    /// `hold_…`
    #[schema(value_type = String)]
    pub hold: Arc<str>,
    /// `vis_…`: the fan in this event's line.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// The seats, which are on sale again.
    #[schema(value_type = Vec<SeatPrice>)]
    pub seats: Arc<Vec<SeatPrice>>,
    /// Sum of the prices.
    pub total: Money,
    /// The end of the hold, as the fan was told it.
    pub expires_at: Time,
}

/// Payload of `payment.…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event.
    pub event: String,
    /// `pay_…`
    pub payment: String,
    /// `ord_…`
    pub order: String,
    /// `simulated`, `stripe` or `razorpay`; `free` for an order that costs nothing; `cash`, `card_at_desk`,
    /// `invoice` or `comp` for one of the organiser's desk.
    pub provider: String,
    /// The provider's own id of the payment, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Number of the attempt to pay the order, from 1.
    pub attempt: i32,
    /// Amount of the payment.
    pub amount: Money,
    /// Sum of what was given back so far.
    pub refunded: Money,
    /// `payment.refunded`: what was given back this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Money>,
    /// `payment.failed`: the provider's word for the reason, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `payment.disputed`: the dispute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<DisputeReport>,
    /// `payment.disputed`: money that the bank charged back with it, in the payment's currency; below 0
    /// if that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_back: Option<Money>,
}

/// Payload of `event.…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event.
    pub event: String,
    /// `event.published` and `event.changed`: the currency of its prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub currency: Option<Currency>,
    /// `event.published`, and `event.changed` if the plan is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seating: Option<SeatingSummary>,
    /// `event.cancelled`: the organiser's reason, as fans read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Payload of `admission.…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdmissionPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event.
    pub event: String,
    /// `vis_…`: the fan in this event's line.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// Their number in the line.
    pub number: u64,
    /// `admission.admitted`: until when they may enter the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_by: Option<Time>,
    /// `admission.admitted`: time for which they had waited since they joined or since the draw, in
    /// seconds. Missing if the line has lost it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_seconds: Option<u64>,
    /// `admission.finished`: how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<AdmissionEnd>,
}

/// Payload of `draw.…`. With the published list of entries it lets anyone check the draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrawPayload {
    /// Version of this schema.
    pub schema: u32,
    /// The event.
    pub event: String,
    /// The seed, in hex.
    pub seed: String,
    /// SHA-256 of the seed, in hex, which was published before the draw.
    pub commitment: String,
    /// Number of visitors who took part.
    pub entries: u64,
    /// Root of the Merkle tree over their entries, in hex.
    pub root: String,
}

/// Seats and prices of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatingSummary {
    /// Number of seats.
    pub capacity: u32,
    /// The categories.
    pub categories: Vec<CategorySummary>,
}

/// A category of seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CategorySummary {
    /// Id of the category.
    pub id: String,
    /// Name shown to fans.
    pub name: String,
    /// Price of a seat.
    pub price: Money,
    /// Number of its seats.
    pub seats: u32,
}

/// An event to be written with the changes that it follows from.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// `evt_…`
    pub(in crate::inventory) id: String,
    pub(in crate::inventory) event_type: EventType,
    /// Id of the aggregate.
    pub(in crate::inventory) aggregate: String,
    /// JSON text.
    pub(in crate::inventory) payload: String,
    pub(in crate::inventory) traceparent: Option<String>,
    pub(in crate::inventory) at: Time,
}

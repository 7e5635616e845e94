//! An order with everything about its money, as organisers see it.

use super::commands::{outside, settlements};
use super::event_state::EventState;
use super::model::*;
use super::records::{OrderRow, OrderState, PaymentRow};
use super::reseat::SeatDifference;
use serde::Serialize;
use shared::time::Time;
use std::sync::Arc;
use utoipa::ToSchema;

/// An order with its seats and payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderDetails {
    /// The order.
    pub order: Order,
    /// Its seats, and what became of each.
    pub seats: Vec<OrderSeat>,
    /// All attempts to pay it.
    pub payments: Vec<PaymentDetails>,
    /// Amount that a refund of everything that is left gives back: what was taken, less what was given
    /// back and the fees that are kept.
    pub refundable: Money,
}

/// State of a seat of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderSeatState {
    /// Kept until the order is paid.
    Held,
    /// Sold: its ticket is valid.
    Sold,
    /// Its money is on its way back, and its ticket void.
    Refunding,
    /// Its money was given back.
    Refunded,
    /// Let go without having been paid.
    Released,
}

/// A seat of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderSeat {
    /// The seat.
    #[schema(value_type = String)]
    pub id: Arc<str>,
    /// Its place as people read it.
    #[schema(value_type = String)]
    pub label: Arc<str>,
    /// Its category.
    #[schema(value_type = String)]
    pub category: Arc<str>,
    /// Type of its ticket, where its category has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TicketType>)]
    pub ticket_type: Option<Arc<TicketType>>,
    /// Its price.
    pub price: Money,
    /// Its price with the fees and taxes of its ticket, less what was given back when the ticket was
    /// moved to it: what its refund gives back, unless it is the last one that the order has.
    pub refund: Money,
    /// State of the seat.
    pub state: OrderSeatState,
}

/// An attempt to pay an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentDetails {
    /// `pay_…`
    pub id: String,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// `simulated`, `stripe` or `free`.
    pub provider: String,
    /// The provider's own id of it, by which it is found there; null until it knows it.
    pub reference: Option<String>,
    /// Its state.
    pub state: PaymentState,
    /// Amount to pay.
    pub amount: Money,
    /// Amount taken.
    pub captured: Money,
    /// Amount given back.
    pub refunded: Money,
    /// Amount that went back for disputes that were lost.
    pub charged_back: Money,
    /// Refunds of a part, and of everything that is left while that is under way.
    pub refunds: Vec<PartRefund>,
    /// Its disputes, such as chargebacks.
    pub disputes: Vec<DisputeDetails>,
    /// Why it needs a look, and what may be done; null if it needs none.
    pub review: Option<PaymentReview>,
    /// Note with which it was settled outside of its provider.
    pub outside: Option<String>,
    /// Its states in order, the first one first.
    pub history: Vec<PaymentStep>,
}

/// Refund of a part of a payment, or one under way of everything that is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartRefund {
    /// `ref_…`
    pub id: String,
    /// The seats whose money it is; none if it was made at the provider itself, or gives back
    /// differences in price or everything that is left.
    pub seats: Vec<String>,
    /// Differences in price that it gives back for tickets which were moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<SeatDifference>,
    /// Its amount.
    pub amount: Money,
    /// Whether the provider has made it.
    pub done: bool,
}

/// State that a payment came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentStep {
    /// When.
    pub at: Time,
    /// Its state from then on.
    pub state: PaymentState,
    /// Why, where there is more to say.
    pub note: Option<String>,
}

impl OrderDetails {
    pub(super) fn of(event_state: &EventState, row: &OrderRow) -> OrderDetails {
        let (payments, latest) = (row.payments.iter(), row.payment());
        OrderDetails {
            order: event_state.show(row),
            seats: event_state
                .labelled(&row.seats)
                .iter()
                .map(|seat| OrderSeat {
                    id: seat.id.clone(),
                    label: seat.label.clone(),
                    category: seat.category.clone(),
                    ticket_type: seat.ticket_type.clone(),
                    price: seat.price,
                    refund: Money {
                        amount: row.worth(seat),
                        currency: row.total.currency,
                    },
                    state: state_of(event_state, row, &seat.id),
                })
                .collect(),
            payments: payments
                .map(|payment| details(event_state, row, payment))
                .collect(),
            refundable: Money {
                amount: (latest.captured().min(latest.left()) - event_state.kept(&row.lines))
                    .max(0),
                currency: row.total.currency,
            },
        }
    }
}

fn state_of(event_state: &EventState, row: &OrderRow, seat: &str) -> OrderSeatState {
    let plan = event_state.plan.as_ref();
    let place = plan.and_then(|plan| plan.layout.find(seat));
    let refunds = row.payments.iter().flat_map(|payment| &payment.refunds);
    let mut own = refunds.filter(|refund| place.is_some_and(|place| refund.seats.contains(&place)));
    let has_ticket = row.tickets.iter().any(|ticket| Some(ticket.seat) == place);
    match (own.next().map(|refund| refund.is_done), row.state) {
        (Some(true), _) | (None, OrderState::Refunded) => OrderSeatState::Refunded,
        (Some(false), _) | (None, OrderState::Refunding) => OrderSeatState::Refunding,
        (None, OrderState::Confirmed) if has_ticket => OrderSeatState::Sold,
        // A plan loses only seats that were given back. One that it has again is no more the order's.
        (None, OrderState::Confirmed) => OrderSeatState::Refunded,
        (None, OrderState::Expired | OrderState::Cancelled) => OrderSeatState::Released,
        (None, _) => OrderSeatState::Held,
    }
}

fn details(event_state: &EventState, order: &OrderRow, row: &PaymentRow) -> PaymentDetails {
    let money = |amount: i64| Money {
        amount,
        currency: row.amount.currency,
    };
    let name = |place: &u32| {
        let plan = event_state.plan.as_ref()?;
        let seat = plan.layout.seats.get(*place as usize)?;
        Some(seat.id.to_string())
    };
    let refunds = row.refunds.iter().map(|refund| PartRefund {
        id: refund.id.clone(),
        seats: refund.seats.iter().filter_map(name).collect(),
        differences: refund
            .differences
            .iter()
            .map(|difference| SeatDifference {
                seat: difference.seat.clone(),
                amount: money(difference.amount),
            })
            .collect(),
        amount: money(refund.amount),
        done: refund.is_done,
    });
    let history = row.history.iter().map(|entry| PaymentStep {
        at: entry.at,
        state: entry.state,
        note: entry.note.clone(),
    });
    let disputes = row.disputes.iter().map(|dispute| DisputeDetails {
        report: dispute.report.clone(),
        since: dispute.since,
        taken_back: money(dispute.taken_back),
    });
    PaymentDetails {
        id: row.id.clone(),
        attempt: row.attempt,
        provider: row.provider.as_str().to_owned(),
        reference: row.reference.clone(),
        state: row.state,
        amount: row.amount,
        captured: money(row.captured()),
        refunded: money(row.refunded),
        charged_back: money(row.charged_back()),
        refunds: refunds.collect(),
        disputes: disputes.collect(),
        review: review(event_state, order, row),
        outside: row.outside.clone(),
        history: history.collect(),
    }
}

/// Returns why a payment needs a look, if it does.
pub(super) fn review(
    event_state: &EventState,
    order: &OrderRow,
    row: &PaymentRow,
) -> Option<PaymentReview> {
    let review = row.review.as_ref()?;
    Some(PaymentReview {
        event: event_state.event.clone(),
        order: order.id.clone(),
        order_state: order.state.as_str().to_owned(),
        payment: row.id.clone(),
        state: row.state,
        amount: row.amount,
        reason: review.reason,
        detail: review.detail.clone(),
        since: review.since,
        settlements: settlements(event_state, order, row),
        outside: outside(order, row),
    })
}

//! Organiser routes of orders and their money: lists, details, refunds, payments that need a look.

use crate::app::{App, Shop};
use crate::inventory::{
    Buyer, Money, Order, OrderDetails, OrderPage, OrderSearch, OrderSeat, OutsideOutcome,
    PaymentDetails, PaymentReview, PriceLine, SeatPrice, Settlement, Settling, SettlingOutside,
};
use crate::orders::check_buyer;
use crate::organiser::{Change, known, record};
use crate::sessions::event_id;
use crate::text::{check_after, unknown_cursor};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem, not_null, saturating};
use shared::ids::EventId;
use shared::organiser::{Organiser, Role};
use shared::plain_text::check_line;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const ORDERS_MAX: u32 = 1000;
/// Largest number of characters of a note.
const NOTE_CHARS_MAX: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_orders))
        .routes(routes!(show_order_details, change_buyer))
        .routes(routes!(refund))
        .routes(routes!(list_reviews))
        .routes(routes!(settle_payment))
        .routes(routes!(settle_payment_outside))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    /// Largest number of orders, 100 if absent; more than 1,000 count as 1,000.
    #[serde(default, deserialize_with = "saturating")]
    #[param(inline, minimum = 1)]
    limit: Option<u32>,
    /// `next` of the answer before; absent for the newest.
    #[param(
        inline,
        max_length = 100,
        pattern = "^[!-~]*$",
        example = "ord_0f3b2d916c07e4a5e8c7a1f0b6d4932a7c15e884"
    )]
    after: Option<String>,
    /// Only orders in this state.
    #[param(inline, max_length = 20, example = "confirmed")]
    state: Option<String>,
    /// Part of an order's id, or of its buyer's name or address, or a seat. Viewers search by order
    /// and seat alone.
    #[param(inline, max_length = 200, example = "lovelace")]
    q: Option<String>,
}

impl OrdersQuery {
    /// Returns the reference to the next page, relative to this one.
    fn link(&self, next: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        for (name, value) in [("state", &self.state), ("q", &self.q)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.append_pair("after", next);
        format!("<?{}>; rel=\"next\"", query.finish())
    }
}

/// Some orders.
#[derive(Serialize, utoipa::ToSchema)]
struct OrganiserOrders {
    /// The orders, the newest first.
    orders: Vec<OrganiserOrder>,
    /// `after` of the next request, also in the header `Link`; null at the end. A search looks at
    /// some thousand orders at a time: there may be more even if it found none.
    next: Option<String>,
}

/// An order as organisers see it: without what opens it (ticket codes, the signed link, the
/// payment's secret), and without the buyer for viewers, who watch the sale but do not look after
/// buyers.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OrganiserOrder {
    /// `ord_…`
    id: String,
    event: EventId,
    /// As in `Order`.
    state: String,
    #[schema(value_type = Vec<SeatPrice>)]
    seats: Arc<Vec<SeatPrice>>,
    /// Lines of the price, as in `Order`.
    lines: Vec<PriceLine>,
    total: Money,
    /// Null for viewers, and once erased.
    buyer: Option<Buyer>,
    /// As in `Order`.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    payment: OrganiserPayment,
    decline_reason: Option<String>,
    /// Sum of what was refunded, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    /// Sum of what the bank charged back, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged_back: Option<Money>,
    created_at: Time,
    pay_by: Time,
}

/// The payment of an order as organisers see it.
#[derive(Serialize, utoipa::ToSchema)]
struct OrganiserPayment {
    /// As in `Order`.
    provider: String,
    /// `pay_…`
    id: String,
}

impl OrganiserOrder {
    pub(crate) fn of(order: Order, organiser: &Organiser) -> OrganiserOrder {
        let sees_buyers = organiser.role >= Role::Operator;
        OrganiserOrder {
            id: order.id,
            event: order.event,
            state: order.state,
            seats: order.seats,
            lines: order.lines,
            total: order.total,
            buyer: order.buyer.filter(|_| sees_buyers),
            language: order.language,
            payment: OrganiserPayment {
                provider: order.payment.provider,
                id: order.payment.id,
            },
            decline_reason: order.decline_reason,
            refunded: order.refunded,
            charged_back: order.charged_back,
            created_at: order.created_at,
            pay_by: order.pay_by,
        }
    }
}

/// List orders, the newest first, page by page: all, or those in a state, or those that a search
/// finds.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders", tag = "organiser",
    params(("event" = String, Path), OrdersQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "Some orders", body = OrganiserOrders), Refusals))]
async fn list_orders(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<OrdersQuery>,
) -> Result<Response, Problem> {
    let event = known(&shop, &event).await?;
    // Some clients send an empty one for the first page.
    let after = query.after.clone().filter(|after| !after.is_empty());
    if let Some(after) = &after {
        check_after("ord_", after)?;
    }
    let page = OrderPage {
        after: after.clone(),
        state: query.state.clone(),
        limit: query.limit.unwrap_or(100).clamp(1, ORDERS_MAX),
    };
    let text = query.q.as_deref().map(str::trim).unwrap_or_default();
    let search = (!text.is_empty()).then(|| OrderSearch {
        text: text.to_owned(),
        has_buyers: organiser.role >= Role::Operator,
    });
    let list = shop
        .inventory
        .list_orders(&event, page, search.as_ref())
        .await?;
    if let Some(after) = after.filter(|_| list.orders.is_empty() && list.next.is_none())
        && !shop.inventory.has_order(&event, &after).await?
    {
        return Err(unknown_cursor());
    }
    let link = list.next.as_ref().map(|next| query.link(next));
    let orders = list.orders.into_iter();
    let shown = OrganiserOrders {
        orders: orders
            .map(|order| OrganiserOrder::of(order, &organiser))
            .collect(),
        next: list.next,
    };
    let mut response = Json(shown).into_response();
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BuyerPatch {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Another e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Email, max_length = 254)]
    email: Option<String>,
}

/// Correct the name or the address of an order's buyer. The audit log says which of them, not what
/// they were. 409 `buyer-erased` if nothing is kept of the buyer.
#[utoipa::path(patch, path = "/api/v1/organiser/events/{event}/orders/{order}", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["operator"])),
    request_body = BuyerPatch,
    responses((status = 200, description = "The order", body = OrganiserOrderDetails), Refusals))]
async fn change_buyer(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order)): Path<(String, String)>,
    Input(patch, _): Input<BuyerPatch>,
) -> Result<Json<OrganiserOrderDetails>, Problem> {
    let event = event_id(&event)?;
    check_buyer("", patch.name.as_deref(), patch.email.as_deref())?;
    let change = |before: &Buyer| Buyer {
        name: patch.name.clone().unwrap_or_else(|| before.name.clone()),
        email: patch.email.clone().unwrap_or_else(|| before.email.clone()),
    };
    shop.inventory.change_buyer(&event, &order, change).await?;
    let fields = [
        ("name", patch.name.is_some()),
        ("email", patch.email.is_some()),
    ];
    let changed = fields.iter().filter(|(_, is_changed)| *is_changed);
    let changed: Vec<&str> = changed.map(|(name, _)| *name).collect();
    let change = Change {
        action: "order.buyer",
        event: &event,
        from: json!({"order": order}),
        to: json!({"changed": changed}),
    };
    record(&shop, &organiser, change).await;
    let details = shop.inventory.order_details(&event, &order).await?;
    Ok(Json(OrganiserOrderDetails::of(details, &organiser)))
}

#[derive(Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundInput {
    /// Seats of the order whose price goes back; all that it still has if this is absent. Null is
    /// refused: a client that has nothing chosen means no seats.
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    seats: Option<Vec<String>>,
}

/// Refund a confirmed order, or some of its seats: the money goes back, the seats are free again.
/// The order is answered as it is once the provider has answered, or does not for now: then it is
/// finished later. A request that is repeated under its idempotency key refunds nothing more, and gets
/// the order as it is.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders/{order}/refund", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path), IdempotencyKey),
    security(("organiser" = ["operator"])),
    request_body(content = RefundInput, description = "Nothing, or {}: the whole order"),
    responses((status = 200, description = "The order", body = OrganiserOrder), Refusals))]
async fn refund(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, id)): Path<(String, String)>,
    key: IdempotencyKey,
    Input(input, body): Input<RefundInput>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let subject = format!("organiser {}", organiser.name);
    let attempt = key.attempt(&subject, &format!("refund {event} {id}"), &body);
    let seats = input.seats.clone();
    let begun = shop
        .inventory
        .begin_refund_once(&event, &id, seats, attempt);
    let (amount, refund, mut order) = begun.await?;
    if !amount.is_replayed {
        // Once begun it is finished by the reconciler, whatever becomes of this request.
        let change = Change {
            action: "order.refund",
            event: &event,
            from: json!({"order": id, "state": "confirmed"}),
            to: json!({"state": "refunding", "amount": amount.value, "seats": input.seats}),
        };
        record(&shop, &organiser, change).await;
    }
    if let Some(payment) = refund {
        order = shop.give_back(&payment).await?;
    }
    let response = Json(OrganiserOrder::of(order, &organiser)).into_response();
    Ok(mark_replayed(response, amount.is_replayed))
}

/// An order with everything about its money.
#[derive(Serialize, utoipa::ToSchema)]
struct OrganiserOrderDetails {
    order: OrganiserOrder,
    /// Its seats, and what became of each.
    seats: Vec<OrderSeat>,
    /// All attempts to pay it, the first one first.
    payments: Vec<PaymentDetails>,
    /// Amount that a refund of everything left would give back, without the fees that are kept.
    refundable: Money,
}

impl OrganiserOrderDetails {
    fn of(details: OrderDetails, organiser: &Organiser) -> OrganiserOrderDetails {
        OrganiserOrderDetails {
            order: OrganiserOrder::of(details.order, organiser),
            seats: details.seats,
            payments: details.payments,
            refundable: details.refundable,
        }
    }
}

/// Show an order: what became of each seat, and every attempt to pay with its history.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders/{order}", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The order", body = OrganiserOrderDetails), Refusals))]
async fn show_order_details(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order)): Path<(String, String)>,
) -> Result<Json<OrganiserOrderDetails>, Problem> {
    let event = event_id(&event)?;
    let details = shop.inventory.order_details(&event, &order).await?;
    Ok(Json(OrganiserOrderDetails::of(details, &organiser)))
}

/// List the payments of all events that need a look, each with the reason and what may be done about
/// it. Some hundred at most.
#[utoipa::path(get, path = "/api/v1/organiser/reviews", tag = "organiser", security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The payments", body = Vec<PaymentReview>), Refusals))]
async fn list_reviews(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
) -> Result<Json<Vec<PaymentReview>>, Problem> {
    Ok(Json(shop.inventory.reviews().await?))
}

/// Names a payment of an order in a path.
type PaymentPath = Path<(String, String, String)>;

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SettleInput {
    /// One of those that the payment's `settlements` name.
    how: Settlement,
    /// Seats whose money was refunded at the provider, for `take_back_seats`: their tickets are void
    /// then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seats: Vec<String>,
}

/// Settle a payment that needs a look, through its provider. 409 `cannot-settle` for what does not
/// settle it as it is now. The order is answered as it is once the provider has answered, or does
/// not for now: then it is finished later. If the provider refuses again, the payment still needs a
/// look.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders/{order}/payments/{payment}/settle",
    tag = "organiser", params(("event" = String, Path), ("order" = String, Path), ("payment" = String, Path)),
    request_body = SettleInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The order", body = OrganiserOrderDetails), Refusals))]
async fn settle_payment(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order, payment)): PaymentPath,
    Input(input, _): Input<SettleInput>,
) -> Result<Json<OrganiserOrderDetails>, Problem> {
    let event = event_id(&event)?;
    let change = Change {
        action: "payment.settle",
        event: &event,
        from: json!({"order": order, "payment": payment, "state": "needs_review"}),
        to: json!({"how": input.how, "seats": input.seats}),
    };
    let settling = Settling {
        order: order.clone(),
        payment,
        how: input.how,
        seats: input.seats,
    };
    let settled = shop.inventory.settle_review(&event, settling).await?;
    record(&shop, &organiser, change).await;
    if let Some(next) = settled.next {
        shop.drive(next).await;
    }
    let details = shop.inventory.order_details(&event, &order).await?;
    Ok(Json(OrganiserOrderDetails::of(details, &organiser)))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OutsideInput {
    /// One of those that the payment's `outside` names.
    outcome: OutsideOutcome,
    /// Note on how it was settled, for the audit log and the order's history: 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    note: String,
}

/// Settle a payment that needs a look outside of its provider, which is not asked about it any more:
/// the money was taken or given back by other means. `reconcile` lists it, and does not count it as
/// a difference.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders/{order}/payments/{payment}/settle-outside",
    tag = "organiser", params(("event" = String, Path), ("order" = String, Path), ("payment" = String, Path)),
    request_body = OutsideInput, security(("organiser" = ["admin"])),
    responses((status = 200, description = "The order", body = OrganiserOrderDetails), Refusals))]
async fn settle_payment_outside(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order, payment)): PaymentPath,
    Input(input, _): Input<OutsideInput>,
) -> Result<Json<OrganiserOrderDetails>, Problem> {
    let event = event_id(&event)?;
    let note = input.note.trim();
    check_line(note, NOTE_CHARS_MAX).map_err(|why| Problem::invalid("note", why))?;
    let change = Change {
        action: "payment.settle-outside",
        event: &event,
        from: json!({"order": order, "payment": payment, "state": "needs_review"}),
        to: json!({"outcome": input.outcome, "note": note}),
    };
    let settling = SettlingOutside {
        order: order.clone(),
        payment,
        outcome: input.outcome,
        note: note.to_owned(),
    };
    shop.inventory.settle_outside(&event, settling).await?;
    record(&shop, &organiser, change).await;
    shop.to_report.notify_one();
    let details = shop.inventory.order_details(&event, &order).await?;
    Ok(Json(OrganiserOrderDetails::of(details, &organiser)))
}

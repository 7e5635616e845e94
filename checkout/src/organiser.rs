//! Organiser routes of the seats: plan, selling rules, figures, orders, refunds, blocked seats.

use crate::app::{App, Shop};
use crate::inventory::{
    Block, Buyer, Money, Order, Rules, RulesPatch, Sales, SeatPrice, ShardView, layout,
};
use crate::sessions::event_id;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, PLAN_BYTES_MAX, Parameters, Problem, read_body, saturating};
use shared::ids::EventId;
use shared::organiser::{Organiser, Role};
use shared::time::Time;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const ORDERS_MAX: u32 = 1000;
/// Number of plans parsed at one time, as the largest take a second and some hundred megabytes.
/// Others wait.
const PLANS_AT_ONCE_MAX: usize = 1;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(set_seating))
        .routes(routes!(show_rules, change_rules))
        .routes(routes!(show_sales))
        .routes(routes!(list_orders))
        .routes(routes!(refund))
        .routes(routes!(block))
        .routes(routes!(unblock))
        .routes(routes!(list_shards))
        .routes(routes!(move_event))
}

async fn known(shop: &Shop, event: &str) -> Result<EventId, Problem> {
    let event = event_id(event)?;
    match shop.waiting_room.knows(&event).await {
        Some(false) => Err(Problem::no_such_event()),
        _ => Ok(event),
    }
}

/// A change for the audit log.
struct Change<'a> {
    action: &'a str,
    event: &'a EventId,
    from: Value,
    to: Value,
}

async fn record(shop: &Shop, organiser: &Organiser, change: Change<'_>) {
    let Change { from, to, .. } = change;
    let now = shop.site.clock.now();
    let entry = organiser.entry(now, change.action, change.event.as_str());
    shop.site.audit.record(Entry { from, to, ..entry }).await;
}

#[derive(Serialize, utoipa::ToSchema)]
struct Planned {
    version: u32,
    capacity: u32,
}

/// Set the seating plan: ours, or pretix's open JSON format.
#[utoipa::path(put, path = "/api/v1/organiser/events/{event}/seating", tag = "organiser",
    params(("event" = String, Path)),
    request_body(content = Object), security(("organiser" = ["admin"])),
    responses((status = 200, description = "The plan is set", body = Planned), Refusals))]
async fn set_seating(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    body: Body,
) -> Result<Json<Planned>, Problem> {
    let event = known(&shop, &event).await?;
    let bytes = read_body(body, PLAN_BYTES_MAX).await?;
    let layout = to_the_end(async {
        static TURNS: Semaphore = Semaphore::const_new(PLANS_AT_ONCE_MAX);
        let _turn = TURNS.acquire().await;
        layout::parse_on_a_thread(bytes).await
    })
    .await?;
    let capacity = layout.seats.len() as u32;
    let version = shop.inventory.set_seating(&event, layout).await?;
    if let Some(seat_map) = shop.inventory.seat_map(&event) {
        let seats = seat_map.current().availability(shop.site.clock.now());
        shop.waiting_room.report(&event, seats).await;
    }
    let to = json!({"version": version, "capacity": capacity});
    let change = Change {
        action: "seating.set",
        event: &event,
        from: Value::Null,
        to,
    };
    record(&shop, &organiser, change).await;
    Ok(Json(Planned { version, capacity }))
}

/// Show the selling rules.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/checkout", tag = "organiser",
    params(("event" = String, Path)),
    security(("organiser" = ["viewer"])), responses((status = 200, description = "The rules", body = Rules), Refusals))]
async fn show_rules(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<Rules>, Problem> {
    let event = known(&shop, &event).await?;
    Ok(Json(shop.inventory.rules(&event).await?))
}

/// Change selling rules.
#[utoipa::path(patch, path = "/api/v1/organiser/events/{event}/checkout", tag = "organiser",
    params(("event" = String, Path)),
    request_body = RulesPatch, security(("organiser" = ["admin"])),
    responses((status = 200, description = "The rules as they are now", body = Rules), Refusals))]
async fn change_rules(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(patch, _): Input<RulesPatch>,
) -> Result<Json<Rules>, Problem> {
    let event = known(&shop, &event).await?;
    let (before, after) = shop.inventory.set_rules(&event, patch).await?;
    let change = Change {
        action: "checkout.update",
        event: &event,
        from: json!(before),
        to: json!(after),
    };
    record(&shop, &organiser, change).await;
    Ok(Json(after))
}

/// Show the figures of the sale.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales", tag = "organiser",
    params(("event" = String, Path)),
    security(("organiser" = ["viewer"])), responses((status = 200, description = "The figures", body = Sales), Refusals))]
async fn show_sales(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<Sales>, Problem> {
    Ok(Json(shop.inventory.sales(&event_id(&event)?).await?))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    /// Largest number of orders, the newest first; more than 1,000 count as 1,000.
    #[serde(default, deserialize_with = "saturating")]
    #[param(minimum = 0)]
    limit: Option<u32>,
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
    total: Money,
    /// Null for viewers, and once erased.
    buyer: Option<Buyer>,
    payment: OrganiserPayment,
    decline_reason: Option<String>,
    /// Sum of what was refunded, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    created_at: Time,
    pay_by: Time,
}

/// The payment of an order as organisers see it.
#[derive(Serialize, utoipa::ToSchema)]
struct OrganiserPayment {
    /// `simulated`, `stripe` or `free`.
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
            total: order.total,
            buyer: order.buyer.filter(|_| sees_buyers),
            payment: OrganiserPayment {
                provider: order.payment.provider,
                id: order.payment.id,
            },
            decline_reason: order.decline_reason,
            refunded: order.refunded,
            created_at: order.created_at,
            pay_by: order.pay_by,
        }
    }
}

/// List the newest orders.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders", tag = "organiser",
    params(("event" = String, Path), OrdersQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The newest orders, the newest first",
        body = Vec<OrganiserOrder>), Refusals))]
async fn list_orders(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<OrdersQuery>,
) -> Result<Json<Vec<OrganiserOrder>>, Problem> {
    let event = known(&shop, &event).await?;
    let limit = query.limit.unwrap_or(100).min(ORDERS_MAX);
    let orders = shop.inventory.orders(&event, limit).await?;
    let shown = orders
        .into_iter()
        .map(|order| OrganiserOrder::of(order, &organiser));
    Ok(Json(shown.collect()))
}

#[derive(Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundInput {
    /// Seats of the order whose price goes back; all that it still has if none are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<String>>,
}

/// Refund a confirmed order, or some of its seats: the money goes back, the seats are free again.
/// The order is answered as it is once the provider has answered, or does not for now: then it is
/// finished later.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders/{order}/refund", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["operator"])),
    request_body(content = RefundInput, description = "Nothing, or {}: the whole order"),
    responses((status = 200, description = "The order", body = OrganiserOrder), Refusals))]
async fn refund(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order)): Path<(String, String)>,
    Input(input, _): Input<RefundInput>,
) -> Result<Json<OrganiserOrder>, Problem> {
    let event = event_id(&event)?;
    let seats = input.seats.clone();
    let payment = shop
        .inventory
        .begin_refund_of(&event, &order, seats)
        .await?;
    let amount = payment.refund.as_ref().map(|refund| refund.amount);
    // Once begun it is finished by the reconciler, whatever becomes of this request.
    let change = Change {
        action: "order.refund",
        event: &event,
        from: json!({"order": order, "state": "confirmed"}),
        to: json!({"state": "refunding", "amount": amount, "seats": input.seats}),
    };
    record(&shop, &organiser, change).await;
    let order = shop.give_back(&payment).await?;
    Ok(Json(OrganiserOrder::of(order, &organiser)))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SeatsInput {
    seats: Vec<String>,
}

/// Take seats out of the sale.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/seats/block", tag = "organiser",
    params(("event" = String, Path)),
    request_body = SeatsInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The figures after the change", body = Sales), Refusals))]
async fn block(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<SeatsInput>,
) -> Result<Response, Problem> {
    change_block(&shop, &organiser, &event, input.seats, Block::Block).await
}

/// Put blocked seats back into the sale.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/seats/unblock", tag = "organiser",
    params(("event" = String, Path)),
    request_body = SeatsInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The figures after the change", body = Sales), Refusals))]
async fn unblock(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<SeatsInput>,
) -> Result<Response, Problem> {
    change_block(&shop, &organiser, &event, input.seats, Block::Unblock).await
}

async fn change_block(
    shop: &Shop,
    organiser: &Organiser,
    event: &str,
    seats: Vec<String>,
    change: Block,
) -> Result<Response, Problem> {
    let event = event_id(event)?;
    let to = json!({"seats": seats});
    shop.inventory.block(&event, seats, change).await?;
    let action = match change {
        Block::Block => "seats.block",
        Block::Unblock => "seats.unblock",
    };
    let change = Change {
        action,
        event: &event,
        from: Value::Null,
        to,
    };
    record(shop, organiser, change).await;
    let sales = shop.inventory.sales(&event).await?;
    Ok((StatusCode::OK, Json(sales)).into_response())
}

/// List the databases that hold events, with their events; none if all are in one file.
#[utoipa::path(get, path = "/api/v1/organiser/shards", tag = "organiser", security(("organiser" = ["admin"])),
    responses((status = 200, description = "The databases", body = Vec<ShardView>), Refusals))]
async fn list_shards(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
) -> Result<Json<Vec<ShardView>>, Problem> {
    Ok(Json(shop.inventory.shards().await?))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ShardInput {
    /// The id of the database.
    shard: String,
}

/// Move an event to another database, while no session is open, no seat is held and no payment is
/// under way.
#[utoipa::path(put, path = "/api/v1/organiser/events/{event}/shard", tag = "organiser",
    params(("event" = String, Path)),
    request_body = ShardInput, security(("organiser" = ["admin"])),
    responses((status = 204, description = "The event has moved"), Refusals))]
async fn move_event(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<ShardInput>,
) -> Result<StatusCode, Problem> {
    let event = event_id(&event)?;
    shop.inventory.move_event(&event, &input.shard).await?;
    let change = Change {
        action: "event.move",
        event: &event,
        from: Value::Null,
        to: json!({"shard": input.shard}),
    };
    record(&shop, &organiser, change).await;
    Ok(StatusCode::NO_CONTENT)
}

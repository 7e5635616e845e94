//! Organiser routes of the seats: plan, selling rules, figures, blocked seats.

use crate::app::{App, Shop};
use crate::inventory::layout::{self, Parsed, PlanPreview};
use crate::inventory::{
    Block, Currency, Layout, Prices, Rules, RulesPatch, Sales, ShardView, blocked_by_hand,
};
use crate::seats::seat_map;
use crate::sessions::event_id;
use crate::text::disturbs_text;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, PLAN_BYTES_MAX, Parameters, Problem, read_body};
use shared::ids::EventId;
use shared::organiser::Organiser;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Number of plans parsed at one time, as the largest take a second and some hundred megabytes.
/// Others wait.
const PLANS_AT_ONCE_MAX: usize = 1;
/// Largest number of lost blocks that are named.
const LOST_MAX: usize = 100;
/// Largest number of characters of a reason to block seats.
const REASON_CHARS_MAX: usize = 200;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(set_seating, show_plan))
        .routes(routes!(show_rules, change_rules))
        .routes(routes!(show_sales))
        .routes(routes!(block))
        .routes(routes!(unblock))
        .routes(routes!(list_shards))
        .routes(routes!(move_event))
}

pub(crate) async fn known(shop: &Shop, event: &str) -> Result<EventId, Problem> {
    let event = event_id(event)?;
    match shop.waiting_room.knows(&event).await {
        Some(false) => Err(Problem::no_such_event()),
        _ => Ok(event),
    }
}

/// A change for the audit log.
pub(crate) struct Change<'a> {
    pub(crate) action: &'a str,
    pub(crate) event: &'a EventId,
    pub(crate) from: Value,
    pub(crate) to: Value,
}

pub(crate) async fn record(shop: &Shop, organiser: &Organiser, change: Change<'_>) {
    let Change { from, to, .. } = change;
    let now = shop.site.clock.now();
    let entry = organiser.entry(now, change.action, change.event.as_str());
    shop.site.audit.record(Entry { from, to, ..entry }).await;
}

/// Checks the prices that are set beside a plan against it, and that they can be paid.
fn check_category_prices(
    shop: &Shop,
    prices: &Prices,
    layout: Option<&Layout>,
    currency: Currency,
) -> Result<(), Problem> {
    let mut wrong = layout.map_or_else(Vec::new, |layout| prices.mistakes_in(layout));
    for (field, amount) in prices.amounts() {
        let taken = shop.providers.chosen();
        let taken = taken.check_amount(amount, currency.as_str());
        wrong.extend(taken.err().map(|why| (field, why)));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid_all(wrong))
    }
}

/// Checks that no category of a plan has another price than the one that is set in place of the
/// plan's: the new one would count for nothing.
fn check_set_prices(prices: &Prices, layout: &Layout) -> Result<(), Problem> {
    for (at, category) in layout.categories.iter().enumerate() {
        let set = prices.of(&category.id).and_then(|own| own.price);
        if set.is_some_and(|set| set != category.price) {
            let why = format!(
                "the price of '{}' is set in the selling rules, and would stay as it is: change it there",
                category.name
            );
            return Err(Problem::invalid(&format!("categories[{at}].price"), why));
        }
    }
    Ok(())
}

/// Checks that the prices of a plan can be paid in a currency, and returns the first category whose
/// price cannot, with the reason.
fn check_prices(shop: &Shop, layout: &Layout, currency: Currency) -> Result<(), (usize, String)> {
    let (most, code) = (currency.price_max(), currency.as_str());
    for (at, category) in layout.categories.iter().enumerate() {
        if category.price > most {
            return Err((at, format!("0 to {most} minor units of {code}")));
        }
        let taken = shop.providers.chosen().check_amount(category.price, code);
        taken.map_err(|why| (at, why))?;
    }
    Ok(())
}

/// A plan that was set.
#[derive(Serialize, utoipa::ToSchema)]
struct Planned {
    /// Number of plans that the event has had.
    version: u32,
    /// Number of seats.
    capacity: u32,
    /// Some of the seats that were blocked and that the new plan does not have, by their ids. Those
    /// that it has stay blocked.
    #[schema(max_items = 100)]
    blocks_lost: Vec<String>,
    /// Parts of the plan that were left out, or that may not be as they are meant.
    warnings: Vec<String>,
}

/// Waits for work on a plan, one at a time.
async fn in_turn<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    to_the_end(async {
        static TURNS: Semaphore = Semaphore::const_new(PLANS_AT_ONCE_MAX);
        let _turn = TURNS.acquire().await;
        work.await
    })
    .await
}

/// Query of a plan that is set.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeatingQuery {
    /// Whether the plan is only read, and answered as it was understood. Then there need be no such
    /// event.
    #[serde(default)]
    #[param(inline, example = true)]
    preview: Option<bool>,
}

/// A plan that is set, or only read.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum SetOrPreviewed {
    Set(Planned),
    Previewed(PlanPreview),
}

/// Set the seating plan: ours, pretix's open JSON format, or a list as CSV; or see how it is
/// understood. `{"plan": …, "prices": {"Stalls": 4500}}` has prices beside a plan of any format.
#[utoipa::path(put, path = "/api/v1/organiser/events/{event}/seating", tag = "organiser",
    params(("event" = String, Path), SeatingQuery),
    request_body(content = Object), security(("organiser" = ["admin"])),
    responses((status = 200, description = "The plan is set; or how it was understood", body = SetOrPreviewed), Refusals))]
async fn set_seating(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<SeatingQuery>,
    body: Body,
) -> Result<Json<SetOrPreviewed>, Problem> {
    if query.preview.unwrap_or(false) {
        let bytes = read_body(body, PLAN_BYTES_MAX).await?;
        let preview = in_turn(layout::preview_on_a_thread(bytes)).await?;
        return Ok(Json(SetOrPreviewed::Previewed(preview)));
    }
    let event = known(&shop, &event).await?;
    let bytes = read_body(body, PLAN_BYTES_MAX).await?;
    let parsed = in_turn(layout::parse_on_a_thread(bytes)).await?;
    let rules = shop.inventory.rules(&event).await?;
    let checked = check_prices(&shop, &parsed.layout, rules.currency);
    checked.map_err(|(at, why)| {
        let why = format!(
            "the price of '{}': {why}",
            parsed.layout.categories[at].name
        );
        Problem::invalid(&format!("categories[{at}].price"), why)
    })?;
    check_set_prices(&rules.charges.prices, &parsed.layout)?;
    let Parsed {
        layout, warnings, ..
    } = parsed;
    let capacity = layout.seats.len() as u32;
    let blocks_lost = match shop.inventory.seat_map(&event) {
        Some(before) => {
            let now = before.current();
            let blocked = blocked_by_hand(&before.layout, &now.states);
            let lost = blocked.filter(|id| layout.find(id).is_none());
            lost.take(LOST_MAX).map(str::to_owned).collect()
        }
        None => Vec::new(),
    };
    let version = shop.inventory.set_seating(&event, layout).await?;
    if let Some(seat_map) = shop.inventory.seat_map(&event) {
        let seats = seat_map.current().availability(shop.site.clock.now());
        shop.waiting_room.report(&event, seats).await;
    }
    let to = json!({"version": version, "capacity": capacity, "blocks_lost": blocks_lost});
    let change = Change {
        action: "seating.set",
        event: &event,
        from: Value::Null,
        to,
    };
    record(&shop, &organiser, change).await;
    let planned = Planned {
        version,
        capacity,
        blocks_lost,
        warnings,
    };
    Ok(Json(SetOrPreviewed::Set(planned)))
}

/// Return the seating plan as it was set, in its own format, with the prices that were set with it:
/// to be changed and set again. 404 `no-such-event` while there is none.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/seating", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The plan: JSON, or CSV",
        content((Object = "application/json"), (String = "text/csv", example = "section,row,seat,category\nst,A,1,stalls\n"))), Refusals))]
async fn show_plan(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Response, Problem> {
    let plan = seat_map(&shop, &event)?.layout.plan.clone();
    let is_json = plan.trim_start().starts_with(['{', '[']);
    let kind = match is_json {
        true => "application/json",
        false => "text/csv; charset=utf-8",
    };
    Ok(([(header::CONTENT_TYPE, kind)], plan).into_response())
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
    if let Some(code) = &patch.currency {
        let checked = shop.providers.chosen().check_amount(0, code);
        checked.map_err(|why| Problem::invalid("currency", why))?;
        if let Some(currency) = Currency::parse(code)
            && let Some(map) = shop.inventory.seat_map(&event)
        {
            let checked = check_prices(&shop, &map.layout, currency);
            checked.map_err(|(at, why)| {
                let category = &map.layout.categories[at].name;
                Problem::invalid("currency", format!("the price of {category}: {why}"))
            })?;
        }
    }
    if let Some(prices) = &patch.prices {
        let letters = patch.currency.as_deref().and_then(Currency::parse);
        let currency = match letters {
            Some(currency) => currency,
            None => shop.inventory.rules(&event).await?.currency,
        };
        let map = shop.inventory.seat_map(&event);
        let layout = map.as_ref().map(|map| &*map.layout);
        check_category_prices(&shop, prices, layout, currency)?;
    }
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

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SeatsInput {
    seats: Vec<String>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BlockInput {
    seats: Vec<String>,
    /// Reason, for the audit log: up to 200 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    reason: Option<String>,
}

impl BlockInput {
    fn check(&self) -> Result<(), Problem> {
        let is_line = |reason: &String| {
            reason.chars().count() <= REASON_CHARS_MAX && !reason.chars().any(disturbs_text)
        };
        if self.reason.as_ref().is_none_or(is_line) {
            return Ok(());
        }
        let why = format!("up to {REASON_CHARS_MAX} characters, on one line");
        Err(Problem::invalid("reason", why))
    }
}

/// Take seats out of the sale. The audit log says who did, and the reason.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/seats/block", tag = "organiser",
    params(("event" = String, Path)),
    request_body = BlockInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The figures after the change", body = Sales), Refusals))]
async fn block(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<BlockInput>,
) -> Result<Response, Problem> {
    input.check()?;
    let to = json!(input);
    change_block(&shop, &organiser, &event, (input.seats, to), Block::Block).await
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
    let to = json!(input);
    change_block(&shop, &organiser, &event, (input.seats, to), Block::Unblock).await
}

async fn change_block(
    shop: &Shop,
    organiser: &Organiser,
    event: &str,
    (seats, to): (Vec<String>, Value),
    change: Block,
) -> Result<Response, Problem> {
    let event = event_id(event)?;
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

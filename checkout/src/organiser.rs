//! Organiser routes of the seats: selling rules, figures, databases.

use crate::app::{App, Shop};
use crate::inventory::{Currency, Layout, Prices, Rules, RulesPatch, Sales, ShardView};
use crate::sessions::event_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::context::AppContext;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem};
use shared::ids::EventId;
use shared::organiser::{AuditQuery, Organiser, show_audit};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_rules, change_rules))
        .routes(routes!(show_sales))
        .routes(routes!(list_shards))
        .routes(routes!(move_event))
        .routes(routes!(read_checkout_audit))
}

/// Read the audit log of the checkout: what was changed of plans, selling rules, orders, payments and
/// webhooks. In one process with the waiting room both have one log. Viewers see the changes alone,
/// without addresses.
#[utoipa::path(get, path = "/api/v1/organiser/audit/checkout", tag = "organiser", params(AuditQuery),
    security(("organiser" = ["viewer"])), responses((status = 200, description = "The newest entries, the newest first", body = Vec<Entry>), Refusals))]
async fn read_checkout_audit(
    State(site): State<Arc<AppContext>>,
    organiser: Organiser,
    Parameters(query): Parameters<AuditQuery>,
) -> Json<Vec<Entry>> {
    Json(show_audit(&site, &organiser, &query).await)
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
    wrong.extend(prices.repeated_names());
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

/// Checks that the prices of a plan can be paid in a currency, and returns the first category whose
/// price cannot, with the reason.
pub(crate) fn check_prices(
    shop: &Shop,
    layout: &Layout,
    currency: Currency,
) -> Result<(), (usize, String)> {
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

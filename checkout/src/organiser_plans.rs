//! Organiser routes of the seating plan: set, changed while seats are sold, previewed, given back.

use crate::app::{App, Shop};
use crate::inventory::layout::{self, Parsed, PlanPreview};
use crate::inventory::{Layout, PlanDifference, Prices, Refused, blocked_by_hand};
use crate::organiser::{Change, check_prices, known, record};
use crate::seats::seat_map;
use crate::sessions::event_id;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{PLAN_BYTES_MAX, Parameters, Problem, read_body};
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

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set_seating, show_plan))
}

/// Checks that no category of a plan gets a new price while another is set in place of the plan's:
/// the new one would count for nothing. The price of the plan before is none, so that a plan can be
/// read and set again.
fn check_set_prices(
    prices: &Prices,
    before: Option<&Layout>,
    layout: &Layout,
) -> Result<(), Problem> {
    for (at, category) in layout.categories.iter().enumerate() {
        let is_kept = before.is_some_and(|plan| {
            let mut old = plan.categories.iter();
            old.any(|old| old.id == category.id && old.price == category.price)
        });
        let set = prices.of(&category.id).and_then(|own| own.price);
        if !is_kept && set.is_some_and(|set| set != category.price) {
            let why = format!(
                "the price of '{}' is set in the selling rules, and would stay as it is: change it there",
                category.name
            );
            return Err(Problem::invalid(&format!("categories[{at}].price"), why));
        }
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
    /// Whether the plan is only read, and answered as it was understood, with its difference from the
    /// event's own. There need be no such event.
    #[serde(default)]
    #[param(inline, example = true)]
    preview: Option<bool>,
    /// `confirmation` of the difference that was looked at: needed while seats are held or sold.
    #[serde(default)]
    #[param(inline, example = "5f1c0a9b8e7d6c5b4a39281706f5e4d3")]
    confirm: Option<String>,
}

/// A plan as it was understood, and its difference.
#[derive(Serialize, utoipa::ToSchema)]
struct Previewed {
    #[serde(flatten)]
    plan: PlanPreview,
    /// Difference from the plan that the event has, if it has one; not while prices are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<PlanDifference>,
}

/// A plan that is set, or only read.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum SetOrPreviewed {
    Set(Planned),
    Previewed(Box<Previewed>),
}

/// Set the seating plan: ours, pretix's open JSON format, or a list as CSV; or see how it is
/// understood. `{"plan": …, "prices": {"Stalls": 4500}}` has prices beside a plan of any format.
/// While seats are held or sold, a change has to be confirmed: 409 `seating-in-use` has its
/// `difference`, and 409 `plan-differs` the one of now if it is another than the one confirmed. A
/// change that would take a held or sold seat away is refused, with all such seats.
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
        let previewed = preview(&shop, &event_id(&event)?, body).await?;
        return Ok(Json(SetOrPreviewed::Previewed(Box::new(previewed))));
    }
    let event = known(&shop, &event).await?;
    let bytes = read_body(body, PLAN_BYTES_MAX).await?;
    let parsed = in_turn(layout::parse_on_a_thread(bytes)).await?;
    check_plan(&shop, &event, &parsed.layout).await?;
    let Parsed {
        layout, warnings, ..
    } = parsed;
    let capacity = layout.seats.len() as u32;
    let blocks_lost = blocks_lost(&shop, &event, &layout);
    let version = replace(&shop, &event, layout, query.confirm.as_deref()).await?;
    if let Some(seat_map) = shop.inventory.seat_map(&event) {
        let seats = seat_map.current().availability(shop.site.clock.now());
        shop.waiting_room.report(&event, seats).await;
    }
    let change = Change {
        action: "seating.set",
        event: &event,
        from: Value::Null,
        to: json!({"version": version, "capacity": capacity, "blocks_lost": blocks_lost}),
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

/// Reads a plan, and compares it with the one that the event has.
async fn preview(shop: &Shop, event: &EventId, body: Body) -> Result<Previewed, Problem> {
    let bytes = read_body(body, PLAN_BYTES_MAX).await?;
    let parsed = in_turn(layout::preview_on_a_thread(bytes)).await?;
    check_plan(shop, event, &parsed.layout).await?;
    let difference = match parsed.unpriced.is_empty() {
        true => {
            let difference = shop.inventory.plan_difference(event, &parsed.layout);
            difference.await?
        }
        false => None,
    };
    let plan = parsed.preview();
    Ok(Previewed { plan, difference })
}

/// Replaces the plan; one that is in use only if its difference was confirmed.
async fn replace(
    shop: &Shop,
    event: &EventId,
    layout: Layout,
    confirmation: Option<&str>,
) -> Result<u32, Problem> {
    let inventory = &shop.inventory;
    if let Some(confirmation) = confirmation {
        let changed = inventory.change_seating(event, layout, confirmation);
        return Ok(changed.await?);
    }
    match inventory.set_seating(event, layout.clone()).await {
        Err(Refused::InUse) => {
            let difference = inventory.plan_difference(event, &layout).await?;
            let problem = Problem::from(Refused::InUse);
            Err(problem.with("difference", json!(difference)))
        }
        set => Ok(set?),
    }
}

/// Checks the prices of a plan.
async fn check_plan(shop: &Shop, event: &EventId, layout: &Layout) -> Result<(), Problem> {
    let rules = shop.inventory.rules(event).await?;
    check_prices(shop, layout, rules.currency).map_err(|(at, why)| {
        let why = format!("the price of '{}': {why}", layout.categories[at].name);
        Problem::invalid(&format!("categories[{at}].price"), why)
    })?;
    let before = shop.inventory.seat_map(event);
    let before = before.as_ref().map(|map| &*map.layout);
    check_set_prices(&rules.charges.prices, before, layout)
}

/// Returns some of the seats that are blocked by hand and that a new plan does not have.
fn blocks_lost(shop: &Shop, event: &EventId, layout: &Layout) -> Vec<String> {
    let Some(before) = shop.inventory.seat_map(event) else {
        return Vec::new();
    };
    let now = before.current();
    let blocked = blocked_by_hand(&before.layout, &now.states);
    let lost = blocked.filter(|id| layout.find(id).is_none());
    lost.take(LOST_MAX).map(str::to_owned).collect()
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

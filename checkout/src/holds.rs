//! Routes of holds: making, showing and releasing them.

use crate::app::{App, Shop};
use crate::error::network_is_full;
use crate::inventory::{Best, ChosenTypes, Hold, Refused, SessionKey, Wish};
use crate::sessions::{Sessions, event_id};
use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::crypto::hex;
use shared::http::client_address::ClientAddress;
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::http::rate_limit::Holder;
use shared::ids::EventId;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest number of seats named in one request.
const SEATS_NAMED_MAX: usize = 1000;
const LISTS_MAX: usize = 50;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(hold, list_own_holds))
        .routes(routes!(show_hold, release))
        .routes(routes!(price_hold))
}

/// Body of a hold: exactly one of `seats`, `any_of` and `best_available`; or `any_of` with
/// `best_available` as the fallback if none of its lists is available.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct HoldInput {
    /// Exactly these seats.
    seats: Option<Vec<String>>,
    /// The first of these lists whose seats are all available.
    any_of: Option<Vec<Vec<String>>>,
    /// The best available seats, adjacent ones first.
    best_available: Option<Best>,
}

impl HoldInput {
    fn wish(self) -> Result<Wish, Problem> {
        let lists = self.seats.iter().chain(self.any_of.iter().flatten());
        if lists.map(Vec::len).sum::<usize>() > SEATS_NAMED_MAX {
            let field = if self.seats.is_some() {
                "seats"
            } else {
                "any_of"
            };
            return Err(Problem::invalid(
                field,
                format!("at most {SEATS_NAMED_MAX} seats"),
            ));
        }
        match (self.seats, self.any_of, self.best_available) {
            (Some(seats), None, None) => Ok(Wish::Seats(seats)),
            (None, Some(lists), _) if lists.is_empty() || lists.len() > LISTS_MAX => Err(
                Problem::invalid("any_of", format!("1 to {LISTS_MAX} lists")),
            ),
            (None, Some(lists), best) => Ok(Wish::AnyOf(lists, best)),
            (None, None, Some(best)) => Ok(Wish::Best(best)),
            _ => Err(Problem::invalid(
                "seats",
                "either seats, any_of or best_available",
            )),
        }
    }
}

/// Holds seats: all of them or none. 429 `too-many-seat-holders` while as many fans of the client's
/// address hold seats as may at one time.
#[utoipa::path(post, path = "/api/v1/events/{event}/holds", tag = "checkout", params(("event" = String, Path), IdempotencyKey),
    request_body = HoldInput, security(("session" = [])),
    responses((status = 201, description = "The seats are held", body = Hold), Refusals))]
async fn hold(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Sessions(keys): Sessions,
    address: Option<Extension<ClientAddress>>,
    key: IdempotencyKey,
    Input(input, body): Input<HoldInput>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let wish = input.wish()?;
    let own = shop.inventory.session_of_event(keys, &event).await?;
    if let Some(Extension(ClientAddress(address))) = address {
        count_holder(&shop, &event, address, own.hash).await?;
    }
    let attempt = key.attempt(&subject(&own), &format!("hold {event}"), &body);
    let once = shop
        .inventory
        .hold(vec![own], &event, wish, attempt)
        .await?;
    let response = (StatusCode::CREATED, Json(once.value)).into_response();
    Ok(mark_replayed(response, once.is_replayed))
}

/// Counts a session that is about to hold seats.
async fn count_holder(
    shop: &Shop,
    event: &EventId,
    address: IpAddr,
    id: [u8; 32],
) -> Result<(), Problem> {
    let scope = event.as_str();
    let holder = Holder { scope, address, id };
    let living = |sessions| async move {
        let holding = shop.inventory.holding(event, sessions).await?;
        Ok::<_, Refused>(holding.into_iter().collect())
    };
    let holders = &shop.site.limits.seat_holders;
    let is_counted = holders.take(holder, shop.site.clock.now(), living).await?;
    is_counted.then_some(()).ok_or_else(network_is_full)
}

/// Returns the scope of idempotency keys: no other client has the token of this session. Sessions
/// of other events, which the same browser sends along, do not count.
pub(crate) fn subject(key: &SessionKey) -> String {
    hex(&key.hash)
}

/// Returns the holds of the session's visitor whose seats are not paid for, oldest first, so that each
/// tab of a browser finds them: active ones, and those of orders that wait for their payment.
#[utoipa::path(get, path = "/api/v1/events/{event}/holds", tag = "checkout", params(("event" = String, Path)),
    security(("session" = [])), responses((status = 200, description = "The holds", body = Vec<Hold>), Refusals))]
async fn list_own_holds(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Sessions(keys): Sessions,
) -> Result<Json<Vec<Hold>>, Problem> {
    let event = event_id(&event)?;
    Ok(Json(shop.inventory.own_holds(keys, &event).await?))
}

/// Returns a hold.
#[utoipa::path(get, path = "/api/v1/holds/{hold}", tag = "checkout", params(("hold" = String, Path)),
    security(("session" = [])), responses((status = 200, description = "The hold", body = Hold), Refusals))]
async fn show_hold(
    State(shop): State<Arc<Shop>>,
    Path(hold): Path<String>,
    Sessions(keys): Sessions,
) -> Result<Json<Hold>, Problem> {
    Ok(Json(shop.inventory.show_hold(keys, &hold).await?))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TypesInput {
    /// Types of the tickets by seat, such as `{"st-A-2": "child"}`; a seat that is not named gets the
    /// standard one.
    ticket_types: ChosenTypes,
}

/// Returns a hold as its order with these ticket types would be: seats, lines and total. It changes
/// nothing. Tickets of the standard type have the price that they were held for, others that of now.
/// 422 `unknown-ticket-type`, `ticket-type-of-another-category`, `too-many-of-ticket-type` with `limit`
/// or `ticket-type-not-alone`, each with the `ticket_type`.
#[utoipa::path(post, path = "/api/v1/holds/{hold}/price", tag = "checkout", params(("hold" = String, Path)),
    request_body = TypesInput, security(("session" = [])),
    responses((status = 200, description = "The hold with these ticket types", body = Hold), Refusals))]
async fn price_hold(
    State(shop): State<Arc<Shop>>,
    Path(hold): Path<String>,
    Sessions(keys): Sessions,
    Input(input, _): Input<TypesInput>,
) -> Result<Json<Hold>, Problem> {
    let priced = shop.inventory.price_hold(keys, &hold, &input.ticket_types);
    Ok(Json(priced.await?))
}

/// Releases the seats of a hold.
#[utoipa::path(delete, path = "/api/v1/holds/{hold}", tag = "checkout", params(("hold" = String, Path)),
    security(("session" = [])), responses((status = 204, description = "The seats are free again"), Refusals))]
async fn release(
    State(shop): State<Arc<Shop>>,
    Path(hold): Path<String>,
    Sessions(keys): Sessions,
) -> Result<StatusCode, Problem> {
    shop.inventory.release(keys, &hold).await?;
    // A payment that its order began is cancelled at the provider first.
    shop.to_reconcile.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

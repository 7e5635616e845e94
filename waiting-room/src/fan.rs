//! What a fan does: look at an event, join its line, ask for the place, leave; start and end shopping.

use crate::admit::EventHub;
use crate::error::{bad_admission, no_pass};
use crate::line::{Claimed, Joined, Order, Phase, Spot, VisitorState};
use crate::pass::{PASS_SECONDS, Pass};
use crate::place::Place;
use crate::{App, Room};
use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::context::check;
use shared::http::client_address::ClientAddress;
use shared::http::credentials::{Credential, bearer, check_origin, credential, set_cookie};
use shared::http::idempotency::{IdempotencyKey, replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Nothing, Problem};
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::Time;
use shared::token::Claims;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_events))
        .routes(routes!(show_event))
        .routes(routes!(join))
        .routes(routes!(show_place, leave))
        .routes(routes!(start_admission))
        .routes(routes!(end_admission))
}

/// An event in the public list.
#[derive(Serialize, utoipa::ToSchema)]
struct EventSummary {
    id: EventId,
    name: String,
    phase: Phase,
    sale_opens_at: Option<Time>,
}

/// An event as anyone may see it.
#[derive(Serialize, utoipa::ToSchema)]
struct EventView {
    id: EventId,
    name: String,
    phase: Phase,
    order: Order,
    prequeue_opens_at: Option<Time>,
    sale_opens_at: Option<Time>,
    closes_at: Option<Time>,
    waiting: u64,
    rate_per_minute: u32,
    availability: Option<Availability>,
    message: Option<String>,
}

/// The event that a path names, taken up by this node.
pub(crate) async fn find(
    room: &Arc<Room>,
    event: &str,
) -> Result<(EventId, Arc<EventHub>), Problem> {
    let event = EventId::parse(event).map_err(|_| Problem::no_such_event())?;
    let hub = room.hub(&event).await?;
    Ok((event, hub))
}

/// The pass that came with a request, and whether it came as a cookie.
pub(crate) fn pass_of(room: &Room, headers: &HeaderMap, event: &EventId) -> Option<(Pass, bool)> {
    let Credential { word, by_cookie } =
        credential(&room.site, headers, &format!("fairline_pass_{event}"))?;
    Some((room.passes.read(event, &word)?, by_cookie))
}

/// The admission token that came with a request, checked, and whether it came as a cookie.
pub(crate) fn admission_of(
    room: &Room,
    headers: &HeaderMap,
    event: &EventId,
) -> Result<(Claims, bool), Problem> {
    let found = credential(&room.site, headers, &format!("fairline_admission_{event}"));
    let Credential { word, by_cookie } = found.ok_or_else(bad_admission)?;
    let claims = room.verifier.verify(&word, event, room.now(event));
    claims.map(|claims| (claims, by_cookie)).map_err(|refused| {
        tracing::debug!(%event, %refused, "admission refused");
        bad_admission()
    })
}

/// All events.
#[utoipa::path(get, path = "/api/v1/events", tag = "line", responses((status = 200, body = Vec<EventSummary>), Refusals))]
async fn list_events(State(room): State<Arc<Room>>) -> Result<Json<Vec<EventSummary>>, Problem> {
    let mut list = Vec::new();
    for settings in room.line.events().await? {
        let Ok(hub) = room.hub(&settings.id).await else {
            continue;
        };
        list.push(EventSummary {
            id: settings.id.clone(),
            name: settings.name.clone(),
            phase: hub.front().phase,
            sale_opens_at: settings.sale_opens_at,
        });
    }
    Ok(Json(list))
}

/// One event.
#[utoipa::path(get, path = "/api/v1/events/{event}", tag = "line", params(("event" = String, Path)),
    responses((status = 200, body = EventView), Refusals))]
async fn show_event(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
) -> Result<Json<EventView>, Problem> {
    let (id, hub) = find(&room, &event).await?;
    let front = hub.front();
    let settings = &front.settings;
    Ok(Json(EventView {
        id,
        name: settings.name.clone(),
        phase: front.phase,
        order: settings.order,
        prequeue_opens_at: settings.prequeue_opens_at,
        sale_opens_at: settings.sale_opens_at,
        closes_at: settings.closes_at,
        waiting: front.waiting,
        rate_per_minute: settings.admission.rate_per_minute,
        availability: front.availability,
        message: settings.message.clone(),
    }))
}

/// Join the line.
#[utoipa::path(post, path = "/api/v1/events/{event}/line", tag = "line", params(("event" = String, Path)),
    request_body(content = Nothing, description = "Nothing, or {}"), security((), ("pass" = [])),
    responses((status = 201, body = Place), (status = 200, body = Place, description = "There was a place already"), Refusals))]
async fn join(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    address: Option<Extension<ClientAddress>>,
    key: IdempotencyKey,
    headers: HeaderMap,
    Input(Nothing {}, _): Input<Nothing>,
) -> Result<Response, Problem> {
    let (event, hub) = find(&room, &event).await?;
    let address = address.map(|Extension(address)| address);
    let (joined, is_replay) = match enter(&room, &event, &headers, address, &key).await {
        Ok(entered) => entered,
        Err(problem) => {
            // With the time: a line that is not open yet names the instant when it opens.
            let mut response = problem.into_response();
            room.now(&event).stamp(response.headers_mut());
            return Ok(response);
        }
    };
    let (status, spot) = match joined {
        Joined::New(spot) => (StatusCode::CREATED, spot),
        Joined::Known(spot) if is_replay => (StatusCode::CREATED, spot),
        Joined::Known(spot) => (StatusCode::OK, spot),
    };
    let response = answer(&room, &event, &hub, &spot, status);
    Ok(if is_replay && matches!(joined, Joined::Known(_)) {
        replayed(response)
    } else {
        response
    })
}

/// Gives the asker a place: the one their pass proves, the one their idempotency key was answered with, or a new one.
pub(crate) async fn enter(
    room: &Arc<Room>,
    event: &EventId,
    headers: &HeaderMap,
    address: Option<ClientAddress>,
    key: &IdempotencyKey,
) -> Result<(Joined, bool), Problem> {
    let pass = pass_of(room, headers, event);
    if pass.is_none() && bearer(headers).is_some() {
        return Err(no_pass());
    }
    let by_cookie = pass.is_some_and(|(_, by_cookie)| by_cookie);
    check_origin(&room.site, headers, by_cookie)?;
    let address = address.map(|address| address.0);
    let (visitor, is_keyed) = match (&pass, &key.0) {
        (Some((pass, _)), _) => (pass.visitor, false),
        // The same key from the same address is the same fan asking again.
        (None, Some(key)) => {
            let named = format!("{event}\n{address:?}\n{key}");
            let mac = room.join_keys.sign(named.as_bytes());
            let half = mac.first_chunk().expect("a signature has 32 bytes");
            (VisitorId(u128::from_be_bytes(*half)), true)
        }
        (None, None) => (VisitorId::random(), false),
    };
    match &pass {
        Some((pass, _)) => {
            check(&room.site.limits.visitors, visitor)?;
            // Where the store has forgotten their place, it is given back rather than a new one.
            room.find_place(event, pass).await?;
        }
        None => {
            if let Some(address) = address {
                check(&room.site.limits.joins, address)?;
            }
        }
    }
    let joined = room.line.join(event, &[visitor]).await?;
    let joined = joined.first().copied().ok_or_else(Problem::unavailable)?;
    Ok((joined, is_keyed))
}

/// One's place now.
#[utoipa::path(get, path = "/api/v1/events/{event}/line/me", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 200, body = Place), Refusals))]
async fn show_place(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (event, hub) = find(&room, &event).await?;
    let (pass, _) = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check(&room.site.limits.visitors, pass.visitor)?;
    let spot = room.find_place(&event, &pass).await?;
    let spot = spot.ok_or_else(no_pass)?;
    Ok(answer(&room, &event, &hub, &spot, StatusCode::OK))
}

/// A place with its pass.
fn answer(
    room: &Room,
    event: &EventId,
    hub: &EventHub,
    spot: &Spot,
    status: StatusCode,
) -> Response {
    let front = hub.front();
    let mut place = room.place(event, spot, &front);
    let place_pass = Some(room.pass(event, spot, &front));
    place.pass.clone_from(&place_pass);
    let token = place.token.clone();
    let mut response = (status, Json(place)).into_response();
    let head = response.headers_mut();
    room.now(event).stamp(head);
    let pass = place_pass.as_deref().unwrap_or_default();
    set_cookies(room, (event, pass), spot, token.as_deref(), head);
    response
}

/// The pass as a cookie; while admitted the token too, for the gate; once it is over, no token any more.
pub(crate) fn set_cookies(
    room: &Room,
    (event, pass): (&EventId, &str),
    spot: &Spot,
    token: Option<&str>,
    headers: &mut HeaderMap,
) {
    let mut set = |name: &str, value: &str, seconds: u32| {
        let cookie = set_cookie(
            &room.site,
            &format!("fairline_{name}_{event}"),
            value,
            seconds,
        );
        headers.append(header::SET_COOKIE, cookie);
    };
    set("pass", pass, PASS_SECONDS);
    if let (Some(token), Some(slot)) = (token, spot.slot) {
        let left = (slot.expires_at.0 - room.now(event).0).max(0) / 1000;
        set("admission", token, u32::try_from(left).unwrap_or(0));
    } else if !matches!(
        spot.standing,
        VisitorState::Waiting | VisitorState::Shopping
    ) {
        set("admission", "", 0);
    }
}

/// Leave the line, or give the slot back.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line/me", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 204), Refusals))]
async fn leave(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (event, _) = find(&room, &event).await?;
    let (pass, by_cookie) = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check_origin(&room.site, &headers, by_cookie)?;
    room.find_place(&event, &pass).await?;
    room.line.leave(&event, pass.visitor).await?;
    room.passed.forget(pass.visitor);
    Ok(StatusCode::NO_CONTENT)
}

/// The fan arrived at the checkout.
#[utoipa::path(post, path = "/api/v1/events/{event}/admission/start", tag = "line",
    params(("event" = String, Path)), security(("admission" = [])), responses((status = 204), Refusals))]
async fn start_admission(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (event, _) = find(&room, &event).await?;
    let (claims, by_cookie) = admission_of(&room, &headers, &event)?;
    check_origin(&room.site, &headers, by_cookie)?;
    match room.line.claim(&event, claims.sub, claims.number).await? {
        Claimed::Until(_) => Ok(StatusCode::NO_CONTENT),
        Claimed::Lapsed => {
            let title = "This slot is gone";
            Err(Problem::new(StatusCode::GONE, "slot-lapsed", title))
        }
    }
}

/// The fan is done shopping.
#[utoipa::path(delete, path = "/api/v1/events/{event}/admission", tag = "line",
    params(("event" = String, Path)), security(("admission" = [])), responses((status = 204), Refusals))]
async fn end_admission(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (event, _) = find(&room, &event).await?;
    let (claims, by_cookie) = admission_of(&room, &headers, &event)?;
    check_origin(&room.site, &headers, by_cookie)?;
    room.line.finish(&event, claims.sub, claims.number).await?;
    room.passed.forget(claims.sub);
    Ok(StatusCode::NO_CONTENT)
}

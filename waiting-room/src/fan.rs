//! Routes for fans: show events, join the line, show the place, leave, start and end shopping.

use crate::app::{App, Room};
use crate::credentials::{FanCookies, admission_of, find, find_for, pass_of};
use crate::error::{network_is_full, no_pass, not_extendable};
use crate::extension::{Extended, extend};
use crate::hub::EventHub;
use crate::landing::{Listed, public_events};
use crate::line::{Claimed, Joined, Order, Phase, Refused, Spot};
use crate::line_mail::place_of_link;
use crate::place::Place;
use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::cancellation::Cancellation;
use shared::context::check;
use shared::crypto::sha256;
use shared::edge::Lifetime;
use shared::event_details::EventDetails;
use shared::http::client_address::ClientAddress;
use shared::http::credentials::{bearer, check_origin, set_cookie};
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Nothing, Problem};
use shared::http::rate_limit::Holder;
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::Time;
use shared::token::Claims;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Shortest `Idempotency-Key` that tells a fan from others. Two fans behind one address may well
/// send the same short one, and must not share a place.
const KEY_CHARS_MIN: usize = 16;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_events))
        .routes(routes!(show_event))
        .routes(routes!(join))
        .routes(routes!(show_place, leave))
        .routes(routes!(start_admission))
        .routes(routes!(extend_admission))
        .routes(routes!(end_admission))
}

/// An event in the public list.
#[derive(Serialize, utoipa::ToSchema)]
struct EventSummary {
    id: EventId,
    name: String,
    phase: Phase,
    sale_opens_at: Option<Time>,
    /// Without the description.
    details: Option<EventDetails>,
}

impl From<Listed> for EventSummary {
    fn from(event: Listed) -> EventSummary {
        let settings = event.settings;
        EventSummary {
            id: settings.id.clone(),
            name: settings.name.clone(),
            phase: event.phase,
            sale_opens_at: settings.sale_opens_at,
            details: settings.details.clone().map(|details| EventDetails {
                description: None,
                ..details
            }),
        }
    }
}

/// Public view of an event.
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
    /// Details of the event for fans.
    details: Option<EventDetails>,
    /// Cancellation of the show, if it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<Cancellation>,
}

/// List all events.
#[utoipa::path(get, path = "/api/v1/events", tag = "line", security(()),
    responses((status = 200, description = "The events", body = Vec<EventSummary>), Refusals))]
async fn list_events(State(room): State<Arc<Room>>) -> Result<Response, Problem> {
    let events = public_events(&room).await?.into_iter();
    let list: Vec<EventSummary> = events.map(EventSummary::from).collect();
    let mut response = Json(list).into_response();
    room.site.edge.keep_list(response.headers_mut());
    Ok(response)
}

/// Show an event. A draft is shown to organisers alone.
#[utoipa::path(get, path = "/api/v1/events/{event}", tag = "line", params(("event" = String, Path)),
    security(()),
    responses((status = 200, description = "The event", body = EventView), Refusals))]
async fn show_event(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    sender: Parts,
) -> Result<Response, Problem> {
    let (id, hub) = find_for(&room, &event, &sender).await?;
    let front = hub.front();
    let settings = &front.settings;
    let view = EventView {
        id: id.clone(),
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
        details: settings.details.clone(),
        cancelled: settings.cancelled.clone(),
    };
    let mut response = Json(view).into_response();
    if settings.published {
        let edge = &room.site.edge;
        edge.keep(response.headers_mut(), Lifetime::Live, &id);
    }
    Ok(response)
}

/// Join the line. 429 `too-many-places` while the client's address has as many places as it may
/// have at one time.
#[utoipa::path(post, path = "/api/v1/events/{event}/line", tag = "line", params(("event" = String, Path), IdempotencyKey),
    request_body(content = Nothing, description = "Nothing, or {}"), security((), ("pass" = [])),
    responses((status = 201, description = "A new place", body = Place),
        (status = 200, body = Place, description = "There was a place already"), Refusals))]
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
    let Entered { joined, is_keyed } = match enter(&room, &event, &headers, address, &key).await {
        Ok(entered) => entered,
        Err(problem) => {
            // The time header is set on errors too: a line that is not open yet names the time when
            // it opens.
            let mut response = problem.into_response();
            room.now(&event).stamp(response.headers_mut());
            return Ok(response);
        }
    };
    let (status, spot) = match joined {
        Joined::New(spot) => (StatusCode::CREATED, spot),
        Joined::Known(spot) if is_keyed => (StatusCode::CREATED, spot),
        Joined::Known(spot) => (StatusCode::OK, spot),
    };
    let response = answer(&room, &event, &hub, &spot, status);
    let is_replayed = is_keyed && matches!(joined, Joined::Known(_));
    Ok(mark_replayed(response, is_replayed))
}

/// Outcome of [`enter`].
pub(crate) struct Entered {
    pub(crate) joined: Joined,
    /// Whether the visitor was told by their idempotency key, not by a pass.
    is_keyed: bool,
}

/// Gives the requester a place: the one their pass proves, the one given for their idempotency key
/// before, or a new one.
pub(crate) async fn enter(
    room: &Arc<Room>,
    event: &EventId,
    headers: &HeaderMap,
    address: Option<ClientAddress>,
    key: &IdempotencyKey,
) -> Result<Entered, Problem> {
    let pass = pass_of(room, headers, event);
    if pass.is_none() && bearer(headers).is_some() {
        return Err(no_pass());
    }
    let by_cookie = pass.as_ref().is_some_and(|pass| pass.by_cookie);
    let pass = pass.map(|pass| pass.content);
    check_origin(&room.site, headers, by_cookie)?;
    let address = address.map(|address| address.0);
    let key = key.0.as_deref().filter(|key| key.len() >= KEY_CHARS_MIN);
    let (visitor, is_keyed) = match (&pass, key) {
        (Some(pass), _) => (pass.visitor, false),
        // The same key from the same browser at the same address is a repeated request of the same
        // fan.
        (None, Some(key)) => {
            let browser = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
            let named = format!("{event}\n{address:?}\n{:?}\n{key}", browser.map(sha256));
            let mac = room.join_keys.sign(named.as_bytes());
            let half = mac.first_chunk().expect("a signature has 32 bytes");
            (VisitorId(u128::from_be_bytes(*half)), true)
        }
        (None, None) => (VisitorId::random(), false),
    };
    let limits = &room.site.limits;
    if let Some(pass) = &pass {
        check(&limits.visitors, visitor)?;
        // If the store has lost their place, it is restored instead of a new one given.
        let spot = room.find_place(event, pass).await?;
        if let Some(spot) = spot.filter(|spot| !spot.may_rejoin()) {
            let joined = Joined::Known(spot);
            return Ok(Entered { joined, is_keyed });
        }
        let counted = limits.places.rejoin(visitor).await;
        counted.map_err(Problem::too_many)?;
    }
    if let Some(address) = address {
        let counted = limits.places.join(address).await;
        counted.map_err(Problem::too_many)?;
        count_live(room, event, address, visitor).await?;
    }
    let joined = room.line.join(event, &[visitor]).await?;
    let joined = joined.first().copied().ok_or_else(Problem::unavailable)?;
    Ok(Entered { joined, is_keyed })
}

/// Counts a place that a visitor is about to be given among the live ones of an address.
async fn count_live(
    room: &Room,
    event: &EventId,
    address: IpAddr,
    visitor: VisitorId,
) -> Result<(), Problem> {
    let holder = Holder {
        scope: event.as_str(),
        address,
        id: visitor.0.to_be_bytes(),
    };
    let living = |ids: Vec<[u8; 16]>| async move {
        let visitors = ids.into_iter().map(u128::from_be_bytes).map(VisitorId);
        let visitors: Vec<VisitorId> = visitors.collect();
        let living = room.line.living(event, &visitors).await?;
        Ok::<_, Refused>(living.iter().map(|it| it.0.to_be_bytes()).collect())
    };
    let places = &room.site.limits.live_places;
    let is_counted = places.take(holder, room.site.clock.now(), living).await?;
    is_counted.then_some(()).ok_or_else(network_is_full)
}

/// Show the caller's place in line. The proof behind the `#` of a mail's link counts as a pass here, and
/// the answer has the pass itself: 401 `no-pass` once that place is over, 409 `other-place` in a browser
/// that has another place in this line.
#[utoipa::path(get, path = "/api/v1/events/{event}/line/me", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 200, description = "The place", body = Place), Refusals))]
async fn show_place(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (event, hub) = find(&room, &event).await?;
    let spot = match pass_of(&room, &headers, &event) {
        Some(pass) => {
            let pass = pass.content;
            check(&room.site.limits.visitors, pass.visitor)?;
            let spot = room.find_place(&event, &pass).await?;
            spot.ok_or_else(no_pass)?
        }
        None => place_of_link(&room, &event, &headers).await?,
    };
    Ok(answer(&room, &event, &hub, &spot, StatusCode::OK))
}

/// Builds the response with a place, its pass and the cookies.
fn answer(
    room: &Room,
    event: &EventId,
    hub: &EventHub,
    spot: &Spot,
    status: StatusCode,
) -> Response {
    let front = hub.front();
    let mut place = room.place(event, spot, &front);
    let pass = room.pass(event, spot, &front);
    place.pass = Some(pass.clone());
    let token = place.token.clone();
    let mut response = (status, Json(place)).into_response();
    let head = response.headers_mut();
    room.now(event).stamp(head);
    let cookies = FanCookies {
        event,
        pass: &pass,
        token: token.as_deref(),
    };
    cookies.set(room, spot, head);
    response
}

/// Leave the line, or give the slot back.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line/me", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 204, description = "The place is given up"), Refusals))]
async fn leave(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (event, _) = find(&room, &event).await?;
    let pass = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check_origin(&room.site, &headers, pass.by_cookie)?;
    let pass = pass.content;
    check(&room.site.limits.visitors, pass.visitor)?;
    let spot = room.find_place(&event, &pass).await?;
    room.line.leave(&event, pass.visitor).await?;
    room.forget_mail(&event, spot.as_ref()).await;
    room.passed.forget(pass.visitor);
    Ok(StatusCode::NO_CONTENT)
}

/// Record that the fan entered the checkout.
#[utoipa::path(post, path = "/api/v1/events/{event}/admission/start", tag = "line",
    params(("event" = String, Path)), security(("admission" = [])),
    responses((status = 204, description = "The slot lasts until the token ends"), Refusals))]
async fn start_admission(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (event, claims) = admitted(&room, &event, &headers).await?;
    match room.line.claim(&event, claims.sub, claims.number).await? {
        Claimed::Until(_) => Ok(StatusCode::NO_CONTENT),
        Claimed::Lapsed => Err(Problem::slot_lapsed()),
    }
}

/// An admission after its extension.
#[derive(Serialize, utoipa::ToSchema)]
struct ExtendedAdmission {
    /// Admission token that ends later. It opens no second session.
    token: String,
    /// Its end, and that of the slot.
    expires_at: Time,
}

/// Extend an admission, once: its slot lasts longer, and a new token replaces the old one, in the
/// cookie as well. 409 `not-extendable` where the event allows none, or with a token that is
/// extended already; the token from before gets the same answer again.
#[utoipa::path(post, path = "/api/v1/events/{event}/admission/extend", tag = "line",
    params(("event" = String, Path)), security(("admission" = [])),
    responses((status = 200, description = "The new token", body = ExtendedAdmission), Refusals))]
async fn extend_admission(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (event, claims) = admitted(&room, &event, &headers).await?;
    let claims = match extend(&*room.line, &event, &claims).await? {
        Extended::Until(claims) => claims,
        Extended::NotExtendable => return Err(not_extendable()),
        Extended::Lapsed => return Err(Problem::slot_lapsed()),
    };
    let token = room.signer.sign(&claims);
    let left = (claims.exp - room.now(&event).seconds()).max(0);
    let cookie = set_cookie(
        &room.site,
        &format!("fairline_admission_{event}"),
        &token,
        u32::try_from(left).unwrap_or(0),
    );
    let extended = ExtendedAdmission {
        token,
        expires_at: Time(claims.exp.saturating_mul(1000)),
    };
    Ok(([(header::SET_COOKIE, cookie)], Json(extended)).into_response())
}

/// Record that the fan is done shopping.
#[utoipa::path(delete, path = "/api/v1/events/{event}/admission", tag = "line",
    params(("event" = String, Path)), security(("admission" = [])),
    responses((status = 204, description = "The slot is free"), Refusals))]
async fn end_admission(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (event, claims) = admitted(&room, &event, &headers).await?;
    room.line.finish(&event, claims.sub, claims.number).await?;
    room.passed.forget(claims.sub);
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the event of a request and the claims of its admission token.
async fn admitted(
    room: &Arc<Room>,
    event: &str,
    headers: &HeaderMap,
) -> Result<(EventId, Claims), Problem> {
    let (event, _) = find(room, event).await?;
    let admission = admission_of(room, headers, &event)?;
    check_origin(&room.site, headers, admission.by_cookie)?;
    Ok((event, admission.content))
}

//! Routes of the seat map: the layout, the states of the seats in JSON and in two bits each, and
//! live changes.

use crate::app::{App, Shop};
use crate::inventory::seat_map::SeatMapVersion;
use crate::inventory::{SeatMap, SeatState};
use crate::sessions::{Sessions, event_id};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::edge::Lifetime;
use shared::http::credentials::{bearer, check_origin};
use shared::http::document::{Document, entity_tag, is_known, not_modified};
use shared::http::openapi::Refusals;
use shared::http::permit::ConnectionPermit;
use shared::http::problem::{Parameters, Problem};
use shared::http::socket::{
    Beat, FRAMES_MAX, Handshake, Heard, MESSAGE_BYTES_MAX, NoHandshake, Pulse, Socket,
    SocketLimits, close, hear, ping, send_text, tick,
};
use shared::metrics::sockets::{self, Closed};
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
const BITS: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/octet-stream")];
const X_VERSION: header::HeaderName = header::HeaderName::from_static("x-version");
const X_STALE: header::HeaderName = header::HeaderName::from_static("x-stale");
/// Entity tag of the layout that the states are of, without quotes.
const X_LAYOUT: header::HeaderName = header::HeaderName::from_static("x-layout");
/// Buffers and limits of a socket. A message has the changes of an instant, which may be many.
const LIMITS: SocketLimits = SocketLimits {
    read_bytes: 512,
    write_bytes_max: 1024 * 1024,
    message_bytes_max: MESSAGE_BYTES_MAX,
    frames_max: FRAMES_MAX,
};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_seating))
        .routes(routes!(show_seats))
        .routes(routes!(watch_seats))
        .routes(routes!(watch_seats_as_organiser))
}

pub(crate) fn seat_map(shop: &Shop, event: &str) -> Result<Arc<SeatMap>, Problem> {
    let event = event_id(event)?;
    let title = "This event has no seating plan here";
    let none = || Problem::new(StatusCode::NOT_FOUND, "no-such-event", title);
    shop.inventory.seat_map(&event).ok_or_else(none)
}

/// Returns the layout, which is immutable for each version.
#[utoipa::path(get, path = "/api/v1/events/{event}/seating", tag = "checkout", params(("event" = String, Path)),
    security(()),
    responses((status = 200, description = "The layout", body = serde_json::Value),
        (status = 304, description = "Still the version of `If-None-Match`"), Refusals))]
async fn show_seating(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seat_map = seat_map(&shop, &event)?;
    let layout = seat_map.layout_document().await?;
    let head = [(header::ETAG, entity_tag(&headers, &layout.tag))];
    let mut response = if is_known(&headers, &layout.tag) {
        not_modified(head)
    } else {
        layout.json.response(&headers, (head, JSON)).await?
    };
    let edge = &shop.site.edge;
    edge.keep(response.headers_mut(), Lifetime::Layout, &seat_map.event);
    Ok(response)
}

/// Query of the seat map.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MapQuery {
    /// `bits`: two bits a seat, whatever `Accept` says. For caches that do not heed `Vary`.
    #[param(inline, example = "bits")]
    format: Option<SeatsFormat>,
}

#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum SeatsFormat {
    Bits,
}

/// Two bits a seat, in the layout's order and from the lowest bits on: 0 available, 1 held, 2
/// booked, 3 blocked.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
struct Bits(#[expect(dead_code, reason = "describes an answer that is made elsewhere")] Vec<u8>);

#[derive(Serialize, utoipa::ToSchema)]
struct SeatMapBody<'a> {
    version: u64,
    /// Entity tag of the layout that these states are of.
    layout: &'a str,
    counts: SeatCounts,
    /// Whether this is the last known version because the store cannot be reached.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    seats: Vec<SeatLine<'a>>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SeatCounts {
    available: u32,
    held: u32,
    booked: u32,
    blocked: u32,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SeatLine<'a> {
    id: &'a str,
    category: &'a str,
    state: SeatState,
}

/// Returns the state of every seat, from memory, at most one second old. With `Accept:
/// application/octet-stream` each seat takes two bits. While the store cannot be reached the last
/// known map is returned, with `stale: true` (`X-Stale: true` in the header). `X-Layout` is the
/// entity tag of the layout that the states are of.
#[utoipa::path(get, path = "/api/v1/events/{event}/seats", tag = "checkout",
    params(("event" = String, Path), MapQuery),
    security(()),
    responses((status = 200, description = "The state of every seat",
        content((SeatMapBody = "application/json"), (Bits = "application/octet-stream"))),
        (status = 304, description = "Still the version of `If-None-Match`"), Refusals))]
async fn show_seats(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Parameters(query): Parameters<MapQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seat_map = seat_map(&shop, &event)?;
    let shown = seat_map.current();
    let is_stale = shop.inventory.is_stale(&seat_map.event);
    let layout_tag = seat_map.layout_document().await?.tag;
    let wants_bits = query.format.is_some() || accepts_bits(&headers);
    let form = if wants_bits { "-bits" } else { "" };
    let mark = if is_stale { "-stale" } else { "" };
    let tag = format!("{}{form}{mark}", shown.version);
    let head = [
        (header::ETAG, entity_tag(&headers, &tag)),
        (header::VARY, "Accept".to_owned()),
        (X_VERSION, shown.version.to_string()),
        (X_STALE, is_stale.to_string()),
        (X_LAYOUT, layout_tag.to_string()),
    ];
    let mut response = if is_known(&headers, &tag) {
        not_modified(head)
    } else if wants_bits {
        let make = {
            let shown = shown.clone();
            move || Document::short_lived(shown.to_bits())
        };
        let bits = shown.bits.get(make).await?;
        bits.response(&headers, (head, BITS)).await?
    } else {
        let shown = ShownVersion {
            seat_map: seat_map.clone(),
            layout_tag,
            version: shown,
            is_stale,
        };
        let json = shown.json().await?;
        json.response(&headers, (head, JSON)).await?
    };
    let edge = &shop.site.edge;
    edge.keep(response.headers_mut(), Lifetime::Live, &seat_map.event);
    Ok(response)
}

fn accepts_bits(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT);
    accepted
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("application/octet-stream"))
}

/// A version of a seat map, as it is shown.
#[derive(Clone)]
struct ShownVersion {
    seat_map: Arc<SeatMap>,
    layout_tag: Arc<str>,
    version: Arc<SeatMapVersion>,
    is_stale: bool,
}

impl ShownVersion {
    /// Returns the version as JSON, rendered once.
    async fn json(&self) -> Result<Document, Problem> {
        let kept = if self.is_stale {
            &self.version.stale_json
        } else {
            &self.version.json
        };
        let shown = self.clone();
        kept.get(move || Document::short_lived(shown.render()))
            .await
    }

    fn render(&self) -> Vec<u8> {
        let layout = &self.seat_map.layout;
        let seats = layout.seats.iter().zip(&self.version.states);
        let seats = seats.map(|(seat, state)| SeatLine {
            id: &seat.id,
            category: &layout.categories[seat.category as usize].id,
            state: *state,
        });
        let [available, held, booked, blocked] = self.version.counts;
        let map = SeatMapBody {
            version: self.version.version,
            layout: &self.layout_tag,
            counts: SeatCounts {
                available,
                held,
                booked,
                blocked,
            },
            stale: self.is_stale,
            seats: seats.collect(),
        };
        serde_json::to_vec(&map).expect("a map can always be serialised")
    }
}

/// Streams live changes: a WebSocket of versions without gaps, beginning with the current one.
#[utoipa::path(get, path = "/api/v1/events/{event}/seats/ws", tag = "checkout", params(("event" = String, Path)),
    security(("session" = [])),
    responses((status = 101, description = "The socket is open"),
        (status = 426, description = "Not a WebSocket handshake"), Refusals))]
async fn watch_seats(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    headers: HeaderMap,
    Sessions(keys): Sessions,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    handshake: Result<Handshake, NoHandshake>,
) -> Result<Response, Problem> {
    let seat_map = seat_map(&shop, &event)?;
    shop.inventory
        .session(keys, Some(seat_map.event.clone()))
        .await?;
    check_origin(&shop.site, &headers, bearer(&headers).is_none())?;
    Ok(open_socket(shop, seat_map, connection, handshake))
}

/// Streams live changes of the seats to organisers, as to fans.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/seats/ws", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 101, description = "The socket is open"),
        (status = 426, description = "Not a WebSocket handshake"), Refusals))]
async fn watch_seats_as_organiser(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    _: Organiser,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    handshake: Result<Handshake, NoHandshake>,
) -> Result<Response, Problem> {
    let seat_map = seat_map(&shop, &event)?;
    Ok(open_socket(shop, seat_map, connection, handshake))
}

fn open_socket(
    shop: Arc<Shop>,
    seat_map: Arc<SeatMap>,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    handshake: Result<Handshake, NoHandshake>,
) -> Response {
    match handshake {
        Ok(handshake) => handshake.accept(LIMITS, move |socket| {
            serve_socket(socket, shop, seat_map, connection)
        }),
        Err(refusal) => refusal.into_response(),
    }
}

/// Serves a socket. A slow reader catches up from the kept changes or is told to start again;
/// nothing is queued for it.
async fn serve_socket(
    mut socket: Socket,
    shop: Arc<Shop>,
    seat_map: Arc<SeatMap>,
    // Holds the connection permit of this socket until it ends, so that the drain waits for it.
    _connection: Option<Extension<Arc<ConnectionPermit>>>,
) {
    let mut open = sockets::SEATS.open();
    let mut versions = seat_map.subscribe();
    // A socket that kept the map would never see it go when the plan is replaced or the event
    // deleted.
    let map = Arc::downgrade(&seat_map);
    drop(seat_map);
    let mut version = versions.borrow_and_update().version;
    let hello = json!({"type": "seats", "version": version, "changes": []}).to_string();
    if !send_text(&mut socket, hello).await {
        return;
    }
    let mut pulse = Pulse::start();
    open.closed = loop {
        // All arms are cancel-safe: a missed version is found by the next call of `since`.
        tokio::select! {
            changed = versions.changed() => {
                if changed.is_err() {
                    break Closed::Behind;
                }
                let messages = map.upgrade().and_then(|map| map.since(version));
                let Some(messages) = messages else {
                    break Closed::Behind;
                };
                for message in messages {
                    if !send_text(&mut socket, &*message.text).await {
                        return;
                    }
                    version = message.version;
                }
            }
            () = tokio::time::sleep(pulse.rest()) => {
                let is_there = match pulse.beat() {
                    Beat::Rest => true,
                    Beat::Ping => ping(&mut socket, shop.inventory.now()).await,
                    Beat::Gone => false,
                };
                if !is_there {
                    return;
                }
            }
            () = shop.site.stop.cancelled() => break Closed::Leaving,
            heard = hear(&mut socket) => match heard {
                Ok(heard) => {
                    pulse.hear();
                    let now = shop.inventory.now();
                    if heard == Heard::Question && !tick(&mut socket, now).await {
                        return;
                    }
                }
                Err(closed) => break closed,
            },
        }
    };
    close(&mut socket, open.closed).await;
}

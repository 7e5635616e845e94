//! The gate, which tells a reverse proxy whether a request may pass to the site behind it, and the
//! public keys.

mod admission;
mod asked;
pub(crate) mod passed;
pub(crate) mod settings;
pub(crate) mod verified;

pub(crate) use asked::return_query;

use crate::app::{App, Room};
use crate::line::Refused;
use admission::{ANSWER, Verdict, admissions, client_cookie, may_pass, sighting};
use asked::Asked;
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use shared::http::client_address::ClientAddress;
use shared::http::cors::FOR_ANYONE;
use shared::http::openapi::{ProblemBody, Refusals};
use shared::http::path_prefix::PathPrefix;
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::token::Claims;
use std::sync::Arc;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask_gate))
        // Some proxies ask with the method of the request that they ask about, or append its path.
        .route("/gate/{event}", any(ask_gate))
        .route("/gate/{event}/", any(ask_gate))
        .route("/gate/{event}/{*rest}", any(ask_gate))
        .route("/auth-request/{event}/{method}", any(ask_gate))
        .routes(routes!(show_keys))
}

/// Check whether a request may pass: with the admission token as the cookie
/// `fairline_admission_{event}`, or as the bearer where no such cookie admits. The first success
/// counts as the start. While the line cannot be reached, a token that verifies passes. A preflight
/// of a browser passes, and everyone while the event is open to all.
///
/// Any method will do, and the path of the request may follow: `/gate/{event}/…`; success is 200
/// then. `/auth-request/{event}/{method}` is for proxies that take no refusal but 401 and 403, and
/// ask with GET: there a 401 has the `Location` of a page.
#[utoipa::path(get, path = "/gate/{event}", tag = "integration", params(("event" = String, Path)),
    security(("admission" = [])), responses(
        (status = 204, description = "May pass; X-Fairline-Visitor says who, if it is known"),
        (status = 302, description = "May not pass: a page leads to the queue"),
        (status = 401, description = "May not pass; X-Fairline-Queue is the queue page's URL",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Too many clients use this admission",
            body = ProblemBody, content_type = "application/problem+json")))]
async fn ask_gate(
    State(room): State<Arc<Room>>,
    address: Option<Extension<ClientAddress>>,
    method: Method,
    uri: Uri,
    prefix: PathPrefix,
    headers: HeaderMap,
) -> Response {
    let asked = Asked::read(&method, &uri, &headers);
    if asked.is_preflight {
        return success(&asked);
    }
    let mut refusal = Problem::bad_admission();
    if let Some(event) = &asked.event {
        let address = address.map(|Extension(address)| address.0);
        let seen = sighting(&room, event, &asked, &headers, address);
        for claims in admissions(&room, event, &headers) {
            match may_pass(&room, event, &claims, &seen).await {
                Verdict::Passes(word) => {
                    let mut response = success(&asked);
                    let head = response.headers_mut();
                    head.insert("x-fairline-visitor", visitor_header(&claims));
                    if let Some(word) = word {
                        let cookie = client_cookie(&room, event, &claims, &word);
                        head.insert(header::SET_COOKIE, cookie);
                    }
                    return response;
                }
                Verdict::Shared => refusal = too_many_clients(),
                Verdict::Lapsed => {}
            }
        }
    }
    if is_open_to_all(&room, asked.event.as_ref()).await {
        return success(&asked);
    }
    let base = format!("{}{}", room.site.public_url, prefix.as_str());
    refuse(&asked, queue_url(&room, &base, &asked), refusal)
}

fn success(asked: &Asked) -> Response {
    let status = if asked.needs_200 {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    };
    status.into_response()
}

fn visitor_header(claims: &Claims) -> HeaderValue {
    HeaderValue::try_from(claims.sub.to_string()).expect("an id is visible ASCII")
}

fn too_many_clients() -> Problem {
    let title = "This admission is used by too many browsers or addresses";
    Problem::new(StatusCode::FORBIDDEN, "admission-shared", title)
}

/// Answers a request that may not pass: a page leads to the queue, which leads back to it.
fn refuse(asked: &Asked, queue: HeaderValue, refusal: Problem) -> Response {
    if asked.is_navigation && !asked.refuses_with_401 {
        return (StatusCode::FOUND, [(header::LOCATION, queue)]).into_response();
    }
    let leads = asked.is_navigation.then(|| queue.clone());
    let refusal = match leads {
        Some(_) => Problem::bad_admission(),
        None => refusal,
    };
    let mut response = refusal.into_response();
    let head = response.headers_mut();
    head.insert("x-fairline-queue", queue);
    if let Some(queue) = leads {
        head.insert(header::LOCATION, queue);
    }
    response
}

/// Returns the address of the queue page under `base`.
fn queue_url(room: &Room, base: &str, asked: &Asked) -> HeaderValue {
    let url = match (&asked.event, &asked.target) {
        (None, _) => format!("{base}/"),
        (Some(event), None) => format!("{base}/e/{event}"),
        (Some(event), Some(target)) => {
            // As a link of its own, `//host` would lead elsewhere.
            let public_url = &room.site.public_url;
            let origin = target.starts_with("//").then_some(public_url.as_str());
            let target = format!("{}{target}", origin.unwrap_or_default());
            format!("{base}/e/{event}{}", return_query(&target))
        }
    };
    HeaderValue::try_from(url).expect("an address in visible ASCII")
}

/// Returns whether everyone passes: the organiser says so, or there is no such event and the
/// installation says so.
async fn is_open_to_all(room: &Arc<Room>, event: Option<&EventId>) -> bool {
    let unknown_passes = room.gate.unknown_event_passes;
    let Some(event) = event else {
        return unknown_passes;
    };
    // The ticker finds each event within a second. Only what would let everyone pass must be sure
    // that there is none.
    let is_known = room.known_hub(event).is_some();
    if !is_known && (!unknown_passes || room.is_line_away()) {
        return false;
    }
    match timeout(ANSWER, room.hub(event)).await {
        Ok(Ok(hub)) => hub.front().settings.lets_everyone_pass(room.now(event)),
        Ok(Err(Refused::NoSuchEvent)) => unknown_passes,
        Ok(Err(_)) | Err(_) => false,
    }
}

/// The public keys of admission tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "integration", security(()),
    responses((status = 200, description = "A JWK set", body = serde_json::Value), Refusals))]
async fn show_keys(State(room): State<Arc<Room>>) -> Response {
    let head = [(header::CACHE_CONTROL, "public, max-age=300")];
    ([FOR_ANYONE], head, Json(room.signer.jwks())).into_response()
}

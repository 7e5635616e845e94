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
use admission::{ANSWER, Verdict, admissions, client_cookie, may_pass};
use asked::Asked;
use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::http::cors::FOR_ANYONE;
use shared::http::front::{Gate, Question};
use shared::http::openapi::{ProblemBody, Refusals};
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::token::Claims;
use std::sync::Arc;
use tokio::time::timeout;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const VISITOR: HeaderName = HeaderName::from_static("x-fairline-visitor");
const QUEUE: HeaderName = HeaderName::from_static("x-fairline-queue");

/// Describes the gate, and returns the route of the public keys. Questions to the gate are answered
/// before anything is routed.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Described::openapi()).routes(routes!(show_keys))
}

#[derive(OpenApi)]
#[openapi(paths(ask_gate))]
struct Described;

/// The gate of a waiting room.
pub(crate) struct RoomGate(pub(crate) Arc<Room>);

#[async_trait]
impl Gate for RoomGate {
    async fn answer(&self, question: &Question<'_>) -> Response {
        ask_gate(&self.0, question).await
    }

    fn answer_unasked(&self, question: &Question<'_>) -> Response {
        answer_unasked(&self.0, question)
    }

    fn lets_unknown_pass(&self) -> bool {
        self.0.gate.unknown_event_passes
    }
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
async fn ask_gate(room: &Arc<Room>, question: &Question<'_>) -> Response {
    let asked = Asked::read(question);
    if asked.is_preflight {
        return success(&asked);
    }
    let mut refusal = None;
    if let Some(event) = &asked.event {
        for claims in admissions(room, event, question.headers) {
            match may_pass(room, event, &claims, &asked, question).await {
                Verdict::Passes(word) => return admit(room, &asked, &claims, word),
                Verdict::Shared => refusal = Some(too_many_clients()),
                Verdict::Lapsed => {}
            }
        }
    }
    if is_open_to_all(room, asked.event.as_ref()).await {
        return success(&asked);
    }
    let refusal = refusal.unwrap_or_else(Problem::bad_admission);
    refuse(&asked, queue_url(room, question, &asked), refusal)
}

/// Answers where an error of ours keeps the line from being asked: a token that verifies passes, and
/// all others are treated as at the gate of an event that does not exist.
fn answer_unasked(room: &Room, question: &Question<'_>) -> Response {
    let asked = Asked::read(question);
    let claims = asked.event.as_ref().and_then(|event| {
        let admissions = admissions(room, event, question.headers);
        admissions.into_iter().next()
    });
    match claims {
        Some(claims) => admit(room, &asked, &claims, None),
        None if asked.is_preflight || room.gate.unknown_event_passes => success(&asked),
        None => refuse(
            &asked,
            queue_url(room, question, &asked),
            Problem::bad_admission(),
        ),
    }
}

/// Answers a request of an admitted visitor. `word` is the content of the cookie by which the client
/// is told from others, if it is to be set.
fn admit(room: &Room, asked: &Asked, claims: &Claims, word: Option<String>) -> Response {
    let mut response = success(asked);
    let head = response.headers_mut();
    head.insert(VISITOR, visitor_header(claims));
    if let (Some(word), Some(event)) = (word, &asked.event) {
        head.insert(
            header::SET_COOKIE,
            client_cookie(room, event, claims, &word),
        );
    }
    response
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
    head.insert(QUEUE, queue);
    if let Some(queue) = leads {
        head.insert(header::LOCATION, queue);
    }
    response
}

/// Returns the address of the queue page.
fn queue_url(room: &Room, question: &Question<'_>, asked: &Asked) -> HeaderValue {
    let base = format!("{}{}", room.site.public_url, question.prefix);
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
        Ok(Ok(hub)) if !hub.front().settings.published => unknown_passes,
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

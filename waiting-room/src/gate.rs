//! The gate, which tells a reverse proxy whether a request may pass to the site behind it, and the
//! public keys.

use crate::app::{App, Room};
use crate::line::{Claimed, Refused};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use shared::http::credentials::{bearer, cookie, cookie_name};
use shared::http::openapi::ProblemBody;
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::token::Claims;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Time for which the gate waits for the line before it believes the token.
const ANSWER: Duration = Duration::from_secs(1);
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask_gate))
        // Some proxies ask with the method of the request that they ask about.
        .route("/gate/{event}", any(ask_gate))
        .routes(routes!(show_keys))
}

/// Check whether a request may pass: with the admission token as the cookie
/// `fairline_admission_{event}`, or as the bearer where no such cookie admits. The first 204 counts
/// as the start. Every other answer is 401, also for an event that does not exist. While the line
/// cannot be reached, a token that verifies passes.
#[utoipa::path(get, path = "/gate/{event}", tag = "integration", params(("event" = String, Path)),
    security(("admission" = [])), responses(
        (status = 204, description = "May pass; X-Fairline-Visitor says who"),
        (status = 401, description = "May not pass; X-Fairline-Queue is the queue page's URL",
            body = ProblemBody, content_type = "application/problem+json")))]
async fn ask_gate(
    State(room): State<Arc<Room>>,
    event: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let event = event
        .ok()
        .and_then(|Path(event)| EventId::parse(&event).ok());
    let public_url = &room.site.public_url;
    let Some(event) = event else {
        return turn_away(format!("{public_url}/"));
    };
    for claims in admissions(&room, &headers, &event) {
        if may_pass(&room, &event, &claims).await {
            let head = [("x-fairline-visitor", claims.sub.to_string())];
            return (StatusCode::NO_CONTENT, head).into_response();
        }
    }
    turn_away(format!("{public_url}/e/{event}"))
}

fn turn_away(queue: String) -> Response {
    ([("x-fairline-queue", queue)], Problem::bad_admission()).into_response()
}

/// Returns the valid admission tokens of a request. The cookie comes first: `Authorization` belongs
/// to the site.
fn admissions(room: &Room, headers: &HeaderMap, event: &EventId) -> Vec<Claims> {
    let name = cookie_name(&room.site, &format!("fairline_admission_{event}"));
    let words = [cookie(headers, &name), bearer(headers)];
    let now = room.now(event);
    let verified = |word: String| {
        let claims = room.verifier.verify(&word, event, now);
        claims
            .inspect_err(|refused| tracing::debug!(%event, %refused, "admission refused"))
            .ok()
    };
    words.into_iter().flatten().filter_map(verified).collect()
}

/// Returns whether the slot of a verified token is its visitor's. If the line does not answer, the
/// token is believed, so that shopping goes on.
async fn may_pass(room: &Room, event: &EventId, claims: &Claims) -> bool {
    if room.is_line_away() {
        return true;
    }
    let now = room.site.clock.now();
    if room.passed.contains(claims.sub, claims.number, now) {
        return true;
    }
    // Safe to drop: a claim that was sent may happen, and is made again with the next request.
    let claim = room.line.claim(event, claims.sub, claims.number);
    match timeout(ANSWER, claim).await {
        Ok(Ok(Claimed::Until(_))) => {
            room.passed.note(claims.sub, claims.number, now);
            true
        }
        Ok(Err(Refused::Unavailable(_))) | Err(_) => true,
        Ok(Ok(Claimed::Lapsed) | Err(_)) => false,
    }
}

/// The public keys of admission tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "integration",
    responses((status = 200, description = "A JWK set", body = serde_json::Value)))]
async fn show_keys(State(room): State<Arc<Room>>) -> Response {
    let head = [(header::CACHE_CONTROL, "public, max-age=300")];
    (head, Json(room.signer.jwks())).into_response()
}

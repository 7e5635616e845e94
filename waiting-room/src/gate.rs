//! The gate, which tells a reverse proxy whether a request may pass to the site behind it, and the public keys.

use crate::error::bad_admission;
use crate::line::{Claimed, Refused};
use crate::{App, Room};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parking_lot::{Mutex, MutexGuard};
use shared::http::credentials::{bearer, cookie, cookie_name};
use shared::http::openapi::ProblemBody;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use shared::token::Claims;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long the gate waits for the line before it believes the token.
const ANSWER: Duration = Duration::from_secs(1);
/// How long a token that passed passes again without a claim, in ms. A slot that ended elsewhere passes as long.
const PASSED_MS: i64 = 1000;
/// The most visitors who are known to have passed. The tokens of further ones are claimed with each request.
const PASSED_MAX: usize = 50_000;

/// Visitors who passed in the current second, with the number that their token named, as its `jti` does: a page of a site is many
/// requests, and one claim is enough. An id is of one visitor of one event.
#[derive(Default)]
pub(crate) struct Passed(Mutex<Second>);

#[derive(Default)]
struct Second {
    from: Time,
    numbers: HashMap<VisitorId, u64>,
}

impl Passed {
    fn contains(&self, visitor: VisitorId, number: u64, now: Time) -> bool {
        let mut second = self.second();
        // A clock that was set back begins anew as well.
        if !(0..PASSED_MS).contains(&(now.0 - second.from.0)) {
            second.from = now;
            second.numbers.clear();
        }
        second.numbers.get(&visitor) == Some(&number)
    }

    /// Takes note of a claim that was sent at `asked`; not once another second has begun.
    fn note(&self, visitor: VisitorId, number: u64, asked: Time) {
        let mut second = self.second();
        if asked >= second.from && second.numbers.len() < PASSED_MAX {
            second.numbers.insert(visitor, number);
        }
    }

    /// Forgets a visitor whose slot ended.
    pub(crate) fn forget(&self, visitor: VisitorId) {
        self.second().numbers.remove(&visitor);
    }

    /// Forgets all, as when an event is deleted.
    pub(crate) fn clear(&self) {
        self.second().numbers.clear();
    }

    fn second(&self) -> MutexGuard<'_, Second> {
        self.0.lock()
    }
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask_gate))
        // Some proxies ask with the method of the request that they ask about.
        .route("/gate/{event}", any(ask_gate))
        .routes(routes!(show_keys))
}

/// Whether a request may pass: with the admission token as the cookie `fairline_admission_{event}`, or as the bearer where no
/// such cookie admits. The first 204 counts as the start. Every other answer is 401, also for an event that does not exist.
/// While the line cannot be reached, a token that verifies passes.
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
    ([("x-fairline-queue", queue)], bad_admission()).into_response()
}

/// The tokens of ours that a request carries and that verify. The cookie comes first: `Authorization` belongs to the site.
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

/// Whether the slot of a verified token is its visitor's. Where the line does not answer, the token is believed: whoever is in
/// the checkout goes on.
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

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);
    const ONE: VisitorId = VisitorId(1);

    #[test]
    fn a_token_is_known_for_one_second_from_before_its_claim() {
        let passed = Passed::default();
        let later = |ms| Time(START.0 + ms);
        assert!(!passed.contains(ONE, 7, START));
        passed.note(ONE, 7, START);
        assert!(passed.contains(ONE, 7, later(999)));
        assert!(!passed.contains(ONE, 8, later(999)), "another place");
        assert!(!passed.contains(ONE, 7, later(1000)));
        passed.note(ONE, 7, later(999));
        assert!(!passed.contains(ONE, 7, later(1000)), "sent before");
        passed.note(ONE, 7, later(1000));
        assert!(passed.contains(ONE, 7, later(1000)));
        assert!(!passed.contains(ONE, 7, START), "the clock was set back");
        passed.note(ONE, 7, START);
        passed.forget(ONE);
        assert!(!passed.contains(ONE, 7, START));
    }

    #[test]
    fn no_more_visitors_are_kept_than_the_limit() {
        let passed = Passed::default();
        let last = VisitorId(PASSED_MAX as u128 + 1);
        assert!(!passed.contains(ONE, 7, START));
        for id in 1..=last.0 {
            passed.note(VisitorId(id), 7, START);
        }
        assert!(passed.contains(VisitorId(last.0 - 1), 7, START));
        assert!(!passed.contains(last, 7, START));
    }
}

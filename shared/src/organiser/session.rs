//! Signing in and out of the console, reading the audit log, and the organiser of a request.

use super::keys::{COOKIE, Organiser, SESSION_SECONDS};
use crate::audit::Entry;
use crate::context::AppContext;
use crate::http::client_address::ClientAddress;
use crate::http::credentials::{bearer, check_origin, cookie, cookie_name, set_cookie};
use crate::http::problem::{Input, Problem};
use axum::extract::{Extension, FromRequestParts, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

impl<S> FromRequestParts<S> for Organiser
where
    Arc<AppContext>: axum::extract::FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let site: Arc<AppContext> = axum::extract::FromRef::from_ref(state);
        let headers = &parts.headers;
        if let Some(word) = bearer(headers) {
            let address = parts.extensions.get::<ClientAddress>();
            let address = address.map(|address| address.0);
            let (organiser, _) = sign_in(&site, address, Guess::Key(&word), || {
                site.organisers.by_key(&word)
            })?;
            return Ok(organiser);
        }
        let now = site.clock.now();
        let organiser = cookie(headers, &cookie_name(&site, COOKIE))
            .and_then(|word| site.organisers.by_session(&word, now))
            .ok_or_else(unauthorised)?;
        if parts.method != Method::GET && parts.method != Method::HEAD {
            check_origin(&site, headers, true)?;
        }
        Ok(organiser)
    }
}

/// Credential sent to sign in. A code that was tried as a key may be right as a code.
#[derive(Hash)]
enum Guess<'a> {
    Key(&'a str),
    Code(&'a str),
}

/// Looks for a key or code, unless too many were wrong.
fn sign_in<'a>(
    site: &AppContext,
    address: Option<IpAddr>,
    guess: Guess,
    find: impl FnOnce() -> Option<(Organiser, &'a str)>,
) -> Result<(Organiser, &'a str), Problem> {
    let failures = &site.limits.organiser_keys;
    let found = failures.attempt(address, site.clock.now(), guess, find);
    found.map_err(Problem::too_many)?.ok_or_else(unauthorised)
}

fn unauthorised() -> Problem {
    let title = "An organiser key is needed";
    Problem::new(StatusCode::UNAUTHORIZED, "no-organiser", title)
        .detail("send Authorization: Bearer <organiser key>, or sign in at /organiser")
}

/// Returns the routes `/api/v1/organiser/session` (the console signs in and out) and
/// `/api/v1/organiser/audit`.
pub fn routes() -> Router<Arc<AppContext>> {
    let session = routing::get(who_am_i)
        .post(open_session)
        .delete(end_session);
    Router::new()
        .route("/api/v1/organiser/session", session)
        .route("/api/v1/organiser/audit", routing::get(read_audit))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    key: Option<String>,
    code: Option<String>,
}

async fn who_am_i(organiser: Organiser) -> Json<Organiser> {
    Json(organiser)
}

async fn open_session(
    State(site): State<Arc<AppContext>>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    Input(body, _): Input<SignIn>,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, false)?;
    let address = address.map(|Extension(address)| address.0);
    let organisers = &site.organisers;
    let (organiser, key) = match (&body.key, &body.code) {
        (Some(key), _) => sign_in(&site, address, Guess::Key(key), || organisers.by_key(key))?,
        (None, Some(code)) => sign_in(&site, address, Guess::Code(code), || {
            organisers.by_code(code)
        })?,
        (None, None) => return Err(Problem::invalid("key", "a key or a code is needed")),
    };
    tracing::info!(name = organiser.name, ?address, "an organiser signed in");
    let word = organisers.open(key, site.clock.now());
    let head = [(
        header::SET_COOKIE,
        set_cookie(&site, COOKIE, &word, SESSION_SECONDS),
    )];
    Ok((StatusCode::CREATED, head, Json(organiser)).into_response())
}

/// Signs out. It may be repeated: a session that has ended already is none to end. The cookie is
/// cleared in any case.
async fn end_session(
    State(site): State<Arc<AppContext>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, true)?;
    let organisers = &site.organisers;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Some(word) = cookie(&headers, &cookie_name(&site, COOKIE))
        && let Some(session) = organisers.read(&word, site.clock.now())
        && let Err(error) = organisers.sign_outs().add(session.sign_out(), &word).await
    {
        tracing::error!(error, "a sign-out was not kept everywhere");
        answer = Problem::unavailable()
            .detail("you are signed out here; the other nodes are told as soon as possible")
            .into_response();
    }
    let head = [(header::SET_COOKIE, set_cookie(&site, COOKIE, "", 0))];
    Ok((head, answer).into_response())
}

#[derive(Deserialize)]
struct AuditQuery {
    limit: Option<usize>,
}

async fn read_audit(
    State(site): State<Arc<AppContext>>,
    _: Organiser,
    Query(query): Query<AuditQuery>,
) -> Json<Vec<Entry>> {
    let count = query.limit.unwrap_or(200).min(crate::audit::ENTRIES_MAX);
    Json(site.audit.newest(count).await)
}

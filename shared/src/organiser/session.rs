//! Signing in and out of the console, reading the audit log, and the organiser of a request.

use super::keys::{COOKIE, Organiser, Role, SESSION_SECONDS};
use crate::audit::{ENTRIES_MAX, Entry, Incident};
use crate::context::AppContext;
use crate::crypto::same;
use crate::guesses::{KeyKind, compare};
use crate::http::client_address::ClientAddress;
use crate::http::cookies::cookie_values;
use crate::http::credentials::{
    bearer, check_console_origin, check_origin, cookie_name, set_cookie,
};
use crate::http::openapi::Refusals;
use crate::http::problem::{Input, Parameters, Problem, saturating};
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

impl<S: Send + Sync> FromRequestParts<S> for Organiser {
    type Rejection = Problem;

    /// Takes the organiser whom `authorise` found before the request came here. There is none
    /// where the OpenAPI document does not say which role an operation needs.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Organiser>().cloned();
        found.ok_or_else(unauthorised)
    }
}

/// Returns the organiser of a request, if their role is high enough. Refusals are noted in the
/// audit log.
pub(crate) async fn authorise(
    site: &AppContext,
    parts: &Parts,
    role: Role,
) -> Result<Organiser, Problem> {
    let address = address_of(&parts.extensions);
    let organiser = identify(site, parts, address).await?.at(address);
    require(site, &organiser, role)?;
    Ok(organiser)
}

/// Returns whether an organiser sent a request, by a key or a session of the console, or one of our
/// services with the service key. Any other bearer counts as a wrong organiser key.
pub async fn is_organiser_or_service(site: &AppContext, parts: &Parts, service_key: &str) -> bool {
    let address = address_of(&parts.extensions);
    let Some(word) = bearer(&parts.headers) else {
        return identify(site, parts, address).await.is_ok();
    };
    let find = || {
        let organiser = site.organisers.by_key(&word);
        let is_known = organiser.is_some() | same(service_key, &word);
        is_known.then_some(organiser)
    };
    match compare(site, KeyKind::Organiser, address, Guess::Key(&word), find).await {
        Ok(Some(organiser)) => {
            if let Some(organiser) = organiser {
                note_use(site, &organiser.at(address));
            }
            true
        }
        Ok(None) | Err(_) => false,
    }
}

async fn identify(
    site: &AppContext,
    parts: &Parts,
    address: Option<IpAddr>,
) -> Result<Organiser, Problem> {
    let headers = &parts.headers;
    let now = site.clock.now();
    if let Some(word) = bearer(headers) {
        let find = || site.organisers.by_key(&word);
        let organiser = sign_in(site, address, Guess::Key(&word), find).await?;
        note_use(site, &organiser);
        return Ok(organiser);
    }
    let organiser = cookie_values(headers, &cookie_name(site, COOKIE))
        .find_map(|word| site.organisers.by_session(word, now))
        .ok_or_else(unauthorised)?;
    // Browsers send the cookie along with what pages of other origins of the same site read as well,
    // and then say of which.
    if !parts.method.is_safe() || headers.contains_key(header::ORIGIN) {
        check_console_origin(site, headers)?;
    }
    Ok(organiser)
}

/// Notes in the audit log that a key is in use at an address, once a day.
fn note_use(site: &AppContext, organiser: &Organiser) {
    let now = site.clock.now();
    if site.organisers.is_new_use(organiser, now) {
        site.audit.note(organiser.incident("key.use"), now);
    }
}

/// Checks that an organiser may do what `role` may. A refusal is noted in the audit log.
///
/// # Errors
/// 403.
pub fn require(site: &AppContext, organiser: &Organiser, role: Role) -> Result<(), Problem> {
    if organiser.role.may(role) {
        return Ok(());
    }
    let incident = Incident {
        about: json!({"needs": role}),
        ..organiser.incident("role.refused")
    };
    site.audit.note(incident, site.clock.now());
    let title = "Your key does not allow this";
    Err(Problem::new(StatusCode::FORBIDDEN, "role-too-low", title)
        .detail(format!("this needs the role {role:?}").to_lowercase()))
}

/// Credential sent to sign in. A code that was tried as a key may be right as a code.
#[derive(Hash)]
enum Guess<'a> {
    Key(&'a str),
    Code(&'a str),
}

/// Looks for a key or code, unless too many were wrong.
async fn sign_in(
    site: &AppContext,
    address: Option<IpAddr>,
    guess: Guess<'_>,
    find: impl FnOnce() -> Option<Organiser> + Send,
) -> Result<Organiser, Problem> {
    let found = compare(site, KeyKind::Organiser, address, guess, find).await?;
    Ok(found.ok_or_else(unauthorised)?.at(address))
}

fn address_of(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ClientAddress>().map(|address| address.0)
}

fn unauthorised() -> Problem {
    let title = "An organiser key is needed";
    Problem::new(StatusCode::UNAUTHORIZED, "no-organiser", title)
        .detail("send Authorization: Bearer <organiser key>, or sign in at /organiser")
}

/// Returns the routes `/api/v1/organiser/session` (the console signs in and out) and
/// `/api/v1/organiser/audit`, and their description.
pub fn routes() -> (Router<Arc<AppContext>>, OpenApi) {
    OpenApiRouter::new()
        .routes(routes!(who_am_i, open_session, end_session))
        .routes(routes!(read_audit))
        .split_for_parts()
}

/// What signs in: one of the two.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// An organiser key.
    key: Option<String>,
    /// A one-time code.
    code: Option<String>,
}

/// Show the name and the role of the key.
#[utoipa::path(get, path = "/api/v1/organiser/session", tag = "console",
    security(("organiser" = ["viewer"])), responses((status = 200, description = "The key", body = Organiser), Refusals))]
async fn who_am_i(organiser: Organiser) -> Json<Organiser> {
    Json(organiser)
}

/// Sign in at the console: the answer sets its cookie.
#[utoipa::path(post, path = "/api/v1/organiser/session", operation_id = "sign_in",
    tag = "console", request_body = SignIn,
    security(()), responses((status = 201, description = "Signed in", body = Organiser), Refusals))]
async fn open_session(
    State(site): State<Arc<AppContext>>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    Input(body, _): Input<SignIn>,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, false)?;
    let address = address.map(|Extension(address)| address.0);
    let organisers = &site.organisers;
    let organiser = match (&body.key, &body.code) {
        (Some(key), _) => {
            let find = || organisers.by_key(key);
            sign_in(&site, address, Guess::Key(key), find).await?
        }
        (None, Some(code)) => {
            let find = || organisers.by_code(code);
            sign_in(&site, address, Guess::Code(code), find).await?
        }
        (None, None) => return Err(Problem::invalid("key", "a key or a code is needed")),
    };
    tracing::info!(name = organiser.name, ?address, "an organiser signed in");
    let now = site.clock.now();
    // The entry is on disk before the session is given out.
    if let Some(written) = site.audit.note(organiser.incident("session.open"), now) {
        let _ = written.await;
    }
    let word = organisers.open(&organiser, now);
    let head = [(
        header::SET_COOKIE,
        set_cookie(&site, COOKIE, &word, SESSION_SECONDS),
    )];
    Ok((StatusCode::CREATED, head, Json(organiser)).into_response())
}

/// Sign out of the console. It may be repeated: a session that has ended already is none to end.
/// The cookie is cleared in any case.
#[utoipa::path(delete, path = "/api/v1/organiser/session", operation_id = "sign_out",
    tag = "console",
    security(()), responses((status = 204, description = "Signed out"), Refusals))]
async fn end_session(
    State(site): State<Arc<AppContext>>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, true)?;
    let head = [(header::SET_COOKIE, set_cookie(&site, COOKIE, "", 0))];
    let is_session = |word: &&str| site.organisers.read(word, site.clock.now()).is_some();
    let Some(word) = cookie_values(&headers, &cookie_name(&site, COOKIE)).find(is_session) else {
        return Ok((head, StatusCode::NO_CONTENT).into_response());
    };
    let word = word.to_owned();
    let address = address.map(|Extension(address)| address.0);
    // To its end: a browser that is closed signs out all the same.
    let answer = tokio::spawn(async move { sign_out(&site, &word, address).await });
    let answer = answer.await.map_err(|_| Problem::unavailable())?;
    Ok((head, answer).into_response())
}

async fn sign_out(site: &AppContext, word: &str, address: Option<IpAddr>) -> Response {
    let (organisers, now) = (&site.organisers, site.clock.now());
    if let Some(organiser) = organisers.by_session(word, now) {
        let incident = organiser.at(address).incident("session.end");
        site.audit.note(incident, now);
    }
    let Some(session) = organisers.read(word, now) else {
        return StatusCode::NO_CONTENT.into_response();
    };
    if let Err(error) = organisers.sign_outs().add(session.sign_out(), word).await {
        tracing::error!(error, "a sign-out was not kept everywhere");
        return Problem::unavailable()
            .detail("you are signed out here; the other nodes are told as soon as possible")
            .into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Query of an audit log.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Largest number of entries, the newest first; more than 10,000 count as 10,000.
    #[serde(default, deserialize_with = "saturating")]
    #[param(minimum = 0)]
    limit: Option<u32>,
}

/// Read the audit log: who changed what, and who signed in or was refused. Viewers see the changes
/// alone, without addresses.
#[utoipa::path(get, path = "/api/v1/organiser/audit", tag = "organiser", params(AuditQuery),
    security(("organiser" = ["viewer"])), responses((status = 200, description = "The newest entries, the newest first", body = Vec<Entry>), Refusals))]
async fn read_audit(
    State(site): State<Arc<AppContext>>,
    organiser: Organiser,
    Parameters(query): Parameters<AuditQuery>,
) -> Json<Vec<Entry>> {
    Json(show_audit(&site, &organiser, &query).await)
}

/// Returns the newest entries of this service's audit log, the newest first, as far as an organiser may
/// see them: viewers the changes alone, without addresses.
pub async fn show_audit(
    site: &AppContext,
    organiser: &Organiser,
    query: &AuditQuery,
) -> Vec<Entry> {
    let count = (query.limit.unwrap_or(200) as usize).min(ENTRIES_MAX);
    if organiser.role >= Role::Operator {
        return site.audit.newest(count).await;
    }
    let entries = site.audit.newest(ENTRIES_MAX).await.into_iter();
    let changes = entries.filter(|entry| !entry.is_incident());
    let without_address = |entry| Entry {
        address: None,
        ..entry
    };
    changes.map(without_address).take(count).collect()
}

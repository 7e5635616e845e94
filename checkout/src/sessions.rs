//! Routes of sessions: an admission token is exchanged for one session, exactly once. Also the
//! extractor of a request's sessions.

use crate::app::{App, Shop};
use crate::error::{no_session, not_extendable};
use crate::inventory::{NewSession, Once, Refused as Refusal, Session, SessionKey, SessionKeys};
use crate::waiting_room::{Extension, Reported};
use axum::Json;
use axum::extract::{FromRef, FromRequestParts, Path, State};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::context::{AppContext, check};
use shared::crypto::{hex, random_id, sha256};
use shared::http::credentials::{
    Credential, bearer, check_origin, cookies, credentials, set_cookie,
};
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Nothing, Problem};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use shared::token::{Claims, Refused};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) const COOKIE: &str = "fairline_session_";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(open_session, show_session, end_session))
        .routes(routes!(extend_session))
}

/// A session as shown to the fan. The token itself is returned once only.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SessionView {
    /// Session token, to be sent as `Authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    event: EventId,
    #[schema(value_type = String)]
    visitor: VisitorId,
    expires_at: Time,
    /// Seconds by which the session may be extended, once; 0 where it may not, or was.
    extension_seconds: u32,
    /// Whether new holds are refused, because the time ran out, an order was confirmed or the fan
    /// left.
    over: bool,
}

/// Extractor of the sessions sent with a request. Checks `Origin` if they come from cookies.
pub(crate) struct Sessions(pub(crate) SessionKeys);

impl<S> FromRequestParts<S> for Sessions
where
    Arc<AppContext>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let site: Arc<AppContext> = FromRef::from_ref(state);
        let headers = &parts.headers;
        if let Some(word) = bearer(headers) {
            let key = session_key(&word).ok_or_else(no_session)?;
            check(&site.limits.visitors, hex(&key.hash))?;
            return Ok(Sessions(vec![key]));
        }
        let found = cookies(&site, headers, COOKIE);
        let keys: SessionKeys = found
            .iter()
            .filter_map(|(_, word)| session_key(word))
            .collect();
        if keys.is_empty() {
            return Err(no_session());
        }
        // Each of them counts: one that opens nothing must not hide the one that does.
        for key in &keys {
            check(&site.limits.visitors, hex(&key.hash))?;
        }
        if !parts.method.is_safe() {
            check_origin(&site, headers, true)?;
        }
        Ok(Sessions(keys))
    }
}

/// Parses an event id from a path.
pub(crate) fn event_id(text: &str) -> Result<EventId, Problem> {
    EventId::parse(text).map_err(|_| Problem::no_such_event())
}

/// Returns the admission token of a request that verifies, with its claims.
async fn admission(
    shop: &Shop,
    headers: &HeaderMap,
    event: &EventId,
    now: Time,
) -> Result<(String, Claims), Problem> {
    let mut refusal = Problem::bad_admission();
    let name = format!("fairline_admission_{event}");
    for Credential { token, by_cookie } in credentials(&shop.site, headers, &name) {
        check_origin(&shop.site, headers, by_cookie)?;
        let refused = match shop.keys.verify(&token, event, now).await {
            Ok(claims) => return Ok((token, claims)),
            Err(refused) => refused,
        };
        tracing::debug!(%event, %refused, "admission refused");
        if let Refused::NoKeys = refused {
            refusal = Problem::unavailable();
        }
    }
    Err(refusal)
}

/// Exchanges an admission token for a session, once. The token is sent as the bearer token, or as
/// the cookie set by the queue page.
#[utoipa::path(post, path = "/api/v1/events/{event}/sessions", tag = "checkout", params(("event" = String, Path), IdempotencyKey),
    request_body(content = Nothing, description = "Nothing, or {}"), security(("admission" = [])),
    responses((status = 201, description = "The session, with its token", body = SessionView), Refusals))]
async fn open_session(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    headers: HeaderMap,
    key: IdempotencyKey,
    Input(Nothing {}, _): Input<Nothing>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let site = &shop.site;
    let now = shop.inventory.now();
    let (token, claims) = admission(&shop, &headers, &event, now).await?;
    // A fan whose slot has lapsed is refused, whatever the token says. If the waiting room does not
    // answer, the token is believed and the start is reported later.
    let reported = shop.waiting_room.start(&event, &token).await;
    match reported {
        Reported::Lapsed => return Err(Problem::slot_lapsed()),
        Reported::Refused => return Err(Problem::bad_admission()),
        Reported::Taken | Reported::Unanswered => {}
    }
    let word = session_token(&event, &token, &key);
    let extension_seconds = claims.extension_seconds;
    let opened = shop.inventory.open_session(NewSession {
        key: sha256(word.as_bytes()),
        event: event.clone(),
        visitor: claims.sub,
        number: claims.number,
        jti: claims.jti,
        token,
        expires_at: Time(claims.exp * 1000),
        is_reported: reported == Reported::Taken,
    });
    let Once {
        value: session,
        is_replayed,
    } = opened.await?;
    shop.to_report.notify_one();
    let left = u32::try_from((session.expires_at.0 - now.0).max(0) / 1000).unwrap_or(0);
    // The cookie outlives the session, so that the order can still be viewed.
    let cookie = set_cookie(
        site,
        &format!("{COOKIE}{event}"),
        &word,
        left.saturating_add(24 * 3600),
    );
    let head = [(header::SET_COOKIE, cookie)];
    let view = SessionView {
        session: Some(word),
        ..view(&shop, session, extension_seconds)
    };
    let response = (StatusCode::CREATED, head, Json(view)).into_response();
    Ok(mark_replayed(response, is_replayed))
}

/// Returns a new session token. With an idempotency key it is derived from the key and the
/// admission token, so that a repeated request gets the same one; no other client has both.
///
/// It begins with the event, which determines the database that holds the session.
fn session_token(event: &EventId, token: &str, key: &IdempotencyKey) -> String {
    let prefix = format!("ses_{event}_");
    match &key.0 {
        None => random_id(&prefix),
        Some(key) => {
            let hash = sha256(format!("session\n{token}\n{key}").as_bytes());
            format!("{prefix}{}", hex(&hash[..20]))
        }
    }
}

/// Parses a session token, or returns `None` if it is malformed.
fn session_key(word: &str) -> Option<SessionKey> {
    let (event, _) = word.strip_prefix("ses_")?.split_once('_')?;
    Some(SessionKey {
        event: EventId::parse(event).ok()?,
        hash: sha256(word.as_bytes()),
    })
}

fn view(shop: &Shop, session: Session, extension_seconds: u32) -> SessionView {
    let over = session.is_over || session.expires_at <= shop.inventory.now();
    SessionView {
        session: None,
        event: session.event,
        visitor: session.visitor,
        expires_at: session.expires_at,
        extension_seconds: if over { 0 } else { extension_seconds },
        over,
    }
}

/// Returns the key of a session.
fn key_of(session: &Session) -> SessionKey {
    SessionKey {
        event: session.event.clone(),
        hash: session.key,
    }
}

/// Returns the seconds by which a session may be extended, by its admission.
async fn extension_seconds(shop: &Shop, session: &Session) -> Result<u32, Refusal> {
    let token = shop.inventory.admission(&key_of(session)).await?;
    let claims = token.and_then(|token| Claims::of_verified(&token));
    Ok(claims.map_or(0, |claims| claims.extension_seconds))
}

/// Returns the session sent with the request.
#[utoipa::path(get, path = "/api/v1/events/{event}/sessions", tag = "checkout", params(("event" = String, Path)),
    security(("session" = [])), responses((status = 200, description = "The session, without its token",
        body = SessionView), Refusals))]
async fn show_session(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Sessions(keys): Sessions,
) -> Result<Json<SessionView>, Problem> {
    let event = event_id(&event)?;
    let session = shop.inventory.session(keys, Some(event)).await?;
    let seconds = extension_seconds(&shop, &session).await?;
    Ok(Json(view(&shop, session, seconds)))
}

/// Extend the session, once: by the seconds that it says, with its slot in the line. Holds end as
/// they would have. 409 `not-extendable` where it may not be extended, or was.
#[utoipa::path(post, path = "/api/v1/events/{event}/sessions/extend", tag = "checkout", params(("event" = String, Path)),
    security(("session" = [])),
    responses((status = 200, description = "The session, without its token", body = SessionView), Refusals))]
async fn extend_session(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Sessions(keys): Sessions,
) -> Result<Json<SessionView>, Problem> {
    let event = event_id(&event)?;
    let inventory = &shop.inventory;
    let session = inventory.session(keys.clone(), Some(event.clone())).await?;
    let key = key_of(&session);
    let token = inventory.admission(&key).await?;
    let token = token.ok_or(Refusal::SessionOver)?;
    let token = match shop.waiting_room.extend(&event, &token).await {
        Extension::By(token) => token,
        Extension::NotExtendable => return Err(not_extendable()),
        Extension::Lapsed => return Err(Refusal::SessionOver.into()),
        Extension::Unanswered => return Err(Problem::unavailable()),
    };
    let claims = shop.keys.verify(&token, &event, inventory.now()).await;
    let claims = claims.map_err(|_| Problem::unavailable())?;
    let until = Time(claims.exp.saturating_mul(1000));
    inventory.extend_session(&key, &token, until).await?;
    let session = inventory.session(keys, Some(event)).await?;
    Ok(Json(view(&shop, session, claims.extension_seconds)))
}

/// Ends the session: its holds are released, and its slot goes to the next in line.
#[utoipa::path(delete, path = "/api/v1/events/{event}/sessions", tag = "checkout", params(("event" = String, Path)),
    security(("session" = [])), responses((status = 204, description = "The session is over"), Refusals))]
async fn end_session(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Sessions(keys): Sessions,
) -> Result<StatusCode, Problem> {
    let event = event_id(&event)?;
    shop.inventory.end_session(keys, &event).await?;
    shop.to_report.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

//! Organisers: their keys and roles, the console's session, the one-time sign-in code, the audit log's reading.

use crate::audit::Entry;
use crate::browser::{check_origin, cookie, cookie_name, set_cookie};
use crate::limit::Limiter;
use crate::problem::{Input, Problem};
use crate::secret::{Secret, random_id, same};
use crate::serve::ClientAddress;
use crate::site::{Site, check};
use crate::time::Time;
use axum::extract::{Extension, FromRequestParts, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

const COOKIE: &str = "fairline_console";
const SESSION_SECONDS: u32 = 12 * 3600;

/// What an organiser may do; each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Pause, rate, message, eject, block, refund.
    Operator,
    /// Create, plan, delete.
    Admin,
}

/// A key that an operator handed out.
#[derive(Clone)]
pub struct Key {
    /// Who it was given to; stands in the audit log.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The key itself.
    pub key: String,
}

/// All organisers of this installation.
pub struct Organisers {
    keys: Vec<Key>,
    sessions: Secret,
    one_time: Mutex<Option<String>>,
}

impl Organisers {
    /// Takes the keys, and the secret that signs console sessions.
    pub fn new(keys: Vec<Key>, sessions: Secret) -> Organisers {
        let one_time = Mutex::new(None);
        Organisers {
            keys,
            sessions,
            one_time,
        }
    }

    /// A code that signs in one admin once.
    pub fn one_time_code(&self) -> String {
        let code = random_id("");
        *self.one_time.lock().unwrap_or_else(PoisonError::into_inner) = Some(code.clone());
        code
    }

    /// Every key is compared, so that the time taken does not tell which one was near.
    fn by_key(&self, word: &str) -> Option<Organiser> {
        let mut found = None;
        for key in &self.keys {
            if same(&key.key, word) {
                found = Some(Organiser {
                    name: key.name.clone(),
                    role: key.role,
                });
            }
        }
        found
    }

    fn by_code(&self, code: &str) -> Option<Organiser> {
        let mut kept = self.one_time.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = kept.as_ref().is_some_and(|kept| same(kept, code));
        is_right.then(|| {
            *kept = None;
            Organiser {
                name: "one-time link".to_owned(),
                role: Role::Admin,
            }
        })
    }

    fn by_session(&self, word: &str, now: Time) -> Option<Organiser> {
        let message = self.sessions.unseal(word)?;
        let session: Session = serde_json::from_slice(&message).ok()?;
        (session.expires_at > now).then_some(session.organiser)
    }
}

#[derive(Serialize, Deserialize)]
struct Session {
    organiser: Organiser,
    expires_at: Time,
}

/// Who is asking, as a handler's argument: its presence is the authorization to look. 401 without.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Organiser {
    /// The key's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Organiser {
    /// Whether this organiser may do what `role` may.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let title = "Your key does not allow this";
        Err(Problem::new(StatusCode::FORBIDDEN, "role-too-low", title)
            .detail(format!("this needs the role {role:?}").to_lowercase()))
    }

    /// An entry for the audit log.
    pub fn entry(&self, site: &Site, action: &str, event: &str) -> Entry {
        Entry {
            at: site.clock.now(),
            by: self.name.clone(),
            action: action.to_owned(),
            event: event.to_owned(),
            from: serde_json::Value::Null,
            to: serde_json::Value::Null,
        }
    }
}

impl<S> FromRequestParts<S> for Organiser
where
    Arc<Site>: axum::extract::FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let site: Arc<Site> = axum::extract::FromRef::from_ref(state);
        let headers = &parts.headers;
        if headers.contains_key(header::AUTHORIZATION) {
            let address = parts
                .extensions
                .get::<ClientAddress>()
                .map(|address| address.0);
            let word = crate::browser::bearer(headers).unwrap_or_default();
            return sign_in(
                &site.organisers.by_key(&word),
                &site.limits.failures,
                address,
            );
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

/// A wrong key counts against the address, so that keys cannot be guessed by the thousand.
fn sign_in(
    found: &Option<Organiser>,
    failures: &Limiter,
    address: Option<std::net::IpAddr>,
) -> Result<Organiser, Problem> {
    match found {
        Some(organiser) => Ok(organiser.clone()),
        None => {
            check(failures, address)?;
            Err(unauthorised())
        }
    }
}

fn unauthorised() -> Problem {
    let title = "An organiser key is needed";
    Problem::new(StatusCode::UNAUTHORIZED, "no-organiser", title)
        .detail("send Authorization: Bearer <organiser key>, or sign in at /organiser")
}

/// `/api/v1/organiser/session` (the console signs in and out) and `/api/v1/organiser/audit`.
pub fn routes() -> Router<Arc<Site>> {
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
    State(site): State<Arc<Site>>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    Input(body, _): Input<SignIn>,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, false)?;
    let found = match (&body.key, &body.code) {
        (Some(key), _) => site.organisers.by_key(key),
        (None, Some(code)) => site.organisers.by_code(code),
        (None, None) => return Err(Problem::invalid("key", "a key or a code is needed")),
    };
    let address = address.map(|Extension(address)| address.0);
    let organiser = sign_in(&found, &site.limits.failures, address)?;
    let expires_at = site.clock.now().plus_seconds(SESSION_SECONDS);
    let session = Session {
        organiser: organiser.clone(),
        expires_at,
    };
    let message = serde_json::to_vec(&session).unwrap_or_default();
    let word = site.organisers.sessions.seal(&message);
    let head = [(
        header::SET_COOKIE,
        set_cookie(&site, COOKIE, &word, SESSION_SECONDS),
    )];
    Ok((StatusCode::CREATED, head, Json(organiser)).into_response())
}

async fn end_session(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, true)?;
    let head = [(header::SET_COOKIE, set_cookie(&site, COOKIE, "", 0))];
    Ok((StatusCode::NO_CONTENT, head).into_response())
}

#[derive(Deserialize)]
struct AuditQuery {
    limit: Option<usize>,
}

async fn read_audit(
    State(site): State<Arc<Site>>,
    _: Organiser,
    Query(query): Query<AuditQuery>,
) -> Json<Vec<Entry>> {
    let count = query.limit.unwrap_or(200).min(crate::audit::ENTRIES_MAX);
    Json(site.audit.newest(count).await)
}

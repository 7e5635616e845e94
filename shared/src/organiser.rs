//! Organisers: their keys and roles, the console's session, the one-time sign-in code, the audit log's reading.

use crate::audit::Entry;
use crate::context::AppContext;
use crate::crypto::{Secret, hex, random, random_id, same};
use crate::http::client_address::ClientAddress;
use crate::http::credentials::{bearer, check_origin, cookie, cookie_name, set_cookie};
use crate::http::problem::{Input, Problem};
use crate::sign_outs::{SignOut, SignOuts};
use crate::time::Time;
use axum::extract::{Extension, FromRequestParts, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The console's cookie, before `cookie_name`.
pub const COOKIE: &str = "fairline_console";
/// A session whose end lies further away was not opened by one of our nodes.
const SESSION_SECONDS_MAX: u32 = 12 * 3600;
/// How long a session lasts: ten minutes less, since the clock of another node may be behind by as much.
const SESSION_SECONDS: u32 = SESSION_SECONDS_MAX - 600;

/// Rights of an organiser. Each role has those of the roles before it.
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
    /// Name of its holder, as it stands in the audit log.
    pub name: String,
    /// Rights that it gives.
    pub role: Role,
    /// The key itself.
    pub key: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?}, …)", self.name, self.role)
    }
}

/// All organisers of this installation.
pub struct Organisers {
    /// The keys, each with its id in sessions.
    keys: Vec<(Key, String)>,
    sessions: Secret,
    sign_outs: SignOuts,
    one_time: Mutex<Option<String>>,
    /// The key id of sessions that were opened by a one-time code: they last no longer than the process that made it.
    one_time_id: String,
}

impl Organisers {
    /// Takes the keys, the secret that signs console sessions, and the sessions that were signed out.
    pub fn new(keys: Vec<Key>, sessions: Secret, sign_outs: SignOuts) -> Organisers {
        let with_id = |key: Key| {
            let id = key_id(&sessions, &key);
            (key, id)
        };
        Organisers {
            keys: keys.into_iter().map(with_id).collect(),
            sessions,
            sign_outs,
            one_time: Mutex::new(None),
            one_time_id: random_id("one-time-"),
        }
    }

    /// The sessions that were signed out.
    pub fn sign_outs(&self) -> &SignOuts {
        &self.sign_outs
    }

    /// A code that signs in one admin once.
    pub fn one_time_code(&self) -> String {
        let code = random_id("");
        *self.one_time.lock() = Some(code.clone());
        code
    }

    /// Whether an organiser who came earlier would still be let in: a session may have ended since.
    pub fn is_still_in(&self, organiser: &Organiser, now: Time) -> bool {
        match &organiser.session {
            Some(session) => self.holder(session, now).is_some(),
            None => true,
        }
    }

    /// Every key is compared, so that the time taken does not tell which one was near.
    fn by_key(&self, word: &str) -> Option<(Organiser, &str)> {
        let mut found = None;
        for (key, id) in &self.keys {
            if same(&key.key, word) {
                found = Some((Organiser::holding(key), id.as_str()));
            }
        }
        found
    }

    fn by_code(&self, code: &str) -> Option<(Organiser, &str)> {
        let mut kept = self.one_time.lock();
        let is_right = kept.as_ref().is_some_and(|kept| same(kept, code));
        is_right.then(|| {
            *kept = None;
            (Organiser::with_one_time_code(), self.one_time_id.as_str())
        })
    }

    fn by_session(&self, word: &str, now: Time) -> Option<Organiser> {
        let session = self.read(word, now)?;
        let holder = self.holder(&session, now)?;
        Some(Organiser {
            session: Some(session),
            ..holder
        })
    }

    /// A session that one of our nodes signed and that has not ended.
    fn read(&self, word: &str, now: Time) -> Option<Session> {
        let message = self.sessions.unseal(word)?;
        let session: Session = serde_json::from_slice(&message).ok()?;
        session.is_running(now).then_some(session)
    }

    /// Returns the holder of a session by the keys as they are set now; none where it ended, was signed out, or its key was
    /// taken away.
    fn holder(&self, session: &Session, now: Time) -> Option<Organiser> {
        if !session.is_running(now) || self.sign_outs.contains(&session.sign_out()) {
            return None;
        }
        if session.key == self.one_time_id {
            return Some(Organiser::with_one_time_code());
        }
        let (key, _) = self.keys.iter().find(|(_, id)| *id == session.key)?;
        Some(Organiser::holding(key))
    }

    /// A new session of the key with this id, signed. It ends after all sessions of the key that were signed out together.
    fn open(&self, key: &str, now: Time) -> String {
        let after = self.sign_outs.ended_until(key);
        let earliest = after.map_or(now, |end| Time(end.0 + 1));
        let session = Session {
            id: hex(&random::<16>()),
            key: key.to_owned(),
            expires_at: now.plus_seconds(SESSION_SECONDS).max(earliest),
        };
        let message = serde_json::to_vec(&session).expect("a session is plain data");
        self.sessions.seal(&message)
    }
}

/// Identity of the key that a session is bound to. It is signed, so that a session does not tell its bearer how to guess the key.
fn key_id(sessions: &Secret, key: &Key) -> String {
    let named = format!("key\n{}", key.key);
    hex(&sessions.sign(named.as_bytes())[..16])
}

/// A session of the console, as its cookie carries it. Name and role are those of the key at the time of each request.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    id: String,
    key: String,
    expires_at: Time,
}

impl Session {
    fn is_running(&self, now: Time) -> bool {
        self.expires_at > now && self.expires_at <= now.plus_seconds(SESSION_SECONDS_MAX)
    }

    fn sign_out(&self) -> SignOut {
        SignOut {
            key: self.key.clone(),
            id: Some(self.id.clone()),
            expires_at: self.expires_at,
        }
    }
}

/// The organiser who asks, as a handler's argument. Its presence is the right to read; 401 without.
#[derive(Clone, Debug, Serialize)]
pub struct Organiser {
    /// The key's name.
    pub name: String,
    /// Rights of the organiser.
    pub role: Role,
    /// The session that it came by, if it did.
    #[serde(skip)]
    session: Option<Session>,
}

impl Organiser {
    fn holding(key: &Key) -> Organiser {
        Organiser {
            name: key.name.clone(),
            role: key.role,
            session: None,
        }
    }

    fn with_one_time_code() -> Organiser {
        Organiser {
            name: "one-time link".to_owned(),
            role: Role::Admin,
            session: None,
        }
    }

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
    pub fn entry(&self, site: &AppContext, action: &str, event: &str) -> Entry {
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
            let (organiser, _) = sign_in(&site, address, ("key", &word), || {
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

/// Looks for a key or code, unless too many were wrong. `guess` is its kind and itself: a code that was tried as a key may be
/// right as a code.
fn sign_in<'a>(
    site: &AppContext,
    address: Option<IpAddr>,
    guess: (&str, &str),
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

/// `/api/v1/organiser/session` (the console signs in and out) and `/api/v1/organiser/audit`.
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
        (Some(key), _) => sign_in(&site, address, ("key", key), || organisers.by_key(key))?,
        (None, Some(code)) => sign_in(&site, address, ("code", code), || organisers.by_code(code))?,
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

/// Signs out. It may be repeated: a session that has ended already is none to end. The cookie is cleared in any case.
async fn end_session(
    State(site): State<Arc<AppContext>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_origin(&site, &headers, true)?;
    let organisers = &site.organisers;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Some(word) = cookie(&headers, &cookie_name(&site, COOKIE))
        && let Some(session) = organisers.read(&word, site.clock.now())
        && let Err(error) = organisers.sign_outs.add(session.sign_out(), &word).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Clock;

    #[test]
    fn a_session_holds_at_nodes_whose_clocks_are_five_minutes_off_and_for_no_more_than_twelve_hours()
     {
        let now = Time(1_800_000_000_000);
        let key = Key {
            name: "desk".to_owned(),
            role: Role::Operator,
            key: "desk-organiser-key".to_owned(),
        };
        let sign_outs = SignOuts::in_memory(Clock::manual(now));
        let secret = Secret::derive(b"test", "console");
        let organisers = Organisers::new(vec![key], secret, sign_outs);
        let (_, id) = organisers.by_key("desk-organiser-key").unwrap();
        let word = organisers.open(id, now);
        let at = |seconds: i64| organisers.by_session(&word, Time(now.0 + seconds * 1000));
        for seconds in [-300, 0, 300, 11 * 3600] {
            assert_eq!(at(seconds).unwrap().name, "desk", "{seconds}");
        }
        for seconds in [-601, 12 * 3600] {
            assert!(at(seconds).is_none(), "{seconds}");
        }
    }
}

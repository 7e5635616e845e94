//! Reports to the waiting room, and the keys fetched from it. The checkout goes on selling when it
//! does not answer.

use async_trait::async_trait;
use axum::http::{Method, StatusCode, header};
use parking_lot::RwLock;
use serde_json::Value;
use shared::context::AppContext;
use shared::http::credentials::cookie_name;
use shared::ids::{Availability, EventId};
use shared::organiser::COOKIE;
use shared::remote::RemoteService;
use shared::sign_outs::{Shared, SignOut};
use shared::time::Time;
use shared::token::{Claims, Refused, Verifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

const ANSWER: Duration = Duration::from_secs(2);
/// Shortest time between two fetches of the key set because of unknown keys.
const REFETCH: Duration = Duration::from_secs(30);
/// Pause after a fetch that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Time between two fetches without unknown keys, as its `Cache-Control` says: a key that was
/// published this long before it signs is never refused.
pub const REFRESH: Duration = Duration::from_secs(300);

/// Outcome of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It was taken.
    Taken,
    /// The slot is gone.
    Lapsed,
    /// No answer; to be repeated later.
    Unanswered,
}

/// The waiting room, in this process or elsewhere. Every report may be repeated.
#[async_trait]
pub trait WaitingRoom: Send + Sync {
    /// Returns whether there is such an event; none without an answer.
    async fn knows(&self, event: &EventId) -> Option<bool>;

    /// Reports that the bearer of this token arrived.
    async fn start(&self, event: &EventId, token: &str) -> Reported;

    /// Reports that the bearer of this token is done.
    async fn finish(&self, event: &EventId, token: &str) -> Reported;

    /// Reports the number of available seats.
    async fn report(&self, event: &EventId, seats: Availability) -> Reported;
}

/// The keys of admission tokens: given once, or fetched from the waiting room.
pub struct Jwks {
    verifier: RwLock<Option<Arc<Verifier>>>,
    source: Option<Source>,
}

struct Source {
    remote: RemoteWaitingRoom,
    issuer: String,
    fetched: Mutex<Fetched>,
}

/// The last attempt, and the last for the sake of an unknown key.
#[derive(Default)]
struct Fetched {
    at: Option<Instant>,
    for_unknown_at: Option<Instant>,
    is_fine: bool,
}

/// Reason for fetching the set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    UnknownKey,
    Age,
}

impl Jwks {
    /// Keys of a waiting room in this process.
    pub fn given(verifier: Verifier) -> Jwks {
        Jwks {
            verifier: RwLock::new(Some(Arc::new(verifier))),
            source: None,
        }
    }

    /// Keys of a waiting room elsewhere, whose tokens name this issuer.
    pub fn fetched(remote: RemoteWaitingRoom, issuer: String) -> Jwks {
        let source = Source {
            remote,
            issuer,
            fetched: Mutex::default(),
        };
        Jwks {
            verifier: RwLock::default(),
            source: Some(source),
        }
    }

    /// Checks a token. An unknown key may be a new one: the set is fetched again, not more often
    /// than twice a minute.
    ///
    /// # Errors
    /// The reason for refusing it.
    pub async fn verify(&self, token: &str, event: &EventId, now: Time) -> Result<Claims, Refused> {
        let known = self.known();
        match known.map(|known| known.verify(token, event, now)) {
            None | Some(Err(Refused::UnknownKey)) => {}
            Some(outcome) => return outcome,
        }
        let is_fine = self.fetch(Why::UnknownKey).await;
        let verifier = self.known().ok_or(Refused::NoKeys)?;
        match verifier.verify(token, event, now) {
            Err(Refused::UnknownKey) if !is_fine => Err(Refused::NoKeys),
            outcome => outcome,
        }
    }

    /// Fetches the set if it was not fetched for a while.
    pub async fn refresh(&self) {
        self.fetch(Why::Age).await;
    }

    fn known(&self) -> Option<Arc<Verifier>> {
        self.verifier.read().clone()
    }

    /// Fetches the set if that is due. Returns whether the last attempt succeeded. One caller
    /// fetches; the others wait for its result.
    async fn fetch(&self, why: Why) -> bool {
        let Some(source) = &self.source else {
            return true;
        };
        let mut fetched = source.fetched.lock().await;
        let (last, pause) = match why {
            _ if !fetched.is_fine => (fetched.at, RETRY),
            Why::UnknownKey => (fetched.for_unknown_at, REFETCH),
            Why::Age => (fetched.at, REFRESH),
        };
        if last.is_some_and(|at| at.elapsed() < pause) {
            return fetched.is_fine;
        }
        fetched.at = Some(Instant::now());
        if why == Why::UnknownKey {
            fetched.for_unknown_at = fetched.at;
        }
        let answer = source
            .remote
            .service
            .ask(Method::GET, "/.well-known/jwks.json", "", None)
            .await;
        let verifier = answer
            .and_then(|(_, body)| serde_json::from_slice::<Value>(&body).ok())
            .and_then(|jwks| Verifier::from_jwks(&jwks, &source.issuer).ok());
        fetched.is_fine = verifier.is_some();
        match verifier {
            Some(verifier) => {
                let mut kept = self.verifier.write();
                *kept = Some(Arc::new(verifier));
                tracing::info!("fetched the keys of the waiting room");
            }
            None => tracing::warn!("the keys of the waiting room could not be fetched"),
        }
        fetched.is_fine
    }
}

/// A waiting room in another process, by HTTP.
#[derive(Clone)]
pub struct RemoteWaitingRoom {
    service: RemoteService,
    service_key: String,
}

impl RemoteWaitingRoom {
    /// Returns the waiting room at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str, service_key: &str) -> RemoteWaitingRoom {
        RemoteWaitingRoom {
            service: RemoteService::new("waiting-room", base, ANSWER),
            service_key: service_key.to_owned(),
        }
    }

    async fn report_by(
        &self,
        method: Method,
        path: String,
        bearer: &str,
        body: Option<String>,
    ) -> Reported {
        match self.service.ask(method, &path, bearer, body).await {
            Some((StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND, _)) => {
                Reported::Lapsed
            }
            Some((status, _)) if status.is_success() => Reported::Taken,
            _ => Reported::Unanswered,
        }
    }
}

#[async_trait]
impl WaitingRoom for RemoteWaitingRoom {
    async fn knows(&self, event: &EventId) -> Option<bool> {
        let answer = self
            .service
            .ask(Method::GET, &format!("/api/v1/events/{event}"), "", None)
            .await?;
        match answer.0 {
            StatusCode::NOT_FOUND => Some(false),
            status => status.is_success().then_some(true),
        }
    }

    async fn start(&self, event: &EventId, token: &str) -> Reported {
        let path = format!("/api/v1/events/{event}/admission/start");
        self.report_by(Method::POST, path, token, None).await
    }

    async fn finish(&self, event: &EventId, token: &str) -> Reported {
        self.report_by(
            Method::DELETE,
            format!("/api/v1/events/{event}/admission"),
            token,
            None,
        )
        .await
    }

    async fn report(&self, event: &EventId, seats: Availability) -> Reported {
        let path = format!("/api/v1/events/{event}/availability");
        let body = serde_json::to_string(&seats).ok();
        self.report_by(Method::PUT, path, &self.service_key, body)
            .await
    }
}

/// The sign-outs of a waiting room in another process.
pub struct RemoteSignOuts {
    remote: RemoteWaitingRoom,
    cookie: String,
    origin: String,
}

impl RemoteSignOuts {
    /// Returns the sign-outs of `remote`, which serves the same site.
    pub fn new(remote: RemoteWaitingRoom, site: &AppContext) -> RemoteSignOuts {
        RemoteSignOuts {
            remote,
            cookie: cookie_name(site, COOKIE),
            origin: site.origins.first().cloned().unwrap_or_default(),
        }
    }
}

#[async_trait]
impl Shared for RemoteSignOuts {
    /// Signs the session out there as its browser would: the session proves itself, and the service
    /// key, which travels, ends none.
    async fn keep(&self, _: &SignOut, session: Option<&str>) -> Result<(), String> {
        let Some(session) = session else {
            return Ok(());
        };
        let service = &self.remote.service;
        let request = service
            .request(Method::DELETE, "/api/v1/organiser/session")
            .header(header::ORIGIN, &self.origin)
            .header(header::COOKIE, format!("{}={session}", self.cookie));
        match service.send(request, None).await {
            Some((status, _)) if status.is_success() => Ok(()),
            Some((status, _)) => Err(format!("the waiting room answers {status}")),
            None => Err("the waiting room does not answer".to_owned()),
        }
    }

    async fn all(&self) -> Result<Vec<SignOut>, String> {
        let key = &self.remote.service_key;
        let path = "/api/v1/organiser/signed-out";
        let answer = self.remote.service.ask(Method::GET, path, key, None).await;
        let (status, body) = answer.ok_or("the waiting room does not answer")?;
        let refused = |_| format!("the waiting room answers {status}");
        serde_json::from_slice(&body).map_err(refused)
    }
}

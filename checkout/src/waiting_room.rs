//! Reports to the waiting room. The checkout goes on selling when it does not answer.

use crate::inventory::Order;
use async_trait::async_trait;
use axum::http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use shared::cancellation::Cancellation;
use shared::context::AppContext;
use shared::event_details::EventDetails;
use shared::http::credentials::cookie_name;
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_log::{LogPage, LogPlace};
use shared::line_mail::{LineWaits, WaitsInput};
use shared::organiser::COOKIE;
use shared::remote::RemoteService;
use shared::sign_outs::{Shared, SignOut};
use shared::texts::Language;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(2);

/// Outcome of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It was taken.
    Taken,
    /// The slot is gone.
    Lapsed,
    /// The credential was refused: the admission token, or the service key.
    Refused,
    /// No answer; to be repeated later.
    Unanswered,
}

/// An event as fans are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFacts {
    /// Its name.
    pub name: String,
    /// Its details, if they were set.
    pub details: Option<EventDetails>,
}

impl EventFacts {
    /// Returns the language of an order's mails, tickets and invoices: its own, else the event's.
    pub(crate) fn language_of(&self, order: &Order) -> Language {
        let own = order.language.as_deref().and_then(Language::parse);
        let event = || self.details.as_ref().and_then(EventDetails::language);
        own.or_else(event).unwrap_or_default()
    }
}

/// Answer to the question about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventAnswer {
    /// The event.
    Event(Box<EventFacts>),
    /// There is no such event, or none any more.
    Unknown,
    /// No answer.
    Unanswered,
}

/// Answer to the question about the log of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAnswer {
    /// The entries after the place.
    Page(LogPage),
    /// There is no such event, or none any more.
    Unknown,
    /// No answer.
    Unanswered,
}

/// Outcome of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// The admission lasts as long as this token.
    By(String),
    /// It may not be extended, or was before.
    NotExtendable,
    /// The slot is gone, or the token was refused.
    Lapsed,
    /// No answer.
    Unanswered,
}

/// The waiting room, in this process or elsewhere. Every report may be repeated.
#[async_trait]
pub trait WaitingRoom: Send + Sync {
    /// Returns whether there is such an event; none without an answer.
    async fn knows(&self, event: &EventId) -> Option<bool>;

    /// Returns an event as fans are shown it.
    async fn describe(&self, event: &EventId) -> EventAnswer;

    /// Reports that the bearer of this token arrived.
    async fn start(&self, event: &EventId, token: &str) -> Reported;

    /// Extends the admission of the bearer of this token. Repeated, it gives the same answer.
    async fn extend(&self, event: &EventId, token: &str) -> Extension;

    /// Reports that the bearer of this token is done.
    async fn finish(&self, event: &EventId, token: &str) -> Reported;

    /// Reports the number of available seats.
    async fn report(&self, event: &EventId, seats: Availability) -> Reported;

    /// Reports that the show was cancelled: its line closes, and fans are told.
    async fn cancel(&self, event: &EventId, cancellation: &Cancellation) -> Reported;

    /// Returns what the line decided after a place in its log.
    async fn log(&self, event: &EventId, place: &LogPlace) -> LogAnswer;

    /// Returns the waits that visitors are told, at most `WAITS_MAX` of them; none without an answer, or
    /// such an event.
    async fn waits(&self, event: &EventId, visitors: Vec<VisitorId>) -> Option<LineWaits>;
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

    /// Fetches the public keys of the tokens; none without an answer.
    pub(crate) async fn keys(&self) -> Option<Value> {
        let path = "/.well-known/jwks.json";
        let (_, body) = self.service.ask(Method::GET, path, "", None).await?;
        serde_json::from_slice(&body).ok()
    }

    async fn report_by(
        &self,
        method: Method,
        path: String,
        bearer: &str,
        body: Option<String>,
    ) -> Reported {
        match self.service.ask(method, &path, bearer, body).await {
            Some((StatusCode::GONE | StatusCode::NOT_FOUND, _)) => Reported::Lapsed,
            Some((StatusCode::UNAUTHORIZED, _)) => Reported::Refused,
            Some((status, _)) if status.is_success() => Reported::Taken,
            _ => Reported::Unanswered,
        }
    }
}

#[async_trait]
impl WaitingRoom for RemoteWaitingRoom {
    async fn knows(&self, event: &EventId) -> Option<bool> {
        // With the key, as strangers are not told of drafts.
        let (path, key) = (format!("/api/v1/events/{event}"), &self.service_key);
        let answer = self.service.ask(Method::GET, &path, key, None).await?;
        match answer.0 {
            StatusCode::NOT_FOUND => Some(false),
            status => status.is_success().then_some(true),
        }
    }

    async fn describe(&self, event: &EventId) -> EventAnswer {
        let (path, key) = (format!("/api/v1/events/{event}"), &self.service_key);
        match self.service.ask(Method::GET, &path, key, None).await {
            Some((StatusCode::NOT_FOUND, _)) => EventAnswer::Unknown,
            Some((StatusCode::OK, body)) => facts_of(&body).unwrap_or(EventAnswer::Unanswered),
            _ => EventAnswer::Unanswered,
        }
    }

    async fn start(&self, event: &EventId, token: &str) -> Reported {
        let path = format!("/api/v1/events/{event}/admission/start");
        self.report_by(Method::POST, path, token, None).await
    }

    async fn extend(&self, event: &EventId, token: &str) -> Extension {
        let path = format!("/api/v1/events/{event}/admission/extend");
        let answer = self.service.ask(Method::POST, &path, token, None).await;
        let Some((status, body)) = answer else {
            return Extension::Unanswered;
        };
        let read = || serde_json::from_slice(&body).ok();
        let token = || read().and_then(|answer: Value| Some(answer["token"].as_str()?.to_owned()));
        match status {
            StatusCode::CONFLICT => Extension::NotExtendable,
            StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => {
                Extension::Lapsed
            }
            status if status.is_success() => token().map_or(Extension::Unanswered, Extension::By),
            _ => Extension::Unanswered,
        }
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

    async fn cancel(&self, event: &EventId, cancellation: &Cancellation) -> Reported {
        let path = format!("/api/v1/events/{event}/cancellation");
        let body = serde_json::to_string(cancellation).ok();
        self.report_by(Method::PUT, path, &self.service_key, body)
            .await
    }

    async fn log(&self, event: &EventId, place: &LogPlace) -> LogAnswer {
        let LogPlace { life, entry } = place;
        let path = format!("/api/v1/events/{event}/log?life={life}&after={entry}");
        let key = &self.service_key;
        match self.service.ask(Method::GET, &path, key, None).await {
            Some((StatusCode::NOT_FOUND, _)) => LogAnswer::Unknown,
            Some((StatusCode::OK, body)) => {
                serde_json::from_slice(&body).map_or(LogAnswer::Unanswered, LogAnswer::Page)
            }
            _ => LogAnswer::Unanswered,
        }
    }

    async fn waits(&self, event: &EventId, visitors: Vec<VisitorId>) -> Option<LineWaits> {
        let path = format!("/api/v1/events/{event}/waits");
        let body = serde_json::to_string(&WaitsInput { visitors }).ok();
        let key = &self.service_key;
        let (status, body) = self.service.ask(Method::POST, &path, key, body).await?;
        let answer = || serde_json::from_slice(&body).ok();
        (status == StatusCode::OK).then(answer).flatten()
    }
}

/// Reads an event. Details that another version wrote, and this one does not know, are left out.
fn facts_of(body: &[u8]) -> Option<EventAnswer> {
    let event: Value = serde_json::from_slice(body).ok()?;
    Some(EventAnswer::Event(Box::new(EventFacts {
        name: event.get("name")?.as_str()?.to_owned(),
        details: Option::deserialize(event.get("details")?).ok().flatten(),
    })))
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Returns how a start is reported to a waiting room that answers with this status.
    async fn start(status: &str) -> Reported {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.read(&mut request).await;
        });
        let room = RemoteWaitingRoom::new(&base, "key");
        room.start(&EventId::parse("arena").unwrap(), "token").await
    }

    #[tokio::test]
    async fn a_credential_that_is_refused_is_not_a_slot_that_is_gone() {
        for (status, reported) in [
            ("204 No Content", Reported::Taken),
            ("410 Gone", Reported::Lapsed),
            ("404 Not Found", Reported::Lapsed),
            ("401 Unauthorized", Reported::Refused),
            ("503 Service Unavailable", Reported::Unanswered),
        ] {
            assert_eq!(start(status).await, reported, "{status}");
        }
    }
}

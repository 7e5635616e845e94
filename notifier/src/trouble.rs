//! Requests to other services, and what their answers mean for an event.

use crate::excerpt::excerpt;
use axum::body::Bytes;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use shared::remote::RemoteService;
use shared::time::{Clock, Time};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time for which a service may ask to be left alone.
const ASKED_MAX: Duration = Duration::from_secs(3600);
/// Longest type of an answer that is told, in bytes.
const KIND_MAX: usize = 50;

/// Reason for which an event has no effect yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may have one later.
    Temporary {
        /// Why, in words.
        why: String,
        /// Time for which the service wants to be left alone.
        after: Option<Duration>,
    },
    /// It never will: the event becomes a dead letter with this reason.
    Final(String),
}

impl Trouble {
    /// Returns a failure that may end by itself or be mended, such as that of a service that is away.
    pub fn away(why: String) -> Trouble {
        Trouble::Temporary { why, after: None }
    }

    /// Returns the same with a confidential word blanked out.
    pub fn without(mut self, word: &str) -> Trouble {
        let (Trouble::Temporary { why, .. } | Trouble::Final(why)) = &mut self;
        *why = why.replace(word, "…");
        self
    }

    /// Returns the reason in words.
    pub fn why(&self) -> &str {
        match self {
            Trouble::Temporary { why, .. } | Trouble::Final(why) => why,
        }
    }
}

/// A service that events are told to, or that knows more of them.
#[derive(Clone)]
pub struct Service {
    /// Name in messages, behind "the".
    name: &'static str,
    remote: RemoteService,
    authorization: Option<String>,
}

impl Service {
    /// Returns the service at a base URL. `authorization` is the value of that header.
    pub fn new(name: &'static str, base: &str, authorization: Option<String>) -> Service {
        Service {
            name,
            remote: RemoteService::new(name, base, PATIENCE),
            authorization,
        }
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> Builder {
        let request = self.remote.request(method, path);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    /// Sends a request. Returns an answer that says yes.
    ///
    /// # Errors
    /// The trouble that any other answer, or none, means for the event.
    pub async fn send(&self, request: Builder, body: Option<String>) -> Result<Answer, Trouble> {
        let answer = self.answer(request, body).await?;
        match answer.trouble() {
            Some(trouble) => Err(trouble),
            None => Ok(answer),
        }
    }

    /// As `send`, and reads the answer. None for 404.
    ///
    /// # Errors
    /// As for `send`, and if the answer is not what it should be.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        let request = self.request(Method::GET, path);
        let answer = self.answer(request, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // A proxy, or another address, knows nothing of what there is.
            return match answer.kind() == "application/problem+json" {
                true => Ok(None),
                false => Err(answer.nonsense()),
            };
        }
        match answer.trouble() {
            Some(trouble) => Err(trouble),
            None => answer.read().map(Some),
        }
    }

    async fn answer(&self, request: Builder, body: Option<String>) -> Result<Answer, Trouble> {
        let name = self.name;
        let answer = self.remote.send_for_response(request, body).await;
        let answer = answer.ok_or_else(|| Trouble::away(format!("the {name} does not answer")))?;
        Ok(Answer {
            name,
            status: answer.status(),
            headers: answer.headers().clone(),
            body: Response::into_body(answer),
        })
    }
}

/// An answer of a service.
pub struct Answer {
    /// Name of the service.
    name: &'static str,
    status: StatusCode,
    headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Reads the answer.
    ///
    /// # Errors
    /// If it is nonsense.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body).map_err(|_| self.nonsense())
    }

    /// Returns the trouble of an answer that is none of the service, but often a page of a proxy in
    /// between. Nothing of it is kept: it may hold personal data.
    pub fn nonsense(&self) -> Trouble {
        let (name, code) = (self.name, self.status.as_u16());
        let (kind, bytes) = (self.kind(), self.body.len());
        Trouble::away(format!(
            "the {name} answered {code} with {bytes} bytes of {kind}, which is no answer of its own"
        ))
    }

    /// Returns what the status means, unless it is one of success.
    fn trouble(&self) -> Option<Trouble> {
        let (name, code) = (self.name, self.status.as_u16());
        let is_page = self.kind() == "text/html";
        let why = || match is_page {
            true => self.nonsense().why().to_owned(),
            false => format!("the {name} answered {code}: {}", excerpt(&self.body)),
        };
        match code {
            200..=299 => None,
            401 | 403 | 407 => Some(Trouble::away(format!(
                "the {name}, or a proxy in front of it, refuses the key ({code})"
            ))),
            408 | 409 | 425 | 429 | 500..=599 => Some(Trouble::Temporary {
                why: why(),
                after: asked_for(&self.headers, Clock::system().now()),
            }),
            // A page that people are sent to, or shown.
            300..=399 => Some(self.nonsense()),
            _ if is_page => Some(self.nonsense()),
            _ => Some(Trouble::Final(why())),
        }
    }

    /// Returns the type of the body, of which nothing else than letters is kept.
    fn kind(&self) -> String {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_type = |letter: char| letter.is_ascii_alphabetic() || "/+-.".contains(letter);
        match !kind.is_empty() && kind.len() <= KIND_MAX && kind.chars().all(is_type) {
            true => kind.to_ascii_lowercase(),
            false => "an unknown type".to_owned(),
        }
    }
}

/// Returns the wait of the header `Retry-After`, which has seconds or a date.
fn asked_for(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let until = Time::parse_http_date(text)?;
            u64::try_from(until.seconds() - now.seconds()).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(ASKED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use serde_json::Value;
    use tokio::net::TcpListener;

    const NOW: Time = Time(1_800_000_000_000);

    #[test]
    fn a_wait_that_is_asked_for_is_seconds_or_a_date_and_an_hour_at_most() {
        let asked = |text: &str| {
            let headers = [(header::RETRY_AFTER, text.parse().unwrap())];
            let wait = asked_for(&headers.into_iter().collect(), NOW)?;
            Some(wait.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Fri, 15 Jan 2027 08:01:00 GMT"), Some(60));
        assert_eq!(asked("Fri, 15 Jan 2021 08:01:00 GMT"), Some(0));
        assert_eq!(asked("4000000"), Some(3600));
        assert_eq!(asked("soon"), None);
    }

    /// Asks a service that answers everything with 404 and this type of body.
    async fn asked_in_vain(kind: &'static str) -> Result<Option<Value>, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answer = (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, kind)], "{}");
        let router = Router::new().fallback(move || std::future::ready(answer));
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        let answered = Service::new("test", &base, None).ask("/x").await;
        serving.abort();
        answered
    }

    #[tokio::test]
    async fn a_404_says_that_there_is_nothing_only_in_the_words_of_the_service() {
        let problem = asked_in_vain("application/problem+json").await;
        assert_eq!(problem, Ok(None));
        let why = "the test answered 404 with 2 bytes of text/html, which is no answer of its own";
        let page = asked_in_vain("text/html").await;
        assert_eq!(page, Err(Trouble::away(why.to_owned())));
    }

    fn answer(code: u16, kind: &str, body: &'static str) -> Answer {
        let headers = [(header::CONTENT_TYPE, kind.parse().unwrap())];
        Answer {
            name: "test",
            status: StatusCode::from_u16(code).unwrap(),
            headers: headers.into_iter().collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_status_says_whether_an_event_is_tried_again() {
        let means = |code: u16| answer(code, "text/plain", "why\nnot").trouble();
        for code in [200, 201, 202, 204] {
            assert_eq!(means(code), None, "{code}");
        }
        // A wrong key, or a proxy in between, says nothing of the event.
        for code in [
            301, 302, 401, 403, 407, 408, 409, 425, 429, 500, 502, 503, 504,
        ] {
            let trouble = means(code);
            assert!(
                matches!(trouble, Some(Trouble::Temporary { .. })),
                "{code}: {trouble:?}"
            );
        }
        for code in [400, 404, 410, 413, 422] {
            let why = format!("the test answered {code}: why not");
            assert_eq!(means(code), Some(Trouble::Final(why)), "{code}");
            let page = answer(code, "text/html; charset=utf-8", "<p>").trouble();
            assert!(
                matches!(page, Some(Trouble::Temporary { .. })),
                "{code}: {page:?}"
            );
        }
    }

    #[test]
    fn of_nonsense_nothing_but_status_type_and_length_is_kept_and_it_is_tried_again() {
        for (kind, shown) in [
            ("text/html", "text/html"),
            ("text/ada@example.org", "an unknown type"),
        ] {
            let nonsense = answer(200, kind, "<p>Ada Lovelace, ada@example.org");
            let why = format!(
                "the test answered 200 with 32 bytes of {shown}, which is no answer of its own"
            );
            assert_eq!(nonsense.read::<Value>(), Err(Trouble::away(why)));
        }
    }
}

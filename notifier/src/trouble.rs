//! Requests to other services, and what their answers mean for an event.

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
/// Characters that are kept of an answer.
const EXCERPT_CHARS: usize = 200;

/// Reason for which an event has no effect yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may have one later.
    Temporary {
        /// Why, in words.
        why: String,
        /// Time for which the service wants to be left alone.
        after: Option<Duration>,
        /// True if the service works and refuses this event, as far as that is known.
        is_of_event: bool,
    },
    /// It never will: the event becomes a dead letter with this reason.
    Final(String),
}

impl Trouble {
    /// Returns a failure of a service that is away.
    pub fn away(why: String) -> Trouble {
        Trouble::Temporary {
            why,
            after: None,
            is_of_event: false,
        }
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

    /// Sends a request. Returns the body of an answer that says yes.
    ///
    /// # Errors
    /// The trouble that any other answer, or none, means for the event.
    pub async fn send(&self, request: Builder, body: Option<String>) -> Result<Vec<u8>, Trouble> {
        let answer = self.remote.send_for_response(request, body).await;
        let answer =
            answer.ok_or_else(|| Trouble::away(format!("the {} does not answer", self.name)));
        let answer = answer?;
        match self.trouble(&answer.status(), answer.headers(), answer.body()) {
            Some(trouble) => Err(trouble),
            None => Ok(Response::into_body(answer).to_vec()),
        }
    }

    /// As `send`, and reads the answer. None for 404.
    ///
    /// # Errors
    /// As for `send`, and if the answer is not what it should be.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        let request = self.request(Method::GET, path);
        let answer = self.remote.send_for_response(request, None).await;
        let answer =
            answer.ok_or_else(|| Trouble::away(format!("the {} does not answer", self.name)));
        let answer = answer?;
        if answer.status() == StatusCode::NOT_FOUND {
            // A proxy, or another address, knows nothing of what there is.
            return match is_problem(answer.headers()) {
                true => Ok(None),
                false => Err(Trouble::away(format!(
                    "the {} answered 404, and not in its own words",
                    self.name
                ))),
            };
        }
        match self.trouble(&answer.status(), answer.headers(), answer.body()) {
            Some(trouble) => Err(trouble),
            None => self.read(answer.body()).map(Some),
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// If it is nonsense.
    pub fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Trouble> {
        serde_json::from_slice(body).map_err(|error| {
            let (name, shown) = (self.name, excerpt(body));
            Trouble::Final(format!("the {name} answered nonsense ({error}): {shown}"))
        })
    }

    /// Returns what a status means, unless it is one of success.
    fn trouble(&self, status: &StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Trouble> {
        let (name, code) = (self.name, status.as_u16());
        let why = format!("the {name} answered {code}: {}", excerpt(body));
        let after = asked_for(headers, Clock::system().now());
        match code {
            200..=299 => None,
            // Tried again until the key is mended.
            401 => Some(Trouble::away(format!("the {name} refuses the key (401)"))),
            429 | 502..=504 => Some(Trouble::Temporary {
                why,
                after,
                is_of_event: false,
            }),
            408 | 409 | 425 | 500..=599 => Some(Trouble::Temporary {
                why,
                after,
                is_of_event: true,
            }),
            _ => Some(Trouble::Final(why)),
        }
    }
}

/// Returns whether an answer is a problem of Fairline's own.
fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/problem+json"))
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

/// Returns the beginning of an answer on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT_CHARS)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(EXCERPT_CHARS).collect()
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
        let why = "the test answered 404, and not in its own words".to_owned();
        assert_eq!(asked_in_vain("text/html").await, Err(Trouble::away(why)));
    }

    #[test]
    fn a_status_says_whether_an_event_is_tried_again() {
        let service = Service::new("test", "http://127.0.0.1:1", None);
        let means = |code: u16| {
            let status = StatusCode::from_u16(code).unwrap();
            service.trouble(&status, &HeaderMap::new(), b"why\nnot")
        };
        for code in [200, 201, 202, 204] {
            assert_eq!(means(code), None, "{code}");
        }
        for (code, of_event) in [
            (401, false),
            (429, false),
            (502, false),
            (503, false),
            (408, true),
            (409, true),
            (425, true),
            (500, true),
        ] {
            let Some(Trouble::Temporary { is_of_event, .. }) = means(code) else {
                panic!("{code}");
            };
            assert_eq!(is_of_event, of_event, "{code}");
        }
        for code in [301, 400, 403, 404, 410, 413, 422] {
            let why = format!("the test answered {code}: why not");
            assert_eq!(means(code), Some(Trouble::Final(why)), "{code}");
        }
    }
}

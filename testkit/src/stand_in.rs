//! Common parts of the stand-ins of payment providers: state, faults on demand, and the delivery
//! of webhooks.

use crate::endpoint::{Endpoint, Signed};
use crate::faults::{ApiFault, LastRequest, Trouble};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::io::Read as _;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use url::form_urlencoded;

/// A server on a port of its own. It ends when it is dropped.
pub(crate) struct Serving {
    url: String,
    task: JoinHandle<()>,
}

impl Serving {
    pub(crate) async fn start(app: Router) -> std::io::Result<Serving> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = app.layer(from_fn(to_the_end));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Serving { url, task })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Has a request take its effect though the client, which may have been killed, hangs up.
async fn to_the_end(request: Request, next: Next) -> Response {
    let answered = tokio::spawn(next.run(request)).await;
    answered.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Waits until the standard input is closed, by which other languages end a program of the tests.
pub async fn until_input_ends() {
    let waiting = tokio::task::spawn_blocking(|| {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest)
    });
    let _ = waiting.await;
}

/// Fields of a form or a query.
pub(crate) type Form = BTreeMap<String, String>;

/// Memory of a stand-in.
pub(crate) trait Ledger: Default {
    /// An event, as it is sent to the webhook's endpoint.
    type Event: Signed + 'static;

    /// Takes what has happened.
    fn take_events(&mut self) -> Vec<Self::Event>;
}

/// Silence of a stand-in, which begins after a number of requests.
pub(crate) struct Silence {
    /// Number of requests that are still answered.
    left: usize,
    /// Fate of the request after them.
    last: LastRequest,
    /// Notified once that one has had its fate.
    begun: Arc<Notify>,
}

/// State that requests to a stand-in share.
pub(crate) struct StandIn<L: Ledger> {
    pub(crate) books: Mutex<L>,
    pub(crate) faults: Mutex<VecDeque<(String, ApiFault)>>,
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) endpoint: Mutex<Option<Endpoint>>,
    /// Faults by chance.
    pub(crate) trouble: Mutex<Trouble>,
    pub(crate) silence: Mutex<Option<Silence>>,
    /// Events that were not delivered yet.
    pub(crate) events: Mutex<VecDeque<L::Event>>,
}

impl<L: Ledger> Default for StandIn<L> {
    fn default() -> StandIn<L> {
        StandIn {
            books: Mutex::default(),
            faults: Mutex::default(),
            calls: Mutex::default(),
            endpoint: Mutex::default(),
            trouble: Mutex::default(),
            silence: Mutex::default(),
            events: Mutex::default(),
        }
    }
}

/// Outcome of an operation, with its fault.
pub(crate) struct Acted<T> {
    pub(crate) outcome: Outcome<T>,
    /// Whether the answer does not arrive.
    pub(crate) is_lost: bool,
}

/// Outcome of an operation, as a server tells it.
pub(crate) enum Outcome<T> {
    /// It was done, or refused.
    Done(T),
    /// An error of the server, whether it was done or not.
    Failed,
    /// Too many requests: it was not done.
    TooMany,
    /// It was refused, for a reason of the provider's, and not done.
    Refused,
}

impl<L: Ledger> StandIn<L> {
    /// Delivers what has happened to the endpoint, or keeps it for who asks.
    pub(crate) fn tell(&self, books: &mut L) {
        let happened = books.take_events();
        match &*self.endpoint.lock() {
            Some(endpoint) => {
                for event in happened {
                    let copies = self.trouble.lock().copies(endpoint.copies);
                    endpoint.deliver(event, copies);
                }
            }
            None => self.events.lock().extend(happened),
        }
    }

    /// Leaves all requests after so many without an answer, and without an effect but for that of
    /// the first of them. Returns what tells of that one.
    pub(crate) fn fall_silent(&self, after: usize, last: LastRequest) -> Arc<Notify> {
        let begun = Arc::new(Notify::new());
        *self.silence.lock() = Some(Silence {
            left: after,
            last,
            begun: begun.clone(),
        });
        begun
    }

    /// Forgets the faults that were to come.
    pub(crate) fn heal(&self) {
        self.faults.lock().clear();
        *self.trouble.lock() = Trouble::default();
        *self.silence.lock() = None;
    }

    /// Notes a request, acts, and answers; or waits until the client hangs up, before or after it
    /// has acted, if the stand-in has fallen silent.
    pub(crate) async fn answered(
        &self,
        operation: &str,
        act: impl Future<Output = Response>,
    ) -> Response {
        self.calls.lock().push(operation.to_owned());
        let Some((last, begun)) = self.silenced() else {
            return act.await;
        };
        if last == LastRequest::Done {
            act.await;
        }
        begun.notify_one();
        pending().await
    }

    /// Returns how the next request ends, if it gets no answer.
    fn silenced(&self) -> Option<(LastRequest, Arc<Notify>)> {
        let mut silence = self.silence.lock();
        let silence = silence.as_mut()?;
        if silence.left > 0 {
            silence.left -= 1;
            return None;
        }
        let last = std::mem::replace(&mut silence.last, LastRequest::Undone);
        Some((last, silence.begun.clone()))
    }

    /// Acts with the fault that is next for an operation.
    pub(crate) async fn acted<T>(
        &self,
        operation: &str,
        act: impl FnOnce(&mut L) -> T,
    ) -> Acted<T> {
        let fault = self.fault(operation);
        let fault = fault.or_else(|| self.trouble.lock().fault());
        if let Some(ApiFault::Delayed(time)) = fault {
            sleep(time).await;
        }
        let outcome = match fault {
            Some(ApiFault::TooMany) => Outcome::TooMany,
            Some(ApiFault::FailedBefore) => Outcome::Failed,
            Some(ApiFault::Refused) => Outcome::Refused,
            _ => {
                let mut books = self.books.lock();
                let done = act(&mut books);
                self.tell(&mut books);
                match fault {
                    Some(ApiFault::FailedAfter) => Outcome::Failed,
                    _ => Outcome::Done(done),
                }
            }
        };
        Acted {
            outcome,
            is_lost: fault == Some(ApiFault::AnswerLost),
        }
    }

    /// Has the next request for an operation go wrong. Several for one operation follow one another.
    pub(crate) fn fail(&self, operation: &str, fault: ApiFault) {
        let mut faults = self.faults.lock();
        faults.push_back((operation.to_owned(), fault));
    }

    /// Has a request go wrong, as a form says: `operation`, `fault`.
    pub(crate) fn add_fault(&self, form: &Form) -> StatusCode {
        let fault = form.get("fault").and_then(|name| ApiFault::named(name));
        match (form.get("operation"), fault) {
            (Some(operation), Some(fault)) => {
                self.fail(operation, fault);
                StatusCode::NO_CONTENT
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Sets where webhooks go, as a form says: `url`, `copies`.
    pub(crate) fn set_endpoint(&self, form: &Form) -> StatusCode {
        let copies = form.get("copies").and_then(|copies| copies.parse().ok());
        let url = form.get("url");
        match url.and_then(|url| Endpoint::parse(url, copies.unwrap_or(1))) {
            Some(endpoint) => {
                *self.endpoint.lock() = Some(endpoint);
                StatusCode::NO_CONTENT
            }
            None => StatusCode::BAD_REQUEST,
        }
    }

    /// Takes the fault that is next for an operation.
    fn fault(&self, operation: &str) -> Option<ApiFault> {
        let mut faults = self.faults.lock();
        let at = faults.iter().position(|(of, _)| of == operation)?;
        faults.remove(at).map(|(_, fault)| fault)
    }
}

/// Reads a form or a query.
pub(crate) fn form(text: &[u8]) -> Form {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Returns an answer in JSON.
pub(crate) fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// Returns an answer whose connection breaks off in the middle of the body.
pub(crate) fn broken() -> Response {
    let lost = stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
    Response::new(Body::from_stream(lost))
}

//! Asking the other service, which runs in a process of its own, by HTTP.

use crate::breaker::Breaker;
use crate::connector::connector;
use crate::trace::{Span, pass_on};
use axum::http::request::Builder;
use axum::http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// User agent of the services' own requests, which come past all proxies. Anyone may claim to be one:
/// nothing but a hint for operators may rely on it.
pub const SERVICE_AGENT: &str = "fairline-service";

const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Consecutive requests without an answer after which the service counts as away.
const FAILURES_MAX: u32 = 3;

/// The other service.
#[derive(Clone)]
pub struct RemoteService {
    name: &'static str,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    limit: Duration,
    /// Shared by all clones, so that any request is the probe for all others.
    breaker: Arc<Breaker>,
}

impl RemoteService {
    /// Returns the service at `base`, such as `http://127.0.0.1:8080`; `limit` is the longest time
    /// for an answer, and `name` stands in metrics and logs. With https its certificate must be of
    /// an authority that the system trusts.
    pub fn new(name: &'static str, base: &str, limit: Duration) -> RemoteService {
        RemoteService {
            name,
            client: Client::builder(TokioExecutor::new()).build(connector(name, base)),
            base: base.trim_end_matches('/').to_owned(),
            limit,
            breaker: Arc::new(Breaker::new(name, FAILURES_MAX)),
        }
    }

    /// Sends a request. Returns `None` if no answer came in time, or at once while the service does
    /// not answer others.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<String>,
    ) -> Option<(StatusCode, Bytes)> {
        let mut request = self.request(method, path);
        if !bearer.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        self.send(request, body).await
    }

    /// Begins a request, for headers of its own.
    pub fn request(&self, method: Method, path: &str) -> Builder {
        let url = format!("{}{path}", self.base);
        let request = Request::builder().method(method).uri(url);
        request.header(header::USER_AGENT, SERVICE_AGENT)
    }

    /// Sends a request that `request` began. None as for [`RemoteService::ask`].
    pub async fn send(
        &self,
        request: Builder,
        body: Option<String>,
    ) -> Option<(StatusCode, Bytes)> {
        let response = self.send_for_response(request, body).await?;
        Some((response.status(), response.into_body()))
    }

    /// As [`RemoteService::send`], for an answer of which the headers matter, too.
    pub async fn send_for_response(
        &self,
        request: Builder,
        body: Option<String>,
    ) -> Option<Response<Bytes>> {
        let mut request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .ok()?;
        let mut span = Span::client(self.name);
        span.text("http.request.method", request.method().as_str());
        pass_on(&span, request.headers_mut());
        let asking = async {
            let response = self.client.request(request).await;
            let response = response.inspect_err(|error| {
                let cause = error.source().map(ToString::to_string);
                tracing::debug!(%error, cause, "the other service does not answer");
            });
            let (head, body) = response.ok()?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX);
            Some(Response::from_parts(
                head,
                body.collect().await.ok()?.to_bytes(),
            ))
        };
        let call = self.breaker.call()?;
        let answer = timeout(self.limit, asking).await.ok().flatten();
        match &answer {
            Some(response) => {
                let status = i64::from(response.status().as_u16());
                span.number("http.response.status_code", status);
                call.succeeded();
            }
            None => {
                span.fail("unanswered");
                call.failed();
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// A server that takes requests and answers them only when it is told to.
    #[derive(Default)]
    struct Stalled {
        requests: AtomicUsize,
        answers: AtomicBool,
    }

    impl Stalled {
        async fn start() -> (Arc<Stalled>, RemoteService) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let server = Arc::new(Stalled::default());
            let accepting = server.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(accepting.clone().serve(stream));
                }
            });
            let remote = RemoteService::new("test", &base, Duration::from_millis(500));
            (server, remote)
        }

        async fn serve(self: Arc<Stalled>, mut stream: TcpStream) {
            let mut request = [0; 1024];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                self.requests.fetch_add(1, Ordering::Relaxed);
                if self.answers.load(Ordering::Relaxed) && stream.write_all(OK).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Sends so many requests at the same time, and returns the number of those that were answered.
    async fn ask(remote: &RemoteService, count: usize) -> usize {
        let mut asking = JoinSet::new();
        for _ in 0..count {
            let remote = remote.clone();
            asking.spawn(async move { remote.ask(Method::GET, "/", "", None).await });
        }
        asking.join_all().await.iter().flatten().count()
    }

    #[tokio::test]
    async fn a_stalled_service_is_probed_by_one_request_at_a_time_until_it_answers() {
        let (server, remote) = Stalled::start().await;
        for _ in 0..FAILURES_MAX {
            assert_eq!(ask(&remote, 1).await, 0);
        }
        let mut before = server.requests.load(Ordering::Relaxed);
        assert_eq!(before, FAILURES_MAX as usize);
        let mut probes = 0;
        while probes < 3 {
            assert_eq!(ask(&remote, 50).await, 0);
            let requests = server.requests.load(Ordering::Relaxed);
            assert!(requests - before <= 1, "{} of 50", requests - before);
            probes += requests - before;
            before = requests;
            tokio::task::yield_now().await;
        }
        server.answers.store(true, Ordering::Relaxed);
        while ask(&remote, 1).await == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&remote, 5).await, 5);
    }
}

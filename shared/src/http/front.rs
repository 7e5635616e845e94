//! The front of an application, before anything is routed: the gate is answered here.
//!
//! A site's reverse proxy asks the gate about every picture of every page. The middleware of other
//! routes would cost a multiple of the answer, and none of it may refuse such a question: a proxy
//! answers 500 to the visitor unless it gets success, 401 or 403.

use super::client_address::client_address;
use super::middleware::{Finished, finish, log_panic};
use super::permit::peer;
use super::proxy_check::check_proxy;
use crate::context::AppContext;
use crate::deadline;
use crate::trace::RequestTrace;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::future::RouteFuture;
use futures_util::FutureExt as _;
use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::Service;

/// The gate, which tells a site's reverse proxy whether a request may pass. All answers are 200 or
/// 204, 302, 401 or 403.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Answers a question, within a few seconds whatever happens to the stores.
    async fn answer(&self, question: &Question<'_>) -> Response;

    /// Answers a question whose answer panicked, from the question alone.
    fn answer_unasked(&self, question: &Question<'_>) -> Response;

    /// Returns whether a request passes of which nothing is known.
    fn lets_unknown_pass(&self) -> bool;
}

/// A question to the gate.
pub struct Question<'a> {
    /// The method by which the proxy asks.
    pub method: &'a Method,
    /// The path, without the prefix of our own paths.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The address that the request counts for, if a proxy tells it.
    pub address: Option<IpAddr>,
    /// The prefix of our own paths under which the question came; empty for none.
    pub prefix: &'a str,
}

/// All routes of an application, and its gate, if it has one.
#[derive(Clone)]
pub struct Front {
    router: Router,
    gate: Option<Arc<Gatekeeper>>,
}

/// The gate with what is done around each answer.
struct Gatekeeper {
    gate: Arc<dyn Gate>,
    site: Arc<AppContext>,
}

impl From<Router> for Front {
    fn from(router: Router) -> Front {
        Front { router, gate: None }
    }
}

impl Front {
    /// Puts a gate in front of the routes.
    pub fn new(router: Router, gate: Arc<dyn Gate>, site: &Arc<AppContext>) -> Front {
        let site = site.clone();
        Front {
            router,
            gate: Some(Arc::new(Gatekeeper { gate, site })),
        }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>,
        RouteFuture<Infallible>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(gate) = &self.gate
            && let Some(asked) = Asked::read(request.uri().path(), &gate.site.path_prefix)
        {
            let answering = gate.clone().answer(request, asked);
            return Either::Left(Box::pin(answering.map(Ok)));
        }
        Either::Right(self.router.call(request))
    }
}

/// A question to the gate: the length of the prefix before it, and its route.
struct Asked {
    prefix_bytes: usize,
    route: &'static str,
}

impl Asked {
    /// Reads a path. None unless it is the gate's.
    fn read(path: &str, prefix: &str) -> Option<Asked> {
        let route_behind = |prefix: &str| {
            let rest = path.strip_prefix(prefix)?;
            let route = gate_route(rest)?;
            let prefix_bytes = prefix.len();
            Some(Asked {
                prefix_bytes,
                route,
            })
        };
        let behind = (!prefix.is_empty()).then(|| route_behind(prefix)).flatten();
        behind.or_else(|| route_behind(""))
    }
}

/// Returns the route of a path of the gate, by which its answers are counted. A path without an
/// event is one as well: a proxy whose configuration lacks it is to be told yes or no, as of any
/// event that does not exist.
fn gate_route(path: &str) -> Option<&'static str> {
    if after_segment(path, "/auth-request").is_some() {
        return Some("/auth-request/{event}/{method}");
    }
    match after_segment(path, "/gate")?.split_once('/') {
        None => Some("/gate/{event}"),
        Some((_, "")) => Some("/gate/{event}/"),
        Some(_) => Some("/gate/{event}/{*rest}"),
    }
}

/// Returns the rest of a path after its first segment, such as `/gate`, without the slash between them;
/// `None` if it begins with another one.
pub fn after_segment<'a>(path: &'a str, first: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(first)?;
    rest.strip_prefix('/').or(rest.is_empty().then_some(""))
}

impl Gatekeeper {
    /// Answers a question. The future owns what it needs, so that it may outlive the connection's
    /// call.
    async fn answer(self: Arc<Self>, request: Request, asked: Asked) -> Response {
        let answering = AssertUnwindSafe(self.answer_once(request, asked)).catch_unwind();
        answering.await.unwrap_or_else(|_| self.answer_at_least())
    }

    /// Returns the answer to a question about which everything else panicked.
    fn answer_at_least(&self) -> Response {
        log_panic();
        let status = if self.gate.lets_unknown_pass() {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        (status, [(header::CACHE_CONTROL, "no-store")]).into_response()
    }

    async fn answer_once(&self, request: Request, asked: Asked) -> Response {
        let trace = self.site.traces.begin(request.headers());
        let scope = trace.scope.clone();
        let answering = deadline::cover(self.answer_traced(trace, request, asked));
        scope.cover(answering).await
    }

    async fn answer_traced(&self, trace: RequestTrace, request: Request, asked: Asked) -> Response {
        let site = &*self.site;
        let address = client_address(peer(&request), request.headers(), site.trusted_hops);
        check_proxy(site, request.headers(), address);
        // The body is no part of the question.
        let (
            Parts {
                method,
                uri,
                headers,
                ..
            },
            _,
        ) = request.into_parts();
        let (prefix, path) = uri.path().split_at(asked.prefix_bytes);
        let question = Question {
            method: &method,
            path,
            query: uri.query(),
            headers: &headers,
            address,
            prefix,
        };
        let answering = AssertUnwindSafe(self.gate.answer(&question)).catch_unwind();
        let mut response = answering.await.unwrap_or_else(|_| {
            log_panic();
            self.gate.answer_unasked(&question)
        });
        if method == Method::HEAD {
            without_body(&mut response);
        }
        let finished = Finished {
            trace,
            method: &method,
            route: asked.route,
            is_shed: false,
        };
        finish(site, finished, response)
    }
}

/// Drops the body of an answer to HEAD; its length stays.
fn without_body(response: &mut Response) {
    if let Some(length) = response.body().size_hint().exact() {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTH_REQUEST: Option<&str> = Some("/auth-request/{event}/{method}");

    fn route(path: &str, prefix: &str) -> Option<(&'static str, usize)> {
        let asked = Asked::read(path, prefix)?;
        Some((asked.route, asked.prefix_bytes))
    }

    #[test]
    fn paths_of_the_gate_have_routes_with_and_without_the_prefix() {
        for (path, wanted) in [
            ("/gate/night", Some("/gate/{event}")),
            ("/gate/night/", Some("/gate/{event}/")),
            ("/gate/night//a/b", Some("/gate/{event}/{*rest}")),
            ("/gate/%C3/x", Some("/gate/{event}/{*rest}")),
            ("/auth-request/night/GET", AUTH_REQUEST),
            // No event has these names, and a proxy is to be told no, as of any other.
            ("/gate", Some("/gate/{event}")),
            ("/gate/", Some("/gate/{event}")),
            ("/gate//x", Some("/gate/{event}/{*rest}")),
            ("/auth-request", AUTH_REQUEST),
            ("/auth-request/", AUTH_REQUEST),
            ("/auth-request//GET", AUTH_REQUEST),
            ("/auth-request/night", AUTH_REQUEST),
            ("/auth-request/night/", AUTH_REQUEST),
            ("/auth-request/night/GET/x", AUTH_REQUEST),
            ("/gates/night", None),
            ("/auth-requests/night/GET", None),
            ("/e/gate/night", None),
        ] {
            assert_eq!(route(path, ""), wanted.map(|wanted| (wanted, 0)), "{path}");
            let under = format!("/.fairline{path}");
            let wanted = wanted.map(|wanted| (wanted, "/.fairline".len()));
            assert_eq!(route(&under, "/.fairline"), wanted, "{under}");
        }
        assert_eq!(
            route("/gate/night", "/.fairline"),
            Some(("/gate/{event}", 0))
        );
        assert_eq!(route("/.fairline/gate/night", ""), None);
    }
}

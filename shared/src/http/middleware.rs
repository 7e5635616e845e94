//! Middleware common to all responses of a service.

use super::client_address::{ClientAddress, client_address};
use super::load::Class;
use super::overloaded::refuse;
use super::path_prefix::{PathPrefix, with_prefix};
use super::permit::Peer;
use super::problem::Problem;
use super::security_headers::set_headers;
use super::undeclared::{RefuseUndeclared, is_gate};
use crate::context::{AppContext, check};
use crate::metrics::http::{RequestId, count, route_label};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::OpenApi;

/// A handler must answer within this; reading a slow body counts.
const REQUEST: Duration = Duration::from_secs(30);

/// Wraps a router in the middleware common to all responses (limits, headers, compression, logs,
/// metrics) and adds the routes that both services have: static files, the organiser's session and
/// audit log, the documents.
pub fn with_middleware(router: Router, site: &Arc<AppContext>, mut description: OpenApi) -> Router {
    let sweeping = site.clone();
    tokio::spawn(async move {
        while !sweeping.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_secs(30)).await;
            sweeping.limits.sweep();
        }
    });
    if let Some(purger) = site.edge.purger() {
        tokio::spawn(purger.run(site.stop.clone()));
    }
    tokio::spawn(site.load.clone().watch(site.stop.clone()));
    let (currencies, more) = crate::currencies::routes();
    description.merge(more);
    let refuse_undeclared = RefuseUndeclared::new(&description);
    let router = router
        .merge(currencies)
        .merge(crate::organiser::routes().with_state(site.clone()))
        .merge(crate::http::openapi::routes(description, site))
        .route(
            "/static/{*path}",
            axum::routing::get(crate::http::static_files::file).with_state(site.clone()),
        )
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async {
            Problem::of_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        // One stack, outermost first: each further call of `layer` would cost every request two
        // allocations.
        .layer((
            from_fn_with_state(site.clone(), around),
            CompressionLayer::new(),
            CatchPanicLayer::custom(|_| {
                tracing::error!("a handler panicked");
                Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
            }),
            refuse_undeclared,
        ));
    with_prefix(router, &site.path_prefix)
}

/// Runs work that must not stop half way in a task of its own, to its end, even if the client hangs
/// up or the time to answer is over.
///
/// # Errors
/// Those of the work; 500 if it panicked.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|_| Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)))
}

/// Limits the time of a response. One that is there at once costs no timer.
async fn in_time(response: impl Future<Output = Response>) -> Response {
    let response = tokio::time::timeout(REQUEST, response).await;
    response.unwrap_or_else(|_| Problem::of_status(StatusCode::REQUEST_TIMEOUT).into_response())
}

async fn around(State(site): State<Arc<AppContext>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let peer = peer.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let address = client_address(peer, request.headers(), site.trusted_hops);
    if let Some(address) = address {
        request.extensions_mut().insert(ClientAddress(address));
    }
    let route = request.extensions().get::<MatchedPath>();
    let route = route_label(route.map_or("none", MatchedPath::as_str));
    let method = request.method().clone();
    let id = RequestId(rand::random());
    let request_id = id.to_string();
    let is_gate = is_gate(route);
    let limited = address.filter(|_| !is_gate);
    let refused = limited.and_then(|address| check(&site.limits.requests, address).err());
    let mut is_shed = false;
    let response = match refused {
        Some(problem) => problem.into_response(),
        None if is_gate => in_time(next.run(request)).await,
        None => match site.load.enter(Class::of(&method, route)) {
            Ok(place) => in_time(next.run(request.map(|body| place.track(body)))).await,
            Err(problem) => {
                is_shed = true;
                let prefix = request.extensions().get::<PathPrefix>().cloned();
                let prefix = prefix.unwrap_or_default();
                refuse(&prefix, &method, request.headers(), problem)
            }
        },
    };
    let mut response = as_problem(response);
    let status = response.status();
    count(&method, route, status, started.elapsed(), id);
    let status = status.as_u16();
    // A line for each refusal would be more work than some requests are.
    if status >= 500 && !is_shed {
        tracing::warn!(%method, %route, status, request_id, "request failed");
    } else {
        tracing::debug!(%method, %route, status, request_id, "request");
    }
    set_headers(&site, &mut response, &request_id);
    response
}

/// Turns a refusal that a library wrote as plain text into a problem like all others.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if status.as_u16() < 400 || !is_plain {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut problem = Problem::of_status(status).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}

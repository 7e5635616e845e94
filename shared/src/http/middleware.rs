//! Middleware common to all responses of a service.

use super::client_address::{ClientAddress, client_address};
use super::cors::AllowOrigins;
use super::document::may_compress;
use super::load::{Class, cover};
use super::message_page::{answer_unknown, wants_page};
use super::overloaded::refuse;
use super::page_request::PageRequest;
use super::path_prefix::with_prefix;
use super::permit::peer;
use super::problem::Problem;
use super::proxy_check::check_proxy;
use super::request_head::bad_head;
use super::security_headers::set_headers;
use super::undeclared::RefuseUndeclared;
use crate::context::AppContext;
use crate::deadline;
use crate::metrics::http::{count, route_label};
use crate::metrics::method::method_label;
use crate::trace::{Answered, RequestTrace};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::TryFutureExt as _;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _};
use utoipa::openapi::OpenApi;

/// A handler must answer within this; reading a slow body counts.
const REQUEST: Duration = Duration::from_secs(30);
/// Beginning of the routes of webhooks.
const WEBHOOKS: &str = "/webhooks/";

/// Wraps a router in the middleware common to all responses (limits, headers, compression, logs,
/// metrics) and adds the routes that both services have: static files, the organiser's session and
/// audit log, the documents.
pub fn with_middleware(router: Router, site: &Arc<AppContext>, mut description: OpenApi) -> Router {
    let auditing = site.clone();
    tokio::spawn(async move {
        while !auditing.stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(30)) => {}
                () = auditing.stop.cancelled() => {}
            }
            let (now, is_last) = (auditing.clock.now(), auditing.stop.is_cancelled());
            auditing.audit.settle(now, is_last).await;
        }
    });
    tokio::spawn(crate::organiser::follow(site.clone()));
    let reporting = site.clone();
    tokio::spawn(async move { reporting.limits.report(&reporting.stop).await });
    if let Some(purger) = site.edge.purger() {
        tokio::spawn(purger.run(site.stop.clone()));
    }
    site.load.clone().watch(site.stop.clone());
    let (currencies, more) = crate::currencies::routes();
    description.merge(more);
    let (organisers, more) = crate::organiser::routes();
    description.merge(more);
    let (proxy_signs, more) = super::proxy_check::routes();
    description.merge(more);
    let (warnings, more) = super::settings_warnings::routes();
    description.merge(more);
    let refuse_undeclared = RefuseUndeclared::new(&description, site);
    let router = router
        .merge(currencies)
        .merge(organisers.with_state(site.clone()))
        .merge(proxy_signs.with_state(site.clone()))
        .merge(warnings.with_state(site.clone()))
        .merge(crate::http::openapi::routes(description, site))
        .route(
            "/static/{*path}",
            axum::routing::get(crate::http::static_files::file).with_state(site.clone()),
        )
        .fallback(answer_unknown)
        .method_not_allowed_fallback(|| async {
            Problem::of_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        // One stack, outermost first: each further call of `layer` would cost every request two
        // allocations.
        .layer((
            AllowOrigins::new(site),
            from_fn_with_state(site.clone(), around),
            CompressionLayer::new().compress_when(DefaultPredicate::new().and(may_compress)),
            CatchPanicLayer::custom(|_| panicked()),
            refuse_undeclared,
        ));
    with_prefix(router, &site.path_prefix)
}

/// Limits the time of a response. One that is there at once costs no timer.
fn in_time(response: impl Future<Output = Response>) -> impl Future<Output = Response> {
    let late = |_| Problem::of_status(StatusCode::REQUEST_TIMEOUT).into_response();
    tokio::time::timeout(REQUEST, response).unwrap_or_else(late)
}

async fn around(State(site): State<Arc<AppContext>>, request: Request, next: Next) -> Response {
    let trace = site.traces.begin(request.headers());
    let scope = trace.scope.clone();
    let answering = deadline::cover(answer(site, trace, request, next));
    scope.cover(answering).await
}

async fn answer(
    site: Arc<AppContext>,
    trace: RequestTrace,
    mut request: Request,
    next: Next,
) -> Response {
    let address = client_address(peer(&request), request.headers(), site.trusted_hops);
    check_proxy(&site, request.headers(), address);
    if let Some(address) = address {
        request.extensions_mut().insert(ClientAddress(address));
    }
    let route = request.extensions().get::<MatchedPath>();
    let route = route_label(route.map_or("none", MatchedPath::as_str));
    let method = request.method().clone();
    let refused = bad_head(&request).map(Problem::of_status);
    let refused = refused.or_else(|| {
        // A payment provider sends all its webhooks from few addresses; those without its signature
        // are counted by their handler.
        let limited = address.filter(|_| !route.starts_with(WEBHOOKS))?;
        let counted = site.limits.requests.check(limited);
        counted.err().map(Problem::too_many)
    });
    let mut is_shed = false;
    let response = match refused {
        Some(problem) => problem.into_response(),
        None => match within_limits(&site, &method, route, request, next).await {
            Ok(response) => response,
            Err(refusal) => {
                is_shed = true;
                refusal
            }
        },
    };
    let finished = Finished {
        trace,
        method: &method,
        route,
        is_shed,
    };
    finish(&site, finished, response)
}

/// A request that was answered.
pub(super) struct Finished<'a> {
    pub(super) trace: RequestTrace,
    pub(super) method: &'a Method,
    pub(super) route: &'static str,
    /// It was refused because of overload.
    pub(super) is_shed: bool,
}

/// Counts and logs an answer, and gives it the headers of all answers.
pub(super) fn finish(site: &AppContext, finished: Finished<'_>, response: Response) -> Response {
    let Finished {
        trace,
        method,
        route,
        is_shed,
    } = finished;
    let mut response = as_problem(response);
    let status = response.status();
    let answered = Answered {
        method,
        route,
        status,
    };
    count(&answered, trace.began.elapsed(), &trace.scope);
    let method = method_label(method);
    // A line for each refusal would be more work than some requests are.
    if status.is_server_error() && !is_shed {
        tracing::warn!(%method, %route, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(%method, %route, status = status.as_u16(), "request");
    }
    set_headers(site, &mut response, &trace.scope);
    trace.end(&answered);
    response
}

/// Answers a request whose handler panicked.
fn panicked() -> Response {
    log_panic();
    Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
}

/// Logs that the handler of a request panicked.
pub(super) fn log_panic() {
    tracing::error!("a handler panicked");
}

/// Has a request answered, or refuses it because of overload.
async fn within_limits(
    site: &AppContext,
    method: &Method,
    route: &str,
    request: Request,
    next: Next,
) -> Result<Response, Response> {
    let class = Class::of(method, route);
    let wants_page = wants_page(request.headers());
    let (uri, headers) = (request.uri(), request.headers());
    let read = || PageRequest::read(method, uri, headers, request.extensions());
    let page = wants_page.then(read);
    let refused = |problem| refuse(page.as_ref(), method, problem);
    let place = site.load.enter(class, method).map_err(refused)?;
    let answering = next.run(request.map(|body| place.track(body)));
    let response = in_time(cover(&place, answering)).await;
    place.answered();
    if place.is_refused() {
        return Err(refused(site.load.refuse(class)));
    }
    Ok(response)
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

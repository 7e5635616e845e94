//! Middleware common to all responses, the operations listener, metrics and the stop signal.

use crate::context::{AppContext, check};
use crate::crypto::{hex, random};
use crate::http::listener::{Caps, Peer, bind, serve};
use crate::http::undeclared::{Declared, refuse_undeclared};
use crate::limit::client_address;
use crate::problem::Problem;
use crate::settings::Settings;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use metrics::{Label, SharedString};
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::OpenApi;

/// A handler must answer within this; reading a slow body counts.
const REQUEST: Duration = Duration::from_secs(30);
/// The address that a request counts for. A request without this extension has none that its proxy would tell.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Puts around a router what every answer of ours has: the static files, the organiser's session and audit log,
/// problems for what is not found, limits, headers, compression, logs and metrics.
pub fn finish(router: Router, site: &Arc<AppContext>, mut description: OpenApi) -> Router {
    let sweeping = site.clone();
    tokio::spawn(async move {
        while !sweeping.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_secs(30)).await;
            sweeping.limits.sweep();
        }
    });
    let (currencies, more) = crate::currencies::routes();
    description.merge(more);
    let declared = Arc::new(Declared::of(&description));
    router
        .merge(currencies)
        .merge(crate::organiser::routes().with_state(site.clone()))
        .merge(crate::openapi::routes(description))
        .route("/static/{*path}", axum::routing::get(crate::pages::file))
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async {
            Problem::of_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        .layer(from_fn_with_state(declared, refuse_undeclared))
        .layer(from_fn(in_time))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(site.clone(), around))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::of_status(StatusCode::REQUEST_TIMEOUT).into_response(),
    }
}

/// Whether a route is the gate's. A site's reverse proxy asks it on behalf of all visitors, and answers 500 to them where it
/// hears anything but success, 401 or 403: no limit per address applies, and nothing that a request carries is refused.
pub(crate) fn is_gate(route: &str) -> bool {
    route.starts_with("/gate/")
}

async fn around(State(site): State<Arc<AppContext>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let peer = peer.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let address = client_address(peer, request.headers(), site.trusted_hops);
    if let Some(address) = address {
        request.extensions_mut().insert(ClientAddress(address));
    }
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route: Arc<str> = route.as_ref().map_or("none", MatchedPath::as_str).into();
    let method = request.method().clone();
    let request_id = hex(&random::<8>());
    let limited = address.filter(|_| !is_gate(&route));
    let refused = limited.and_then(|address| check(&site.limits.requests, address).err());
    let response = match refused {
        None => next.run(request).await,
        Some(problem) => problem.into_response(),
    };
    let mut response = as_problem(response);
    let status = response.status().as_u16();
    count(&method, &route, status, started.elapsed());
    if status >= 500 {
        tracing::warn!(%method, %route, status, request_id, "request failed");
    } else {
        tracing::debug!(%method, %route, status, request_id, "request");
    }
    set_headers(&site, &mut response, &request_id);
    response
}

/// Counts an answer. Most labels are words that stand in the program, so that nothing is copied for them.
fn count(method: &Method, route: &Arc<str>, status: u16, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let status = match status {
        200 => "200".into(),
        201 => "201".into(),
        204 => "204".into(),
        other => SharedString::from(other.to_string()),
    };
    let route = || SharedString::from_shared(route.clone());
    let labels = [
        Label::from_static_parts("method", method),
        Label::new("route", route()),
        Label::new("status", status),
    ];
    metrics::counter!("fairline_requests_total", labels.iter()).increment(1);
    metrics::histogram!("fairline_request_seconds", "route" => route()).record(took.as_secs_f64());
}

/// A refusal that a library wrote as plain text becomes a problem like all others.
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

const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

fn set_headers(site: &AppContext, response: &mut Response, request_id: &str) {
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: HeaderValue| {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(value);
    };
    set("content-security-policy", HeaderValue::from_static(POLICY));
    set(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    set("x-frame-options", HeaderValue::from_static("DENY"));
    set("referrer-policy", HeaderValue::from_static("same-origin"));
    set(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    set("cache-control", HeaderValue::from_static("no-store"));
    if site.https {
        let year = HeaderValue::from_static("max-age=31536000");
        set("strict-transport-security", year);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        set("x-request-id", value);
    }
}

/// What the operations listener answers from.
#[derive(Clone)]
pub struct Operations {
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Whose health and stop signal `/readyz` tells.
    pub site: Arc<AppContext>,
}

/// `/livez`, `/readyz`, `/metrics`: for a listener of their own that the public never reaches.
pub fn operations(operations: Operations) -> Router {
    use axum::routing::get;
    let ready = |State(operations): State<Operations>| async move {
        if operations.site.stop.is_cancelled() || !operations.site.health.is_ready() {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        } else {
            (StatusCode::OK, "ready\n")
        }
    };
    let metrics = |State(operations): State<Operations>| async move { operations.metrics.render() };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operations)
}

/// The listeners, bound: from here on nothing but the stop signal ends the process.
pub struct Listeners {
    public: TcpListener,
    operations: TcpListener,
    caps: Caps,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn bind(settings: &Settings) -> Result<Listeners, String> {
        let public = bind(settings.listen).await?;
        let operations = bind(settings.ops_listen).await?;
        let caps = settings.caps;
        Ok(Listeners {
            public,
            operations,
            caps,
        })
    }

    /// Serves until the site's stop signal, then drains.
    pub async fn run(self, app: Router, operations: Operations) {
        let stop = operations.site.stop.clone();
        tracing::info!("serving");
        let caps = Caps {
            connections_max: 64,
            connections_per_address_max: 0,
        };
        // The operations listener goes on while the public one drains, so that `/readyz` can say so.
        let ops_stop = CancellationToken::new();
        let routes = self::operations(operations);
        let ops = tokio::spawn(serve(self.operations, routes, caps, ops_stop.clone()));
        serve(self.public, app, self.caps, stop).await;
        ops_stop.cancel();
        let _ = ops.await;
    }
}

/// Starts the metrics recorder; a second start in one process answers a recorder that nothing writes to.
pub fn start_metrics() -> PrometheusHandle {
    use metrics_exporter_prometheus::PrometheusBuilder;
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _ = metrics::set_global_recorder(recorder);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    handle
}

/// Cancels `stop` on SIGTERM or Ctrl-C.
pub fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .expect("a process may listen for SIGTERM");
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        // The signal counts even where the log cannot be written.
        stop.cancel();
        tracing::info!("stopping");
    });
}

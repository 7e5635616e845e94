//! Serving: our own accept loop on hyper (timeouts, caps, a drain that knows its WebSockets), and what is around every handler.

use crate::limit::client_address;
use crate::problem::Problem;
use crate::secret::{hex, random};
use crate::settings::Settings;
use crate::site::{Site, check};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Label, SharedString};
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

/// A request's head, and an idle connection, must make progress within this.
const HEADER_READ: Duration = Duration::from_secs(10);
/// A handler must answer within this; reading a slow body counts.
const REQUEST: Duration = Duration::from_secs(30);
/// How long a drain waits for connections and sockets to end by themselves.
const DRAIN: Duration = Duration::from_secs(15);
/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How many connections are accepted.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// In all.
    pub connections_max: usize,
    /// From one peer address; 0 sets no cap. With proxies in front it counts proxies, so leave it to them.
    pub connections_per_address_max: usize,
}

/// The address that a request counts for.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

#[derive(Clone, Copy)]
struct Peer(IpAddr);

type PerAddress = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A place among the connections, given back when dropped. A WebSocket keeps it for as long as it lives, which is how
/// the drain knows of it.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    address: IpAddr,
    counted: PerAddress,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counted.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counted.remove(&self.address);
            }
        }
    }
}

/// Serves until `stop`, then drains: no new connection, no new request on an old one, WebSockets told to come back.
pub async fn serve(listener: TcpListener, app: Router, caps: Caps, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(caps.connections_max));
    let counted = PerAddress::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors: wait until some are free again instead of spinning.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        match take_place(&room, &counted, peer.ip().to_canonical(), caps) {
            Some(place) => {
                tokio::spawn(connection(stream, app.clone(), place, stop.clone()));
            }
            None => metrics::counter!("fairline_connections_refused_total").increment(1),
        }
    }
    drop(listener);
    let all = u32::try_from(caps.connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(DRAIN, room.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the drain");
    }
}

fn take_place(
    room: &Arc<Semaphore>,
    counted: &PerAddress,
    address: IpAddr,
    caps: Caps,
) -> Option<Arc<Place>> {
    let permit = room.clone().try_acquire_owned().ok()?;
    let mut map = counted.lock().unwrap_or_else(PoisonError::into_inner);
    let count = map.entry(address).or_default();
    if caps.connections_per_address_max > 0 && *count >= caps.connections_per_address_max {
        return None;
    }
    *count += 1;
    Some(Arc::new(Place {
        _permit: permit,
        address,
        counted: counted.clone(),
    }))
}

async fn connection(stream: TcpStream, app: Router, place: Arc<Place>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let peer = Peer(place.address);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(place.clone());
        let app = app.clone();
        async move { Ok::<_, Infallible>(app.oneshot(request).await.into_response()) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    // Both arms are safe to drop: the connection is told to finish once, then awaited to its end.
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Puts around a router what every answer of ours has: the static files, the organiser's session and audit log,
/// problems for what is not found, limits, headers, compression, logs and metrics.
pub fn finish(router: Router, site: &Arc<Site>, description: utoipa::openapi::OpenApi) -> Router {
    let sweeping = site.clone();
    tokio::spawn(async move {
        while !sweeping.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_secs(30)).await;
            sweeping.limits.sweep();
        }
    });
    router
        .merge(crate::organiser::routes().with_state(site.clone()))
        .merge(crate::openapi::routes(description))
        .route("/static/{*path}", axum::routing::get(crate::pages::file))
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async {
            Problem::of_status(StatusCode::METHOD_NOT_ALLOWED)
        })
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

async fn around(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let peer = peer.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let address = client_address(peer, request.headers(), site.trusted_hops);
    request.extensions_mut().insert(ClientAddress(address));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route: Arc<str> = route.as_ref().map_or("none", MatchedPath::as_str).into();
    let method = request.method().clone();
    let request_id = hex(&random::<8>());
    let response = match check(&site.limits.requests, address) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
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

fn set_headers(site: &Site, response: &mut Response, request_id: &str) {
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
    pub site: Arc<Site>,
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

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let listen = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // A long backlog: an on-sale is a burst of connections.
        socket.listen(4096)
    };
    socket
        .and_then(listen)
        .map_err(|error| format!("cannot listen on {address}: {error}"))
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
        tracing::info!("stopping");
        stop.cancel();
    });
}

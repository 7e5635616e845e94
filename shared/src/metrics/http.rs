//! Metrics of requests and connections.

use super::method::method_label;
use super::registry::{Registry, SECONDS};
use crate::trace::{Answered, RequestId, Scope, TraceId};
use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

/// Connections over a limit.
pub(crate) static CONNECTIONS_REFUSED: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Connections of trusted proxies without a readable PROXY header.
pub(crate) static PROXY_HEADERS_FAILED: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Failed TLS handshakes.
pub(crate) static HANDSHAKES_FAILED: LazyLock<Counter> = LazyLock::new(Counter::default);
/// End of the certificate that is served, in seconds since 1970; 0 without TLS.
pub(crate) static CERTIFICATE_EXPIRES: LazyLock<Gauge> = LazyLock::new(Gauge::default);

static REQUESTS: LazyLock<Family<RequestLabels, Counter>> = LazyLock::new(Family::default);
static REQUEST_SECONDS: LazyLock<Family<RouteLabels, HistogramWithExemplars<Exemplar>>> =
    LazyLock::new(|| {
        Family::new_with_constructor(|| HistogramWithExemplars::new(SECONDS.into_iter()))
    });
/// Routes seen so far. Locked for a look-up.
static ROUTES: LazyLock<RwLock<HashSet<&'static str>>> = LazyLock::new(RwLock::default);

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_requests_total",
        "Requests answered, by method, route and status; unknown methods are 'other', paths without a route 'none'",
        REQUESTS.clone(),
    );
    registry.add(
        "fairline_request_seconds",
        "Time from the head of a request to its answer, with the X-Request-Id of one request a bucket as exemplar, and its trace if that was recorded",
        REQUEST_SECONDS.clone(),
    );
    registry.add(
        "fairline_connections_refused_total",
        "Connections refused because of a limit",
        CONNECTIONS_REFUSED.clone(),
    );
    registry.add(
        "fairline_proxy_headers_failed_total",
        "Connections of trusted proxies that ended without a readable PROXY header",
        PROXY_HEADERS_FAILED.clone(),
    );
    registry.add(
        "fairline_tls_handshakes_failed_total",
        "TLS handshakes that failed",
        HANDSHAKES_FAILED.clone(),
    );
    registry.add(
        "fairline_tls_certificate_expires_timestamp_seconds",
        "End of the certificate that is served, in seconds since 1970; 0 without TLS",
        CERTIFICATE_EXPIRES.clone(),
    );
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

/// A request that stands for others in a bucket.
#[derive(Clone, Copy, Debug)]
struct Exemplar {
    request_id: RequestId,
    /// Trace that was recorded.
    trace_id: Option<TraceId>,
}

impl EncodeLabelSet for Exemplar {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let request_id = Some(("request_id", self.request_id.to_string()));
        let trace_id = self.trace_id.map(|id| ("trace_id", id.to_string()));
        let labels: Vec<_> = request_id.into_iter().chain(trace_id).collect();
        labels.encode(encoder)
    }
}

/// Returns a route as a label. Routes are the program's own, so each is kept for good; a path is
/// never one.
pub(crate) fn route_label(route: &str) -> &'static str {
    if let Some(known) = ROUTES.read().get(route) {
        return known;
    }
    let mut routes = ROUTES.write();
    if let Some(known) = routes.get(route) {
        return known;
    }
    let route = Box::leak(Box::from(route));
    routes.insert(route);
    route
}

/// Counts an answered request. Allocates nothing once each of its series exists.
pub(crate) fn count(answered: &Answered<'_>, took: Duration, scope: &Scope) {
    let route = answered.route;
    let method = method_label(answered.method);
    let status = answered.status.as_u16();
    let labels = RequestLabels {
        method,
        route,
        status,
    };
    REQUESTS.get_or_create(&labels).inc();
    let seconds = REQUEST_SECONDS.get_or_create(&RouteLabels { method, route });
    let exemplar = Exemplar {
        request_id: scope.request_id(),
        trace_id: scope.is_traced().then(|| scope.trace_id()),
    };
    seconds.observe(took.as_secs_f64(), Some(exemplar), None);
}

//! The operations listener: liveness, readiness and metrics, apart from the public listener.

use super::front::Front;
use super::listener::{Caps, Transport, bind, serve};
use crate::context::AppContext;
use crate::metrics::Registry;
use crate::settings::Settings;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Subject of the reports of an operations listener.
pub struct Operations {
    /// The metrics.
    pub metrics: Arc<Registry>,
    /// The health and the stop signal that `/readyz` reports.
    pub site: Arc<AppContext>,
}

/// Answer of `/readyz`.
pub struct Readiness {
    /// True if the process does its work.
    pub is_ready: bool,
    /// The fault, in a sentence for the operator, also while the process works on.
    pub trouble: Option<String>,
}

/// Routes of `/livez`, `/readyz` and `/metrics`, for a listener of their own that the public never
/// reaches.
pub fn operations(operations: Operations) -> Router {
    let Operations { metrics, site } = operations;
    operations_of(metrics, move || Readiness {
        is_ready: !site.stop.is_cancelled() && site.health.is_ready(),
        trouble: site.health.trouble(),
    })
}

/// As `operations`, for a process that answers for its readiness itself.
pub fn operations_of(
    metrics: Arc<Registry>,
    readiness: impl Fn() -> Readiness + Clone + Send + Sync + 'static,
) -> Router {
    use axum::routing::get;
    let ready = || async move {
        let Readiness { is_ready, trouble } = readiness();
        let trouble = trouble.unwrap_or_default();
        match is_ready {
            true => (StatusCode::OK, format!("ready\n{trouble}")),
            false => {
                let body = format!("not ready\n{trouble}");
                (StatusCode::SERVICE_UNAVAILABLE, body)
            }
        }
    };
    let rendered = |State(metrics): State<Arc<Registry>>, headers: HeaderMap| async move {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let rendered = metrics.render(accept.unwrap_or_default());
        (
            [(header::CONTENT_TYPE, rendered.content_type)],
            rendered.body,
        )
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(rendered))
        .with_state(metrics)
}

/// Limits of an operations listener.
pub const OPERATIONS_CAPS: Caps = Caps {
    connections_max: 64,
    connections_per_address_max: 0,
};

/// The public and the operations listener, bound: from here on only the stop signal ends the
/// process.
pub struct Listeners {
    public: TcpListener,
    operations: TcpListener,
    transport: Transport,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    pub async fn bind(settings: &Settings) -> Result<Listeners, String> {
        let named = |setting| move |error: String| format!("{setting}: {error}");
        let public = bind(settings.listen).await;
        let public = public.map_err(named("FAIRLINE_LISTEN"))?;
        let operations = bind(settings.ops_listen).await;
        let operations = operations.map_err(named("FAIRLINE_OPS_LISTEN"))?;
        Ok(Listeners {
            public,
            operations,
            transport: settings.transport.clone(),
        })
    }

    /// Serves until the site's stop signal, then drains.
    pub async fn run(self, app: Front, operations: Operations) {
        let stop = operations.site.stop.clone();
        tracing::info!("serving");
        // The operations listener goes on while the public one drains, so that `/readyz` can say
        // so.
        let ops_stop = CancellationToken::new();
        let routes = self::operations(operations);
        let ops = tokio::spawn(serve(
            self.operations,
            routes,
            OPERATIONS_CAPS,
            ops_stop.clone(),
        ));
        if let Some(tls) = self.transport.tls.clone() {
            tokio::spawn(tls.follow(stop.clone()));
        }
        serve(self.public, app, self.transport, stop).await;
        ops_stop.cancel();
        let _ = ops.await;
    }
}

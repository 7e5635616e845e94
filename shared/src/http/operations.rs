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

/// State of the operations routes.
#[derive(Clone)]
pub struct Operations {
    /// The metrics.
    pub metrics: Arc<Registry>,
    /// The health and the stop signal that `/readyz` reports.
    pub site: Arc<AppContext>,
}

/// Routes of `/livez`, `/readyz` and `/metrics`, for a listener of their own that the public never
/// reaches.
pub fn operations(operations: Operations) -> Router {
    use axum::routing::get;
    let ready = |State(operations): State<Operations>| async move {
        let health = &operations.site.health;
        let trouble = health.trouble().unwrap_or_default();
        if operations.site.stop.is_cancelled() || !health.is_ready() {
            let body = format!("not ready\n{trouble}");
            (StatusCode::SERVICE_UNAVAILABLE, body)
        } else {
            (StatusCode::OK, format!("ready\n{trouble}"))
        }
    };
    let metrics = |State(operations): State<Operations>, headers: HeaderMap| async move {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let metrics = operations.metrics.render(accept.unwrap_or_default());
        ([(header::CONTENT_TYPE, metrics.content_type)], metrics.body)
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operations)
}

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
        let caps = Caps {
            connections_max: 64,
            connections_per_address_max: 0,
        };
        // The operations listener goes on while the public one drains, so that `/readyz` can say
        // so.
        let ops_stop = CancellationToken::new();
        let routes = self::operations(operations);
        let ops = tokio::spawn(serve(self.operations, routes, caps, ops_stop.clone()));
        if let Some(tls) = self.transport.tls.clone() {
            tokio::spawn(tls.follow(stop.clone()));
        }
        serve(self.public, app, self.transport, stop).await;
        ops_stop.cancel();
        let _ = ops.await;
    }
}

//! One connection on hyper, HTTP/1.1 or HTTP/2, with the application behind it.

use super::delivery::Deliveries;
use super::front::Front;
use super::permit::ConnectionPermit;
use super::request_body::Unread;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Longest time without progress of a request's head or an idle connection.
const IDLE: Duration = Duration::from_secs(10);
/// Most bytes of a request's head. The gate is asked with the cookies of the site behind it, and takes
/// more than proxies and sites do by default.
const HEAD_BYTES_MAX: u16 = u16::MAX;
/// Most requests at once on a connection of HTTP/2.
const STREAMS_MAX: u32 = 64;
/// Most bytes of a request body that HTTP/2 receives ahead of the handler; twice as many for a
/// connection.
const WINDOW_BYTES: u32 = 256 * 1024;
/// Most bytes of answers that a connection of HTTP/2 keeps for a slow reader, for each request.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// A peer that sends nothing for this long is asked whether it is there; it has as long to answer.
const PING: Duration = Duration::from_secs(20);

/// A connection that is ready for requests.
pub(super) struct Connection {
    pub(super) app: Front,
    pub(super) permit: Arc<ConnectionPermit>,
    /// Whether the close must wait for the client, see [`super::lingering`].
    pub(super) must_linger: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
}

impl Connection {
    /// Serves HTTP/1.1 and WebSockets.
    pub(super) async fn serve_http1(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let (app, permit) = (self.app, self.permit);
        let lingering = self.must_linger.clone();
        let deliveries = Arc::new(Deliveries::default());
        let watched = deliveries.clone();
        let service = service_fn(move |request| {
            let (app, permit) = (app.clone(), permit.clone());
            let (must_linger, deliveries) = (lingering.clone(), watched.clone());
            async move {
                let open = deliveries.begin();
                let response = respond(app, request, permit, &must_linger).await;
                Ok::<_, Infallible>(deliveries.watch_long(response, open))
            }
        });
        let serving = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX.into())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let (stalled, idle) = (deliveries.stalled(), deliveries.idle_for(IDLE));
        tokio::pin!(serving, stalled, idle);
        let mut is_closing = false;
        // The connection goes on wherever it was left off; it is told to finish once.
        let ended = loop {
            tokio::select! {
                ended = serving.as_mut() => break ended,
                () = stalled.as_mut() => return tracing::debug!("the client takes no answer"),
                () = idle.as_mut() => return tracing::debug!("the client asks for nothing"),
                () = self.stop.cancelled(), if !is_closing => {
                    is_closing = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
            // The refusal of a head that could not be read must not be lost either.
            self.must_linger
                .fetch_or(error.is_parse(), Ordering::Relaxed);
        }
    }

    /// Serves HTTP/2. Extended CONNECT is not offered, so that browsers open WebSockets on
    /// connections of HTTP/1.1.
    pub(super) async fn serve_http2(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (app, permit) = (self.app, self.permit);
        let deliveries = Arc::new(Deliveries::default());
        let watched = deliveries.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (app, permit, deliveries) = (app.clone(), permit.clone(), watched.clone());
            async move {
                let open = deliveries.begin();
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(permit);
                let response = app.oneshot(request).await.into_response();
                Ok::<_, Infallible>(deliveries.watch(response, open))
            }
        });
        let serving = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES_MAX.into())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(2 * WINDOW_BYTES)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .serve_connection(TokioIo::new(stream), service);
        let stalled = deliveries.stalled();
        tokio::pin!(serving, stalled);
        let mut is_closing = false;
        let ended = loop {
            // Told to close, a client has as long again to do so.
            let span = if is_closing { 2 * IDLE } else { IDLE };
            // The connection goes on wherever it was left off; a wait that is dropped begins anew.
            tokio::select! {
                ended = serving.as_mut() => break ended,
                () = stalled.as_mut() => return tracing::debug!("the client takes no answer"),
                () = self.stop.cancelled(), if !is_closing => {}
                () = deliveries.idle_for(span) => {
                    if is_closing {
                        return;
                    }
                }
            }
            is_closing = true;
            serving.as_mut().graceful_shutdown();
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Answers one request of HTTP/1.1. An answer to a request whose body stays unread says that the
/// connection closes.
async fn respond(
    app: Front,
    request: hyper::Request<Incoming>,
    permit: Arc<ConnectionPermit>,
    must_linger: &AtomicBool,
) -> Response {
    let expects_continue = request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    let (body, unread) = Unread::track(body);
    let mut request = hyper::Request::from_parts(head, body);
    request.extensions_mut().insert(permit);
    let mut response = app.oneshot(request).await.into_response();
    if !unread.discard(expects_continue).await {
        must_linger.store(true, Ordering::Relaxed);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

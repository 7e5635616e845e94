//! Accept loop on hyper: connection limits, timeouts, a graceful drain, and closes that lose no answer.

use super::request_body::Unread;
use crate::metrics::http::CONNECTIONS_REFUSED;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Longest time without progress of a request's head or an idle connection.
const HEADER_READ: Duration = Duration::from_secs(10);
/// Longest wait of a drain for connections and sockets to end by themselves.
const DRAIN: Duration = Duration::from_secs(15);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest wait of a connection that closes on an unread body for the client to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes that are read meanwhile.
const LINGER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Limits on accepted connections.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// In all.
    pub connections_max: usize,
    /// From one peer address; 0 sets no cap. With proxies in front it counts proxies, so leave it to them.
    pub connections_per_address_max: usize,
}

/// The address of a connection's other end.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

type PerAddress = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Permission to keep a connection open, given back when dropped. A WebSocket keeps it for as long as it lives, which is
/// how the drain waits for sockets too.
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    address: IpAddr,
    counted: PerAddress,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counted = self.counted.lock();
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
        match take_permit(&room, &counted, peer.ip().to_canonical(), caps) {
            Some(permit) => {
                tokio::spawn(connection(stream, app.clone(), permit, stop.clone()));
            }
            None => {
                CONNECTIONS_REFUSED.inc();
            }
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

fn take_permit(
    room: &Arc<Semaphore>,
    counted: &PerAddress,
    address: IpAddr,
    caps: Caps,
) -> Option<Arc<ConnectionPermit>> {
    let permit = room.clone().try_acquire_owned().ok()?;
    let mut map = counted.lock();
    let count = map.entry(address).or_default();
    if caps.connections_per_address_max > 0 && *count >= caps.connections_per_address_max {
        return None;
    }
    *count += 1;
    Some(Arc::new(ConnectionPermit {
        _permit: permit,
        address,
        counted: counted.clone(),
    }))
}

async fn connection(
    stream: TcpStream,
    app: Router,
    permit: Arc<ConnectionPermit>,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let must_linger = Arc::new(AtomicBool::new(false));
    let stream = LingeringStream {
        stream: Some(stream),
        must_linger: must_linger.clone(),
        permit: permit.clone(),
    };
    let lingering = must_linger.clone();
    let service = service_fn(move |request| {
        let (app, permit) = (app.clone(), permit.clone());
        let must_linger = lingering.clone();
        async move { Ok::<_, Infallible>(respond(app, request, permit, &must_linger).await) }
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
        // The refusal of a head that could not be read must not be lost either.
        must_linger.fetch_or(error.is_parse(), Ordering::Relaxed);
    }
}

/// Answers one request. An answer to a request whose body stays unread says that the connection closes.
async fn respond(
    app: Router,
    request: hyper::Request<Incoming>,
    permit: Arc<ConnectionPermit>,
    must_linger: &AtomicBool,
) -> Response {
    let unread = Unread::default();
    let expects_continue = request.headers().contains_key(header::EXPECT);
    let mut request = request.map(|body| unread.track(body));
    request.extensions_mut().insert(Peer(permit.address));
    request.extensions_mut().insert(permit);
    let mut response = app.oneshot(request).await.into_response();
    if !unread.discard(expects_continue).await {
        must_linger.store(true, Ordering::Relaxed);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// A connection's stream. Closing a socket that holds unread bytes resets it, and the reset can overtake the answer: where
/// that may happen, the stream closes its own side first and reads for a short while.
struct LingeringStream {
    /// None only while it is dropped.
    stream: Option<TcpStream>,
    must_linger: Arc<AtomicBool>,
    permit: Arc<ConnectionPermit>,
}

impl LingeringStream {
    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("it is taken by drop alone"))
    }
}

impl Drop for LingeringStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        let runtime = tokio::runtime::Handle::try_current();
        if let (true, Ok(runtime)) = (self.must_linger.load(Ordering::Relaxed), runtime) {
            // Bounded in time and bytes, and counted as a connection until it ends.
            runtime.spawn(linger(stream, self.permit.clone()));
        }
    }
}

async fn linger(mut stream: TcpStream, permit: Arc<ConnectionPermit>) {
    let until_closed = async {
        stream.shutdown().await?;
        let mut rest = stream.take(LINGER_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, until_closed).await;
    drop(permit);
}

impl AsyncRead for LingeringStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for LingeringStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

/// Listens on an address.
///
/// # Errors
/// If the address is taken or not this machine's.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
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

//! Accept loop: connection limits, the PROXY protocol, TLS handshakes, a graceful drain.

use super::connection::Connection;
use super::front::Front;
use super::lingering::LingeringStream;
use super::permit::AddressCounts;
use super::proxy_protocol::{TrustedProxies, read_header};
use super::tls::{HTTP_2, Tls};
use crate::metrics::http::{CONNECTIONS_REFUSED, HANDSHAKES_FAILED, PROXY_HEADERS_FAILED};
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Longest time for a proxy's header, and for a TLS handshake.
const OPENING: Duration = Duration::from_secs(10);
/// Answer to plain HTTP on a listener with TLS.
const PLAIN_HTTP_REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    cache-control: no-store\r\nconnection: close\r\n\r\nThis address speaks TLS: use https://\n";
/// Longest wait of a drain for connections and sockets to end by themselves.
const DRAIN: Duration = Duration::from_secs(15);
/// Most bytes of an answer that wait in the kernel for a client that takes them slowly. Without a
/// limit it would copy up to 4 MB for each connection.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Limits on accepted connections.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// In all.
    pub connections_max: usize,
    /// From one peer address; 0 sets no cap. With proxies in front it counts proxies, so leave it
    /// to them.
    pub connections_per_address_max: usize,
}

/// How connections are accepted.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Limits on their number.
    pub caps: Caps,
    /// Proxies that tell the client's address by the PROXY protocol.
    pub proxies: TrustedProxies,
    /// TLS, if this process speaks it.
    pub tls: Option<Arc<Tls>>,
}

impl From<Caps> for Transport {
    fn from(caps: Caps) -> Transport {
        Transport {
            caps,
            proxies: TrustedProxies::default(),
            tls: None,
        }
    }
}

/// Serves until `stop`, then drains: no new connection, no new request on an old one, WebSockets
/// told to come back.
pub async fn serve(
    listener: TcpListener,
    app: impl Into<Front>,
    transport: impl Into<Transport>,
    stop: CancellationToken,
) {
    let transport = transport.into();
    let connections_max = transport.caps.connections_max;
    let room = Arc::new(Semaphore::new(connections_max));
    let acceptor = Arc::new(Acceptor {
        app: app.into(),
        transport,
        counted: AddressCounts::default(),
        stop,
    });
    loop {
        let accepted = tokio::select! {
            () = acceptor.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors: wait until some are free again instead of spinning.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        match room.clone().try_acquire_owned() {
            Ok(permit) => {
                let peer = peer.ip().to_canonical();
                tokio::spawn(acceptor.clone().accept(stream, peer, permit));
            }
            Err(_) => {
                CONNECTIONS_REFUSED.inc();
            }
        }
    }
    drop(listener);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(DRAIN, room.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the drain");
    }
}

/// State shared by all connections of a listener.
struct Acceptor {
    app: Front,
    transport: Transport,
    counted: AddressCounts,
    stop: CancellationToken,
}

impl Acceptor {
    /// Serves one connection: the proxy's header, the limit of the client's address, the handshake,
    /// requests.
    async fn accept(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: IpAddr,
        permit: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        let Some(address) = self.client_of(&mut stream, peer).await else {
            return;
        };
        let max = self.transport.caps.connections_per_address_max;
        let Some(permit) = self.counted.take(address, permit, max) else {
            CONNECTIONS_REFUSED.inc();
            return;
        };
        let connection = Connection {
            app: self.app.clone(),
            permit: permit.clone(),
            must_linger: Arc::default(),
            stop: self.stop.clone(),
        };
        let stream = LingeringStream::new(stream, connection.must_linger.clone(), permit);
        match &self.transport.tls {
            None => connection.serve_http1(stream).await,
            // Boxed, so that connections without TLS do not take the memory of one with it.
            Some(tls) => Box::pin(self.serve_tls(tls, stream, connection)).await,
        }
    }

    async fn serve_tls(&self, tls: &Tls, stream: LingeringStream, connection: Connection) {
        let Some(stream) = self.handshake(tls, stream).await else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
            connection.serve_http2(stream).await;
        } else {
            connection.serve_http1(stream).await;
        }
    }

    /// Returns the client's address: the peer's, or the one that a trusted proxy tells.
    async fn client_of(&self, stream: &mut TcpStream, peer: IpAddr) -> Option<IpAddr> {
        if !self.transport.proxies.contains(peer) {
            return Some(peer);
        }
        let read = self.in_time(read_header(stream)).await;
        match read.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
            Ok(told) => Some(told.unwrap_or(peer)),
            Err(error) => {
                tracing::debug!(%peer, %error, "no PROXY header");
                PROXY_HEADERS_FAILED.inc();
                None
            }
        }
    }

    /// Shakes hands. The limit on connections bounds those that do so at once.
    async fn handshake(
        &self,
        tls: &Tls,
        mut stream: LingeringStream,
    ) -> Option<TlsStream<LingeringStream>> {
        let shaken = self.in_time(async {
            if is_plain_http(&stream).await? {
                stream.must_linger();
                stream.write_all(PLAIN_HTTP_REFUSAL).await?;
                return Err(io::ErrorKind::InvalidData.into());
            }
            TlsAcceptor::from(tls.config.clone()).accept(stream).await
        });
        let shaken = shaken.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        shaken
            .inspect_err(|error| {
                tracing::debug!(%error, "TLS handshake failed");
                HANDSHAKES_FAILED.inc();
            })
            .ok()
    }

    /// Awaits an outcome for as long as a connection may take to open; none afterwards, and when
    /// the process stops.
    async fn in_time<T>(&self, outcome: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            outcome = tokio::time::timeout(OPENING, outcome) => outcome.ok(),
            () = self.stop.cancelled() => None,
        }
    }
}

/// Returns whether the first byte is that of a request in plain HTTP, which no handshake begins
/// with.
async fn is_plain_http(stream: &LingeringStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic())
}

/// Listens on an address.
///
/// # Errors
/// If the address is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
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

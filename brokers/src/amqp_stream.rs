//! Connections of the AMQP client, with TLS or without. Its own TLS comes with an implementation of
//! PKCS #12 and its ciphers; here the client is handed connections that speak TLS already.

use crate::Host;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use futures_util::TryFutureExt as _;
use futures_util::io::{AsyncRead, AsyncWrite};
use rustls::pki_types::ServerName;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// The runtime that the client works on.
pub(crate) type AmqpRuntime = RuntimeParts<Tokio, Sockets>;

/// A connection in either form.
pub(crate) trait Duplex:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin
{
}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, as the client wants it.
pub(crate) type AmqpStream = Compat<Box<dyn Duplex>>;

/// Sockets of Tokio whose connections may speak TLS.
#[derive(Clone, Debug)]
pub(crate) struct Sockets(Tokio);

/// Returns the runtime of the caller.
pub(crate) fn runtime() -> Runtime<AmqpRuntime> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), Sockets(tokio)))
}

/// Connects to a host, by TLS if there is a configuration for it.
pub(crate) async fn connect(
    host: &Host,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> io::Result<AmqpStream> {
    let stream = TcpStream::connect((host.name.as_str(), host.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(boxed(stream));
    };
    let name = ServerName::try_from(host.name.clone()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(boxed(stream))
}

fn boxed(stream: impl Duplex + 'static) -> AmqpStream {
    let stream: Box<dyn Duplex> = Box::new(stream);
    stream.compat()
}

impl Reactor for Sockets {
    type TcpStream = AmqpStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<AmqpStream>> + Send + 'static {
        TcpStream::connect(address).map_ok(boxed)
    }
}

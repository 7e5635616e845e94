//! Closes that lose no answer.

use super::permit::ConnectionPermit;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// Longest wait of a connection that closes on an unread body for the client to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes that are read meanwhile.
const LINGER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A connection's stream. Closing a socket that holds unread bytes resets it, and the reset can
/// overtake the answer: where that may happen, the stream closes its own side first and reads for a
/// short while.
pub(super) struct LingeringStream {
    /// None only while it is dropped.
    stream: Option<TcpStream>,
    must_linger: Arc<AtomicBool>,
    permit: Arc<ConnectionPermit>,
}

impl LingeringStream {
    /// Wraps a stream. It lingers if `must_linger` is set when it is dropped, and keeps the permit
    /// meanwhile.
    pub(super) fn new(
        stream: TcpStream,
        must_linger: Arc<AtomicBool>,
        permit: Arc<ConnectionPermit>,
    ) -> LingeringStream {
        LingeringStream {
            stream: Some(stream),
            must_linger,
            permit,
        }
    }

    /// Reads bytes that stay to be read.
    pub(super) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let stream = self.stream.as_ref().expect("it is taken by drop alone");
        stream.peek(buffer).await
    }

    /// Makes the close wait for the client.
    pub(super) fn must_linger(&self) {
        self.must_linger.store(true, Ordering::Relaxed);
    }

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

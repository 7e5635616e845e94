//! Request bodies that can be finished after their handler is done.
//!
//! HTTP/1.1 puts requests one after another on a connection. A body that was not read to its end
//! stands in front of the next request, so the connection is either emptied or closed, and a client
//! has to be told which (RFC 9112, 9.3 and 9.6).

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most bytes of an unread body that are read to keep its connection.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for the rest of an unread body.
const DISCARD: Duration = Duration::from_millis(100);

/// The part of a request's body that its handler left unread; `None` for a request without one.
pub(super) struct Unread(Option<Arc<Mutex<Option<Incoming>>>>);

impl Unread {
    /// Wraps a body so that what is left of it can be taken from here once the handler has dropped
    /// it.
    pub(super) fn track(body: Incoming) -> (Body, Unread) {
        if body.is_end_stream() {
            return (Body::empty(), Unread(None));
        }
        let left = Arc::default();
        let tracked = Tracked {
            body: Some(body),
            left: Arc::clone(&left),
        };
        (Body::new(tracked), Unread(Some(left)))
    }

    /// Reads and discards a short rest. Returns whether the connection can carry another request.
    pub(super) async fn discard(self, expects_continue: bool) -> bool {
        let left = self.0.and_then(|left| left.lock().take());
        let Some(mut body) = left else {
            return true;
        };
        // Reading would ask the client to send the body.
        if expects_continue {
            return false;
        }
        let to_the_end = async {
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                let data = frame.ok()?.into_data().unwrap_or_default();
                length += data.len();
                if length > DISCARDED_BYTES_MAX {
                    return None;
                }
            }
            Some(())
        };
        // Dropping the half-read body is safe: the connection is closed then.
        matches!(
            tokio::time::timeout(DISCARD, to_the_end).await,
            Ok(Some(()))
        )
    }
}

/// A body that puts itself into `left` when it is dropped before its end.
struct Tracked {
    body: Option<Incoming>,
    left: Arc<Mutex<Option<Incoming>>>,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = SizeHint::with_exact(0);
        self.body.as_ref().map_or(none, HttpBody::size_hint)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.left.lock() = Some(body);
        }
    }
}

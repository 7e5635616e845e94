//! Delivery of answers: a client that does not take what it asked for is given up.

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::sleep;

/// Most bytes of an answer that are handed to the connection at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Time between two looks at what a client has taken.
const LOOK: Duration = Duration::from_secs(5);
/// Looks at which a client that has taken none of what is ready for it is given up: after half a
/// minute. About 2 kB/s is the least.
const LOOKS_MAX: u32 = 6;

/// Answers of one connection that are being delivered.
#[derive(Default)]
pub(super) struct Deliveries {
    /// Answers with bytes that wait for the client.
    waiting: AtomicUsize,
    /// Pieces that were taken.
    taken: AtomicU64,
}

impl Deliveries {
    /// Watches the delivery of an answer. `token` is kept until it is delivered.
    pub(super) fn watch<T: Send + Unpin + 'static>(
        self: &Arc<Deliveries>,
        response: Response,
        token: T,
    ) -> Response {
        response.map(|body| {
            let is_waiting = !body.is_end_stream();
            if is_waiting {
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
            Body::new(Delivered {
                body,
                rest: Bytes::new(),
                deliveries: self.clone(),
                is_waiting,
                _token: token,
            })
        })
    }

    /// Watches the delivery of an answer that may have to wait for the client between its pieces.
    /// A short one is handed over at once.
    pub(super) fn watch_long(self: &Arc<Deliveries>, response: Response) -> Response {
        let length = response.body().size_hint().exact();
        if length.is_some_and(|length| length <= PIECE_BYTES as u64) {
            return response;
        }
        self.watch(response, ())
    }

    /// Waits until the client has taken nothing for too long.
    pub(super) async fn stalled(&self) {
        let mut watch = Watch::default();
        while !watch.look(self) {
            sleep(LOOK).await;
        }
    }
}

/// What was seen at the last looks.
#[derive(Default)]
struct Watch {
    taken: u64,
    /// Looks since the client took something, or had nothing to take.
    looks: u32,
}

impl Watch {
    /// Returns whether the client is to be given up.
    fn look(&mut self, deliveries: &Deliveries) -> bool {
        let taken = deliveries.taken.load(Ordering::Relaxed);
        let before = std::mem::replace(&mut self.taken, taken);
        let is_stuck = before == taken && deliveries.waiting.load(Ordering::Relaxed) > 0;
        self.looks = if is_stuck { self.looks + 1 } else { 0 };
        self.looks >= LOOKS_MAX
    }
}

/// The body of an answer in pieces.
struct Delivered<T> {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    deliveries: Arc<Deliveries>,
    /// Whether the next piece waits for the client, not for its source.
    is_waiting: bool,
    _token: T,
}

impl<T> Delivered<T> {
    fn set_waiting(&mut self, is_waiting: bool) {
        let was_waiting = std::mem::replace(&mut self.is_waiting, is_waiting);
        match (was_waiting, is_waiting) {
            (false, true) => self.deliveries.waiting.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.deliveries.waiting.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }
}

impl<T: Unpin> HttpBody for Delivered<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.deliveries.taken.fetch_add(1, Ordering::Relaxed);
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            let Poll::Ready(Some(Ok(frame))) = polled else {
                self.set_waiting(false);
                return polled;
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.set_waiting(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl<T> Drop for Delivered<T> {
    fn drop(&mut self) {
        self.set_waiting(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn an_answer_is_handed_over_in_pieces_and_whole() {
        let deliveries = Arc::new(Deliveries::default());
        let bytes: Vec<u8> = (0..200_000u32).map(|at| at as u8).collect();
        let response = deliveries.watch(bytes.clone().into_response(), ());
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut found = Vec::new();
        while let Some(frame) = body.frame().await {
            assert_eq!(deliveries.waiting.load(Ordering::Relaxed), 1);
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            found.extend(piece);
        }
        assert!(found == bytes);
        drop(body);
        assert_eq!(deliveries.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn only_a_client_that_takes_nothing_of_what_is_ready_is_given_up() {
        let deliveries = Arc::new(Deliveries::default());
        let is_given_up = || {
            let mut watch = Watch::default();
            (0..=LOOKS_MAX).any(|_| watch.look(&deliveries))
        };
        assert!(!is_given_up(), "nothing to take");
        // A source that is not ready, as between two events of a stream.
        let source = futures_util::stream::pending::<Result<Bytes, axum::Error>>();
        let source = Body::from_stream(source);
        let mut silent = deliveries.watch(Response::new(source), ()).into_body();
        assert!(is_given_up(), "not even begun");
        assert!(silent.frame().now_or_never().is_none());
        assert!(!is_given_up(), "waiting for the source");
        let long = vec![0; 3 * PIECE_BYTES].into_response();
        let mut body = deliveries.watch(long, ()).into_body();
        body.frame().await.unwrap().unwrap();
        assert!(is_given_up(), "begun, and no more");
        let mut watch = Watch::default();
        for _ in 0..LOOKS_MAX - 1 {
            assert!(!watch.look(&deliveries));
        }
        body.frame().await.unwrap().unwrap();
        assert!(!watch.look(&deliveries), "slow");
        drop(body);
        assert!(!is_given_up(), "nothing left");
    }
}

//! Delivery of answers: a client that does not take what it asked for is given up, and so is one that
//! asks for nothing.

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Most bytes of an answer that are handed to the connection at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Time between two looks at what a client has taken.
const LOOK: Duration = Duration::from_secs(5);
/// Looks at which a client that has taken none of what is ready for it is given up: after half a
/// minute. About 2 kB/s is the least.
const LOOKS_MAX: u32 = 6;

/// Requests of one connection that are being answered, and their answers.
pub(super) struct Deliveries {
    /// Answers with bytes that wait for the client.
    waiting: AtomicUsize,
    /// Pieces that were taken.
    taken: AtomicU64,
    /// Requests that are not answered to the end.
    open: AtomicUsize,
    /// End of the last one, in ms since `began`.
    ended_ms: AtomicU64,
    began: Instant,
}

/// A request until its answer is delivered.
pub(super) struct OpenRequest(Arc<Deliveries>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let ended = self.0.began.elapsed().as_millis() as u64;
        self.0.ended_ms.store(ended, Ordering::Relaxed);
        // Whoever sees that none is open sees when the last one ended.
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

impl Default for Deliveries {
    fn default() -> Deliveries {
        Deliveries {
            waiting: AtomicUsize::default(),
            taken: AtomicU64::default(),
            open: AtomicUsize::default(),
            ended_ms: AtomicU64::default(),
            began: Instant::now(),
        }
    }
}

impl Deliveries {
    /// Counts a request.
    pub(super) fn begin(self: &Arc<Deliveries>) -> OpenRequest {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self.clone())
    }

    /// Waits until the connection has been without a request for so long. A timer for each wait of
    /// each request would cost a lock twice; this one is set again only when it ends.
    pub(super) async fn idle_for(&self, span: Duration) {
        loop {
            let idle = self.idle(Instant::now());
            if idle >= span {
                return;
            }
            sleep(span - idle).await;
        }
    }

    /// Returns for how long there was no request; 0 while there is one.
    fn idle(&self, now: Instant) -> Duration {
        if self.open.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        let ended = Duration::from_millis(self.ended_ms.load(Ordering::Relaxed));
        (now - self.began).saturating_sub(ended)
    }

    /// Watches the delivery of an answer to a request.
    pub(super) fn watch(
        self: &Arc<Deliveries>,
        response: Response,
        request: OpenRequest,
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
                _request: request,
            })
        })
    }

    /// Watches the delivery of an answer that may have to wait for the client between its pieces.
    /// A short one is handed over at once.
    pub(super) fn watch_long(
        self: &Arc<Deliveries>,
        response: Response,
        request: OpenRequest,
    ) -> Response {
        let length = response.body().size_hint().exact();
        if length.is_some_and(|length| length <= PIECE_BYTES as u64) {
            return response;
        }
        self.watch(response, request)
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
struct Delivered {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    deliveries: Arc<Deliveries>,
    /// Whether the next piece waits for the client, not for its source.
    is_waiting: bool,
    _request: OpenRequest,
}

impl Delivered {
    fn set_waiting(&mut self, is_waiting: bool) {
        let was_waiting = std::mem::replace(&mut self.is_waiting, is_waiting);
        match (was_waiting, is_waiting) {
            (false, true) => self.deliveries.waiting.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.deliveries.waiting.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }
}

impl HttpBody for Delivered {
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

impl Drop for Delivered {
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
        let response = deliveries.watch(bytes.clone().into_response(), deliveries.begin());
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
        let silent = deliveries.watch(Response::new(source), deliveries.begin());
        let mut silent = silent.into_body();
        assert!(is_given_up(), "not even begun");
        assert!(silent.frame().now_or_never().is_none());
        assert!(!is_given_up(), "waiting for the source");
        let long = vec![0; 3 * PIECE_BYTES].into_response();
        let mut body = deliveries.watch(long, deliveries.begin()).into_body();
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

    #[test]
    fn a_connection_is_idle_since_its_last_answer_and_not_while_it_has_a_request() {
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(1000));
        let deliveries = Arc::new(Deliveries {
            began: long_ago.unwrap(),
            ..Deliveries::default()
        });
        let seconds = |at| deliveries.idle(at).as_secs();
        assert!(seconds(later(0)) >= 1000, "since it was opened");
        let (first, second) = (deliveries.begin(), deliveries.begin());
        drop(first);
        assert_eq!(seconds(later(500)), 0, "a request is open");
        let body = Body::from(vec![0; 2 * PIECE_BYTES]);
        let answer = deliveries.watch_long(Response::new(body), second);
        assert_eq!(seconds(later(500)), 0, "its answer is being delivered");
        drop(answer);
        let idle = seconds(later(500));
        assert!((500..1000).contains(&idle), "{idle}");
        drop(deliveries.watch_long("short".into_response(), deliveries.begin()));
        assert!(seconds(later(500)) >= 500);
    }
}

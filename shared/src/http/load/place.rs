//! Places of requests among those in flight.

use super::class::Class;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Number of requests in flight, by class.
#[derive(Default)]
pub(super) struct InFlight([AtomicUsize; Class::ALL.len()]);

impl InFlight {
    /// Returns the number of a class.
    pub(super) fn count(&self, class: Class) -> usize {
        self.0[class as usize].load(Ordering::Relaxed)
    }
}

/// The place of a request among those in flight, given back when dropped.
pub struct Place {
    in_flight: Arc<InFlight>,
    class: Class,
    is_counted: AtomicBool,
}

impl Place {
    /// Counts a request in.
    pub(super) fn take(in_flight: &Arc<InFlight>, class: Class) -> Arc<Place> {
        let place = Place {
            in_flight: in_flight.clone(),
            class,
            is_counted: AtomicBool::new(false),
        };
        place.set_counted(true);
        Arc::new(place)
    }

    fn set_counted(&self, is_counted: bool) {
        if self.is_counted.swap(is_counted, Ordering::Relaxed) == is_counted {
            return;
        }
        let count = &self.in_flight.0[self.class as usize];
        if is_counted {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Wraps a request's body so that the request does not count while it waits for its client to
    /// send: clients that send slowly could take all places otherwise.
    pub(in crate::http) fn track(self: &Arc<Place>, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(AwaitedBody {
            body,
            place: self.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.set_counted(false);
    }
}

/// A body whose request does not count while the next part of it has not arrived.
struct AwaitedBody {
    body: Body,
    place: Arc<Place>,
}

impl HttpBody for AwaitedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.place.set_counted(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_request_does_not_count_while_its_client_sends_nothing() {
        let in_flight = Arc::new(InFlight::default());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let place = Place::take(&in_flight, Class::Enter);
        let mut body = place.track(Body::new(LateBody(receiver)));
        let mut frame = body.frame();
        let waiting = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut frame).poll(context).is_pending())
        });
        assert!(waiting.await);
        assert_eq!(in_flight.count(Class::Enter), 0);
        sender.send(()).unwrap();
        assert!(frame.await.is_some());
        assert_eq!(in_flight.count(Class::Enter), 1);
        drop((body, place));
        assert_eq!(in_flight.count(Class::Enter), 0);
    }

    /// A body that comes once something was received.
    struct LateBody(tokio::sync::oneshot::Receiver<()>);

    impl HttpBody for LateBody {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let received = Pin::new(&mut self.0).poll(context);
            received.map(|_| Some(Ok(Frame::data(Bytes::from_static(b"{}")))))
        }
    }
}

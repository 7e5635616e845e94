//! Places of requests among those in flight.

use super::class::Class;
use super::in_flight::{Count, InFlight};
use axum::body::{Body, Bytes};
use axum::http::Method;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

tokio::task_local! {
    /// The place of the current request.
    static PLACE: Weak<Place>;
}

/// Runs a request in its place.
pub(in crate::http) fn cover<T>(
    place: &Arc<Place>,
    request: impl Future<Output = T>,
) -> impl Future<Output = T> {
    PLACE.scope(Arc::downgrade(place), request)
}

/// Returns work that another task may do for the current request, in the place of that.
pub(in crate::http) fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = PLACE.try_with(Weak::clone).unwrap_or_default();
    PLACE.scope(place, work)
}

/// Waits for an external service, such as a payment provider. The current request does not count
/// meanwhile: a slow provider is no overload of this process.
pub async fn elsewhere<T>(asking: impl Future<Output = T>) -> T {
    let _away = PLACE.try_with(Weak::clone).ok().map(Away::begin);
    asking.await
}

/// A request that does not count until this is dropped.
struct Away(Weak<Place>);

impl Away {
    fn begin(place: Weak<Place>) -> Away {
        if let Some(place) = place.upgrade() {
            place.pause();
        }
        Away(place)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some(place) = self.0.upgrade() {
            place.count();
        }
    }
}

/// The place of a request among those in flight, given back when dropped.
pub struct Place {
    in_flight: Arc<InFlight>,
    class: Class,
    is_change: bool,
    is_counted: AtomicBool,
    is_answered: AtomicBool,
    /// Whether there was no room when the body had arrived.
    is_refused: AtomicBool,
}

impl Place {
    /// Counts a request in.
    pub(super) fn take(in_flight: &Arc<InFlight>, class: Class, method: &Method) -> Arc<Place> {
        let place = Place {
            in_flight: in_flight.clone(),
            class,
            is_change: class != Class::Organiser && !method.is_safe(),
            is_counted: AtomicBool::new(true),
            is_answered: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
        };
        for count in place.counts() {
            count.entered.fetch_add(1, Ordering::Relaxed);
        }
        Arc::new(place)
    }

    /// Counts that the request is part of.
    fn counts(&self) -> impl Iterator<Item = &Count> {
        let changes = self.is_change.then_some(&self.in_flight.changes);
        [self.in_flight.of(self.class)].into_iter().chain(changes)
    }

    /// Stops counting the request while it waits for its client or for an external service.
    fn pause(&self) {
        if self.is_counted.swap(false, Ordering::Relaxed) {
            for count in self.counts() {
                count.entered.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts the request again. Returns `false` if there is no room for it any more.
    fn resume(&self) -> bool {
        if self.is_counted.load(Ordering::Relaxed) {
            return true;
        }
        if !self.in_flight.has_room(self.class) {
            self.is_refused.store(true, Ordering::Relaxed);
            return false;
        }
        self.count();
        true
    }

    /// Counts the request again, whether there is room or not.
    fn count(&self) {
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            for count in self.counts() {
                count.entered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Records that the request has its answer. One that is dropped without, because its client is
    /// gone, says nothing about what the process can do.
    pub(in crate::http) fn answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// Returns whether the request was refused because there was no room for it any more when its
    /// body had arrived; its handler did nothing then.
    pub(in crate::http) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Wraps a request's body so that the request does not count while it waits for its client to
    /// send: clients that send slowly could take all places otherwise. Nor do they get in once all
    /// places are taken: their bodies end with an error.
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
        if !self.is_answered.load(Ordering::Relaxed) {
            self.pause();
        } else if self.is_counted.load(Ordering::Relaxed) {
            for count in self.counts() {
                count.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
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
        if frame.is_pending() {
            self.place.pause();
        } else if !self.place.resume() {
            return Poll::Ready(Some(Err(axum::Error::new("too many requests in flight"))));
        }
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
    use super::super::{Load, LoadLimits};
    use super::*;
    use http_body_util::BodyExt as _;
    use std::time::Duration;
    use tokio::sync::oneshot::{Receiver, channel};

    fn load() -> Arc<Load> {
        Load::new(LoadLimits {
            in_flight_max: 2,
            enter_max: 2,
            browse_max: 1,
            delay_max: Duration::ZERO,
        })
    }

    #[tokio::test]
    async fn a_request_does_not_count_while_its_client_sends_nothing() {
        let load = load();
        let count = load.in_flight.of(Class::Enter);
        let (sender, receiver) = channel();
        let place = Place::take(&load.in_flight, Class::Enter, &Method::POST);
        let mut body = place.track(Body::new(LateBody(receiver)));
        let mut frame = body.frame();
        assert!(is_pending(&mut frame).await);
        assert_eq!(
            (count.in_flight(), load.in_flight.changes.in_flight()),
            (0, 0)
        );
        sender.send(()).unwrap();
        assert!(frame.await.is_some());
        assert_eq!(
            (count.in_flight(), load.in_flight.changes.in_flight()),
            (1, 1)
        );
        place.answered();
        drop((body, place));
        assert_eq!(
            (count.in_flight(), load.in_flight.changes.in_flight()),
            (0, 0)
        );
        assert_eq!(count.answered(), 1);
        drop(Place::take(&load.in_flight, Class::Enter, &Method::POST));
        assert_eq!(
            (count.in_flight(), count.answered()),
            (0, 1),
            "one whose client is gone"
        );
    }

    #[tokio::test]
    async fn a_request_does_not_count_while_it_waits_for_an_external_service() {
        let load = load();
        let count = load.in_flight.of(Class::Purchase);
        let (sender, receiver) = channel::<()>();
        let place = Place::take(&load.in_flight, Class::Purchase, &Method::POST);
        let work = async { tokio::spawn(carried(elsewhere(receiver))).await };
        let mut request = Box::pin(cover(&place, work));
        assert!(is_pending(&mut request).await);
        while count.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
        let _others = [(); 2].map(|()| load.enter(Class::Purchase, &Method::POST).unwrap());
        sender.send(()).unwrap();
        request.await.unwrap().unwrap();
        assert_eq!(count.in_flight(), 3, "it goes on though there is no room");
        place.answered();
        drop(place);
        assert_eq!((count.in_flight(), count.answered()), (2, 1));
    }

    #[tokio::test]
    async fn a_request_whose_client_leaves_while_it_waits_for_an_external_service_counts_no_more() {
        let load = load();
        let count = load.in_flight.of(Class::Purchase);
        let (sender, receiver) = channel::<()>();
        let place = Place::take(&load.in_flight, Class::Purchase, &Method::POST);
        let work = || carried(elsewhere(receiver));
        let mut asking = Box::pin(PLACE.sync_scope(Arc::downgrade(&place), work));
        assert!(is_pending(&mut asking).await);
        drop(place);
        sender.send(()).unwrap();
        asking.await.unwrap();
        assert_eq!((count.in_flight(), count.answered()), (0, 0));
    }

    #[tokio::test]
    async fn a_body_that_arrives_when_all_places_are_taken_is_refused() {
        let load = load();
        let (sender, receiver) = channel();
        let place = Place::take(&load.in_flight, Class::Enter, &Method::POST);
        let mut body = place.track(Body::new(LateBody(receiver)));
        let mut frame = body.frame();
        assert!(is_pending(&mut frame).await);
        let _others = [(); 2].map(|()| load.enter(Class::Purchase, &Method::POST).unwrap());
        sender.send(()).unwrap();
        assert!(frame.await.unwrap().is_err());
        assert!(place.is_refused());
        drop((body, place));
        assert_eq!(load.in_flight.of(Class::Enter).in_flight(), 0);
        assert_eq!(load.in_flight.changes.in_flight(), 2);
    }

    async fn is_pending(mut future: impl Future + Unpin) -> bool {
        let waiting = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut future).poll(context).is_pending())
        });
        waiting.await
    }

    /// A body that comes once something was received.
    struct LateBody(Receiver<()>);

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

//! The deadline of a request: the stores that it waits for one after another have a few seconds
//! together, so that it ends within five however slow they are.

use futures_util::{FutureExt as _, TryFutureExt as _};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest time that a request waits for stores in all, from when it first asks one.
pub const STORES_MAX: Duration = Duration::from_millis(4_500);

tokio::task_local! {
    /// The deadline of the current request; none before it first asks a store, so that a slow body
    /// takes nothing from it.
    static DEADLINE: Cell<Option<Instant>>;
}

/// The deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

/// Runs a request: what it waits for has one deadline.
pub fn cover<T>(request: impl Future<Output = T>) -> impl Future<Output = T> {
    // Here and in `within`: an `async fn` would hold its future twice, and every request would copy
    // it.
    DEADLINE.scope(Cell::new(None), request)
}

/// Returns work that another task may do for the current request, with the deadline that the request
/// has when this is called. If it has none yet, the work sets one of its own, which is not the
/// request's. Outside of a request the work has none.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let deadline = DEADLINE.try_with(Cell::get);
    async move {
        match deadline {
            Ok(deadline) => DEADLINE.scope(Cell::new(deadline), work).await,
            Err(_) => work.await,
        }
    }
}

/// Waits for a store until the deadline of the current request, which its first call of this sets:
/// [`STORES_MAX`], counted from that call and not from when its future is first polled. Outside of a
/// request there is none: the calls of a store have limits of their own.
///
/// # Errors
/// If there was no answer. What was asked may happen nevertheless.
pub fn within<T>(asking: impl Future<Output = T>) -> impl Future<Output = Result<T, Late>> {
    let deadline = DEADLINE.try_with(|deadline| {
        let at = deadline
            .get()
            .unwrap_or_else(|| Instant::now() + STORES_MAX);
        deadline.set(Some(at));
        at
    });
    match deadline {
        Ok(deadline) => timeout_at(deadline, asking).map_err(|_| Late).left_future(),
        Err(_) => asking.map(Ok).right_future(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_millis(100);

    fn known() -> Option<Instant> {
        DEADLINE.with(Cell::get)
    }

    #[tokio::test]
    async fn what_a_request_waits_for_has_one_deadline_in_all() {
        let from = Instant::now();
        let waiting = async {
            for _ in 0..20 {
                assert_eq!(within(pending::<()>()).await, Err(Late));
            }
            assert_eq!(within(ready(7)).await, Ok(7), "what is there is taken");
            // Another task has what is left.
            let task = tokio::spawn(carried(async { within(pending::<()>()).await }));
            let ended = timeout(SOON, task).await.expect("it has a deadline");
            assert_eq!(ended.unwrap(), Err(Late));
        };
        DEADLINE.scope(Cell::new(Some(from + SOON)), waiting).await;
        assert!(from.elapsed() >= SOON && from.elapsed() < 10 * SOON);
    }

    #[tokio::test]
    async fn it_is_counted_from_when_a_store_is_first_asked() {
        cover(async {
            assert_eq!(known(), None, "a slow body takes nothing from it");
            assert_eq!(within(ready(())).await, Ok(()));
            let first = known().unwrap();
            assert!(first > Instant::now() && first <= Instant::now() + STORES_MAX);
            assert_eq!(within(ready(())).await, Ok(()));
            assert_eq!(known(), Some(first));
        })
        .await;
        let longer = within(tokio::time::sleep(SOON)).await;
        assert_eq!(longer, Ok(()), "work of no request has none");
    }

    #[tokio::test]
    async fn work_that_is_carried_before_a_store_was_asked_has_a_deadline_of_its_own() {
        cover(async {
            let work = carried(async {
                within(ready(())).await.unwrap();
                known()
            });
            assert!(tokio::spawn(work).await.unwrap().is_some());
            assert_eq!(known(), None);
        })
        .await;
        let work = carried(async { DEADLINE.try_with(Cell::get) });
        let outside = tokio::spawn(work).await.unwrap();
        assert!(outside.is_err(), "work of no request has none");
    }
}

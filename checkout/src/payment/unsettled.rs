//! Payments that this process charged and has not settled yet. No other process knows their
//! verdicts.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Largest number of payments at one time; one more is refused before the provider is asked.
const UNSETTLED_MAX: usize = 10_000;
/// Time for which a process that shuts down waits for them.
const DRAIN: Duration = Duration::from_secs(10);

/// The payments and the tasks that settle them.
pub struct Unsettled {
    places: Arc<Semaphore>,
    /// Locked for a look-up, never across an await.
    ids: Arc<Mutex<HashSet<String>>>,
    pub(crate) tasks: TaskTracker,
    /// Wakes the tasks that wait to offer a verdict again.
    pub(crate) store_is_back: Notify,
}

impl Default for Unsettled {
    fn default() -> Unsettled {
        Unsettled {
            places: Arc::new(Semaphore::new(UNSETTLED_MAX)),
            ids: Arc::default(),
            tasks: TaskTracker::new(),
            store_is_back: Notify::new(),
        }
    }
}

impl Unsettled {
    /// Returns a permit for one more payment; none if there are too many.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Enters a payment until the returned guard is dropped.
    pub(super) fn enter(&self, place: OwnedSemaphorePermit, id: &str) -> Entered {
        let mut ids = self.ids.lock();
        ids.insert(id.to_owned());
        Entered {
            ids: self.ids.clone(),
            id: id.to_owned(),
            _place: place,
        }
    }

    /// Returns whether a payment's verdict is awaited or held here.
    pub(super) fn has(&self, id: &str) -> bool {
        let ids = self.ids.lock();
        ids.contains(id)
    }

    /// Waits, for a bounded time, until all are settled.
    pub(super) async fn drain(&self) {
        self.tasks.close();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            let count = self.tasks.len();
            tracing::error!(count, "payments were not settled before the end");
        }
    }
}

/// A payment among those that are not settled.
pub(super) struct Entered {
    ids: Arc<Mutex<HashSet<String>>>,
    id: String,
    _place: OwnedSemaphorePermit,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut ids = self.ids.lock();
        ids.remove(&self.id);
    }
}

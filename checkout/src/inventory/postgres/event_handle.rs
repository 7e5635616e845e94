//! An event at this node: the queue of its writer, its seat map, and what is known of its state in
//! the database.

use super::queue::WriterMessage;
use super::shard::Shard;
use crate::inventory::SeatMap;
use crate::inventory::model::*;
use crate::inventory::seat_map::{PublishedLayout, VersionStamp};
use parking_lot::RwLock;
use shared::crypto::sha256;
use shared::ids::EventId;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Handle to the writer of an event.
pub(super) struct EventHandle {
    pub(super) event: EventId,
    pub(super) shard: Arc<Shard>,
    pub(super) queue: mpsc::Sender<WriterMessage>,
    /// Ends the writer when the event is gone or the engine is no longer in use.
    pub(super) stop: CancellationToken,
    seat_map: RwLock<Option<Arc<SeatMap>>>,
    /// Whether something was committed that is not published yet.
    pub(super) is_dirty: AtomicBool,
    /// Whether other nodes have changed something.
    pub(super) is_behind: AtomicBool,
    /// Whether the event that was loaded first no longer exists: it was removed, and perhaps
    /// created again.
    pub(super) is_gone: AtomicBool,
    /// Whether another server answers than the one that the event was loaded from, so that
    /// everything in memory may be of commits that are lost.
    pub(super) must_start_over: AtomicBool,
    /// Hash of the event's secret, which tells it from an event of the same id that is created
    /// later.
    creation: OnceLock<[u8; 32]>,
    /// Newest configuration known to be in the database.
    pub(super) config: AtomicI64,
    /// Newest version known to be in the database.
    pub(super) version: AtomicI64,
    /// Version that was in the database at the last poll.
    pub(super) polled_version: AtomicI64,
}

impl EventHandle {
    pub(super) fn new(
        event: EventId,
        shard: Arc<Shard>,
        queue: mpsc::Sender<WriterMessage>,
        stop: CancellationToken,
    ) -> EventHandle {
        EventHandle {
            event,
            shard,
            queue,
            stop,
            seat_map: RwLock::new(None),
            is_dirty: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            must_start_over: AtomicBool::new(false),
            creation: OnceLock::new(),
            config: AtomicI64::new(0),
            version: AtomicI64::new(0),
            polled_version: AtomicI64::new(0),
        }
    }

    /// Returns whether an event with this secret is the one that was loaded first.
    pub(super) fn is_of(&self, secret: &[u8]) -> bool {
        let creation = sha256(secret);
        let is_same = *self.creation.get_or_init(|| creation) == creation;
        self.is_gone.fetch_or(!is_same, Ordering::Relaxed);
        is_same
    }

    pub(super) fn seat_map(&self) -> Option<Arc<SeatMap>> {
        self.seat_map.read().clone()
    }

    /// Shows no seats: the event has no plan, or a database that lost commits has none for it.
    pub(super) fn show_none(&self) {
        *self.seat_map.write() = None;
    }

    /// Shows the seats of a plan, and returns its seat map: the existing one if it is of the same
    /// version and its show was not cancelled since. A database that lost commits may have another
    /// plan or other prices of that version.
    pub(super) fn show(
        &self,
        layout: PublishedLayout,
        states: Vec<SeatState>,
        stamp: VersionStamp,
    ) -> Arc<SeatMap> {
        let mut seat_map = self.seat_map.write();
        if let Some(seat_map) = seat_map
            .as_ref()
            .filter(|seat_map| seat_map.layout_version == layout.version)
            .filter(|seat_map| seat_map.layout.plan == layout.layout.plan)
            .filter(|seat_map| seat_map.currency == layout.currency)
            .filter(|seat_map| seat_map.charges == layout.charges)
            .filter(|seat_map| seat_map.cancelled == layout.cancelled)
        {
            seat_map.restart(states, stamp);
            return seat_map.clone();
        }
        let new = SeatMap::with_version(self.event.clone(), layout, states, stamp);
        let new = Arc::new(new);
        *seat_map = Some(new.clone());
        new
    }
}

//! One event's line at this node, and what it knows.

use super::backup::Backup;
use super::batch::Batches;
use super::cache::{Fetched, LineCache, StoreMark};
use super::connected::Connected;
use super::registry::REMOVED_KEPT_MS;
use super::store::{Caller, Store};
use crate::line::{DrawState, EventSettings, Life, LineView, Returned, Spot};
use parking_lot::{Mutex, MutexGuard};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two looks at a line that is over, in case a change of it went unheard.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// One event's line at this node.
pub(super) struct EventLine {
    pub(super) event: EventId,
    pub(super) caller: Arc<Caller>,
    pub(super) batches: Batches,
    /// One caller ticks, the others wait for it: views of one node are never out of order.
    pub(super) ticking: tokio::sync::Mutex<()>,
    pub(super) is_drawing: Arc<AtomicBool>,
    /// The places of visitors with open sockets are being recorded again.
    pub(super) is_returning: AtomicBool,
    /// Locked for a look-up or a copy, never across an await.
    cache: Mutex<LineCache>,
    /// Backup of the cache.
    pub(super) file: PathBuf,
}

impl EventLine {
    /// Creates an event's line from its backup in the folder, if there is one. An older one is not
    /// used than the registry remembers removals: the event may have been removed meanwhile.
    pub(super) fn new(store: Arc<Store>, folder: &Path, event: EventId) -> EventLine {
        let kept_from = Time(store.clock.now().0 - REMOVED_KEPT_MS);
        let caller = Arc::new(Caller::new(store, &event));
        let file = folder.join(format!("{event}.json"));
        let backup = Backup::read(&file);
        let is_old = |backup: &LineCache| backup.heard_at < kept_from;
        if backup.as_ref().is_some_and(is_old) {
            tracing::warn!(%event, file = %file.display(), "backup of a line is over a month old and not used");
        }
        EventLine {
            batches: Batches::start(caller.clone()),
            caller,
            ticking: tokio::sync::Mutex::new(()),
            is_drawing: Arc::default(),
            is_returning: AtomicBool::default(),
            cache: Mutex::new(backup.filter(|backup| !is_old(backup)).unwrap_or_default()),
            file,
            event,
        }
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, LineCache> {
        self.cache.lock()
    }

    pub(super) fn store(&self) -> &Store {
        &self.caller.store
    }

    /// Returns whether the view was requested at `from` or later.
    pub(super) fn has_view_since(&self, from: Instant) -> bool {
        self.view_since(from).is_some()
    }

    /// Returns the newest view if it was requested at `from` or later.
    pub(super) fn view_since(&self, from: Instant) -> Option<Arc<LineView>> {
        let cache = self.cache();
        let front = cache.front.as_ref().filter(|front| front.asked_at >= from);
        front.map(|front| front.view.clone())
    }

    /// Returns the newest view if the line is over, and nothing tells of a change since.
    pub(super) fn view_if_over(&self, mark: StoreMark) -> Option<Arc<LineView>> {
        let cache = self.cache();
        let front = cache.front.as_ref().filter(|front| {
            let is_known = cache.looked == Some(mark) && front.view.is_over;
            is_known && front.asked_at.elapsed() < LOOK_EVERY
        });
        front.map(|front| front.view.clone())
    }

    /// Returns the newest view if the line was ticked at `from` or later.
    pub(super) fn ticked_since(&self, from: Instant) -> Option<Arc<LineView>> {
        let cache = self.cache();
        let is_ticked = cache.ticked_at.is_some_and(|at| at >= from);
        cache.view().filter(|_| is_ticked).cloned()
    }

    /// Returns the store's time: the time of the newest view plus the time since by this node's
    /// monotonic clock.
    pub(super) fn now(&self) -> Option<Time> {
        let cache = self.cache();
        let Fetched { view, asked_at } = cache.front.as_ref()?;
        let passed = i64::try_from(asked_at.elapsed().as_millis()).ok()?;
        (view.at.0 > 0).then(|| Time(view.at.0 + passed))
    }

    pub(super) fn settings(&self) -> Option<Arc<EventSettings>> {
        self.cache().view().map(|view| view.settings.clone())
    }

    /// Records what a reply says of a visitor's place.
    pub(super) fn record(&self, spot: &Spot) {
        let mut cache = self.cache();
        cache.record(spot);
        if let Some(kept) = cache.connected.get_mut(&spot.visitor) {
            kept.renew(spot, None);
        }
    }

    /// Records a visitor's new number. If they had an older one, a socket of theirs may be open
    /// here.
    pub(super) fn record_joined(&self, spot: &Spot) {
        let mut cache = self.cache();
        cache.numbers = cache.numbers.max(spot.number);
        if let Some(kept) = cache.connected.get_mut(&spot.visitor) {
            *kept = Connected::new(spot, None);
        }
    }

    /// Takes the visitors whose sockets here were replaced by newer ones elsewhere.
    pub(super) fn take_replaced(&self) -> Vec<VisitorId> {
        let mut cache = self.cache();
        let replaced = std::mem::take(&mut cache.replaced);
        for visitor in &replaced {
            cache.connected.remove(visitor);
        }
        replaced
    }

    /// Returns whether the store has confirmed the place of a visitor with an open socket here in a life
    /// of the line.
    pub(super) fn returned(&self, spot: &Spot, life: Life) -> Returned {
        let cache = self.cache();
        let kept = cache.connected.get(&spot.visitor);
        if kept.is_some_and(|kept| kept.is_confirmed(spot, life)) {
            return Returned::Confirmed;
        }
        let is_behind = cache.life() != Some(life);
        let is_returning = self.is_returning.load(Ordering::Acquire);
        if is_behind || is_returning || !cache.returning.is_empty() {
            Returned::Pending
        } else {
            Returned::Unknown
        }
    }

    /// Returns whether the life is an earlier one of this event.
    pub(super) fn is_earlier(&self, life: Life) -> bool {
        let current = self.cache().life();
        current
            .is_some_and(|current| life.creation == current.creation && life.store != current.store)
    }

    pub(super) fn is_undrawn(&self) -> bool {
        let cache = self.cache();
        cache.view().is_some_and(|view| view.is_undrawn)
    }

    pub(super) fn draw_state(&self) -> Option<DrawState> {
        self.cache().draw_state()
    }

    /// Deletes the backup, of an event that does not exist any more.
    pub(super) fn delete_backup(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

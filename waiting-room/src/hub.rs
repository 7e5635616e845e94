//! State that this node keeps of one event: the newest view of the line, the open sockets and the
//! samples for plots.

use crate::history::History;
use crate::instruments::HubMetrics;
use crate::line::{LineView, Stats, TroubleKind};
use parking_lot::Mutex;
use shared::http::socket::steady_seconds;
use shared::ids::VisitorId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Age of the newest view from which on a node is behind. There are two ticks a second at least.
const BEHIND: Duration = Duration::from_secs(5);

/// One event at this node.
pub(crate) struct EventHub {
    /// Newest view of the line. Sockets read it when they are due; a change wakes none of them.
    pub(crate) front: watch::Sender<Arc<LineView>>,
    /// Revision of the view. A change wakes every socket.
    pub(crate) revision: watch::Sender<u64>,
    /// Whether the event was deleted, which ends its sockets.
    is_gone: AtomicBool,
    /// Whether the list of the draw was already requested from the line.
    has_list: AtomicBool,
    /// Open sockets of each visitor.
    pub(crate) sockets: Sockets,
    history: History,
    pub(crate) metrics: HubMetrics,
}

impl EventHub {
    pub(crate) fn new(front: Arc<LineView>) -> EventHub {
        EventHub {
            revision: watch::Sender::new(front.revision),
            front: watch::Sender::new(front),
            is_gone: AtomicBool::new(false),
            has_list: AtomicBool::new(false),
            sockets: Sockets::default(),
            history: History::default(),
            metrics: HubMetrics::default(),
        }
    }

    /// Returns the newest view of the line.
    pub(crate) fn front(&self) -> Arc<LineView> {
        self.front.borrow().clone()
    }

    /// Returns whether the event was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Marks the event as deleted and wakes every socket, so that it ends.
    pub(crate) fn end(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Publishes a view unless a newer one of the same life was published before.
    pub(crate) fn show(&self, front: Arc<LineView>) {
        self.metrics.note_view();
        let revision = front.revision;
        let is_newer = self.front.send_if_modified(|kept| {
            let is_newer = front.life != kept.life || front.step >= kept.step;
            if is_newer {
                *kept = front;
            }
            is_newer
        });
        if is_newer {
            self.revision
                .send_if_modified(|kept| std::mem::replace(kept, revision) != revision);
        }
    }

    /// Returns what keeps the line from moving, as far as its views tell.
    pub(crate) fn trouble(&self) -> Option<TroubleKind> {
        if self.metrics.age() > BEHIND {
            return Some(TroubleKind::Behind);
        }
        let is_recovering = self.front.borrow().is_recovering;
        is_recovering.then_some(TroubleKind::Recovering)
    }

    /// Returns whether this is the first call, so that the list of a draw is read in the background
    /// once.
    pub(crate) fn begin_list(&self) -> bool {
        !self.has_list.swap(true, Ordering::Relaxed)
    }

    /// Returns the samples of the last `minutes`, oldest first.
    pub(crate) fn history(&self, minutes: u32) -> Vec<Stats> {
        self.history.last(minutes)
    }

    /// Returns the newest sample.
    pub(crate) fn newest(&self) -> Option<Stats> {
        self.history.newest()
    }

    /// Adds a sample of the event's figures.
    pub(crate) fn sample(&self, stats: Stats) {
        self.history.push(stats);
    }
}

/// Largest number of sockets of one visitor at a node: tabs and devices.
pub(crate) const SOCKETS_PER_VISITOR_MAX: u8 = 4;
/// Silence of a socket after which another of its visitor may take its place among them: it answers
/// a ping every 25 seconds, unless its device sleeps or has lost the network.
const DEAD_SECONDS: u32 = 35;

/// Open sockets by visitor, each in one of a few slots. Locked when a socket opens and when it
/// closes, never for a message.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<HashMap<SlotOf, Arc<SocketState>>>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SlotOf {
    visitor: VisitorId,
    slot: u8,
}

impl SlotOf {
    fn all(visitor: VisitorId) -> impl Iterator<Item = SlotOf> {
        (0..SOCKETS_PER_VISITOR_MAX).map(move |slot| SlotOf { visitor, slot })
    }
}

struct SocketState {
    /// When the client was last heard, in seconds of the steady clock.
    heard_at: AtomicU32,
    /// Whether a socket of the visitor was opened at another node since.
    is_moved: AtomicBool,
}

/// A socket that is counted.
pub(crate) struct OpenSocket {
    slot: u8,
    state: Arc<SocketState>,
}

impl OpenSocket {
    /// Records that the client was heard.
    pub(crate) fn hear(&self) {
        let now = steady_seconds();
        self.state.heard_at.store(now, Ordering::Relaxed);
    }

    /// Returns, once, whether the visitor opened a socket at another node.
    pub(crate) fn take_moved(&self) -> bool {
        self.state.is_moved.swap(false, Ordering::Relaxed)
    }
}

impl Sockets {
    /// Counts a socket; none if the visitor has as many as may be.
    pub(crate) fn enter(&self, visitor: VisitorId) -> Option<OpenSocket> {
        self.enter_at(visitor, steady_seconds())
    }

    fn enter_at(&self, visitor: VisitorId, now: u32) -> Option<OpenSocket> {
        let mut sockets = self.0.lock();
        let is_free = |slot: &SlotOf| {
            sockets.get(slot).is_none_or(|kept| {
                let heard_at = kept.heard_at.load(Ordering::Relaxed);
                now.saturating_sub(heard_at) > DEAD_SECONDS
            })
        };
        let slot = SlotOf::all(visitor).find(is_free)?;
        let state = Arc::new(SocketState {
            heard_at: AtomicU32::new(now),
            is_moved: AtomicBool::new(false),
        });
        sockets.insert(slot, state.clone());
        let slot = slot.slot;
        Some(OpenSocket { slot, state })
    }

    /// Counts a socket no longer; returns whether it was the visitor's last one here.
    pub(crate) fn exit(&self, visitor: VisitorId, socket: &OpenSocket) -> bool {
        let slot = SlotOf {
            visitor,
            slot: socket.slot,
        };
        let mut sockets = self.0.lock();
        let kept = sockets.get(&slot);
        if kept.is_some_and(|kept| Arc::ptr_eq(kept, &socket.state)) {
            sockets.remove(&slot);
        }
        !SlotOf::all(visitor).any(|slot| sockets.contains_key(&slot))
    }

    /// Records that a visitor opened a socket at another node.
    pub(crate) fn mark_moved(&self, visitor: VisitorId) {
        let sockets = self.0.lock();
        for state in SlotOf::all(visitor).filter_map(|slot| sockets.get(&slot)) {
            state.is_moved.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn contains(&self, visitor: VisitorId) -> bool {
        let sockets = self.0.lock();
        SlotOf::all(visitor).any(|slot| sockets.contains_key(&slot))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_has_a_few_sockets_and_one_more_only_in_place_of_a_dead_one() {
        let sockets = Sockets::default();
        let (ann, ben) = (VisitorId(1), VisitorId(2));
        let open = |now| sockets.enter_at(ann, now);
        let first: Vec<OpenSocket> = (0..4).filter_map(|_| open(100)).collect();
        assert_eq!(first.len(), 4);
        assert!(open(100 + DEAD_SECONDS).is_none());
        assert!(sockets.enter_at(ben, 100).is_some());
        for alive in &first[1..] {
            alive.state.heard_at.store(130, Ordering::Relaxed);
        }
        let fifth = open(101 + DEAD_SECONDS).unwrap();
        assert!(
            !sockets.exit(ann, &first[0]),
            "its slot is another's by now"
        );
        assert!(first[1..].iter().all(|socket| !sockets.exit(ann, socket)));
        assert!(sockets.exit(ann, &fifth), "the last one");
        assert_eq!(sockets.count(), 1);
    }
}

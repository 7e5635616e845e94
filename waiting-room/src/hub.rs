//! State that this node keeps of one event: the newest view of the line, the open sockets and the
//! samples for plots.

use crate::history::History;
use crate::instruments::HubMetrics;
use crate::line::{LineView, Stats};
use parking_lot::Mutex;
use shared::ids::VisitorId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{oneshot, watch};

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
    /// Open socket of each visitor.
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

    /// Publishes a view unless a newer one was published before.
    pub(crate) fn show(&self, front: Arc<LineView>) {
        self.metrics.note_view();
        let revision = front.revision;
        let is_newer = self.front.send_if_modified(|kept| {
            let is_newer = front.step >= kept.step;
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

/// Open sockets by visitor. Locked when a socket opens and when it closes, never for a message.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<HashMap<VisitorId, OpenSocket>>);

struct OpenSocket {
    id: u64,
    /// Ends the socket.
    replace: oneshot::Sender<()>,
}

impl Sockets {
    /// Registers a socket and tells the one it replaces.
    pub(crate) fn enter(&self, visitor: VisitorId, id: u64) -> oneshot::Receiver<()> {
        let (replace, replaced) = oneshot::channel();
        let mut sockets = self.0.lock();
        if let Some(before) = sockets.insert(visitor, OpenSocket { id, replace }) {
            let _ = before.replace.send(());
        }
        replaced
    }

    /// Removes a socket; returns false when it was replaced in the meantime.
    pub(crate) fn exit(&self, visitor: VisitorId, id: u64) -> bool {
        let mut sockets = self.0.lock();
        let is_ours = sockets.get(&visitor).is_some_and(|known| known.id == id);
        if is_ours {
            sockets.remove(&visitor);
        }
        is_ours
    }

    /// Ends the visitor's socket here, because a newer one was opened at another node.
    pub(crate) fn replace(&self, visitor: VisitorId) {
        let mut sockets = self.0.lock();
        if let Some(here) = sockets.remove(&visitor) {
            let _ = here.replace.send(());
        }
    }

    pub(crate) fn contains(&self, visitor: VisitorId) -> bool {
        let sockets = self.0.lock();
        sockets.contains_key(&visitor)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

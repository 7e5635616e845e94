//! A fan: the place that they were told, their socket, and what they do not know.

use crate::line::{Slot, Spot, VisitorState};
use crate::pass::Pass;
use crate::watched_place::WatchedPlace;
use shared::ids::VisitorId;
use shared::time::Time;

/// Steps that a fan took without learning their outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unknown {
    pub(super) joined: bool,
    /// A join without an answer may still arrive, and act when the place of another one is over.
    pub(super) joined_late: bool,
    pub(super) left: bool,
    pub(super) claimed: bool,
    pub(super) finished: bool,
    pub(super) ejected: bool,
    /// The fan was silent for too long before the last sign of life: the node of the socket was cut off,
    /// or the socket was that of an older place.
    pub(super) missed: bool,
}

/// An open socket.
#[derive(Clone, Debug)]
pub(super) struct SimulatedSocket {
    pub(super) node: usize,
    /// Life of the node.
    pub(super) life: u64,
    pub(super) watched: WatchedPlace,
    /// Its node cannot reach the store, or could not a moment ago.
    pub(super) is_cut_off: bool,
}

/// A request while the store did not answer, or was in the middle of a draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vain {
    pub(super) node: usize,
    /// Sign of life before it.
    pub(super) heard_ms: u64,
}

/// An extension of a slot, which is for the same end however often it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension {
    /// The end that the fan's token has then.
    pub(super) until: Time,
    /// By how many ms the store's clock was set then; none if it was set at that moment.
    clock_ms: Option<i64>,
    /// The fan was told that the slot lasts so long.
    pub(super) is_told: bool,
}

/// A fan.
#[derive(Clone, Debug)]
pub(super) struct Fan {
    pub(super) visitor: VisitorId,
    pub(super) pass: Option<Pass>,
    /// The node that gave the pass had yet to hear that the event is another one.
    pub(super) is_pass_of_no_use: bool,
    /// State that the fan was told last; none without a place.
    pub(super) state: Option<VisitorState>,
    pub(super) number: u64,
    pub(super) is_provisional: bool,
    /// Number of the arrival, before a draw.
    pub(super) arrival: u64,
    pub(super) slot: Option<Slot>,
    /// The extension of the slot that the fan asked for.
    pub(super) extension: Option<Extension>,
    pub(super) socket: Option<SimulatedSocket>,
    /// When a node told the place last, in ms since the beginning.
    pub(super) told_ms: u64,
    /// Last sign of life that the line could learn of, in ms since the beginning.
    pub(super) heard_ms: u64,
    /// The sign of life that the store has yet to hear of.
    pub(super) vain: Option<Vain>,
    /// By how many ms the store's clock was set when the fan was told of the slot; none if it was
    /// set at that moment.
    pub(super) clock_ms: Option<i64>,
    /// A request is under way.
    pub(super) is_busy: bool,
    pub(super) unknown: Unknown,
}

impl Fan {
    /// Creates a fan who has yet to come.
    pub(super) fn new(visitor: VisitorId) -> Fan {
        Fan {
            visitor,
            pass: None,
            is_pass_of_no_use: false,
            state: None,
            number: 0,
            is_provisional: false,
            arrival: 0,
            slot: None,
            extension: None,
            socket: None,
            told_ms: 0,
            heard_ms: 0,
            vain: None,
            clock_ms: None,
            is_busy: false,
            unknown: Unknown::default(),
        }
    }

    /// Returns whether a socket is open for the place, and not for an older one.
    pub(super) fn has_socket(&self) -> bool {
        let socket = self.socket.as_ref();
        socket.is_some_and(|socket| {
            let spot = &socket.watched.spot;
            let is_behind = spot.is_provisional && !self.is_provisional;
            spot.number == if is_behind { self.arrival } else { self.number }
        })
    }

    /// Closes the socket, which is a sign of life if its node can tell the store of it.
    pub(super) fn close(&mut self, now_ms: u64) {
        if self.socket.take().is_some_and(|socket| !socket.is_cut_off) {
            self.heard_ms = now_ms;
        }
    }

    /// Returns the end for which to ask for an extension by so many ms, as the fan's token has it; none
    /// unless the fan is shopping.
    pub(super) fn extend(&mut self, by_ms: u64) -> Option<Time> {
        let is_shopping = self.state == Some(VisitorState::Shopping);
        let slot = self.slot.filter(|_| is_shopping)?;
        let extension = self.extension.get_or_insert(Extension {
            until: Time(slot.expires_at.0 + by_ms as i64),
            clock_ms: self.clock_ms,
            is_told: false,
        });
        Some(extension.until)
    }

    /// Takes the answer that the extension is granted. A clock that was set since it was first asked for
    /// shortens or lengthens it.
    pub(super) fn told_extended(&mut self, clock_ms: Option<i64>) {
        if let Some(extension) = &mut self.extension {
            let was_set = clock_ms.is_none() || clock_ms != extension.clock_ms;
            extension.is_told |= !was_set;
        }
    }

    /// Returns whether the fan was told of an extension.
    pub(super) fn is_extended(&self) -> bool {
        self.extension.is_some_and(|extension| extension.is_told)
    }

    /// Returns whether a place is newer than what the fan was told, or the same.
    pub(super) fn is_behind(&self, spot: &Spot) -> bool {
        match (self.is_provisional, spot.is_provisional) {
            (true, false) => true,
            (false, true) => self.state.is_none(),
            _ => spot.number >= self.number,
        }
    }

    /// Forgets the place, which is lost.
    pub(super) fn forget(&mut self) {
        self.state = None;
        self.number = 0;
        self.is_provisional = false;
        self.slot = None;
        self.extension = None;
        self.pass = None;
    }

    /// Returns whether a socket keeps the place.
    pub(super) fn is_connected(&self) -> bool {
        let socket = self.socket.as_ref().filter(|_| self.has_socket());
        socket.is_some_and(|socket| !socket.is_cut_off)
    }
}

/// Times of an answer, and the node that gave it.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) node: usize,
    /// When it was asked for, in ms since the beginning.
    pub(super) asked_ms: u64,
    /// Now.
    pub(super) now_ms: u64,
    /// By how many ms the store's clock was set when it was asked for, and now.
    pub(super) clocks_ms: [i64; 2],
    /// The node has yet to hear that the event is another one, and counts in the view of the one before.
    pub(super) is_of_another_event: bool,
}

impl Times {
    /// Returns by how many ms the store's clock was set; none if it was set meanwhile.
    pub(super) fn clock_ms(self) -> Option<i64> {
        let [asked, now] = self.clocks_ms;
        (asked == now).then_some(now)
    }
}

/// Returns whether a place is over.
pub(super) fn is_over(state: VisitorState) -> bool {
    !matches!(
        state,
        VisitorState::Waiting | VisitorState::Admitted | VisitorState::Shopping
    )
}

/// Returns how far a visitor has come.
pub(super) fn rank(state: VisitorState) -> u8 {
    match state {
        VisitorState::Waiting => 0,
        VisitorState::Admitted => 1,
        VisitorState::Shopping => 2,
        _ => 3,
    }
}

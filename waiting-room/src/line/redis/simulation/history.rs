//! The store's past: visitors it admitted and when, visitors who waited, numbers that were drawn.

use super::draw_state::UNDER_WAY;
use super::fan_state::Fan;
use super::stored::{Part, Stored};
use shared::ids::VisitorId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Time for which earlier positions are remembered, in ms: longer than an answer takes.
const REMEMBERED_MS: u64 = 30_000;

/// The waiting numbers at one time.
struct Moment {
    at_ms: u64,
    waiting: Part<BTreeSet<u64>>,
}

/// What the store did.
#[derive(Default)]
pub(super) struct StoreHistory {
    /// When each number was admitted, in ms since the beginning.
    admitted: BTreeMap<u64, u64>,
    moments: VecDeque<Moment>,
    /// Order of the draw; none before it.
    drawn: Option<BTreeMap<VisitorId, u64>>,
    /// The order of a draw that the store has lost.
    lost_order: Option<BTreeMap<VisitorId, u64>>,
    /// Visitors in the published list; the others of the order came later.
    entries: u64,
    /// When the store was in the middle of a draw last, in ms since the beginning.
    drawing_ms: Option<u64>,
    /// When the store lost data, in ms since the beginning; none if it never did.
    lost_ms: Option<u64>,
}

impl StoreHistory {
    /// Records an admission.
    pub(super) fn admit(&mut self, number: u64, at_ms: u64) {
        self.admitted.insert(number, at_ms);
    }

    /// Returns when a number was admitted last.
    pub(super) fn admitted_ms(&self, number: u64) -> Option<u64> {
        self.admitted.get(&number).copied()
    }

    /// Records the order of a draw. All numbers are others from then on.
    pub(super) fn draw(&mut self, order: Vec<VisitorId>, entries: u64) {
        self.entries = entries;
        self.admitted.clear();
        self.moments.clear();
        self.drawn = Some(order.into_iter().zip(1..).collect());
        self.lost_order = None;
    }

    /// Records that the draw is to be held again.
    pub(super) fn forget_draw(&mut self) {
        self.drawn = None;
        self.lost_order = None;
    }

    /// Records that the store has lost a draw that no node knows.
    pub(super) fn lose_draw(&mut self) {
        self.lost_order = self.drawn.take();
    }

    /// Records that a node reports a draw: its answer was on its way to the node when the store lost it.
    pub(super) fn recall_draw(&mut self) {
        self.drawn = self.drawn.take().or(self.lost_order.take());
    }

    /// Returns whether a visitor came too late for the list of the draw that was held.
    pub(super) fn is_unlisted(&self, visitor: VisitorId) -> bool {
        let drawn = self.drawn.as_ref().map(|drawn| drawn.get(&visitor));
        drawn.is_some_and(|number| number.is_none_or(|number| *number > self.entries))
    }

    /// Returns the number that a visitor drew.
    pub(super) fn drawn_number(&self, visitor: VisitorId) -> Option<u64> {
        self.drawn.as_ref()?.get(&visitor).copied()
    }

    /// Returns the number of a fan, who may not have been told yet what they drew; 0 without one.
    pub(super) fn number_of(&self, fan: &Fan) -> u64 {
        match &self.drawn {
            Some(drawn) if fan.is_provisional => drawn.get(&fan.visitor).copied().unwrap_or(0),
            _ => fan.number,
        }
    }

    /// Returns whether the store was in the middle of a draw since then.
    pub(super) fn has_drawn_since(&self, at_ms: u64) -> bool {
        self.drawing_ms
            .is_some_and(|drawing_ms| drawing_ms >= at_ms)
    }

    /// Records that the store lost data.
    pub(super) fn lose(&mut self, at_ms: u64) {
        self.lost_ms = Some(at_ms);
    }

    /// Returns whether the store has lost data since then.
    pub(super) fn has_lost_since(&self, at_ms: u64) -> bool {
        self.lost_ms.is_some_and(|lost_ms| lost_ms >= at_ms)
    }

    /// Returns whether this many waited ahead of a number at any time since then.
    pub(super) fn was_ahead(&self, number: u64, ahead: u64, since_ms: u64) -> bool {
        let last_before = self
            .moments
            .iter()
            .rposition(|moment| moment.at_ms < since_ms);
        let since = self.moments.iter().skip(last_before.unwrap_or(0));
        let mut counts = since.map(|moment| moment.waiting.range(..number).count() as u64);
        counts.any(|count| count == ahead)
    }

    /// Records who waits, and whether the store is in the middle of a draw.
    pub(super) fn remember(&mut self, at_ms: u64, after: &Stored) {
        if after.draw.stage == UNDER_WAY {
            self.drawing_ms = Some(at_ms);
        }
        let last = self.moments.back();
        if last.is_none_or(|last| !last.waiting.is(&after.waiting)) {
            let waiting = after.waiting.clone();
            self.moments.push_back(Moment { at_ms, waiting });
        }
        while self.moments.len() > 2 && self.moments[1].at_ms + REMEMBERED_MS < at_ms {
            self.moments.pop_front();
        }
    }
}

//! What the store did: whom it admitted and when, and who waited.

use super::stored::Stored;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Time for which earlier positions are remembered, in ms: longer than an answer takes.
const REMEMBERED_MS: u64 = 30_000;

/// The waiting numbers at one time.
struct Moment {
    at_ms: u64,
    waiting: BTreeSet<u64>,
}

/// What the store did.
#[derive(Default)]
pub(super) struct History {
    /// When each number was admitted, in ms since the beginning.
    admitted: BTreeMap<u64, u64>,
    moments: VecDeque<Moment>,
}

impl History {
    /// Records an admission.
    pub(super) fn admit(&mut self, number: u64, at_ms: u64) {
        self.admitted.insert(number, at_ms);
    }

    /// Returns when a number was admitted last.
    pub(super) fn admitted_ms(&self, number: u64) -> Option<u64> {
        self.admitted.get(&number).copied()
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

    /// Records who waits.
    pub(super) fn remember(&mut self, at_ms: u64, after: &Stored) {
        let last = self.moments.back();
        if last.is_none_or(|last| last.waiting != after.waiting) {
            let waiting = after.waiting.clone();
            self.moments.push_back(Moment { at_ms, waiting });
        }
        while self.moments.len() > 2 && self.moments[1].at_ms + REMEMBERED_MS < at_ms {
            self.moments.pop_front();
        }
    }
}

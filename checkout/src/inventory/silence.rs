//! Silence of the payment provider, as this node notices it.

use std::sync::atomic::{AtomicU32, Ordering};

/// Number of requests without an answer, one after the other, after which a provider counts as away.
const UNANSWERED: u32 = 3;

/// Requests to the provider that had no answer since the last that had one.
#[derive(Default)]
pub(super) struct Silence(AtomicU32);

impl Silence {
    pub(super) fn note(&self, has_answered: bool) {
        if has_answered {
            self.0.store(0, Ordering::Relaxed);
        } else {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether the provider counts as away.
    pub(super) fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= UNANSWERED
    }
}

//! Counts of the requests in flight.

use super::class::Class;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Requests let in and answered since the start. The difference are those in flight.
#[derive(Default)]
pub(super) struct Count {
    pub(super) entered: AtomicU64,
    pub(super) answered: AtomicU64,
}

impl Count {
    /// Returns the number answered since the start.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Returns the number in flight.
    pub(super) fn in_flight(&self) -> usize {
        let answered = self.answered();
        let entered = self.entered.load(Ordering::Relaxed);
        usize::try_from(entered.saturating_sub(answered)).unwrap_or(usize::MAX)
    }
}

/// Requests in flight by class, and the limits on them.
#[derive(Default)]
pub(super) struct InFlight {
    by_class: [Count; Class::ALL.len()],
    /// Those of fans that change something, which therefore wait for a store. Most of the others
    /// are answered from memory, and would make the wait look shorter than it is.
    pub(super) changes: Count,
    /// Limits that are in force now.
    limits: [AtomicUsize; Class::ALL.len()],
}

impl InFlight {
    pub(super) fn of(&self, class: Class) -> &Count {
        &self.by_class[class as usize]
    }

    /// Returns the number of requests of fans that were answered since the start.
    pub(super) fn answered_to_fans(&self) -> u64 {
        let fans = Class::FANS.into_iter();
        fans.map(|class| self.of(class).answered()).sum()
    }

    /// Sets the limit on requests of a class.
    pub(super) fn limit(&self, class: Class, limit: usize) {
        self.limits[class as usize].store(limit, Ordering::Relaxed);
    }

    /// Returns whether one more request of a class may be in flight. Requests that enter at the
    /// same instant may pass the limit together.
    pub(super) fn has_room(&self, class: Class) -> bool {
        let total = match class {
            Class::Organiser => self.of(class).in_flight(),
            _ => {
                let fans = Class::FANS.into_iter();
                fans.map(|class| self.of(class).in_flight()).sum()
            }
        };
        total < self.limits[class as usize].load(Ordering::Relaxed)
    }
}

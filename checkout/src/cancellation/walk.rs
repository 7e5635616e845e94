//! Walks through the orders of cancelled shows that are to be ended.

use parking_lot::Mutex;
use shared::ids::EventId;
use shared::time::Time;
use std::collections::HashMap;

/// Largest number of orders in one step.
pub(super) const STEP_MAX: u32 = 100;
/// Pause before orders of a show are looked at again when all of them were.
const PASS_SECONDS: u32 = 5;
/// Longest pause while a provider or the store does not answer; the first is a second, and each is
/// twice as long as the one before.
const PAUSE_SECONDS_MAX: u32 = 60;
/// States of orders that are to be ended. Those that are not paid for come first: no one shall pay in
/// vain.
pub(super) const OPEN: [&str; 4] = ["paying", "declined", "confirming", "confirmed"];

/// How far this process is with the cancelled shows.
#[derive(Default)]
pub(crate) struct Endings {
    /// Locked for a look-up, never across an await.
    pub(super) walks: Mutex<HashMap<EventId, Walk>>,
}

/// A walk through the orders of a show that are to be ended. Another process, or this one after a
/// restart, begins anew, as orders that have ended are in none of these states any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    pub(super) is_told: bool,
    pub(super) tell_at: Time,
    /// Index of the state that is being looked at.
    pub(super) state: usize,
    /// Order after which the next step begins.
    pub(super) after: Option<String>,
    /// Number of steps without an answer, one after the other.
    failures: u32,
    pub(super) resume_at: Time,
}

impl Walk {
    pub(super) fn pause(&mut self, now: Time) {
        let seconds = (1 << self.failures.min(16)).min(PAUSE_SECONDS_MAX);
        self.failures += 1;
        self.resume_at = now.plus_seconds(seconds);
    }

    /// Goes on after a page of orders. Returns whether the next one may follow at once.
    pub(super) fn go_on(&mut self, page: &[String], now: Time) -> bool {
        self.failures = 0;
        if page.len() == STEP_MAX as usize {
            self.after = page.last().cloned();
            return true;
        }
        self.after = None;
        self.state += 1;
        if self.state < OPEN.len() {
            return true;
        }
        self.state = 0;
        self.resume_at = now.plus_seconds(PASS_SECONDS);
        false
    }
}

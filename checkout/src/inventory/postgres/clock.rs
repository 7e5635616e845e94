//! The database's clock.

use parking_lot::Mutex;
use shared::time::{Clock, Time};
use tokio::time::Instant;

/// The database's clock as of its last answer, carried on by a clock that cannot be set.
pub(super) struct StoreClock {
    manual: Clock,
    last: Mutex<Option<(Time, Instant)>>,
}

impl StoreClock {
    pub(super) fn new(manual: Clock) -> StoreClock {
        StoreClock {
            manual,
            last: Mutex::new(None),
        }
    }

    /// Returns whether a test moves this clock.
    pub(super) fn is_manual(&self) -> bool {
        self.manual.hand().is_some()
    }

    pub(super) fn now(&self) -> Time {
        if let Some(time) = self.manual.hand() {
            return time;
        }
        let last = self.last.lock();
        match *last {
            Some((time, at)) => Time(time.0 + at.elapsed().as_millis() as i64),
            None => Time(0),
        }
    }

    /// Sets the clock to the time that the database has told.
    pub(super) fn set(&self, time: Time) {
        if self.is_manual() {
            return;
        }
        let mut last = self.last.lock();
        *last = Some((time, Instant::now()));
    }
}

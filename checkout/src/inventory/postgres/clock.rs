//! The database's clock.

use super::database::ANSWER;
use parking_lot::Mutex;
use shared::time::{Clock, Time};
use std::time::Duration;
use tokio::time::Instant;

/// Time after which a clock that all answers contradict is set back.
const CONTRADICTED: Duration = Duration::from_secs(10);

/// The database's clock as of its best answer, carried on by a clock that cannot be set.
pub(super) struct StoreClock {
    manual: Clock,
    readings: Mutex<Readings>,
}

#[derive(Default)]
struct Readings {
    best: Option<Reading>,
    /// The best of the answers that told less than `best`, and when the first of them came.
    less: Option<(Reading, Instant)>,
}

/// A time that the database told.
#[derive(Clone, Copy)]
struct Reading {
    time: Time,
    heard_at: Instant,
}

impl Reading {
    /// Returns the time at an instant since then.
    fn at(&self, instant: Instant) -> Time {
        let since = instant.duration_since(self.heard_at);
        Time(self.time.0 + since.as_millis() as i64)
    }
}

impl Readings {
    /// Takes what an answer told. One that was long on its way tells an earlier time, which is no
    /// reason to go back. A clock of the database that was set back is followed: at once if no
    /// answer is on its way for so long, otherwise once all answers say so for a while.
    fn take(&mut self, new: Reading) {
        let now = new.heard_at;
        let behind_ms = self.best.map_or(0, |best| best.at(now).0 - new.time.0);
        if behind_ms <= 0 || behind_ms > ANSWER.as_millis() as i64 {
            self.best = Some(new);
            self.less = None;
            return;
        }
        let (less, since) = self.less.get_or_insert((new, now));
        if less.at(now) <= new.time {
            *less = new;
        }
        if now.duration_since(*since) >= CONTRADICTED {
            self.best = Some(*less);
            self.less = None;
        }
    }
}

impl StoreClock {
    pub(super) fn new(manual: Clock) -> StoreClock {
        StoreClock {
            manual,
            readings: Mutex::default(),
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
        let readings = self.readings.lock();
        readings
            .best
            .map_or(Time(0), |best| best.at(Instant::now()))
    }

    /// Sets the clock by the time that the database has told.
    pub(super) fn set(&self, time: Time) {
        if !self.is_manual() {
            let heard_at = Instant::now();
            self.readings.lock().take(Reading { time, heard_at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_does_not_set_the_clock_back_and_a_clock_that_was_set_back_is_followed() {
        let begun = Instant::now();
        let mut readings = Readings::default();
        // Seconds since the beginning, and what an answer tells then; returns what the clock shows.
        let mut hear = |seconds: u64, told: i64| {
            let heard_at = begun + Duration::from_secs(seconds);
            let time = Time(1_800_000_000_000 + told * 1000);
            readings.take(Reading { time, heard_at });
            let best = readings.best.unwrap();
            (best.at(heard_at).0 - 1_800_000_000_000) / 1000
        };
        assert_eq!(hear(0, 0), 0);
        assert_eq!(hear(5, 3), 5, "the answer was two seconds late");
        assert_eq!(hear(5, 6), 6);
        assert_eq!(hear(5, -60), -60, "no answer is a minute late");
        for at in 1..=10 {
            assert_eq!(
                hear(5 + at, -61 + at as i64 - at as i64 % 2),
                -60 + at as i64
            );
        }
        assert_eq!(hear(16, -51), -50, "the best of them, a second less");
    }
}

//! The line's own time, by which places and slots lapse: the clock's, without the time in which no
//! fan could be heard. A tick that finds the one before long ago, or later than now, was preceded by
//! an outage, a pause, a restart or a step of the clock. In Redis `redis/head.lua` does the same.

use super::Slot;
use serde::{Deserialize, Serialize};
use shared::time::Time;

/// Time between two ticks that counts in full. Of a longer one nothing counts.
const TICK_GAP_MS_MAX: i64 = 5_000;

/// When the line was last ticked, and how far its time is behind the clock's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hearing {
    /// Time of the last tick by the clock; 0 before the first.
    heard_at: Time,
    /// Time that did not count so far. Negative after the clock was set back.
    unheard_ms: i64,
}

impl Hearing {
    /// Returns what a store has of it.
    #[cfg(test)]
    pub(super) fn new(heard_at: Time, unheard_ms: i64) -> Hearing {
        Hearing {
            heard_at,
            unheard_ms,
        }
    }

    /// Returns how this would stand after a tick at this time.
    pub(super) fn at(self, now: Time) -> Hearing {
        let gap = now.0 - self.heard_at.0;
        let counts = self.heard_at.0 == 0 || (0..=TICK_GAP_MS_MAX).contains(&gap);
        Hearing {
            heard_at: now,
            unheard_ms: self.unheard_ms + if counts { 0 } else { gap },
        }
    }

    /// Returns the line's time at a time of the clock.
    pub(super) fn line_time(self, clock: Time) -> Time {
        Time(clock.0 - self.unheard_ms)
    }

    /// Returns the clock's time at a time of the line.
    pub(super) fn clock_time(self, line: Time) -> Time {
        Time(line.0 + self.unheard_ms)
    }

    /// Returns a slot in times of the clock.
    pub(super) fn slot_by_clock(self, slot: Slot) -> Slot {
        Slot {
            admitted_at: self.clock_time(slot.admitted_at),
            claim_by: self.clock_time(slot.claim_by),
            expires_at: self.clock_time(slot.expires_at),
        }
    }

    /// Returns the time from the last tick that this has seen to one that `later` has seen; negative
    /// if the clock was set back in between.
    pub(super) fn ms_until(self, later: Hearing) -> i64 {
        later.heard_at.0 - self.heard_at.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_time_stands_still_while_the_clock_jumps_and_goes_on_from_there() {
        let begun = Hearing::default().at(Time(1_000_000));
        assert_eq!(begun.line_time(Time(1_000_000)), Time(1_000_000));
        let mut hearing = begun;
        let mut line = 1_000_000;
        for (clock, counted) in [
            (1_004_000, 4_000),
            (1_009_000, 5_000),
            // An outage.
            (1_109_000, 0),
            (1_110_000, 1_000),
            // Set back, and right again.
            (510_000, 0),
            (511_000, 1_000),
            (1_112_000, 0),
        ] {
            hearing = hearing.at(Time(clock));
            line += counted;
            assert_eq!(hearing.line_time(Time(clock)), Time(line), "at {clock}");
            assert_eq!(hearing.clock_time(Time(line)), Time(clock));
        }
    }
}

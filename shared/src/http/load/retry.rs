//! The time after which a refused request should be sent again.

use rand::RngExt as _;
use std::ops::RangeInclusive;

/// Bounds of the longest time, in seconds. While it is 30, a fan returns every 18 seconds.
const LONGEST_MIN: f64 = 5.0;
const LONGEST_MAX: f64 = 30.0;
/// The shortest time, as a share of the longest. Times are random in between, so that those who
/// were refused together do not return together.
const SHORTEST: f64 = 0.2;
/// Largest change of the longest time in a second, as a factor.
const CHANGE_MAX: f64 = 1.25;

/// The longest time, which follows how many requests are refused: those who are sent away return,
/// and a process that is busy refusing them sells nothing.
pub(super) struct RetryAfter {
    longest_seconds: f64,
}

impl RetryAfter {
    pub(super) fn new() -> RetryAfter {
        RetryAfter {
            longest_seconds: LONGEST_MIN,
        }
    }

    /// Returns the longest time after a second in which so many requests were refused and answered.
    /// It grows while more are refused than answered.
    pub(super) fn observe(&mut self, refused: u64, answered: u64) -> u32 {
        let ratio = refused as f64 / answered.max(1) as f64;
        let change = ratio.clamp(1.0 / CHANGE_MAX, CHANGE_MAX);
        self.longest_seconds = (self.longest_seconds * change).clamp(LONGEST_MIN, LONGEST_MAX);
        self.longest_seconds()
    }

    /// Returns the longest time, in seconds.
    pub(super) fn longest_seconds(&self) -> u32 {
        self.longest_seconds.round() as u32
    }
}

/// Bounds of the time, in seconds, by the longest.
pub(super) fn bounds(longest_seconds: u32) -> RangeInclusive<u32> {
    let shortest = (f64::from(longest_seconds) * SHORTEST).round() as u32;
    shortest.max(1)..=longest_seconds.max(1)
}

/// Returns a random time in seconds.
pub(super) fn seconds(longest_seconds: u32) -> u32 {
    rand::rng().random_range(bounds(longest_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_while_more_are_refused_than_answered_and_shrinks_again() {
        let mut retry = RetryAfter::new();
        assert_eq!(retry.observe(0, 0), 5);
        assert_eq!(retry.observe(10, 1000), 5);
        let grown: Vec<u32> = (0..10).map(|_| retry.observe(3000, 1000)).collect();
        assert!(grown.is_sorted() && grown[0] > 5, "{grown:?}");
        assert_eq!(grown.last(), Some(&30));
        assert_eq!(bounds(30), 6..=30);
        assert_eq!(retry.observe(1000, 1000), 30);
        let shrunk: Vec<u32> = (0..10).map(|_| retry.observe(0, 1000)).collect();
        assert_eq!(shrunk.last(), Some(&5));
        assert_eq!(bounds(5), 1..=5);
    }
}

//! The limit on requests in flight: as many as the process answers in a second, measured while it
//! is behind.

use std::collections::VecDeque;
use std::time::Duration;

/// Longest time that requests should wait for a store. By Little's law, they wait this long when as
/// many are in flight as are answered in that time.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Time over which answers are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// The wait must have been too long for this time before the limit is lowered. A burst that is
/// answered within a second, and a pause of a store of half a second, lower nothing.
const STANDING: Duration = Duration::from_millis(500);
/// Smallest limit: a store that pauses, or answers one request in seconds, is no overload.
const MIN: usize = 64;
/// Growth of the limit each second while the wait is short.
const GROWTH: f64 = 0.6;

/// A limit that follows the rate of answers.
pub(super) struct AdaptiveLimit {
    min: f64,
    max: f64,
    now: f64,
    /// Answers counted so far, and the time since the count before.
    samples: VecDeque<Sample>,
    /// How long the wait has been too long.
    late_for: Duration,
}

struct Sample {
    span: Duration,
    answered: u64,
}

impl AdaptiveLimit {
    /// The largest limit, as nothing is known yet of what the process can do.
    pub(super) fn new(max: usize) -> AdaptiveLimit {
        AdaptiveLimit {
            min: MIN.min(max) as f64,
            max: max as f64,
            now: max as f64,
            samples: VecDeque::new(),
            late_for: Duration::ZERO,
        }
    }

    /// Returns the limit after a further `span`, at the end of which so many requests had been
    /// answered in all and so many were waiting.
    pub(super) fn observe(&mut self, span: Duration, answered: u64, waiting: usize) -> usize {
        self.samples.push_back(Sample { span, answered });
        let mut counted: Duration = self.samples.iter().skip(1).map(|sample| sample.span).sum();
        while let Some(second) = self.samples.get(1)
            && counted - second.span >= WINDOW
        {
            counted -= second.span;
            self.samples.pop_front();
        }
        let before = self
            .samples
            .front()
            .map_or(answered, |first| first.answered);
        let rate = (answered - before) as f64 / counted.max(WINDOW).as_secs_f64();
        let fitting = rate * WAIT_MAX.as_secs_f64();
        if waiting as f64 > fitting.max(self.min) {
            self.late_for += span;
            if self.late_for >= STANDING {
                self.now = self.now.min(fitting).max(self.min);
            }
        } else {
            self.late_for = Duration::ZERO;
            self.now = (self.now * (1.0 + GROWTH * span.as_secs_f64())).min(self.max);
        }
        self.now as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Duration = Duration::from_millis(100);

    /// A store that answers so many requests a second, in the order of their arrival, behind a
    /// limit.
    struct Store {
        limit: AdaptiveLimit,
        limited_to: usize,
        lowest_limit: usize,
        answered: u64,
        waiting: usize,
    }

    impl Store {
        fn new() -> Store {
            Store {
                limit: AdaptiveLimit::new(5000),
                limited_to: 5000,
                lowest_limit: 5000,
                answered: 0,
                waiting: 0,
            }
        }

        /// Offers load for a while; returns the longest queue.
        fn offer(&mut self, seconds: u64, offered: usize, capacity: usize) -> usize {
            let mut longest = 0;
            for _ in 0..10 * seconds {
                let room = self.limited_to.saturating_sub(self.waiting);
                self.waiting += room.min(offered / 10);
                longest = longest.max(self.waiting);
                let done = self.waiting.min(capacity / 10);
                self.waiting -= done;
                self.answered += done as u64;
                self.limited_to = self.limit.observe(SAMPLE, self.answered, self.waiting);
                self.lowest_limit = self.lowest_limit.min(self.limited_to);
            }
            longest
        }
    }

    #[test]
    fn under_three_times_the_load_the_wait_stays_near_a_second() {
        for capacity in [200, 1000, 3000] {
            let mut store = Store::new();
            store.offer(20, capacity * 6 / 10, capacity);
            assert_eq!(store.limited_to, 5000);
            let first = store.offer(5, 3 * capacity, capacity);
            assert!(
                first <= 4 * capacity,
                "{first} waited at once for {capacity}/s"
            );
            let later = store.offer(55, 3 * capacity, capacity);
            assert!(
                later <= capacity * 3 / 2,
                "{later} waited at once for {capacity}/s"
            );
            assert!(store.waiting * 2 > capacity, "the store was kept busy");
            store.offer(3, capacity * 6 / 10, capacity);
            assert!(store.waiting < capacity / 10, "no debt is left");
            store.offer(10, capacity * 6 / 10, capacity);
            assert_eq!(store.limited_to, 5000);
        }
    }

    #[test]
    fn a_burst_that_is_answered_in_time_lowers_nothing() {
        let mut store = Store::new();
        store.offer(5, 0, 3000);
        store.waiting = 2900;
        store.offer(5, 0, 3000);
        assert_eq!(store.lowest_limit, 5000);
    }

    #[test]
    fn a_store_that_pauses_for_half_a_second_lowers_nothing_and_one_that_stops_does() {
        let mut store = Store::new();
        store.offer(5, 2000, 3000);
        for _ in 0..5 {
            store.waiting += 200;
            store.limited_to = store.limit.observe(SAMPLE, store.answered, store.waiting);
        }
        store.offer(5, 2000, 3000);
        assert_eq!(store.lowest_limit, 5000);
        store.offer(3, 2000, 0);
        assert_eq!(store.limited_to, MIN);
        store.offer(10, 2000, 3000);
        assert_eq!(store.limited_to, 5000);
    }

    #[test]
    fn few_requests_are_never_refused_however_slow_they_are() {
        let mut store = Store::new();
        store.waiting = MIN;
        store.offer(60, 0, 0);
        assert_eq!(store.lowest_limit, 5000);
    }
}

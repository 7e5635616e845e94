//! A limiter: governor's algorithm, with one bucket for each key, in tables of fixed size.

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of buckets of a limiter. Keys are folded into them, so that no flood of keys takes more
/// memory: two keys share a bucket once in a quarter of a million.
pub(super) const BUCKETS: u64 = 1 << 18;

/// A limit on how often something may happen for each key: so many at once, and one more after
/// each interval.
pub struct Limiter {
    pub(super) rate: Rate,
    /// None without a limit.
    buckets: Option<RateLimiter<usize, EmptyTimes, DefaultClock, StateInformationMiddleware>>,
    empty_times: EmptyTimes,
    /// By bucket, the uses that only this node knows of.
    unshared: Box<[AtomicU16]>,
    hasher: RandomState,
    started: Instant,
}

/// By bucket, the nanoseconds from the start of the limiter until it is empty; 0 is an unused one.
///
/// Governor's own maps grow with the number of keys, and allow no bucket to be filled from outside.
#[derive(Clone)]
struct EmptyTimes(Arc<[AtomicU64]>);

impl StateStore for EmptyTimes {
    type Key = usize;

    fn measure_and_replace<T, F, E>(&self, bucket: &usize, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let empty_at = &self.0[*bucket];
        let mut before = empty_at.load(Ordering::Relaxed);
        loop {
            let known = (before > 0).then(|| Nanos::from(before));
            let (outcome, after) = decide(known)?;
            let (order, after) = (Ordering::Relaxed, after.as_u64());
            match empty_at.compare_exchange_weak(before, after, order, order) {
                Ok(_) => return Ok(outcome),
                Err(changed) => before = changed,
            }
        }
    }
}

/// How fast a bucket empties, and how much fits into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Time after which one more use is free, in microseconds.
    pub(super) interval_us: u64,
    /// Largest number of uses at once.
    pub(super) burst: u64,
}

/// State of a bucket after a use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Index of the bucket.
    pub(super) bucket: usize,
    /// Uses that are not free again yet, this one among them.
    pub(super) uses: u64,
}

impl Limiter {
    /// Creates a limit of `count` a second with a burst of `burst`; 0 sets none.
    pub fn per_second(count: u32, burst: u32) -> Limiter {
        Limiter::of(count, burst, 1)
    }

    /// Creates a limit of `count` a minute, all of which may come at once; 0 sets none.
    pub fn per_minute(count: u32) -> Limiter {
        Limiter::of(count, count, 60)
    }

    /// Creates a limit of `count` an hour, all of which may come at once; 0 sets none.
    pub fn per_hour(count: u32) -> Limiter {
        Limiter::of(count, count, 3600)
    }

    fn of(count: u32, burst: u32, seconds: u64) -> Limiter {
        let interval_us = (seconds * 1_000_000 / u64::from(count.max(1))).max(1);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_micros(interval_us)).filter(|_| count > 0);
        let number = if count > 0 { BUCKETS } else { 0 };
        let empty_times = EmptyTimes((0..number).map(|_| AtomicU64::new(0)).collect());
        let started = Instant::now();
        Limiter {
            rate: Rate {
                interval_us,
                burst: u64::from(burst.get()),
            },
            buckets: quota.map(|quota| {
                let quota = quota.allow_burst(burst);
                let (times, clock) = (empty_times.clone(), DefaultClock::default());
                let limiter: RateLimiter<usize, EmptyTimes, DefaultClock> =
                    RateLimiter::new(quota, times, clock);
                limiter.with_middleware()
            }),
            empty_times,
            unshared: (0..number).map(|_| AtomicU16::new(0)).collect(),
            hasher: RandomState::new(),
            started,
        }
    }

    /// Counts one for `key`.
    ///
    /// # Errors
    /// The whole seconds after which it is worth trying again.
    pub fn check(&self, key: impl Hash) -> Result<(), u32> {
        self.take(key).map(drop)
    }

    /// Counts one for `key` and returns the state of its bucket; none without a limit.
    pub(super) fn take(&self, key: impl Hash) -> Result<Option<Used>, u32> {
        let Some(buckets) = &self.buckets else {
            return Ok(None);
        };
        let bucket = (self.hasher.hash_one(key) % BUCKETS) as usize;
        let state = buckets.check_key(&bucket).map_err(|refusal| {
            let wait = refusal.wait_time_from(buckets.clock().now());
            seconds(wait)
        })?;
        let uses = self.rate.burst - u64::from(state.remaining_burst_capacity());
        let count = |unshared: u16| {
            // What has become free again is no news to other nodes either.
            Some(if uses > 1 {
                unshared.saturating_add(1)
            } else {
                1
            })
        };
        let _ = self.unshared[bucket].fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        Ok(Some(Used { bucket, uses }))
    }

    /// Takes the number of uses of a bucket that only this node knows of.
    pub(super) fn take_unshared(&self, bucket: usize) -> u64 {
        u64::from(self.unshared[bucket].swap(0, Ordering::Relaxed))
    }

    /// Refuses everything in a bucket for a time: other nodes have filled it.
    ///
    /// Returns the whole seconds of it.
    pub(super) fn block(&self, bucket: usize, wait_us: u64) -> u32 {
        let Rate { interval_us, burst } = self.rate;
        let wait = Duration::from_micros(wait_us);
        let full = Duration::from_micros((burst - 1) * interval_us);
        let until = (self.started.elapsed() + wait + full).as_nanos() as u64;
        self.empty_times.0[bucket].fetch_max(until, Ordering::Relaxed);
        seconds(wait)
    }
}

fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_after_each_interval() {
        let limiter = Limiter::per_minute(3);
        let uses = |limiter: &Limiter| limiter.take("one").map(|used| used.unwrap().uses);
        assert_eq!([1, 2, 3].map(Ok), [(); 3].map(|()| uses(&limiter)));
        assert_eq!(limiter.check("one"), Err(20));
        assert_eq!(limiter.check("another"), Ok(()));
        let quick = Limiter::per_second(1000, 1);
        assert!(quick.check("one").is_ok());
        let began = Instant::now();
        while quick.check("one").is_err() {
            assert!(began.elapsed().as_secs() < 5, "it never becomes free again");
        }
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let none = Limiter::per_hour(0);
        assert!((0..1000).all(|_| none.check("one").is_ok()));
    }

    #[test]
    fn the_memory_of_a_limiter_is_the_same_whatever_the_keys() {
        let limiter = Limiter::per_hour(1);
        let refused = (0..1_000_000u32).filter(|key| limiter.check(key).is_err());
        // Two megabytes, whether for one address or for ten million of them; beyond as many keys as
        // buckets, strangers begin to share them.
        assert!(refused.count() > 500_000);
        assert_eq!(size_of_val(&*limiter.empty_times.0), 2 * 1024 * 1024);
    }
}

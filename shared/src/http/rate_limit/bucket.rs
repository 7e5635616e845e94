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
/// A bucket counts for all nodes once one part in so many of it is filled, or was used without their
/// knowledge: fans who come one by one cost the store nothing.
const SHARED_FROM: u64 = 4;
/// Largest number of uses that only one node knows of.
const UNSHARED_MAX: u64 = 32_000;
/// Times in which a full bucket empties, after which half of what was not shared is forgotten. Each
/// node may so let through one part in 32 of the limit that the others do not know of.
const HALVED_AFTER: u64 = 4;

/// A limit on how often something may happen for each key: so many at once, and one more after
/// each interval.
pub struct Limiter {
    pub(super) rate: Rate,
    /// None without a limit.
    buckets: Option<RateLimiter<usize, EmptyTimes, DefaultClock, StateInformationMiddleware>>,
    empty_times: EmptyTimes,
    /// By bucket, the uses that only this node knows of.
    unshared: Box<[AtomicU16]>,
    /// Microseconds from the start until half of those is forgotten.
    halved_at: AtomicU64,
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
    /// Uses that only this node knows of, this one among them.
    pub(super) unshared: u64,
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
            halved_at: AtomicU64::new(0),
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
        let count = |unshared: u16| Some(unshared.saturating_add(1));
        let order = Ordering::Relaxed;
        let before = self.unshared[bucket].fetch_update(order, order, count);
        let unshared = before.map_or(0, u64::from) + 1;
        Ok(Some(Used {
            bucket,
            uses,
            unshared,
        }))
    }

    /// Returns whether the other nodes should know of a bucket in this state.
    pub(super) fn is_worth_sharing(&self, used: Used) -> bool {
        let burst = self.rate.burst;
        let unshared = used.unshared * SHARED_FROM;
        used.uses * SHARED_FROM > burst || unshared > burst.min(UNSHARED_MAX * SHARED_FROM)
    }

    /// Forgets half of what was not shared, if it is time to: uses of long ago are free again.
    pub(super) fn halve_unshared(&self) {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let Rate { interval_us, burst } = self.rate;
        let next = now.saturating_add(interval_us.saturating_mul(burst * HALVED_AFTER));
        let take_turn = |at: u64| (at <= now).then_some(next);
        let order = Ordering::Relaxed;
        let turn = self.halved_at.fetch_update(order, order, take_turn);
        // At the first time there is nothing old.
        if turn.is_ok_and(|at| at > 0) {
            for unshared in &self.unshared {
                let _ = unshared.fetch_update(order, order, |uses| (uses > 0).then_some(uses / 2));
            }
        }
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
    use crate::crypto::sha256;

    #[test]
    fn a_burst_passes_and_then_one_after_each_interval() {
        let limiter = Limiter::per_minute(3);
        let uses = |limiter: &Limiter| limiter.take("one").map(|used| used.unwrap().uses);
        assert_eq!([1, 2, 3].map(Ok), [(); 3].map(|()| uses(&limiter)));
        assert_eq!(limiter.check("one"), Err(20));
        assert_eq!(limiter.check("another"), Ok(()));
        let quick = Limiter::per_second(1000, 1);
        assert!(quick.check("one").is_ok());
        let is_free_again = (0..100_000_000).any(|_| quick.check("one").is_ok());
        assert!(is_free_again);
    }

    #[test]
    fn uses_that_are_free_again_at_once_are_worth_sharing_once_they_are_many() {
        let limiter = Limiter::per_second(1_000_000, 1000);
        let uses = (0..300).map(|_| {
            // So slowly that the bucket is never filled.
            sha256(&[0; 4096]);
            limiter.take("one").unwrap().unwrap()
        });
        let mut worth_sharing = uses.filter(|used| limiter.is_worth_sharing(*used));
        let many = worth_sharing.next().unwrap();
        assert_eq!(many.unshared, 251);
        assert!(many.uses < 100, "{many:?}");
        assert_eq!(limiter.take_unshared(many.bucket), 251);
        let used = limiter.take("one").unwrap().unwrap();
        assert!(!limiter.is_worth_sharing(used));
    }

    #[test]
    fn uses_of_long_ago_are_forgotten_by_halves() {
        let limiter = Limiter::per_second(1_000_000, 8);
        limiter.halve_unshared();
        let bucket = limiter.take("one").unwrap().unwrap().bucket;
        limiter.unshared[bucket].store(7, Ordering::Relaxed);
        let is_halved = (0..100_000_000).any(|_| {
            limiter.halve_unshared();
            limiter.unshared[bucket].load(Ordering::Relaxed) != 7
        });
        assert!(is_halved);
        assert_eq!(limiter.take_unshared(bucket), 3);
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

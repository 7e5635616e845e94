//! A limiter: one bucket for each key, in a table of fixed size.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Number of buckets of a limiter. Keys are folded into them, so that no flood of keys takes more
/// memory: two keys share a bucket once in a quarter of a million.
pub(super) const BUCKETS: u64 = 1 << 18;

/// Bits of a bucket that count what other nodes have not been told of.
const UNSHARED_BITS: u32 = 16;
const UNSHARED_MAX: u64 = (1 << UNSHARED_BITS) - 1;

/// A limit on how often something may happen for each key: so many at once, and one more after
/// each interval (the generic cell rate algorithm). A bucket is 8 bytes: the time at which it is
/// empty again in microseconds, 48 bits, and the number of uses that only this node knows of.
pub struct Limiter {
    /// Empty without a limit.
    buckets: Box<[AtomicU64]>,
    pub(super) rate: Rate,
    hasher: RandomState,
    started: Instant,
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
        let buckets = if count == 0 { 0 } else { BUCKETS };
        Limiter {
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            rate: Rate {
                interval_us: (seconds * 1_000_000 / u64::from(count.max(1))).max(1),
                burst: u64::from(burst.max(1)),
            },
            hasher: RandomState::new(),
            started: Instant::now(),
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
        if self.buckets.is_empty() {
            return Ok(None);
        }
        let bucket = (self.hasher.hash_one(key) % BUCKETS) as usize;
        let now = self.now_us();
        let Rate { interval_us, burst } = self.rate;
        let full_at = now + burst * interval_us;
        let taken = self.change(bucket, |empty_at, unshared| {
            // What has become free again is no news to other nodes either.
            let unshared = if empty_at <= now { 0 } else { unshared };
            let empty_at = empty_at.max(now) + interval_us;
            (empty_at <= full_at).then_some((empty_at, unshared + 1))
        });
        match taken {
            Ok(before) => {
                let empty_at = (before >> UNSHARED_BITS).max(now) + interval_us;
                let uses = (empty_at - now).div_ceil(interval_us);
                Ok(Some(Used { bucket, uses }))
            }
            Err(kept) => {
                let wait_us = (kept >> UNSHARED_BITS) + interval_us - full_at;
                Err(seconds(wait_us))
            }
        }
    }

    /// Takes the number of uses of a bucket that only this node knows of.
    pub(super) fn take_unshared(&self, bucket: usize) -> u64 {
        let before = self.change(bucket, |empty_at, _| Some((empty_at, 0)));
        before.unwrap_or_else(|kept| kept) & UNSHARED_MAX
    }

    /// Refuses everything in a bucket for a time: other nodes have filled it.
    ///
    /// Returns the whole seconds of it.
    pub(super) fn block(&self, bucket: usize, wait_us: u64) -> u32 {
        let Rate { interval_us, burst } = self.rate;
        let until = self.now_us() + wait_us + (burst - 1) * interval_us;
        let _ = self.change(bucket, |empty_at, _| Some((empty_at.max(until), 0)));
        seconds(wait_us)
    }

    /// Changes a bucket unless `change` returns none. Returns its bits before, or as they stay.
    fn change(
        &self,
        bucket: usize,
        change: impl Fn(u64, u64) -> Option<(u64, u64)>,
    ) -> Result<u64, u64> {
        self.buckets[bucket].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let (empty_at, unshared) = change(bits >> UNSHARED_BITS, bits & UNSHARED_MAX)?;
            Some((empty_at << UNSHARED_BITS) | unshared.min(UNSHARED_MAX))
        })
    }

    fn now_us(&self) -> u64 {
        // 48 bits of microseconds are nine years.
        self.started.elapsed().as_micros() as u64
    }
}

fn seconds(us: u64) -> u32 {
    u32::try_from(us / 1_000_000).unwrap_or(u32::MAX - 1) + 1
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
        assert_eq!(size_of_val(&*limiter.buckets), 2 * 1024 * 1024);
    }
}

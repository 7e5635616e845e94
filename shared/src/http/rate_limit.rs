//! Rate limits by client address and by visitor, bounded in memory.

use governor::clock::{Clock as _, DefaultClock};
use governor::{Quota, RateLimiter, state::keyed::DashMapStateStore};
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;

/// Number of cells into which keys are folded, so that no flood of keys can grow the map; two keys
/// share a cell once in a quarter of a million.
const CELLS: u64 = 1 << 18;

/// Limit on requests per key in a span of time.
pub struct Limiter {
    cells: Option<RateLimiter<u32, DashMapStateStore<u32>, DefaultClock>>,
    hasher: RandomState,
}

impl Limiter {
    /// Creates a limit of `count` a second with a burst of `burst`; 0 sets none.
    pub fn per_second(count: u32, burst: u32) -> Limiter {
        Limiter::of(NonZeroU32::new(count).map(Quota::per_second), burst)
    }

    /// Creates a limit of `count` a minute, all of which may come at once; 0 sets none.
    pub fn per_minute(count: u32) -> Limiter {
        Limiter::of(NonZeroU32::new(count).map(Quota::per_minute), count)
    }

    fn of(quota: Option<Quota>, burst: u32) -> Limiter {
        let quota = quota.map(|quota| match NonZeroU32::new(burst) {
            Some(burst) => quota.allow_burst(burst),
            None => quota,
        });
        Limiter {
            cells: quota.map(RateLimiter::dashmap),
            hasher: RandomState::new(),
        }
    }

    /// Counts one for `key`.
    ///
    /// # Errors
    /// The whole seconds after which it is worth trying again.
    pub fn check(&self, key: impl Hash) -> Result<(), u32> {
        let Some(cells) = &self.cells else {
            return Ok(());
        };
        let cell = (self.hasher.hash_one(key) % CELLS) as u32;
        cells.check_key(&cell).map_err(|refusal| {
            let wait = refusal.wait_time_from(DefaultClock::default().now());
            u32::try_from(wait.as_secs()).unwrap_or(u32::MAX - 1) + 1
        })
    }

    /// Drops the cells that are full again. Called now and then.
    pub fn sweep(&self) {
        if let Some(cells) = &self.cells {
            cells.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_a_limiter_is_bounded_whatever_the_keys() {
        let limiter = Limiter::per_second(1, 1);
        for key in 0..1_000_000u64 {
            let _ = limiter.check(key);
        }
        assert!(limiter.cells.as_ref().unwrap().len() as u64 <= CELLS);
        assert!((0..10).any(|_| limiter.check("one").is_err()));
    }
}

//! Rate limits by client address and by visitor, bounded in memory, and whose address a request comes from.

use axum::http::HeaderMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{Quota, RateLimiter, state::keyed::DashMapStateStore};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

/// Keys are folded into this many cells, so that no flood of keys can grow the map; two keys share a cell once in a
/// quarter of a million.
const CELLS: u64 = 1 << 18;

/// So many of something for each key in a span of time.
pub struct Limiter {
    cells: Option<RateLimiter<u32, DashMapStateStore<u32>, DefaultClock>>,
    hasher: RandomState,
}

impl Limiter {
    /// `count` a second with a burst of `burst`; 0 sets no limit.
    pub fn per_second(count: u32, burst: u32) -> Limiter {
        Limiter::of(NonZeroU32::new(count).map(Quota::per_second), burst)
    }

    /// `count` a minute, all of which may come at once; 0 sets no limit.
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

    /// Forgets the cells that are full again. Called now and then.
    pub fn sweep(&self) {
        if let Some(cells) = &self.cells {
            cells.retain_recent();
        }
    }
}

/// Whose address a request counts for: the peer's, or with `trusted_hops` proxies in front the entry that the outermost
/// of them wrote, counted from the right end of `X-Forwarded-For`. What stands further left anyone can write.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_hops: usize) -> IpAddr {
    if trusted_hops == 0 {
        return folded(peer);
    }
    let listed: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let entry = listed
        .len()
        .checked_sub(trusted_hops)
        .and_then(|at| listed[at].parse().ok());
    folded(entry.unwrap_or(peer))
}

/// An IPv6 address stands for its /64: a household has that many addresses to itself.
fn folded(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", value.parse().unwrap());
        headers
    }

    #[test]
    fn a_forged_forwarded_for_changes_nothing() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(client_address(peer, &forwarded("1.2.3.4"), 0), peer);
        let one_hop = client_address(peer, &forwarded("6.6.6.6, 203.0.113.7"), 1);
        assert_eq!(one_hop.to_string(), "203.0.113.7");
        assert_eq!(client_address(peer, &forwarded("garbage"), 1), peer);
        assert_eq!(client_address(peer, &HeaderMap::new(), 1), peer);
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        let a = client_address("2001:db8::1".parse().unwrap(), &HeaderMap::new(), 0);
        let b = client_address("2001:db8::ffff".parse().unwrap(), &HeaderMap::new(), 0);
        assert_eq!(a, b);
    }

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

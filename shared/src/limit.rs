//! Rate limits by client address and by visitor, bounded in memory, and whose address a request comes from.

use axum::http::HeaderMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{Quota, RateLimiter, state::keyed::DashMapStateStore};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Once;

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

/// The address that a request counts for: the peer's, or with `trusted_hops` proxies in front the entry that the outermost
/// of them wrote, counted from the right end of `X-Forwarded-For`. What stands further left anyone can write.
///
/// None where that entry is missing or names no address: the peer is then a proxy that all visitors share.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_hops: usize) -> Option<IpAddr> {
    if trusted_hops == 0 {
        return Some(folded(peer));
    }
    // As bytes: what a client wrote further left must not hide the proxy's entry.
    let entries: Vec<&[u8]> = headers
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .collect();
    let entry = entries
        .len()
        .checked_sub(trusted_hops)
        .map(|at| entries[at]);
    let address = entry.and_then(address_of).map(folded);
    if address.is_none() {
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            tracing::warn!(
                trusted_hops,
                "X-Forwarded-For names no address where FAIRLINE_TRUSTED_HOPS says that it stands: such requests are under no limit per address"
            );
        });
    }
    address
}

/// Reads an entry of `X-Forwarded-For`. Some proxies write the port as well: `192.0.2.1:443`, `[2001:db8::1]:443`.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?.trim().trim_matches('"');
    if let Some(bracketed) = entry.strip_prefix('[') {
        return bracketed.split_once(']')?.0.parse().ok();
    }
    let v4 = || entry.split_once(':')?.0.parse::<Ipv4Addr>().ok();
    entry.parse().ok().or_else(|| v4().map(IpAddr::V4))
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
    use axum::http::HeaderValue;

    fn forwarded(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn a_forged_forwarded_for_changes_nothing() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let address = |value: &[u8], hops| {
            let address = client_address(peer, &forwarded(value), hops);
            address.map(|address| address.to_string())
        };
        assert_eq!(address(b"1.2.3.4", 0).as_deref(), Some("10.0.0.1"));
        for forged in [
            &b"6.6.6.6"[..],
            b"unknown",
            b"\xff\xfe",
            b", ,",
            b"[",
            b"\"x",
        ] {
            let line = [forged, b", 203.0.113.7"].concat();
            assert_eq!(address(&line, 1).as_deref(), Some("203.0.113.7"));
        }
        let two = address(b"6.6.6.6, 203.0.113.7, 10.0.0.2", 2);
        assert_eq!(two.as_deref(), Some("203.0.113.7"));
    }

    #[test]
    fn an_entry_may_have_a_port_or_brackets() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        for (entry, address) in [
            ("198.51.100.7:40007", "198.51.100.7"),
            ("198.51.100.7:", "198.51.100.7"),
            ("[2001:db8:1:2::7]:443", "2001:db8:1:2::"),
            ("[2001:db8:1:2::7]", "2001:db8:1:2::"),
            ("2001:db8:1:2::7", "2001:db8:1:2::"),
            ("\"[2001:db8:1:2::7]:443\"", "2001:db8:1:2::"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
            ("  198.51.100.7\t", "198.51.100.7"),
        ] {
            let read = client_address(peer, &forwarded(entry.as_bytes()), 1);
            assert_eq!(read.map(|read| read.to_string()).as_deref(), Some(address));
        }
    }

    #[test]
    fn behind_a_proxy_an_entry_that_is_no_address_stands_for_nobody() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        for entry in [
            &b"unknown"[..],
            b"garbage",
            b"",
            b"_hidden:1",
            b"\xe9",
            b"[2001:db8::1",
        ] {
            assert_eq!(client_address(peer, &forwarded(entry), 1), None);
        }
        assert_eq!(client_address(peer, &forwarded(b"1.2.3.4"), 2), None);
        assert_eq!(client_address(peer, &HeaderMap::new(), 1), None);
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

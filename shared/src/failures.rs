//! Limits on wrong keys, by client address and for the whole process. They are looked at before a key is compared, so that a
//! guess beyond the limit is never evaluated.

use crate::time::Time;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// How long failures count, and how long a limit that was reached refuses.
const WINDOW_SECONDS: u32 = 60;
/// Wrong keys of one client address in a window.
const PER_ADDRESS_MAX: u32 = 20;
/// Wrong keys of all addresses in a window. Beyond it, networks without a recent success get `PER_STRANGER_MAX`.
const PER_PROCESS_MAX: u32 = 200;
/// Wrong keys of one network without a recent success, while the process is at its limit: everyone keeps a try.
const PER_STRANGER_MAX: u32 = 1;
/// How long an address counts as known after a right key.
const KNOWN_SECONDS: u32 = 24 * 3600;
/// The most addresses, and networks, whose failures are counted at one time. While more than that guess, those without a
/// recent success are refused.
const COUNTED_MAX: usize = 100_000;
/// The most addresses that are known.
const KNOWN_MAX: usize = 10_000;

type Address = Option<IpAddr>;

/// Counts the wrong keys of one kind. A right key is never counted and resets nothing: an attacker who shares an address with
/// an organiser gains no guesses by it.
pub struct Failures {
    /// The kind of key, for the log.
    what: &'static str,
    /// Locked while a key is compared, so that parallel guesses cannot pass the limit together.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    process: Window,
    addresses: HashMap<Address, Window>,
    networks: HashMap<Address, Window>,
    /// When an address last came with a right key.
    known: HashMap<Address, Time>,
    swept_at: Time,
}

/// Failures since the window began.
#[derive(Clone, Copy, Default)]
struct Window {
    failures: u32,
    ends: Time,
}

impl Window {
    /// A window that ends further away than one can be long was begun before the clock was set back.
    fn is_over(&self, now: Time) -> bool {
        self.ends <= now || self.ends > now.plus_seconds(WINDOW_SECONDS)
    }

    /// The seconds until the next try, if the limit was reached.
    fn wait(&self, now: Time, limit: u32) -> Option<u32> {
        if self.is_over(now) || self.failures < limit {
            return None;
        }
        let left = (self.ends.0 - now.0 + 999) / 1000;
        Some(u32::try_from(left).unwrap_or(WINDOW_SECONDS))
    }

    /// Counts one; whether the limit was reached just now. From then on a whole window has to pass.
    fn count(&mut self, now: Time, limit: u32) -> bool {
        if self.is_over(now) {
            *self = Window {
                failures: 0,
                ends: now.plus_seconds(WINDOW_SECONDS),
            };
        }
        self.failures = self.failures.saturating_add(1);
        let is_reached = self.failures == limit;
        if is_reached {
            self.ends = now.plus_seconds(WINDOW_SECONDS);
        }
        is_reached
    }
}

/// Which limits were reached by one failure.
struct Reached {
    address: bool,
    process: bool,
}

impl Failures {
    /// No failures yet of keys of the kind `what`.
    pub fn new(what: &'static str) -> Failures {
        Failures {
            what,
            counts: Mutex::default(),
        }
    }

    /// Compares a key, unless too many were wrong: answers what `compare` found, and counts a failure where it found nothing.
    ///
    /// # Errors
    /// The seconds after which it is worth trying again; nothing was compared.
    pub fn attempt<T>(
        &self,
        address: Address,
        now: Time,
        compare: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, u32> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.sweep(now);
        if let Some(seconds) = counts.wait(address, now) {
            return Err(seconds);
        }
        let found = compare();
        if found.is_some() {
            counts.know(address, now);
            return Ok(found);
        }
        let reached = counts.count(address, now);
        drop(counts);
        self.log(address, &reached);
        Ok(None)
    }

    fn log(&self, address: Option<IpAddr>, reached: &Reached) {
        let what = self.what;
        if reached.address {
            let address = address.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
            tracing::warn!(
                address,
                what,
                "too many wrong keys: this address is refused for a minute"
            );
        }
        if reached.process {
            tracing::warn!(
                what,
                "too many wrong keys in all: addresses without a recent sign-in get one try a minute"
            );
        }
    }
}

impl Counts {
    fn wait(&self, address: Address, now: Time) -> Option<u32> {
        let window = self.addresses.get(&address);
        let of_address = window.and_then(|window| window.wait(now, PER_ADDRESS_MAX));
        let known_at = self.known.get(&address);
        if of_address.is_some() || known_at.is_some_and(|at| is_recent(*at, now)) {
            return of_address;
        }
        if self.networks.len() >= COUNTED_MAX {
            return Some(WINDOW_SECONDS);
        }
        self.process.wait(now, PER_PROCESS_MAX)?;
        let window = self.networks.get(&address.map(network))?;
        window.wait(now, PER_STRANGER_MAX)
    }

    fn know(&mut self, address: Address, now: Time) {
        if self.known.len() < KNOWN_MAX || self.known.contains_key(&address) {
            self.known.insert(address, now);
        }
    }

    fn count(&mut self, address: Address, now: Time) -> Reached {
        let network = self.networks.entry(address.map(network)).or_default();
        network.count(now, PER_STRANGER_MAX);
        let window = self.addresses.entry(address).or_default();
        Reached {
            address: window.count(now, PER_ADDRESS_MAX),
            process: self.process.count(now, PER_PROCESS_MAX),
        }
    }

    /// Forgets what counts no more, once a window.
    fn sweep(&mut self, now: Time) {
        if self.swept_at <= now && self.swept_at.plus_seconds(WINDOW_SECONDS) > now {
            return;
        }
        self.swept_at = now;
        self.addresses.retain(|_, window| !window.is_over(now));
        self.networks.retain(|_, window| !window.is_over(now));
        self.known.retain(|_, at| is_recent(*at, now));
    }
}

fn is_recent(at: Time, now: Time) -> bool {
    at.plus_seconds(KNOWN_SECONDS) > now
}

/// An IPv6 address stands for its /48: whoever is given a network has 65,536 of the /64 that addresses are counted by.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[6..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn address(last: u32) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, (last >> 8) as u8, last as u8]))
    }

    fn wrong(failures: &Failures, address: Option<IpAddr>, now: Time) -> Result<Option<()>, u32> {
        failures.attempt(address, now, || None)
    }

    fn right(failures: &Failures, address: Option<IpAddr>, now: Time) -> Result<Option<()>, u32> {
        failures.attempt(address, now, || Some(()))
    }

    #[test]
    fn beyond_the_limit_of_an_address_nothing_is_compared_until_a_minute_has_passed() {
        let failures = Failures::new("key");
        let mut compared = 0;
        for _ in 0..60 {
            let _ = failures.attempt(address(1), NOW, || {
                compared += 1;
                None::<()>
            });
        }
        assert_eq!(compared, PER_ADDRESS_MAX);
        assert_eq!(right(&failures, address(1), NOW), Err(60));
        assert_eq!(right(&failures, address(1), Time(NOW.0 + 59_001)), Err(1));
        assert_eq!(right(&failures, address(2), NOW), Ok(Some(())));
        assert_eq!(
            right(&failures, address(1), Time(NOW.0 + 60_000)),
            Ok(Some(()))
        );
    }

    #[test]
    fn right_keys_are_not_counted_and_give_no_guesses_back() {
        let failures = Failures::new("key");
        for _ in 0..PER_ADDRESS_MAX {
            assert_eq!(right(&failures, address(1), NOW), Ok(Some(())));
            assert_eq!(wrong(&failures, address(1), NOW), Ok(None));
        }
        assert_eq!(right(&failures, address(1), NOW), Err(60));
    }

    #[test]
    fn many_addresses_share_a_limit_that_leaves_known_ones_alone_and_everyone_a_try() {
        let failures = Failures::new("key");
        let organiser = address(60_000);
        assert_eq!(right(&failures, organiser, NOW), Ok(Some(())));
        let mut compared = 0;
        for at in 0..1000 {
            for _ in 0..PER_ADDRESS_MAX {
                compared += u32::from(wrong(&failures, address(at), NOW).is_ok());
            }
        }
        // Ten addresses used the limit up; each of the others was compared once.
        assert_eq!(compared, PER_PROCESS_MAX + 990);
        assert_eq!(right(&failures, address(5), NOW), Err(60));
        for _ in 0..PER_ADDRESS_MAX {
            assert_eq!(wrong(&failures, organiser, NOW), Ok(None));
        }
        assert_eq!(right(&failures, organiser, NOW), Err(60));
        assert_eq!(right(&failures, address(50_000), NOW), Ok(Some(())));
        let later = Time(NOW.0 + 60_000);
        assert_eq!(right(&failures, address(5), later), Ok(Some(())));
    }

    #[test]
    fn while_strangers_are_slowed_an_ipv6_network_has_one_try_however_many_addresses() {
        let failures = Failures::new("key");
        for at in 0..PER_PROCESS_MAX {
            let _ = wrong(&failures, address(at), NOW);
        }
        let of = |net: u16| Some(IpAddr::from([0x2001, 0xdb8, 1, net, 0, 0, 0, 0]));
        assert_eq!(wrong(&failures, of(1), NOW), Ok(None));
        for net in 2..100 {
            assert_eq!(wrong(&failures, of(net), NOW), Err(60));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_prolongs_no_refusal() {
        let failures = Failures::new("key");
        for _ in 0..PER_ADDRESS_MAX {
            let _ = wrong(&failures, address(1), NOW);
        }
        let before = Time(NOW.0 - 3_600_000);
        assert_eq!(right(&failures, address(1), before), Ok(Some(())));
    }

    #[test]
    fn the_maps_are_bounded_and_being_full_ends_with_the_window() {
        let failures = Failures::new("key");
        let most = u32::try_from(COUNTED_MAX).unwrap();
        let of = |at: u32| Some(IpAddr::from(at.to_be_bytes()));
        for at in 0..most + 1000 {
            let _ = wrong(&failures, of(at), NOW);
        }
        let counted = failures.counts.lock().unwrap().addresses.len();
        assert_eq!(counted, COUNTED_MAX);
        assert_eq!(right(&failures, of(most + 1), NOW), Err(60));
        let later = Time(NOW.0 + 60_000);
        assert_eq!(right(&failures, of(most + 1), later), Ok(Some(())));
    }

    #[test]
    fn what_counts_no_more_is_forgotten() {
        let failures = Failures::new("key");
        for at in 0..5000 {
            let _ = wrong(&failures, address(at), NOW);
        }
        let _ = wrong(&failures, address(1), Time(NOW.0 + 120_000));
        let counts = failures.counts.lock().unwrap();
        assert_eq!((counts.addresses.len(), counts.networks.len()), (1, 1));
    }
}

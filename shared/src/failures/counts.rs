//! Counts of wrong keys by address, by network and in all, and the limits on them.

use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

/// Time for which failures count, and for which a limit that was reached refuses.
pub(super) const WINDOW_SECONDS: u32 = 60;
/// Largest number of wrong keys of one client address in a window. As many of each address are
/// remembered.
pub(super) const PER_ADDRESS_MAX: u32 = 20;
/// Largest number of wrong keys of all addresses in a window. Beyond it, networks without a recent
/// success get `PER_STRANGER_MAX`.
pub(super) const PER_PROCESS_MAX: u32 = 200;
/// Number of tries of one network without a recent success while the process is at its limit:
/// everyone keeps one.
const PER_STRANGER_MAX: u32 = 1;
/// Time for which an address counts as known after a right key.
const KNOWN_SECONDS: u32 = 24 * 3600;
/// Time after a right key for which an address that reached a limit is slowed rather than refused.
pub(super) const TRUSTED_SECONDS: u32 = 600;
/// Pause of such an address after each new wrong key. An attacker who shares the address gains 20
/// guesses a minute by it.
pub(super) const PACE_SECONDS: u32 = 3;
/// Largest number of addresses, and of networks, whose failures are counted at one time. While more
/// than that guess, those without a recent success are refused.
pub(super) const COUNTED_MAX: usize = 100_000;
/// Largest number of known addresses.
const KNOWN_MAX: usize = 10_000;

/// Address of a client. `None` for requests whose proxy names none, such as those of one of our
/// services to another: they may come from many hosts, so they share the limit of the process but
/// have none of their own.
pub(super) type Address = Option<IpAddr>;

/// All counts.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) process: Window,
    pub(super) addresses: HashMap<Address, Guesses>,
    pub(super) networks: HashMap<Address, Window>,
    /// Time of the last right key of each address.
    known: HashMap<Address, Time>,
    swept_at: Time,
}

/// Wrong keys since a window began.
#[derive(Clone, Copy, Default)]
pub(super) struct Window {
    pub(super) failures: u32,
    ends: Time,
}

impl Window {
    /// Returns whether the window has ended. One that ends further away than one can be long was
    /// begun before the clock was set back.
    fn is_over(&self, now: Time) -> bool {
        self.ends <= now || self.ends > now.plus_seconds(WINDOW_SECONDS)
    }

    /// Returns the seconds until the next try, if the limit was reached.
    fn wait(&self, now: Time, limit: u32) -> Option<u32> {
        if self.is_over(now) || self.failures < limit {
            return None;
        }
        let left = (self.ends.0 - now.0 + 999) / 1000;
        Some(u32::try_from(left).unwrap_or(WINDOW_SECONDS))
    }

    /// Counts one and returns whether that reached the limit. From then on a whole window has to
    /// pass.
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

    /// Takes what all processes counted, if it is more, and returns whether that reached the limit.
    fn raise(&mut self, now: Time, failures: u32, limit: u32) -> bool {
        if self.is_over(now) || failures <= self.failures {
            return false;
        }
        let is_reached = self.failures < limit && failures >= limit;
        self.failures = failures;
        if is_reached {
            self.ends = now.plus_seconds(WINDOW_SECONDS);
        }
        is_reached
    }
}

/// Wrong keys within a window, of all processes.
#[derive(Clone, Copy, Default)]
pub(super) struct Together {
    pub(super) of_address: Option<u32>,
    pub(super) in_all: Option<u32>,
}

/// Wrong keys of one address in its window.
#[derive(Default)]
pub(super) struct Guesses {
    window: Window,
    /// Hashes of the last ones, oldest first.
    pub(super) hashes: VecDeque<u64>,
    last_at: Time,
}

impl Guesses {
    pub(super) fn contains(&self, hash: u64, now: Time) -> bool {
        !self.window.is_over(now) && self.hashes.contains(&hash)
    }

    /// Counts one and returns whether that reached the limit.
    fn count(&mut self, hash: u64, now: Time) -> bool {
        if self.window.is_over(now) {
            self.hashes.clear();
        }
        if self.hashes.len() >= PER_ADDRESS_MAX as usize {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        self.last_at = now;
        self.window.count(now, PER_ADDRESS_MAX)
    }

    /// Returns the seconds until the next try of an address that is slowed.
    fn pause(&self, now: Time) -> Option<u32> {
        let left = self.last_at.plus_seconds(PACE_SECONDS).0 - now.0;
        let left = u32::try_from((left + 999) / 1000).ok()?;
        (1..=PACE_SECONDS).contains(&left).then_some(left)
    }
}

/// Limits that one failure reached.
pub(super) struct Reached {
    pub(super) address: bool,
    pub(super) process: bool,
}

impl Counts {
    /// Returns the seconds until the next try, if a limit was reached.
    pub(super) fn wait(&self, address: Address, now: Time) -> Option<u32> {
        let refused = self.refused(address, now)?;
        if !self.is_known(address, now, TRUSTED_SECONDS) {
            return Some(refused);
        }
        let pause = self.addresses.get(&address)?.pause(now)?;
        Some(pause.min(refused))
    }

    fn refused(&self, address: Address, now: Time) -> Option<u32> {
        if address.is_some() {
            let guesses = self.addresses.get(&address);
            let of_address = guesses.and_then(|it| it.window.wait(now, PER_ADDRESS_MAX));
            if of_address.is_some() || self.is_known(address, now, KNOWN_SECONDS) {
                return of_address;
            }
        }
        if self.networks.len() >= COUNTED_MAX {
            return Some(WINDOW_SECONDS);
        }
        self.process.wait(now, PER_PROCESS_MAX)?;
        let window = self.networks.get(&address.map(network))?;
        window.wait(now, PER_STRANGER_MAX)
    }

    /// Returns whether an address came with a right key within so many seconds.
    fn is_known(&self, address: Address, now: Time, seconds: u32) -> bool {
        let at = self.known.get(&address);
        at.is_some_and(|at| at.plus_seconds(seconds) > now)
    }

    pub(super) fn know(&mut self, address: Address, now: Time) {
        if self.known.len() < KNOWN_MAX || self.known.contains_key(&address) {
            self.known.insert(address, now);
        }
    }

    pub(super) fn count(&mut self, address: Address, hash: u64, now: Time) -> Reached {
        let network = self.networks.entry(address.map(network)).or_default();
        network.count(now, PER_STRANGER_MAX);
        let guesses = self.addresses.entry(address).or_default();
        Reached {
            address: guesses.count(hash, now),
            process: self.process.count(now, PER_PROCESS_MAX),
        }
    }

    /// Takes what all processes counted.
    pub(super) fn learn(&mut self, address: Address, together: Together, now: Time) -> Reached {
        let guesses = self.addresses.get_mut(&address).zip(together.of_address);
        let address = guesses
            .is_some_and(|(guesses, count)| guesses.window.raise(now, count, PER_ADDRESS_MAX));
        let in_all = together.in_all;
        let process = in_all.is_some_and(|count| self.process.raise(now, count, PER_PROCESS_MAX));
        Reached { address, process }
    }

    /// Removes outdated counts, once a window.
    pub(super) fn sweep(&mut self, now: Time) {
        if self.swept_at <= now && self.swept_at.plus_seconds(WINDOW_SECONDS) > now {
            return;
        }
        self.swept_at = now;
        self.addresses
            .retain(|_, guesses| !guesses.window.is_over(now));
        self.networks.retain(|_, window| !window.is_over(now));
        self.known
            .retain(|_, at| at.plus_seconds(KNOWN_SECONDS) > now);
    }
}

/// Returns the network of an address. That of an IPv6 address is its /48: its owner has 65,536 of
/// the /64 by which addresses are counted.
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

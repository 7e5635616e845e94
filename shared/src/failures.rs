//! Limits on wrong keys, by client address and for the whole process. They are looked at before a key is compared, so that a
//! guess beyond the limit is never evaluated. What counts is distinct wrong keys: a program that repeats one stale key guesses
//! nothing.

use crate::time::Time;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};

/// How long failures count, and how long a limit that was reached refuses.
const WINDOW_SECONDS: u32 = 60;
/// Wrong keys of one client address in a window. The last so many of each address are remembered.
const PER_ADDRESS_MAX: u32 = 20;
/// Wrong keys of all addresses in a window. Beyond it, networks without a recent success get `PER_STRANGER_MAX`.
const PER_PROCESS_MAX: u32 = 200;
/// Wrong keys of one network without a recent success, while the process is at its limit: everyone keeps a try.
const PER_STRANGER_MAX: u32 = 1;
/// How long an address counts as known after a right key.
const KNOWN_SECONDS: u32 = 24 * 3600;
/// How long after a right key an address that reached a limit is slowed rather than refused.
const TRUSTED_SECONDS: u32 = 600;
/// The pause of such an address after each new wrong key. Whoever shares the address with a right key gains 20 guesses a
/// minute by it.
const PACE_SECONDS: u32 = 3;
/// The most addresses, and networks, whose failures are counted at one time. While more than that guess, those without a
/// recent success are refused.
const COUNTED_MAX: usize = 100_000;
/// The most addresses that are known.
const KNOWN_MAX: usize = 10_000;

/// None for requests whose proxy names no address, such as those of one of our services to another. They may come from many
/// hosts, so they share the limit of the process but have none of their own.
type Address = Option<IpAddr>;

/// Counts the wrong keys of one kind. A right key is never counted and resets nothing: an attacker who shares an address with
/// an organiser gains no guesses by it.
pub struct Failures {
    /// The kind of key, for the log.
    what: &'static str,
    hasher: RandomState,
    /// Locked while a key is compared, so that parallel guesses cannot pass the limit together.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    process: Window,
    addresses: HashMap<Address, Guesses>,
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

/// The wrong keys of one address in its window.
#[derive(Default)]
struct Guesses {
    window: Window,
    /// The hashes of the last ones, oldest first.
    hashes: VecDeque<u64>,
    last_at: Time,
}

impl Guesses {
    fn contains(&self, hash: u64, now: Time) -> bool {
        !self.window.is_over(now) && self.hashes.contains(&hash)
    }

    /// Counts one; whether the limit was reached just now.
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

    /// The seconds until the next try of an address that is slowed.
    fn pause(&self, now: Time) -> Option<u32> {
        let left = self.last_at.plus_seconds(PACE_SECONDS).0 - now.0;
        let left = u32::try_from((left + 999) / 1000).ok()?;
        (1..=PACE_SECONDS).contains(&left).then_some(left)
    }
}

/// Limits that one failure reached.
struct Reached {
    address: bool,
    process: bool,
}

impl Failures {
    /// No failures yet of keys of the kind `what`.
    pub fn new(what: &'static str) -> Failures {
        Failures {
            what,
            hasher: RandomState::new(),
            counts: Mutex::default(),
        }
    }

    /// Compares a key, unless too many were wrong: answers what `compare` found, and counts a failure where it found nothing.
    /// `guess` is what the client sent. One that was wrong a moment ago is wrong again, and does not count.
    ///
    /// # Errors
    /// The seconds after which it is worth trying again; nothing was compared.
    pub fn attempt<T>(
        &self,
        address: Address,
        now: Time,
        guess: impl Hash,
        compare: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, u32> {
        let hash = self.hasher.hash_one(guess);
        let mut counts = self.counts.lock();
        counts.sweep(now);
        let guesses = counts.addresses.get(&address);
        if guesses.is_some_and(|guesses| guesses.contains(hash, now)) {
            return Ok(None);
        }
        if let Some(seconds) = counts.wait(address, now) {
            return Err(seconds);
        }
        let found = compare();
        if found.is_some() {
            counts.know(address, now);
            return Ok(found);
        }
        let reached = counts.count(address, hash, now);
        drop(counts);
        self.log(address, &reached);
        Ok(None)
    }

    fn log(&self, address: Address, reached: &Reached) {
        let what = self.what;
        if let (true, Some(address)) = (reached.address, address) {
            tracing::warn!(
                %address,
                what,
                "too many wrong keys: this address is refused for a minute, or slowed if it had a right one lately"
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
    /// The seconds until the next try, if a limit was reached.
    fn wait(&self, address: Address, now: Time) -> Option<u32> {
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

    /// Whether an address came with a right key within so many seconds.
    fn is_known(&self, address: Address, now: Time, seconds: u32) -> bool {
        let at = self.known.get(&address);
        at.is_some_and(|at| at.plus_seconds(seconds) > now)
    }

    fn know(&mut self, address: Address, now: Time) {
        if self.known.len() < KNOWN_MAX || self.known.contains_key(&address) {
            self.known.insert(address, now);
        }
    }

    fn count(&mut self, address: Address, hash: u64, now: Time) -> Reached {
        let network = self.networks.entry(address.map(network)).or_default();
        network.count(now, PER_STRANGER_MAX);
        let guesses = self.addresses.entry(address).or_default();
        Reached {
            address: guesses.count(hash, now),
            process: self.process.count(now, PER_PROCESS_MAX),
        }
    }

    /// Forgets what counts no more, once a window.
    fn sweep(&mut self, now: Time) {
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
    use std::sync::atomic::{AtomicU32, Ordering};

    const NOW: Time = Time(1_800_000_000_000);

    fn address(last: u32) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, (last >> 8) as u8, last as u8]))
    }

    /// A wrong key that was never tried before.
    fn wrong(failures: &Failures, address: Address, now: Time) -> Result<Option<()>, u32> {
        static GUESS: AtomicU32 = AtomicU32::new(0);
        let guess = GUESS.fetch_add(1, Ordering::Relaxed);
        failures.attempt(address, now, guess, || None)
    }

    fn stale(failures: &Failures, address: Address, now: Time) -> Result<Option<()>, u32> {
        failures.attempt(address, now, "a stale key", || None)
    }

    fn right(failures: &Failures, address: Address, now: Time) -> Result<Option<()>, u32> {
        failures.attempt(address, now, "the right key", || Some(()))
    }

    fn after(seconds: u32) -> Time {
        NOW.plus_seconds(seconds)
    }

    #[test]
    fn beyond_the_limit_of_an_address_nothing_is_compared_until_a_minute_has_passed() {
        let failures = Failures::new("key");
        let mut compared = 0;
        for guess in 0..60 {
            let _ = failures.attempt(address(1), NOW, guess, || {
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
        assert_eq!(right(&failures, address(1), NOW), Err(PACE_SECONDS));
    }

    #[test]
    fn a_wrong_key_that_is_repeated_counts_once_and_is_not_compared_again() {
        let failures = Failures::new("key");
        for from in [address(1), None] {
            assert_eq!(stale(&failures, from, NOW), Ok(None));
            for _ in 0..PER_PROCESS_MAX {
                let again = failures.attempt(from, NOW, "a stale key", || Some(()));
                assert_eq!(again, Ok(None));
            }
            for _ in 1..PER_ADDRESS_MAX {
                assert_eq!(wrong(&failures, from, NOW), Ok(None));
            }
            assert_eq!(stale(&failures, from, NOW), Ok(None), "told, not counted");
        }
        assert_eq!(right(&failures, address(1), NOW), Err(60));
        let counts = failures.counts.lock();
        assert_eq!(counts.process.failures, 2 * PER_ADDRESS_MAX);
    }

    #[test]
    fn the_wrong_keys_that_are_remembered_are_bounded() {
        let failures = Failures::new("key");
        for _ in 0..PER_PROCESS_MAX {
            let _ = wrong(&failures, None, NOW);
        }
        let counts = failures.counts.lock();
        let remembered = counts.addresses[&None].hashes.len();
        assert_eq!(remembered, PER_ADDRESS_MAX as usize);
    }

    #[test]
    fn requests_without_an_address_share_only_the_limit_of_the_process() {
        let failures = Failures::new("key");
        for _ in 0..PER_PROCESS_MAX {
            assert_eq!(wrong(&failures, None, NOW), Ok(None));
        }
        assert_eq!(right(&failures, None, NOW), Err(60));
        assert_eq!(right(&failures, address(1), NOW), Ok(Some(())));

        // A right key a while ago lifts no limit: it may have come from another host.
        let failures = Failures::new("key");
        assert_eq!(right(&failures, None, NOW), Ok(Some(())));
        let later = after(TRUSTED_SECONDS);
        for _ in 0..PER_PROCESS_MAX {
            assert_eq!(wrong(&failures, None, later), Ok(None));
        }
        assert_eq!(wrong(&failures, None, later), Err(60));
    }

    #[test]
    fn an_address_with_a_right_key_lately_is_slowed_at_its_limit_and_not_refused() {
        for (from, limit) in [(address(1), PER_ADDRESS_MAX), (None, PER_PROCESS_MAX)] {
            let failures = Failures::new("key");
            assert_eq!(right(&failures, from, NOW), Ok(Some(())));
            let mut compared = 0;
            for ms in (0..30_000).step_by(100) {
                let now = Time(NOW.0 + ms);
                for _ in 0..20 {
                    compared += u32::from(wrong(&failures, from, now).is_ok());
                }
            }
            assert!(compared <= limit + 10, "{compared} in half a minute");
            let mut waited = 0;
            while right(&failures, from, Time(NOW.0 + 30_000 + waited)).is_err() {
                waited += 100;
            }
            assert!(waited <= 3000, "{waited}");
        }
    }

    #[test]
    fn right_keys_and_a_stale_one_do_not_slow_an_address_further() {
        let failures = Failures::new("key");
        assert_eq!(right(&failures, None, NOW), Ok(Some(())));
        assert_eq!(stale(&failures, None, NOW), Ok(None));
        for at in 0..PER_PROCESS_MAX {
            let _ = wrong(&failures, address(at), NOW);
        }
        assert_eq!(right(&failures, None, NOW), Err(PACE_SECONDS));
        for seconds in PACE_SECONDS..60 {
            assert_eq!(stale(&failures, None, after(seconds)), Ok(None));
            assert_eq!(right(&failures, None, after(seconds)), Ok(Some(())));
        }
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
        assert_eq!(right(&failures, organiser, NOW), Err(PACE_SECONDS));
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
        let counted = failures.counts.lock().addresses.len();
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
        let counts = failures.counts.lock();
        assert_eq!((counts.addresses.len(), counts.networks.len()), (1, 1));
    }
}

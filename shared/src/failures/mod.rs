//! Limits on wrong keys, by client address and in all. They are checked before a key is compared, so
//! that a guess beyond the limit is never evaluated. Only distinct wrong keys count: a program that
//! repeats one stale key guesses nothing. Processes with the same store count together: each learns
//! from the store with its own next wrong key.

mod counts;

use crate::http::rate_limit::SharedCount;
use crate::time::Time;
use counts::{Address, Counts, PER_PROCESS_MAX, Reached, Together, WINDOW_SECONDS};
use parking_lot::Mutex;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash, RandomState};
use std::sync::OnceLock;

/// Outcome of a key that was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It is right.
    Right(T),
    /// It is wrong.
    Wrong {
        /// It was the last one before a limit.
        is_limit_reached: bool,
        /// Report for other processes; none for a value that was wrong a moment ago.
        failure: Option<Failure>,
    },
    /// Too many were wrong: nothing was compared.
    Refused {
        /// Time after which it is worth trying again.
        retry_after_seconds: u32,
    },
}

/// A wrong key that was counted, as a hash that is the same at all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure(u64);

/// Counts the wrong keys of one kind. A right key is never counted and resets nothing: an attacker
/// who shares an address with an organiser gains no guesses by it.
pub struct Failures {
    /// Kind of key, for the log.
    what: &'static str,
    hasher: RandomState,
    /// Locked while a key is compared, so that parallel guesses cannot pass the limit together.
    counts: Mutex<Counts>,
    shared: OnceLock<SharedCount>,
}

impl Failures {
    /// Counts no failures yet; `what` is the kind of key.
    pub fn new(what: &'static str) -> Failures {
        Failures {
            what,
            hasher: RandomState::new(),
            counts: Mutex::default(),
            shared: OnceLock::new(),
        }
    }

    /// Counts together with other processes from now on.
    pub fn share(&self, count: SharedCount) {
        let _ = self.shared.set(count);
    }

    /// Compares a key, unless too many were wrong: it is right if `compare` returns something, and
    /// counts as a failure if not. `guess` is what the client sent. One that was wrong a moment ago
    /// is wrong again, and does not count.
    pub fn attempt<T>(
        &self,
        address: Address,
        now: Time,
        guess: impl Hash,
        compare: impl FnOnce() -> Option<T>,
    ) -> Outcome<T> {
        let hash = self.hasher.hash_one(&guess);
        let failure = Failure(BuildHasherDefault::<DefaultHasher>::default().hash_one(&guess));
        let mut counts = self.counts.lock();
        counts.sweep(now);
        let guesses = counts.addresses.get(&address);
        if guesses.is_some_and(|guesses| guesses.contains(hash, now)) {
            return Outcome::Wrong {
                is_limit_reached: false,
                failure: None,
            };
        }
        if let Some(retry_after_seconds) = counts.wait(address, now) {
            return Outcome::Refused {
                retry_after_seconds,
            };
        }
        if let Some(found) = compare() {
            counts.know(address, now);
            return Outcome::Right(found);
        }
        let reached = counts.count(address, hash, now);
        drop(counts);
        self.log(address, &reached);
        Outcome::Wrong {
            is_limit_reached: reached.address || reached.process,
            failure: Some(failure),
        }
    }

    /// Tells the other processes of a wrong key, and learns how many they had. Returns whether a
    /// limit was reached by these. While the store is away each process counts for itself.
    pub async fn tell(&self, address: Address, failure: Failure, now: Time) -> bool {
        let Some(shared) = self.shared.get() else {
            return false;
        };
        let (what, word) = (self.what, failure.0);
        let mut together = Together::default();
        if let Some(address) = address {
            let name = format!("wrong {what}\n{address}");
            let word = word.to_be_bytes();
            together.of_address = shared.count(&name, Some(&word), WINDOW_SECONDS).await;
        }
        // Beyond the limit each further one would read the whole list.
        let is_below = self.counts.lock().process.failures <= PER_PROCESS_MAX;
        if is_below {
            let name = format!("wrong {what}");
            let word = format!("{address:?} {word}");
            let word = word.as_bytes();
            together.in_all = shared.count(&name, Some(word), WINDOW_SECONDS).await;
        }
        let reached = self.counts.lock().learn(address, together, now);
        self.log(address, &reached);
        reached.address || reached.process
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

#[cfg(test)]
mod tests {
    use super::counts::*;
    use super::*;
    use crate::crypto::Secret;
    use crate::http::rate_limit::Lists;
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    const NOW: Time = Time(1_800_000_000_000);

    fn address(last: u32) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, (last >> 8) as u8, last as u8]))
    }

    /// What was compared, or the seconds to wait.
    fn attempt<T>(
        failures: &Failures,
        address: Address,
        now: Time,
        guess: impl Hash,
        compare: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, u32> {
        match failures.attempt(address, now, guess, compare) {
            Outcome::Right(found) => Ok(Some(found)),
            Outcome::Wrong { .. } => Ok(None),
            Outcome::Refused {
                retry_after_seconds,
            } => Err(retry_after_seconds),
        }
    }

    /// A wrong key that was never tried before.
    fn wrong(failures: &Failures, address: Address, now: Time) -> Result<Option<()>, u32> {
        static GUESS: AtomicU32 = AtomicU32::new(0);
        let guess = GUESS.fetch_add(1, Ordering::Relaxed);
        attempt(failures, address, now, guess, || None)
    }

    fn stale(failures: &Failures, address: Address, now: Time) -> Result<Option<()>, u32> {
        attempt(failures, address, now, "a stale key", || None)
    }

    fn right(failures: &Failures, address: Address, now: Time) -> Result<Option<()>, u32> {
        attempt(failures, address, now, "the right key", || Some(()))
    }

    fn after(seconds: u32) -> Time {
        NOW.plus_seconds(seconds)
    }

    #[test]
    fn beyond_the_limit_of_an_address_nothing_is_compared_until_a_minute_has_passed() {
        let failures = Failures::new("key");
        let mut compared = 0;
        for guess in 0..60 {
            let _ = attempt(&failures, address(1), NOW, guess, || {
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
                let again = attempt(&failures, from, NOW, "a stale key", || Some(()));
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

    /// A wrong key at one of several processes, told to the others: whether it was compared.
    async fn wrong_at(process: &Failures, address: Address, guess: &str) -> bool {
        let outcome = process.attempt(address, NOW, guess, || None::<()>);
        if let Outcome::Wrong {
            failure: Some(failure),
            ..
        } = outcome
        {
            process.tell(address, failure, NOW).await;
        }
        matches!(outcome, Outcome::Wrong { .. })
    }

    fn processes() -> [Failures; 3] {
        let lists = Arc::new(Lists::default());
        [(); 3].map(|()| {
            let process = Failures::new("key");
            let secret = Secret::derive(b"secret", "addresses");
            process.share(SharedCount::new(lists.clone(), secret));
            process
        })
    }

    #[tokio::test]
    async fn processes_with_one_store_have_one_limit_for_an_address_and_one_in_all() {
        let all = processes();
        let mut compared = 0;
        for guess in 0..90 {
            let process = &all[guess % 3];
            compared += u32::from(wrong_at(process, address(1), &guess.to_string()).await);
        }
        // Each learns of the others' with its own next one.
        assert!((20..=22).contains(&compared), "{compared}");
        for process in &all {
            assert_eq!(right(process, address(1), NOW), Err(60));
            assert_eq!(right(process, address(2), NOW), Ok(Some(())));
        }
        for at in 0..600u32 {
            let process = &all[at as usize % 3];
            wrong_at(process, address(1000 + at), &at.to_string()).await;
        }
        for process in &all {
            let counted = process.counts.lock().process.failures;
            assert!(counted >= PER_PROCESS_MAX, "{counted}");
            assert_eq!(wrong(process, address(9000), NOW), Ok(None), "one try");
            assert_eq!(right(process, address(9000), NOW), Err(60));
        }
    }

    #[tokio::test]
    async fn a_stale_key_counts_once_at_all_processes_together() {
        let all = processes();
        for process in all.iter().chain(&all) {
            assert!(wrong_at(process, address(1), "a stale key").await);
        }
        for guess in 1..PER_ADDRESS_MAX {
            assert!(wrong_at(&all[0], address(1), &guess.to_string()).await);
        }
        assert!(!wrong_at(&all[0], address(1), "one more").await);
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

//! Visitors who passed the gate within the current second.

use parking_lot::{Mutex, MutexGuard};
use shared::ids::VisitorId;
use shared::time::Time;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use tokio::sync::Semaphore;

/// Time for which a token that passed passes again without a claim, in ms; also one whose slot
/// ended elsewhere.
const PASSED_MS: i64 = 1000;
/// Largest number of visitors who are known to have passed. The tokens of others are claimed with
/// each request.
const PASSED_MAX: usize = 50_000;

/// Largest number of questions to the line at one time.
const QUESTIONS_MAX: usize = 64;
/// Largest number of clients of one visitor that are known to have passed.
const CLIENTS_MAX: usize = 32;

/// Visitors who passed in the current second, with the number that their token named, as its `jti`
/// does, and their clients: a page of a site is many requests, and one claim is enough. An id is of
/// one visitor of one event.
pub(crate) struct Passed {
    second: Mutex<Second>,
    /// Makes keys of clients.
    hasher: RandomState,
    /// Held while the line is asked about a client that is not among them.
    pub(super) questions: Semaphore,
}

impl Default for Passed {
    fn default() -> Passed {
        Passed {
            second: Mutex::default(),
            hasher: RandomState::new(),
            questions: Semaphore::new(QUESTIONS_MAX),
        }
    }
}

#[derive(Default)]
struct Second {
    from: Time,
    visitors: HashMap<VisitorId, Known>,
}

struct Known {
    number: u64,
    clients: Vec<u64>,
}

impl Passed {
    /// Returns the key of a client among those who passed.
    pub(super) fn key(&self, client: &impl Hash) -> u64 {
        self.hasher.hash_one(client)
    }

    /// Returns whether a client of a visitor passed with this number within the second.
    pub(super) fn contains(&self, visitor: VisitorId, number: u64, client: u64, now: Time) -> bool {
        let mut second = self.second();
        // A clock that was set back begins anew as well.
        if !(0..PASSED_MS).contains(&(now.0 - second.from.0)) {
            second.from = now;
            second.visitors.clear();
        }
        let known = second.visitors.get(&visitor);
        known.is_some_and(|known| known.number == number && known.clients.contains(&client))
    }

    /// Records a client that was counted after `asked`, unless another second has begun.
    pub(super) fn note(&self, visitor: VisitorId, number: u64, client: u64, asked: Time) {
        let mut second = self.second();
        if asked < second.from || second.visitors.len() >= PASSED_MAX {
            return;
        }
        let none = || Known {
            number,
            clients: Vec::new(),
        };
        let known = second.visitors.entry(visitor).or_insert_with(none);
        if known.number != number {
            *known = none();
        }
        if known.clients.len() < CLIENTS_MAX && !known.clients.contains(&client) {
            known.clients.push(client);
        }
    }

    /// Forgets a visitor whose slot ended.
    pub(crate) fn forget(&self, visitor: VisitorId) {
        self.second().visitors.remove(&visitor);
    }

    /// Forgets all, as when an event is deleted.
    pub(crate) fn clear(&self) {
        self.second().visitors.clear();
    }

    fn second(&self) -> MutexGuard<'_, Second> {
        self.second.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);
    const ONE: VisitorId = VisitorId(1);

    #[test]
    fn a_token_is_known_for_one_second_from_before_its_claim() {
        let passed = Passed::default();
        let later = |ms| Time(START.0 + ms);
        assert!(!passed.contains(ONE, 7, 1, START));
        passed.note(ONE, 7, 1, START);
        assert!(passed.contains(ONE, 7, 1, later(999)));
        assert!(!passed.contains(ONE, 8, 1, later(999)), "another place");
        assert!(!passed.contains(ONE, 7, 2, later(999)), "another client");
        assert!(!passed.contains(ONE, 7, 1, later(1000)));
        passed.note(ONE, 7, 1, later(999));
        assert!(!passed.contains(ONE, 7, 1, later(1000)), "sent before");
        passed.note(ONE, 7, 1, later(1000));
        assert!(passed.contains(ONE, 7, 1, later(1000)));
        assert!(!passed.contains(ONE, 7, 1, START), "the clock was set back");
        passed.note(ONE, 7, 1, START);
        passed.forget(ONE);
        assert!(!passed.contains(ONE, 7, 1, START));
    }

    #[test]
    fn no_more_visitors_are_kept_than_the_limit() {
        let passed = Passed::default();
        let last = VisitorId(PASSED_MAX as u128 + 1);
        assert!(!passed.contains(ONE, 7, 1, START));
        for id in 1..=last.0 {
            passed.note(VisitorId(id), 7, 1, START);
        }
        assert!(passed.contains(VisitorId(last.0 - 1), 7, 1, START));
        assert!(!passed.contains(last, 7, 1, START));
    }
}

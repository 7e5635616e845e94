//! Counts of declined cards by client address: whoever tries lists of stolen cards gets many
//! declines, with many places in line perhaps, but from few addresses.

use crate::inventory::ATTEMPTS_PER_VISITOR_MAX;
use parking_lot::Mutex;
use shared::crypto::random;
use shared::http::rate_limit::SharedCount;
use shared::time::Time;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

/// Time for which declines count.
const WINDOW_SECONDS: u32 = 3600;
/// Largest number of declined cards of one address in a window. Beyond it each visitor there has
/// `ATTEMPTS_OF_SUSPECTS_MAX`, so that fans who share the address with a thief can still pay.
const PER_ADDRESS_MAX: u32 = 60;
const ATTEMPTS_OF_SUSPECTS_MAX: u32 = 3;
/// Largest number of addresses counted at one time. Others count as suspects meanwhile.
const COUNTED_MAX: usize = 100_000;

/// Number of declined attempts that a visitor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) attempts: u32,
    /// Seconds after which there may be more.
    pub(crate) more_after: Option<u32>,
}

/// Declines by client address: of this process, and of others that share a store with it.
#[derive(Default)]
pub struct Declines {
    counts: Mutex<DeclineCounts>,
    shared: OnceLock<SharedCount>,
}

#[derive(Default)]
struct DeclineCounts {
    windows: HashMap<IpAddr, DeclineWindow>,
    swept_at: Time,
}

struct DeclineWindow {
    declines: u32,
    ends: Time,
}

impl DeclineWindow {
    /// Returns whether the window has ended. One that ends further away than one can be long was
    /// begun before the clock was set back.
    fn is_over(&self, now: Time) -> bool {
        self.ends <= now || self.ends > now.plus_seconds(WINDOW_SECONDS)
    }
}

impl Declines {
    /// Counts together with all processes that have the same store and secret.
    pub(crate) fn share(&self, count: SharedCount) {
        let _ = self.shared.set(count);
    }

    /// Returns what visitors at an address may try. Requests without an address are limited by
    /// order and visitor alone: they may come from anywhere.
    pub(crate) async fn allowance(&self, address: Option<IpAddr>, now: Time) -> Allowance {
        // Those of whom no card was declined here cost the store nothing.
        if let Some(address) = address.filter(|address| self.has_some_declines(address)) {
            self.agree(address, None, now).await;
        }
        let counts = self.counts.lock();
        let window = address.and_then(|address| counts.windows.get(&address));
        let ends = match (address, window.filter(|window| !window.is_over(now))) {
            (Some(_), Some(window)) if window.declines >= PER_ADDRESS_MAX => window.ends,
            (Some(_), None) if counts.windows.len() >= COUNTED_MAX => {
                now.plus_seconds(WINDOW_SECONDS)
            }
            _ => {
                return Allowance {
                    attempts: ATTEMPTS_PER_VISITOR_MAX,
                    more_after: None,
                };
            }
        };
        let seconds = (ends.0 - now.0 + 999) / 1000;
        Allowance {
            attempts: ATTEMPTS_OF_SUSPECTS_MAX,
            more_after: u32::try_from(seconds).ok(),
        }
    }

    /// Counts a declined card.
    pub(super) async fn count(&self, address: Option<IpAddr>, now: Time) {
        let Some(address) = address else { return };
        self.count_here(address, now);
        self.agree(address, Some(&random::<16>()), now).await;
    }

    fn has_some_declines(&self, address: &IpAddr) -> bool {
        let counts = self.counts.lock();
        let window = counts.windows.get(address);
        window.is_some_and(|window| (1..PER_ADDRESS_MAX).contains(&window.declines))
    }

    /// Tells the store of declined cards, and learns how many others were within the length of a
    /// window. While it is away each process counts for itself.
    async fn agree(&self, address: IpAddr, added: Option<&[u8]>, now: Time) {
        let Some(shared) = self.shared.get() else {
            return;
        };
        let name = format!("declines\n{address}");
        let Some(declines) = shared.count(&name, added, WINDOW_SECONDS).await else {
            return;
        };
        let mut counts = self.counts.lock();
        let window = counts.windows.get_mut(&address);
        if let Some(window) = window.filter(|window| !window.is_over(now)) {
            window.declines = window.declines.max(declines);
        }
    }

    fn count_here(&self, address: IpAddr, now: Time) {
        let mut counts = self.counts.lock();
        counts.sweep(now);
        if counts.windows.len() >= COUNTED_MAX && !counts.windows.contains_key(&address) {
            return;
        }
        let begin = || DeclineWindow {
            declines: 0,
            ends: now.plus_seconds(WINDOW_SECONDS),
        };
        let window = counts.windows.entry(address).or_insert_with(begin);
        if window.is_over(now) {
            *window = begin();
        }
        window.declines = window.declines.saturating_add(1);
        if window.declines == PER_ADDRESS_MAX {
            tracing::warn!(
                %address,
                "many cards were declined: each visitor of this address gets few attempts for a while"
            );
        }
    }
}

impl DeclineCounts {
    /// Removes outdated windows, once in the length of one.
    fn sweep(&mut self, now: Time) {
        if self.swept_at <= now && self.swept_at.plus_seconds(WINDOW_SECONDS) > now {
            return;
        }
        self.swept_at = now;
        self.windows.retain(|_, window| !window.is_over(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use shared::crypto::Secret;
    use shared::http::rate_limit::{ListChange, ListMember, SharedLists};
    use std::sync::Arc;

    const NOW: Time = Time(1_800_000_000_000);
    const LIMITED: u32 = ATTEMPTS_OF_SUSPECTS_MAX;

    fn address(at: u32) -> Option<IpAddr> {
        Some(IpAddr::from(at.to_be_bytes()))
    }

    async fn attempts(declines: &Declines, address: Option<IpAddr>, now: Time) -> u32 {
        declines.allowance(address, now).await.attempts
    }

    /// A list in memory, whose answer is as it was before a change.
    #[derive(Default)]
    struct List {
        members: Mutex<Vec<Vec<u8>>>,
        calls: Mutex<u32>,
    }

    #[async_trait]
    impl SharedLists for List {
        async fn change(&self, change: &ListChange) -> Option<Vec<ListMember>> {
            *self.calls.lock() += 1;
            let mut members = self.members.lock();
            let before = members.iter().map(|member| ListMember {
                member: member.clone(),
                age_ms: 0,
            });
            let before = before.collect();
            members.extend(change.added.clone());
            Some(before)
        }
    }

    #[tokio::test]
    async fn processes_with_one_store_count_the_declines_of_an_address_together() {
        let list = Arc::new(List::default());
        let processes = [(); 3].map(|()| {
            let declines = Declines::default();
            let secret = Secret::derive(b"secret", "addresses");
            declines.share(SharedCount::new(list.clone(), secret));
            declines
        });
        assert_eq!(
            attempts(&processes[0], address(1), NOW).await,
            ATTEMPTS_PER_VISITOR_MAX
        );
        assert_eq!(*list.calls.lock(), 0, "no card was declined");
        for at in 0..PER_ADDRESS_MAX {
            let process = &processes[at as usize % 3];
            let allowed = attempts(process, address(1), NOW).await;
            assert_eq!(allowed, ATTEMPTS_PER_VISITOR_MAX);
            process.count(address(1), NOW).await;
        }
        for process in &processes {
            assert_eq!(attempts(process, address(1), NOW).await, LIMITED);
        }
    }

    #[tokio::test]
    async fn after_many_declines_visitors_of_an_address_have_few_attempts_for_an_hour() {
        let declines = Declines::default();
        for _ in 0..PER_ADDRESS_MAX {
            let allowed = attempts(&declines, address(1), NOW).await;
            assert_eq!(allowed, ATTEMPTS_PER_VISITOR_MAX);
            declines.count(address(1), NOW).await;
            declines.count(None, NOW).await;
        }
        let left = declines.allowance(address(1), Time(NOW.0 + 1_500)).await;
        let wanted = Allowance {
            attempts: LIMITED,
            more_after: Some(3599),
        };
        assert_eq!(left, wanted);
        for other in [address(2), None] {
            assert_eq!(
                attempts(&declines, other, NOW).await,
                ATTEMPTS_PER_VISITOR_MAX
            );
        }
        for free in [
            NOW.plus_seconds(WINDOW_SECONDS),
            Time(NOW.0 - 2 * 3_600_000),
        ] {
            let allowed = attempts(&declines, address(1), free).await;
            assert_eq!(allowed, ATTEMPTS_PER_VISITOR_MAX);
        }
    }

    #[tokio::test]
    async fn the_addresses_counted_are_bounded_and_others_are_suspects_meanwhile() {
        let declines = Declines::default();
        let most = u32::try_from(COUNTED_MAX).unwrap();
        for at in 0..most + 10 {
            declines.count(address(at), NOW).await;
        }
        let counted = declines.counts.lock().windows.len();
        assert_eq!(counted, COUNTED_MAX);
        assert_eq!(attempts(&declines, address(most + 1), NOW).await, LIMITED);
        let later = NOW.plus_seconds(WINDOW_SECONDS);
        declines.count(address(1), later).await;
        assert_eq!(declines.counts.lock().windows.len(), 1);
    }
}

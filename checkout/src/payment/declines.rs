//! Counts of declined cards by client address: whoever tries lists of stolen cards gets many
//! declines, with many places in line perhaps, but from few addresses.

use crate::inventory::ATTEMPTS_PER_VISITOR_MAX;
use parking_lot::Mutex;
use shared::time::Time;
use std::collections::HashMap;
use std::net::IpAddr;

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

/// Declines of this process since it started.
#[derive(Default)]
pub struct Declines(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    windows: HashMap<IpAddr, Window>,
    swept_at: Time,
}

struct Window {
    declines: u32,
    ends: Time,
}

impl Window {
    /// Returns whether the window has ended. One that ends further away than one can be long was
    /// begun before the clock was set back.
    fn is_over(&self, now: Time) -> bool {
        self.ends <= now || self.ends > now.plus_seconds(WINDOW_SECONDS)
    }
}

impl Declines {
    /// Returns what visitors at an address may try. Requests without an address are limited by
    /// order and visitor alone: they may come from anywhere.
    pub(crate) fn allowance(&self, address: Option<IpAddr>, now: Time) -> Allowance {
        let counts = self.0.lock();
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
    pub(super) fn count(&self, address: Option<IpAddr>, now: Time) {
        let Some(address) = address else { return };
        let mut counts = self.0.lock();
        counts.sweep(now);
        if counts.windows.len() >= COUNTED_MAX && !counts.windows.contains_key(&address) {
            return;
        }
        let begin = || Window {
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

impl Counts {
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

    const NOW: Time = Time(1_800_000_000_000);
    const LIMITED: u32 = ATTEMPTS_OF_SUSPECTS_MAX;

    fn address(at: u32) -> Option<IpAddr> {
        Some(IpAddr::from(at.to_be_bytes()))
    }

    fn attempts(declines: &Declines, address: Option<IpAddr>, now: Time) -> u32 {
        declines.allowance(address, now).attempts
    }

    #[test]
    fn after_many_declines_visitors_of_an_address_have_few_attempts_for_an_hour() {
        let declines = Declines::default();
        for _ in 0..PER_ADDRESS_MAX {
            let allowed = attempts(&declines, address(1), NOW);
            assert_eq!(allowed, ATTEMPTS_PER_VISITOR_MAX);
            declines.count(address(1), NOW);
            declines.count(None, NOW);
        }
        let left = declines.allowance(address(1), Time(NOW.0 + 1_500));
        let wanted = Allowance {
            attempts: LIMITED,
            more_after: Some(3599),
        };
        assert_eq!(left, wanted);
        for other in [address(2), None] {
            assert_eq!(attempts(&declines, other, NOW), ATTEMPTS_PER_VISITOR_MAX);
        }
        for free in [
            NOW.plus_seconds(WINDOW_SECONDS),
            Time(NOW.0 - 2 * 3_600_000),
        ] {
            let allowed = attempts(&declines, address(1), free);
            assert_eq!(allowed, ATTEMPTS_PER_VISITOR_MAX);
        }
    }

    #[test]
    fn the_addresses_counted_are_bounded_and_others_are_suspects_meanwhile() {
        let declines = Declines::default();
        let most = u32::try_from(COUNTED_MAX).unwrap();
        for at in 0..most + 10 {
            declines.count(address(at), NOW);
        }
        let counted = declines.0.lock().windows.len();
        assert_eq!(counted, COUNTED_MAX);
        assert_eq!(attempts(&declines, address(most + 1), NOW), LIMITED);
        let later = NOW.plus_seconds(WINDOW_SECONDS);
        declines.count(address(1), later);
        assert_eq!(declines.0.lock().windows.len(), 1);
    }
}

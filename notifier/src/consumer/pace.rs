//! Pauses and times of a consumer.

use shared::crypto::random;
use std::time::Duration;

/// Pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first failure; it doubles with each.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// Time for which an event fails until it lets others go first.
    pub hold_after: Duration,
    /// Pause before letters that failed again are tried once more.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            hold_after: Duration::from_secs(600),
            retry: Duration::from_secs(5),
        }
    }
}

impl Pace {
    /// Returns the pause after so many failures, of which half is random.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        let [byte] = random::<1>();
        whole.mul_f64(0.5 + f64::from(byte) / 512.0)
    }
}

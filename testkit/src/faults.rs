//! Faults of a stand-in on demand.

use std::time::Duration;

/// A fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It takes effect, and 500 is answered; by Stripe again to the same idempotency key.
    FailedAfter,
    /// It takes no effect, and 500 is answered; by Stripe again to the same idempotency key.
    FailedBefore,
    /// It is answered after this time.
    Delayed(Duration),
    /// It is refused with 429.
    TooMany,
    /// It takes no effect, and is refused with 400.
    Refused,
}

impl ApiFault {
    pub(crate) fn named(name: &str) -> Option<ApiFault> {
        Some(match name {
            "answer_lost" => ApiFault::AnswerLost,
            "failed_after" => ApiFault::FailedAfter,
            "failed_before" => ApiFault::FailedBefore,
            "too_many" => ApiFault::TooMany,
            "refused" => ApiFault::Refused,
            _ => {
                let ms = name.strip_prefix("delayed_")?.parse().ok()?;
                ApiFault::Delayed(Duration::from_millis(ms))
            }
        })
    }
}

/// Fate of the request with which a stand-in falls silent. None after it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRequest {
    /// It takes effect, and gets no answer.
    Done,
    /// It takes no effect.
    Undone,
}

/// Trouble of a stand-in by chance, the same again for the same requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// Requests that go wrong, and webhooks that are lost or sent twice, in percent.
    pub percent: u32,
    /// Time after which each request is answered.
    pub delay: Duration,
    /// State of the dice.
    pub seed: u64,
}

impl Trouble {
    /// Returns a number below 2^32 (splitmix64).
    fn roll(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 32) as u32
    }

    /// Returns the fault of the next request.
    pub(crate) fn fault(&mut self) -> Option<ApiFault> {
        if self.percent == 0 || self.roll() % 100 >= self.percent {
            return (!self.delay.is_zero()).then_some(ApiFault::Delayed(self.delay));
        }
        Some(match self.roll() % 5 {
            0 => ApiFault::AnswerLost,
            1 => ApiFault::FailedAfter,
            2 => ApiFault::FailedBefore,
            3 => ApiFault::TooMany,
            _ => ApiFault::Delayed(Duration::from_millis(300)),
        })
    }

    /// Returns how often the next event is sent, usually so many times.
    pub(crate) fn copies(&mut self, usually: u32) -> u32 {
        if self.percent == 0 || self.roll() % 100 >= self.percent {
            usually
        } else {
            2 * (self.roll() % 2)
        }
    }
}

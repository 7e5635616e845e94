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

//! A fan's wish for a mail once it is their turn, as the waiting room hands it to the checkout, and the
//! waits of such fans, as the checkout asks for them.

use crate::ids::VisitorId;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Addresses that a client address may leave with places in an hour.
pub const LINE_MAILS_PER_HOUR: u32 = 100;

/// Largest number of visitors whose waits are asked for at one time.
pub const WAITS_MAX: usize = 200;
/// Wait at which a fan is told that the turn comes soon, in seconds.
const SOON_SECONDS: u64 = 600;

/// The address of a fan in line, and the link by which the mail leads back to the place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineMail {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// Code of the mail's language, such as `de`.
    pub language: String,
    /// Proof of the place, behind the `#` of the link.
    pub link: String,
    /// The fan's number; null until the draw.
    pub number: Option<u64>,
    /// Whether the fan is also told before, once the turn comes in about ten minutes.
    pub tell_soon: bool,
}

impl fmt::Debug for LineMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineMail(…)")
    }
}

/// Visitors whose waits are asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitsInput {
    /// The visitors, at most 200.
    #[schema(value_type = Vec<String>, max_items = 200)]
    pub visitors: Vec<VisitorId>,
}

/// The waits of visitors, as the line tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineWaits {
    /// Whether the line tells waits at the moment. It does not before the sale, while it is paused or no
    /// one is let in, and until it was measured how fast it moves; no visitor is listed then.
    pub is_told: bool,
    /// Those of the visitors who wait.
    pub waits: Vec<VisitorWait>,
}

impl LineWaits {
    /// Returns the answer of a line that tells no waits.
    pub fn untold() -> LineWaits {
        LineWaits {
            is_told: false,
            waits: Vec::new(),
        }
    }
}

/// The wait of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VisitorWait {
    /// The visitor.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// Their number; null until the draw.
    pub number: Option<u64>,
    /// The wait that the queue page shows; null if it shows none.
    pub seconds: Option<WaitRange>,
}

/// A wait as a range, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitRange {
    /// At the fastest pace that is likely.
    pub low: u32,
    /// At the slowest pace that is likely.
    pub high: u32,
}

impl WaitRange {
    /// Returns whether the turn comes in about ten minutes or less: the middle of the range is no later.
    pub fn is_soon(self) -> bool {
        u64::from(self.low) + u64::from(self.high) <= 2 * SOON_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_comes_soon_if_the_middle_of_its_range_is_no_later_than_ten_minutes() {
        let is_soon = |low, high| WaitRange { low, high }.is_soon();
        assert!(is_soon(0, 0) && is_soon(480, 720) && is_soon(600, 600));
        assert!(!is_soon(480, 721) && !is_soon(0, u32::MAX) && !is_soon(u32::MAX, u32::MAX));
    }
}

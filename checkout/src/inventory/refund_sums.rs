//! Money of an event that goes back to its buyers.

use super::money::{Currency, Money};
use serde::Serialize;
use utoipa::ToSchema;

/// Money of an event in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefundSum {
    /// Sum of what went back, also before the show was cancelled.
    pub refunded: Money,
    /// Sum of what the bank charged back.
    pub charged_back: Money,
    /// Sum of what has yet to go back.
    pub outstanding: Money,
}

impl RefundSum {
    /// Builds it from the sums of what was refunded, charged back, and has yet to go back.
    pub(super) fn of(currency: Currency, sums: [i64; 3]) -> RefundSum {
        let [refunded, charged_back, outstanding] = sums.map(|amount| Money { amount, currency });
        RefundSum {
            refunded,
            charged_back,
            outstanding,
        }
    }
}

//! Money of an event that goes back to its buyers.

use super::money::{Currency, Money};
use serde::Serialize;
use utoipa::ToSchema;

/// Money of an event in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefundSum {
    /// Sum of what went back, also before the show was cancelled.
    pub refunded: Money,
    /// Sum of what has yet to go back.
    pub outstanding: Money,
}

impl RefundSum {
    pub(super) fn of(currency: Currency, refunded: i64, outstanding: i64) -> RefundSum {
        RefundSum {
            refunded: Money {
                amount: refunded,
                currency,
            },
            outstanding: Money {
                amount: outstanding,
                currency,
            },
        }
    }
}

//! How long personal data is kept.

/// Largest number of days that may be set.
pub(crate) const DAYS_MAX: u32 = 36_500;

/// Days for which personal data is kept; `None` for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Sessions that ended, and their holds without an order.
    pub visits_days: Option<u32>,
    /// Buyers of settled orders.
    pub buyers_days: Option<u32>,
}

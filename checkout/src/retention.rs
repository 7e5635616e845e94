//! How long personal data and events are kept.

/// Largest number of days that may be set.
pub(crate) const DAYS_MAX: u32 = 36_500;
/// Largest number of hours that may be set for events.
pub(crate) const EVENTS_HOURS_MAX: u32 = 8_760;

/// How long data is kept; `None` for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Sessions that ended, and their holds without an order.
    pub visits_days: Option<u32>,
    /// Buyers of settled orders.
    pub buyers_days: Option<u32>,
    /// Events in the outbox that all consumers have had.
    pub events_hours: u32,
}

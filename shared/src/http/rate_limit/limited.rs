//! Kinds of what nodes limit together.

/// What is limited by nodes together behind the requests: the kind of its buckets in the store they
/// share. A limit on addresses takes the two that follow as well, one for each width.
#[derive(Clone, Copy, Debug)]
pub enum Limited {
    /// Requests of an address.
    Requests = 1,
    /// Requests of a visitor.
    Visitors = 4,
    /// Requests of an address for lists of orders by mail.
    LookUps = 5,
    /// Lists of orders that are sent to a mail address.
    Lists = 8,
    /// Mails of an order that are sent again.
    Resent = 9,
}

//! The limits that nodes share.

/// A limit that nodes share behind the requests, with the kind of its buckets in their store. A limit on addresses takes the two that follow as well, one for each width.
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
    /// Requests of an address for mails to fans in line.
    LineMails = 10,
    /// Mails to fans in line that a mail address may be told of.
    LineAddresses = 13,
}

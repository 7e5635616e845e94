//! Kinds of failures of messages to fans in line.

/// The kind of an attempt's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The browser has ended the subscription, or the phone takes no messages.
    Gone,
    /// The gateway refuses the message for good, or may not be reached.
    Refused,
    /// The gateway refuses the site.
    Denied,
    /// The gateway does not take it now.
    Deferred,
    /// The gateway does not answer.
    Unreachable,
    /// The turn was over before the message was taken.
    Missed,
    /// The number has had as many messages for the event as it may get.
    NumberFull,
    /// The site has sent as many in the day as it may.
    DayFull,
}

impl FailureKind {
    /// All of them.
    pub(super) const ALL: [FailureKind; 8] = [
        FailureKind::Gone,
        FailureKind::Refused,
        FailureKind::Denied,
        FailureKind::Deferred,
        FailureKind::Unreachable,
        FailureKind::Missed,
        FailureKind::NumberFull,
        FailureKind::DayFull,
    ];

    /// Returns the name, as metrics have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            FailureKind::Gone => "gone",
            FailureKind::Refused => "refused",
            FailureKind::Denied => "denied",
            FailureKind::Deferred => "deferred",
            FailureKind::Unreachable => "unreachable",
            FailureKind::Missed => "missed",
            FailureKind::NumberFull => "number_full",
            FailureKind::DayFull => "day_full",
        }
    }
}

//! The contract of a gateway: a system that brings messages to fans by one channel.

use super::failure::FailureKind;
use crate::app::Shop;
use crate::waiting_room::EventFacts;
use async_trait::async_trait;
use shared::ids::EventId;
use shared::line_contact::{Channel, LineContact};
use shared::time::Time;

/// A message to a fan whose turn has come.
pub(crate) struct TurnMessage<'a> {
    /// The event.
    pub(crate) event: &'a EventId,
    /// The event as fans know it.
    pub(crate) facts: &'a EventFacts,
    /// The subscription or the number.
    pub(crate) contact: &'a LineContact,
    /// Time until which the turn may be taken, which is to come.
    pub(crate) claim_by: Time,
    /// Time of the attempt.
    pub(crate) now: Time,
}

impl TurnMessage<'_> {
    /// Returns the time that is left of the turn, in seconds.
    pub(crate) fn seconds_left(&self) -> i64 {
        (self.claim_by.0 - self.now.0).max(0) / 1000
    }

    /// Returns the time zone of the event, if it has one.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.facts.details.as_ref()?.time_zone.as_deref()
    }
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The gateway has the message.
    Sent,
    /// The message is tried again, not before this time if there is one, unless the turn is over by then.
    Later(FailureKind, Option<Time>),
    /// It cannot be sent: the subscription or the number is forgotten.
    Never(FailureKind),
}

/// A system that brings messages to fans by one channel.
#[async_trait]
pub(crate) trait Gateway: Send + Sync {
    /// Returns the channel, whose subscriptions or numbers alone are handed to it.
    fn channel(&self) -> Channel;

    /// Tries to send a message. Takes no longer than a third of the lease of a message.
    async fn send(&self, shop: &Shop, message: &TurnMessage<'_>) -> Handover;
}

//! Subscriptions of fans in line to notifications, as they are stored until their turn was told. The
//! same row is the message that waits to be sent.

use super::line_mail::InLine;
use super::model::Refused;
use super::personal::Personal;
use async_trait::async_trait;
use shared::ids::EventId;
use shared::line_push::LinePush;
use shared::sealing::SealingKeys;
use shared::time::Time;

/// Largest number of rows that are deleted by one step.
pub(super) const LINE_PUSHES_MAX: usize = 500;

/// A message that was taken to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedPush {
    /// Database that has it.
    pub database: usize,
    /// The fan's place.
    pub place: InLine,
    /// The subscription; none if it cannot be opened.
    pub push: Option<LinePush>,
    /// Time until which the turn may be taken.
    pub claim_by: Time,
    /// Attempts to send it, with this one.
    pub attempts: i32,
}

/// The stored subscriptions of fans in line, one for each place.
#[async_trait]
pub trait LinePushStore: Send + Sync {
    /// Keeps a subscription in place of the one from before.
    async fn keep(&self, place: &InLine, push: &LinePush) -> Result<(), Refused>;

    /// Returns the subscription of a place, unless there is none or it cannot be opened.
    async fn find(&self, place: &InLine) -> Result<Option<LinePush>, Refused>;

    /// Deletes the subscription of a place.
    async fn remove(&self, place: &InLine) -> Result<(), Refused>;

    /// Makes messages due to those of these places that have a subscription, each with the time until
    /// which its turn may be taken. A second call for a place changes nothing.
    async fn call(&self, turns: Vec<(InLine, Time)>) -> Result<(), Refused>;

    /// Takes messages that are due. Each is due again after the lease.
    async fn claim(&self, limit: u32, lease_ms: i64) -> Result<Vec<QueuedPush>, Refused>;

    /// Records when a message is due again; none deletes it with its subscription. Nothing is changed
    /// if it was taken again, or replaced, since.
    async fn settle(&self, push: &QueuedPush, again_at: Option<Time>) -> Result<(), Refused>;

    /// Deletes subscriptions that were left so long ago, of an event or of all, unless a message is
    /// still to be sent, a bounded number. Returns whether there may be more.
    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused>;
}

/// Returns the sealed column of a subscription.
pub(super) fn seal_push(keys: &SealingKeys, place: &InLine, push: &LinePush) -> String {
    let text = serde_json::to_string(push).unwrap_or_default();
    personal(keys, place).seal_line_mail("line push", &place.visitor.to_string(), &text)
}

/// Returns the subscription in a column, unless it cannot be opened.
pub(super) fn open_push(keys: &SealingKeys, place: &InLine, column: &str) -> Option<LinePush> {
    let visitor = place.visitor.to_string();
    let text = personal(keys, place).open_line_mail("line push", &visitor, column)?;
    serde_json::from_str(&text).ok()
}

fn personal<'a>(keys: &'a SealingKeys, place: &'a InLine) -> Personal<'a> {
    Personal {
        keys,
        event: &place.event,
    }
}

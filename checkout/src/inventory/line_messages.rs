//! Subscriptions and numbers of fans in line, as they are stored until their turn was told. The same row is
//! the message that waits to be sent.

use super::line_mail::InLine;
use super::model::Refused;
use super::personal::Personal;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use shared::ids::EventId;
use shared::line_contact::{Channel, LineContact};
use shared::sealing::SealingKeys;
use shared::time::Time;

/// Largest number of rows that are deleted by one step.
pub(super) const LINE_MESSAGES_MAX: usize = 500;
/// Largest number of messages that are counted for the metrics.
pub(super) const BACKLOG_MAX: i64 = 100_000;

/// A message that was taken to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Database that has it.
    pub database: usize,
    /// The fan's place.
    pub place: InLine,
    /// The channel.
    pub channel: Channel,
    /// The subscription or the number; none if it cannot be opened.
    pub contact: Option<LineContact>,
    /// Time until which the turn may be taken.
    pub claim_by: Time,
    /// Attempts to send it, with this one.
    pub attempts: i32,
}

/// How far the messages of a channel are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineBacklog {
    /// Number of messages that wait to be sent, counted up to 100,000.
    pub waiting: u64,
    /// Time for which the oldest of them waits, in seconds; 0 if there is none.
    pub oldest_seconds: u64,
}

/// Largest numbers of text messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmsBounds {
    /// To one number for one event.
    pub to_number: u32,
    /// Of the site, in a day of UTC.
    pub in_day: u32,
}

/// Outcome of counting a text message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmsCount {
    /// It is counted, and may be sent.
    Counted,
    /// The number has had as many for the event as it may get.
    NumberIsFull,
    /// The site has sent as many as it may in this day.
    DayIsFull,
}

/// The stored subscriptions and numbers of fans in line, at most one of each channel for a place.
#[async_trait]
pub trait LineMessageStore: Send + Sync {
    /// Keeps a subscription or a number in place of the one from before.
    async fn keep(&self, place: &InLine, contact: &LineContact) -> Result<(), Refused>;

    /// Returns that of a place, unless there is none or it cannot be opened.
    async fn find(&self, place: &InLine, channel: Channel) -> Result<Option<LineContact>, Refused>;

    /// Deletes that of a place.
    async fn remove(&self, place: &InLine, channel: Channel) -> Result<(), Refused>;

    /// Makes messages due by all channels to those of these places that have left something, each with the
    /// time until which its turn may be taken. A second call for a place changes nothing.
    async fn call(&self, turns: Vec<(InLine, Time)>) -> Result<(), Refused>;

    /// Takes messages of a channel that are due. Each is due again after the lease.
    async fn claim(
        &self,
        channel: Channel,
        limit: u32,
        lease_ms: i64,
    ) -> Result<Vec<QueuedMessage>, Refused>;

    /// Records when a message is due again; none deletes it with the subscription or the number. Nothing is
    /// changed if it was taken again, or replaced, since.
    async fn settle(&self, message: &QueuedMessage, again_at: Option<Time>) -> Result<(), Refused>;

    /// Deletes a bounded number of subscriptions and numbers that were left so long ago, of an event or of all, unless
    /// a message is still to be sent; and counts of text messages that are as old. Returns whether there may be more.
    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused>;

    /// Returns how far the messages of a channel are behind.
    async fn backlog(&self, channel: Channel) -> Result<LineBacklog, Refused>;

    /// Counts a text message at a time to a number, which is given by its keyed hash, unless that exceeds a bound.
    /// Any number of nodes count together, and never more than the bounds.
    async fn count_sms(
        &self,
        event: &EventId,
        number: &str,
        at: Time,
        bounds: SmsBounds,
    ) -> Result<SmsCount, Refused>;

    /// Takes back the count of a message that was certainly not sent.
    async fn uncount_sms(&self, event: &EventId, number: &str, at: Time) -> Result<(), Refused>;
}

/// Returns the sealed column of a subscription or a number.
pub(super) fn seal_contact(keys: &SealingKeys, place: &InLine, contact: &LineContact) -> String {
    let text = match contact {
        LineContact::Push(push) => serde_json::to_string(push),
        LineContact::Sms(sms) => serde_json::to_string(sms),
    };
    let field = field(contact.channel());
    let visitor = place.visitor.to_string();
    personal(keys, place).seal_line_mail(field, &visitor, &text.unwrap_or_default())
}

/// Returns the subscription or the number in a column, unless it cannot be opened.
pub(super) fn open_contact(
    keys: &SealingKeys,
    place: &InLine,
    channel: Channel,
    column: &str,
) -> Option<LineContact> {
    let visitor = place.visitor.to_string();
    let text = personal(keys, place).open_line_mail(field(channel), &visitor, column)?;
    match channel {
        Channel::Push => read(&text).map(LineContact::Push),
        Channel::Sms => read(&text).map(LineContact::Sms),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn field(channel: Channel) -> &'static str {
    match channel {
        Channel::Push => "line push",
        Channel::Sms => "line sms",
    }
}

fn personal<'a>(keys: &'a SealingKeys, place: &'a InLine) -> Personal<'a> {
    Personal {
        keys,
        event: &place.event,
    }
}

/// Returns the name of the count of a day.
pub(super) fn day_count(at: Time) -> String {
    const DAY_MS: i64 = 24 * 3_600_000;
    format!("sms day {}", at.0.div_euclid(DAY_MS))
}

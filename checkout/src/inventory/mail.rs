//! Mails to buyers as they are stored: what waits to be sent, what was sent, and what cannot be.

use super::model::Refused;
use super::outbox::OutboxShard;
use async_trait::async_trait;
use serde::Serialize;
use shared::sealing::SealingKeys;
use shared::time::Time;

/// Largest number of mails in a list.
pub const MAILS_MAX: u32 = 100;
/// Number up to which mails that wait, and those that failed, are counted.
pub const COUNTED_MAX: u64 = 100_000;
/// Largest number of mails that are deleted by one step.
pub(super) const PURGE_MAX: i64 = 500;

/// Reason for a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// An order is confirmed: its tickets.
    Confirmed,
    /// Money of an order was given back.
    Refunded,
    /// An order was given up before it was paid for.
    Cancelled,
    /// The orders of an address were asked for.
    Orders,
    /// The turn of a fan in line who left an address comes soon.
    Soon,
    /// It is the turn of such a fan.
    Turn,
    /// The date or the place of the event has changed. A row without an order is a step, which adds the
    /// mails of some orders.
    Changed,
}

impl MailKind {
    /// All kinds.
    pub const ALL: [MailKind; 7] = [
        MailKind::Confirmed,
        MailKind::Refunded,
        MailKind::Cancelled,
        MailKind::Orders,
        MailKind::Soon,
        MailKind::Turn,
        MailKind::Changed,
    ];

    /// Returns its name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            MailKind::Confirmed => "confirmed",
            MailKind::Refunded => "refunded",
            MailKind::Cancelled => "cancelled",
            MailKind::Orders => "orders",
            MailKind::Soon => "soon",
            MailKind::Turn => "turn",
            MailKind::Changed => "changed",
        }
    }

    /// Returns the kind with a stored name.
    pub(super) fn of(name: &str) -> Option<MailKind> {
        MailKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// Id of the event in the outbox that it follows from, or one of its own. An id has one mail.
    pub id: String,
    /// The event; empty for a list of orders.
    pub event: String,
    /// The order; the visitor for a turn, and the visitor with `.soon` for one that comes soon, as the turn
    /// does not wait for that mail; empty for a list of orders, and for a step of telling all buyers.
    pub order: String,
    /// Its reason.
    pub kind: MailKind,
    /// `refunded`: what was given back, as JSON. `orders`: the address. `turn`: until when the
    /// fan may come, as JSON. `changed`: what was, as JSON.
    pub detail: String,
    /// When its reason arose.
    pub created_at: Time,
}

/// A mail that was taken to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMail {
    /// Index of the database.
    pub(super) database: usize,
    /// Number of the row.
    pub(super) number: i64,
    /// The mail.
    pub mail: NewMail,
    /// Number of times that it was taken, this one included.
    pub attempts: i32,
    /// Number of those after which the mail server did not say whether it has the mail.
    pub unanswered: i32,
}

/// Outcome of an attempt to send a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The mail server has it.
    Sent,
    /// It is tried again.
    Later {
        /// When.
        at: Time,
        /// Number of attempts after which the mail server did not say whether it has the mail.
        unanswered: i32,
        /// Why, in words.
        reason: String,
    },
    /// It cannot be sent.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// There is nothing to keep of it.
    Dropped,
}

impl MailOutcome {
    /// Returns the stored state, and the reason.
    pub(super) fn columns(&self) -> (i16, &str) {
        match self {
            MailOutcome::Sent | MailOutcome::Dropped => (SENT, ""),
            MailOutcome::Later { reason, .. } => (WAITING, reason),
            MailOutcome::Failed { reason } => (FAILED, reason),
        }
    }
}

pub(super) const WAITING: i16 = 0;
pub(super) const SENT: i16 = 1;
pub(super) const FAILED: i16 = 2;

/// State of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// It waits to be sent, for the first time or again.
    Waiting,
    /// The mail server has it.
    Sent,
    /// It cannot be sent.
    Failed,
    /// It was sent, and came back.
    Bounced,
}

impl MailState {
    pub(super) fn of(number: i16, has_bounced: bool) -> MailState {
        match number {
            SENT => MailState::Sent,
            FAILED if has_bounced => MailState::Bounced,
            FAILED => MailState::Failed,
            _ => MailState::Waiting,
        }
    }

    /// Returns whether it may be sent again.
    pub(crate) fn may_be_retried(self) -> bool {
        matches!(self, MailState::Failed | MailState::Bounced)
    }
}

/// A mail as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMail {
    /// The mail.
    pub mail: NewMail,
    /// Its state.
    pub state: MailState,
}

/// Report that a mail came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// Hash of the address, to which no further mail about an order is sent; empty if further ones may
    /// arrive.
    pub stopped: String,
    /// Why, in words.
    pub reason: String,
}

/// A mail about an order, as organisers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MailRecord {
    /// Its id: that of the event in the outbox that it follows from, or `mail_…`.
    pub id: String,
    /// The order.
    pub order: String,
    /// `confirmed`, `refunded`, `cancelled` or `changed`.
    #[schema(value_type = String)]
    pub kind: MailKind,
    /// `waiting`, `sent`, `failed` or `bounced`.
    #[schema(value_type = String)]
    pub state: MailState,
    /// Number of attempts.
    pub attempts: i32,
    /// When its reason arose.
    pub created_at: Time,
    /// When it was handed over, given up, or came back.
    pub done_at: Option<Time>,
    /// Why it was not sent the last time, or never will be; absent while it is being sent, and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Progress of the mails about a change of an event's date or place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChangeMails {
    /// `mail_change_…`
    pub id: String,
    /// When the buyers began to be told.
    pub told_at: Time,
    /// Whether all of them were looked for, and no mail waits.
    pub done: bool,
    /// Number of mails that wait to be sent, of the orders that were looked at so far.
    pub waiting: u64,
    /// Number of mails that the mail server has.
    pub sent: u64,
    /// Number of mails that cannot be sent.
    pub failed: u64,
}

impl ChangeMails {
    /// Returns the id of the change with this number of its event and this hash.
    pub(crate) fn id_of(number: u64, hash: &str) -> String {
        format!("{CHANGE}{number}-{hash}")
    }

    /// Returns the number among the changes of its event.
    pub(crate) fn number(&self) -> u64 {
        let rest = self.id.strip_prefix(CHANGE);
        let number = rest.and_then(|rest| rest.split_once('-')?.0.parse().ok());
        number.unwrap_or_default()
    }
}

/// Beginning of the ids of changes.
const CHANGE: &str = "mail_change_";

/// How far the mails are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailBacklog {
    /// Number of mails that wait, counted up to `COUNTED_MAX`.
    pub waiting: u64,
    /// Age of the oldest of them; 0 if there is none.
    pub oldest_seconds: u64,
    /// Number of mails that cannot be sent, counted likewise.
    pub failed: u64,
}

/// The stored mails. Any number of nodes share the work.
#[async_trait]
pub trait MailQueue: Send + Sync {
    /// Adds the mails that follow from events of a shard, and records that the consumer has had all
    /// of them up to a position, in one transaction. A mail whose id is there already is left out.
    /// Returns false if the owner has no lease of the shard any more, or another server answers;
    /// nothing is added then.
    async fn take_in(
        &self,
        consumer: &str,
        owner: &str,
        shard: OutboxShard,
        position: i64,
        mails: Vec<NewMail>,
    ) -> Result<bool, Refused>;

    /// Adds a mail that follows from no event of the outbox.
    async fn add(&self, mail: NewMail) -> Result<(), Refused>;

    /// Adds mails to the database of one that was taken. A mail whose id is there already is left out.
    async fn add_beside(&self, taken: &QueuedMail, mails: Vec<NewMail>) -> Result<(), Refused>;

    /// Returns the progress of the latest change of an event's date or place.
    async fn latest_change(&self, event: &str) -> Result<Option<ChangeMails>, Refused>;

    /// Takes mails that are due, the most overdue first, at most `limit`: lists of orders, or all
    /// others. Those of one order are taken one after the other, in the order in which they were
    /// added. One that is not settled within `lease_ms` is due again.
    async fn claim(
        &self,
        are_lists: bool,
        limit: u32,
        lease_ms: i64,
    ) -> Result<Vec<QueuedMail>, Refused>;

    /// Records the outcome of an attempt, unless the mail was taken again since.
    async fn settle(&self, mail: &QueuedMail, outcome: MailOutcome) -> Result<(), Refused>;

    /// Returns how far the mails are behind.
    async fn backlog(&self) -> Result<MailBacklog, Refused>;

    /// Returns the mails about an order, the newest first, at most `MAILS_MAX`.
    async fn of_order(&self, event: &str, order: &str) -> Result<Vec<MailRecord>, Refused>;

    /// Returns the mails about an event's orders that cannot be sent or came back, the newest first, at
    /// most `MAILS_MAX`.
    async fn failed(&self, event: &str) -> Result<Vec<MailRecord>, Refused>;

    /// Lets a mail that cannot be sent or came back be tried again, as if it were new. Returns whether
    /// there is such a mail.
    async fn retry(&self, event: &str, id: &str) -> Result<bool, Refused>;

    /// Returns the mail with an id.
    async fn find(&self, id: &str) -> Result<Option<StoredMail>, Refused>;

    /// Records that a mail came back, unless that is known, or no attempt to send it was made. Returns
    /// whether there is such a mail.
    async fn bounce(&self, id: &str, bounce: &Bounce) -> Result<bool, Refused>;

    /// Returns why a mail came back whose report stops mails to the address with this hash.
    async fn stopped(&self, hash: &str) -> Result<Option<String>, Refused>;

    /// Lets mails be sent again to the address with this hash.
    async fn resume(&self, hash: &str) -> Result<(), Refused>;

    /// Deletes mails that were sent or given up so long ago, a bounded number. Returns whether there
    /// may be more.
    async fn purge(&self, kept_ms: i64) -> Result<bool, Refused>;
}

/// Returns what a sealed detail is about, so that it opens in its own row alone.
fn about(id: &str) -> String {
    format!("mail\n{id}")
}

pub(super) fn seal_detail(keys: &SealingKeys, mail: &NewMail) -> String {
    keys.seal(&about(&mail.id), &mail.detail)
}

/// Opens a stored detail; empty if its key is missing.
pub(super) fn open_detail(keys: &SealingKeys, id: &str, stored: &str) -> String {
    keys.open(&about(id), stored).unwrap_or_default()
}

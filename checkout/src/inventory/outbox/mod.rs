//! The outbox: events for other systems, written in the transaction of the change that they follow
//! from, and read in order by any number of consumers.

mod event_type;
mod follow;
mod line;
mod payload;
mod schema;

pub use event_type::{Aggregate, EventType};
pub(super) use follow::{about_event, about_rules, about_ticket};
pub use line::LineLogStore;
pub(super) use line::entries_of;
pub use payload::OutboxEntry;
pub use payload::{
    AdmissionPayload, CategorySummary, DrawPayload, EventPayload, HoldPayload, OrderPayload,
    PaymentPayload, SCHEMA_VERSION, SeatingSummary, TicketPayload, TicketSeat,
};
pub use schema::{asyncapi, schemas};

use super::model::Refused;
use async_trait::async_trait;
use shared::time::Time;
use std::fmt;

/// Largest number of events that are read at one time.
pub const OUTBOX_ROWS_MAX: u32 = 1_000;
/// Time for which a shard is leased.
pub const LEASE_SECONDS: u32 = 15;
/// Number up to which events that a consumer has not acknowledged are counted.
pub const UNSENT_MAX: u64 = 100_000;

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Position in its shard, where it rises.
    pub position: i64,
    /// `evt_…`: consumers know by it what they have had already.
    pub id: String,
    /// The event that is sold.
    pub event: String,
    /// `order`, `hold`, `event`, `admission` or `draw`.
    pub aggregate_type: String,
    /// Id of the aggregate. Its events are in one shard, in the order in which they happened.
    pub aggregate_id: String,
    /// Name of the type, such as `order.confirmed`.
    pub event_type: String,
    /// JSON text.
    pub payload: String,
    /// W3C trace context of the request that made the change, if it is traced.
    pub traceparent: Option<String>,
    /// When it was decided, by the store's clock.
    pub at: Time,
}

/// A part of the outbox that is read in order, as one server has it. After a restart, a failover or
/// a restore it is another one: positions may be of other events then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutboxShard {
    /// Index of the database.
    pub(crate) database: usize,
    pub(crate) number: i16,
    /// Identity of the server and its tables.
    pub(crate) server: i64,
}

impl OutboxShard {
    /// Returns whether both are the same part, perhaps as different servers have it.
    pub(crate) fn is_same_part(&self, other: &OutboxShard) -> bool {
        (self.database, self.number) == (other.database, other.number)
    }
}

impl fmt::Display for OutboxShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.number)
    }
}

/// A shard that a process may read for a consumer, until `LEASE_SECONDS` after it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLease {
    /// The shard.
    pub shard: OutboxShard,
    /// Position of the last event that was acknowledged; 0 if none was.
    pub position: i64,
}

/// A consumer's place in a shard, to be moved by the owner of the lease.
#[derive(Clone, Copy, Debug)]
pub struct NewPlace<'a> {
    /// The consumer.
    pub consumer: &'a str,
    /// The process that has the lease.
    pub owner: &'a str,
    /// The shard.
    pub shard: OutboxShard,
    /// The position from which alone it is moved; `None` to move it from any.
    pub after: Option<i64>,
    /// The position to which it is moved, unless it is further already.
    pub position: i64,
}

/// How far a consumer is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// Number of events that it has not acknowledged, counted up to `UNSENT_MAX`.
    pub unsent: u64,
    /// Age of the oldest of them; 0 if there is none.
    pub oldest_seconds: u64,
}

/// Reading of the outbox. Consumers are told apart by their names, and each gets every event at
/// least once, those of an aggregate in order. Many processes may share the work of a consumer; each
/// is told apart by a name of its own, the owner.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Renews the leases of an owner and takes free ones, up to its share among all owners of the
    /// consumer; gives back what is more. What is not returned any more must not be published any
    /// more. A new consumer begins with the oldest event that is kept.
    async fn lease(&self, consumer: &str, owner: &str) -> Result<Vec<OutboxLease>, Refused>;

    /// Returns the next events of a shard after a position, in order, at most `limit` and
    /// `OUTBOX_ROWS_MAX`. What is returned is complete: nothing appears before it any more.
    ///
    /// # Errors
    /// `NoSuchShard` if another server answers than the one that had the shard.
    async fn read(
        &self,
        shard: OutboxShard,
        after: i64,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, Refused>;

    /// Records that a consumer has had all events of a shard up to a position. Returns false if the
    /// owner has no lease of the shard any more, or another server answers; nothing is recorded then.
    async fn acknowledge(
        &self,
        consumer: &str,
        owner: &str,
        shard: OutboxShard,
        position: i64,
    ) -> Result<bool, Refused>;

    /// Gives all leases of an owner back.
    async fn release(&self, consumer: &str, owner: &str) -> Result<(), Refused>;

    /// Returns how far a consumer is behind.
    async fn state(&self, consumer: &str) -> Result<OutboxState, Refused>;

    /// Returns all shards, each with the newest position that can be read.
    async fn newest(&self) -> Result<Vec<(OutboxShard, i64)>, Refused>;

    /// Deletes events that are older than `kept_ms` and that all consumers have acknowledged, a
    /// bounded number. A consumer of which nothing was heard for as long is not waited for, unless
    /// `waits_for` names it. Returns whether there may be more.
    async fn purge(&self, kept_ms: i64, waits_for: &[&str]) -> Result<bool, Refused>;
}

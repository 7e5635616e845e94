//! The contract of a broker from which events come, one for each consumer.

pub mod kafka;
pub mod nats;
pub mod rabbitmq;

use crate::event::Delivery;
use async_trait::async_trait;
use brokers::Failure;
use shared::time::Time;
use std::time::Duration;

/// Largest number of messages in a batch.
pub const BATCH: usize = 100;
/// Wait for messages where there are none.
pub(crate) const IDLE: Duration = Duration::from_secs(1);
/// Longest time for an answer of a broker.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Events of one consumer. Each call ends by itself, also where the broker never answers. After a
/// failure the next call connects anew, and messages that are not done come again.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns the next messages, those of an aggregate in order; none where there are none for a
    /// second. The batch before must be done, or given up by `give_back`.
    ///
    /// # Errors
    /// Why there are none now.
    async fn next(&mut self) -> Result<Vec<Delivery>, Failure>;

    /// Marks the first so many messages of the batch as done, for good.
    ///
    /// # Errors
    /// If that is not certain: they may come again.
    async fn done(&mut self, count: usize) -> Result<(), Failure>;

    /// Tells the broker that the batch is still being worked on.
    async fn keep(&mut self) {}

    /// Gives back what is not done, so that it comes again, at once to another connection.
    async fn give_back(&mut self);

    /// Returns how many messages wait behind the batch, as far as the broker tells.
    async fn waiting(&mut self) -> Option<u64>;

    /// Begins again with messages from a time on, or with those before it that are not done. The batch
    /// before must be done, or given up.
    ///
    /// # Errors
    /// Why that is not done.
    async fn replay(&mut self, from: Time) -> Result<(), Failure>;
}

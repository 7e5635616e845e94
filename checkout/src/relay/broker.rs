//! The contract of a message broker to which events are published.

use super::message::Message;
use async_trait::async_trait;
use brokers::Failure;
use std::time::Duration;

/// Longest time for which a broker's acknowledgements are waited for. The clients' own deadlines
/// cannot be relied on: rskafka's does not end a request to a broker that died.
pub(super) const PUBLISH: Duration = Duration::from_secs(5);

/// Outcome of a message: `Ok` once the broker has acknowledged it.
pub(super) type Outcome = Result<(), Failure>;

/// A message broker. Each call ends by itself, also where the broker never answers: within
/// `CONNECT`, and `publish` within `CONNECT` and `PUBLISH`.
#[async_trait]
pub(super) trait Broker: Send {
    /// Connects unless it is connected, and checks that there is a place for events.
    ///
    /// # Errors
    /// Why events cannot be published now; `Unroutable` if those of some types can.
    async fn connect(&mut self) -> Outcome;

    /// Publishes messages of which no two are of the same aggregate, and returns their outcomes in
    /// the same order. One that failed may have been published regardless.
    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome>;
}

/// Returns the same failure for each of so many messages.
pub(super) fn all_failed(count: usize, failure: &Failure) -> Vec<Outcome> {
    vec![Err(failure.clone()); count]
}

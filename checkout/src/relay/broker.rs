//! The contract of a message broker, and the kinds of its failures.

use super::message::Message;
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest time a connection may take, with its login.
pub(super) const CONNECT: Duration = Duration::from_secs(4);
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

/// A message, or a connection, that a broker did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// Why, for the operator. Holds no credentials.
    pub(super) detail: String,
}

/// Consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The broker does not answer, or takes nothing for the moment.
    Away,
    /// It refuses this client: its login, its certificate, or what it may do.
    Denied,
    /// It has no place for this type of event: no topic, no stream, no queue.
    Unroutable,
    /// It will never take this message.
    Rejected,
}

impl FailureKind {
    /// All kinds.
    pub(super) const ALL: [FailureKind; 4] = [
        FailureKind::Away,
        FailureKind::Denied,
        FailureKind::Unroutable,
        FailureKind::Rejected,
    ];

    /// Returns the name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            FailureKind::Away => "away",
            FailureKind::Denied => "denied",
            FailureKind::Unroutable => "unroutable",
            FailureKind::Rejected => "rejected",
        }
    }
}

impl Failure {
    pub(super) fn new(kind: FailureKind, detail: impl ToString) -> Failure {
        Failure {
            kind,
            detail: detail.to_string(),
        }
    }

    /// Returns whether the message is never to be sent again.
    pub(super) fn is_final(&self) -> bool {
        self.kind == FailureKind::Rejected
    }

    /// Returns whether it is of the connection rather than of the message.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self.kind, FailureKind::Away | FailureKind::Denied)
    }
}

/// Time by which a broker must have answered.
pub(super) struct Deadline {
    broker: &'static str,
    limit: Duration,
    until: Instant,
}

impl Deadline {
    pub(super) fn within(limit: Duration, broker: &'static str) -> Deadline {
        Deadline {
            broker,
            limit,
            until: Instant::now() + limit,
        }
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// The broker is late.
    pub(super) async fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        let answer = timeout_at(self.until, answer).await;
        answer.map_err(|_| self.late())
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Returns the failure of a broker that did not answer in time.
    pub(super) fn late(&self) -> Failure {
        let Deadline { broker, limit, .. } = self;
        let detail = format!("{broker} did not answer within {} seconds", limit.as_secs());
        Failure::new(FailureKind::Away, detail)
    }
}

/// Returns the same failure for each of so many messages.
pub(super) fn all_failed(count: usize, failure: &Failure) -> Vec<Outcome> {
    vec![Err(failure.clone()); count]
}

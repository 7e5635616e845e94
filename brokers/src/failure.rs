//! Failures of message brokers, and deadlines for their answers.

use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest time a connection may take, with its login.
pub const CONNECT: Duration = Duration::from_secs(4);

/// A message, or a connection, that a broker did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// Why, for the operator. Holds no credentials.
    pub detail: String,
}

/// Consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
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
    pub const ALL: [FailureKind; 4] = [
        FailureKind::Away,
        FailureKind::Denied,
        FailureKind::Unroutable,
        FailureKind::Rejected,
    ];

    /// Returns the name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Away => "away",
            FailureKind::Denied => "denied",
            FailureKind::Unroutable => "unroutable",
            FailureKind::Rejected => "rejected",
        }
    }
}

impl Failure {
    /// Returns a failure of a kind, with the reason for the operator.
    pub fn new(kind: FailureKind, detail: impl ToString) -> Failure {
        Failure {
            kind,
            detail: detail.to_string(),
        }
    }

    /// Returns whether the message is never to be sent again.
    pub fn is_final(&self) -> bool {
        self.kind == FailureKind::Rejected
    }

    /// Returns whether it is of the connection rather than of the message.
    pub fn is_of_connection(&self) -> bool {
        matches!(self.kind, FailureKind::Away | FailureKind::Denied)
    }
}

/// Time by which a broker must have answered.
pub struct Deadline {
    broker: &'static str,
    limit: Duration,
    until: Instant,
}

impl Deadline {
    /// Returns the deadline after this time from now on; `broker` is its name in messages.
    pub fn within(limit: Duration, broker: &'static str) -> Deadline {
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
    pub async fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        let answer = timeout_at(self.until, answer).await;
        answer.map_err(|_| self.late())
    }

    /// Returns whether it is over.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Returns the failure of a broker that did not answer in time.
    pub fn late(&self) -> Failure {
        let Deadline { broker, limit, .. } = self;
        let detail = format!("{broker} did not answer within {} seconds", limit.as_secs());
        Failure::new(FailureKind::Away, detail)
    }
}

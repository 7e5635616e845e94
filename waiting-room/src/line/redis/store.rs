//! The store as one node uses it: the connection, the names of the keys, the id and the clock of
//! the node.

use super::connection::{CommandError, Connection};
use super::keys::{EventKeys, Keys};
use super::reply::{Reply, Status};
use super::script::Script;
use redis::{Cmd, Value};
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use shared::time::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The store, shared by the lines of all events at one node, the audit log and the sign-outs.
pub struct Store {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// Id of this process among the nodes.
    pub(super) node: String,
    pub(super) clock: Clock,
}

/// Reason for having no result of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The store did not answer; the script may have run.
    Away,
    /// The store does not know the event.
    Gone,
    /// A different server than before answered, or data was lost since; the next tick recovers the
    /// line. What was done may be lost.
    Lost,
    /// Not possible at the moment; try again. Nothing was done.
    Busy,
}

impl From<CallError> for Unavailable {
    fn from(_: CallError) -> Unavailable {
        Unavailable
    }
}

impl Store {
    /// Sends a command given as its words.
    pub(super) async fn send<Word: AsRef<[u8]>>(
        &self,
        words: impl IntoIterator<Item = Word>,
    ) -> Result<Value, CommandError> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        self.connection.send(&command).await
    }

    /// Connects if it is possible.
    ///
    /// # Errors
    /// A sentence for the operator when another version of the program has written there.
    pub async fn check_format(&self) -> Result<(), String> {
        let checked = self.connection.check_format().await;
        checked.map_err(|error| format!("FAIRLINE_LINE: {error}"))
    }

    /// Returns the time that scripts take, in ms: the one that tests set, or "0" for the store's
    /// own clock.
    pub(super) fn now(&self) -> String {
        let hand = self.clock.hand();
        hand.map_or("0".to_owned(), |time| time.0.to_string())
    }
}

/// Calls the scripts of one event.
pub(super) struct Caller {
    pub(super) store: Arc<Store>,
    pub(super) keys: EventKeys,
    /// Number of times that this node began to report what it knows to a store that lost data.
    pub(super) reports: AtomicU64,
}

impl Caller {
    /// Creates the caller of an event's scripts.
    pub(super) fn new(store: Arc<Store>, event: &EventId) -> Caller {
        let keys = store.keys.event(event);
        Caller {
            store,
            keys,
            reports: AtomicU64::default(),
        }
    }

    /// Calls a script with the arguments that all of them take, followed by these. What an answer
    /// tells that arrives after this node began to report is not in the report, and may be among
    /// what the store lost: it counts as lost.
    pub(super) async fn call(
        &self,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Result<Reply, CallError> {
        let reports = self.reports.load(Ordering::Acquire);
        let now = self.store.now();
        let common = [now.as_bytes(), self.store.node.as_bytes()];
        let all = common.into_iter().chain(arguments.iter().copied());
        let connection = &self.store.connection;
        let value = script.run(connection, self.keys.prefix(), all).await;
        let reply = value.ok().and_then(Reply::parse).ok_or(CallError::Away)?;
        match reply.status {
            Status::Gone => Err(CallError::Gone),
            Status::Lost => Err(CallError::Lost),
            Status::Busy => Err(CallError::Busy),
            _ if self.reports.load(Ordering::Acquire) != reports => Err(CallError::Lost),
            _ => Ok(reply),
        }
    }
}

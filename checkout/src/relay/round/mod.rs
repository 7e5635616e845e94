//! One round of the relay: it renews its leases, reads, publishes in waves, and acknowledges.

use super::broker::{Broker, Outcome, PUBLISH};
use super::instruments::{SENT, count_failure};
use super::message::Message;
use super::window::Window;
use crate::inventory::Refused;
use crate::inventory::outbox::{LEASE_SECONDS, OUTBOX_ROWS_MAX, Outbox, OutboxRow};
use brokers::{CONNECT, Failure, FailureKind};
use futures_util::future::join_all;
use shared::crypto::random_id;
use std::time::Duration;
use tokio::time::Instant;

/// Name under which the relay has its place in the outbox.
pub(crate) const CONSUMER: &str = "relay";
/// Time after which leases are renewed: a third of the time for which they are given.
const RENEW_AFTER: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);
// The last wave of a round, which begins before that, ends before the leases do.
const _: () =
    assert!(RENEW_AFTER.as_secs() + CONNECT.as_secs() + PUBLISH.as_secs() < LEASE_SECONDS as u64);
/// Largest number of rows read in a round, over all shards.
const ROUND_ROWS: u32 = 4_096;
/// Largest number of events that are published together: so many are repeated at most where the
/// broker's acknowledgements are lost.
const WAVE_ROWS: usize = 1_000;

/// The work of this node.
pub(super) struct Relay<'a> {
    outbox: &'a dyn Outbox,
    /// The public URL, which is the source of all events.
    source: &'a str,
    broker: Box<dyn Broker>,
    /// Name by which this process holds its leases.
    owner: String,
    windows: Vec<Window>,
    leased_at: Option<Instant>,
    /// Number of events that are published together. It halves each time the broker does not answer,
    /// so that a slow one gets no more than it takes in time.
    wave_rows: usize,
    /// Why events wait that the broker has no place for, while there are any.
    unroutable: Option<Failure>,
    /// Last failure of a message, until it is taken.
    failure: Option<Failure>,
}

/// Outcome of a round.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// There may be more to send.
    Sent,
    /// Nothing was there.
    Idle,
    /// The store is away, and nothing is known of the broker.
    Unread,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        outbox: &'a dyn Outbox,
        source: &'a str,
        broker: Box<dyn Broker>,
    ) -> Relay<'a> {
        Relay {
            outbox,
            source,
            broker,
            owner: random_id("relay_"),
            windows: Vec::new(),
            leased_at: None,
            wave_rows: WAVE_ROWS,
            unroutable: None,
            failure: None,
        }
    }

    /// Sends what there is to send.
    ///
    /// # Errors
    /// Why the broker takes nothing. Its rows are tried again in the next round.
    pub(super) async fn round(&mut self) -> Result<Round, Failure> {
        let read = self.prepare().await;
        let sent = self.send().await;
        self.acknowledge().await;
        if sent? > 0 {
            return Ok(Round::Sent);
        }
        if let Err(error) = read {
            tracing::debug!(%error, "the outbox cannot be read just now");
            return Ok(Round::Unread);
        }
        // So that a broker that is back is known before the next event.
        match self.broker.connect().await {
            Err(failure) if failure.is_of_connection() => Err(failure),
            // A topic that is missing is told once an event waits for it.
            Ok(()) | Err(_) => Ok(Round::Idle),
        }
    }

    /// Returns why events wait though the broker answers.
    pub(super) fn unroutable(&self) -> Option<&Failure> {
        self.unroutable.as_ref()
    }

    /// Takes the last failure of a message since it was last asked for.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Gives the leases back, so that another node need not wait until they end.
    pub(super) async fn end(self) {
        if let Err(error) = self.outbox.release(CONSUMER, &self.owner).await {
            tracing::debug!(%error, "the leases of the relay end by themselves");
        }
    }

    /// Renews the leases if that is due, and reads. A database that is away keeps back its own rows
    /// alone.
    async fn prepare(&mut self) -> Result<(), Refused> {
        if self.is_lease_due() {
            self.lease().await?;
        }
        let shards = u32::try_from(self.windows.len()).unwrap_or(u32::MAX);
        let limit = (ROUND_ROWS / shards.max(1)).clamp(1, OUTBOX_ROWS_MAX);
        let windows = self.windows.iter();
        let read = join_all(windows.map(|window| read(self.outbox, window, limit))).await;
        let mut refused = Ok(());
        for (window, rows) in self.windows.iter_mut().zip(read) {
            match rows {
                Ok(rows) => window.add(rows),
                // Another server answers, which may lack what is in memory: nothing of that is sent
                // before it has leased anew.
                Err(Refused::NoSuchShard) => self.leased_at = None,
                Err(error) => refused = Err(error),
            }
        }
        refused
    }

    fn is_lease_due(&self) -> bool {
        self.leased_at
            .is_none_or(|leased_at| leased_at.elapsed() >= RENEW_AFTER)
    }

    /// Renews the leases. A window that its lease does not continue begins anew.
    async fn lease(&mut self) -> Result<(), Refused> {
        let asked_at = Instant::now();
        let leases = self.outbox.lease(CONSUMER, &self.owner).await?;
        self.leased_at = Some(asked_at);
        self.windows.retain(|window| {
            let mut leases = leases.iter();
            let lease = leases.find(|lease| lease.shard == window.shard);
            lease.is_some_and(|lease| window.continues(lease))
        });
        for lease in leases {
            let has_shard = |window: &Window| window.shard == lease.shard;
            if !self.windows.iter().any(has_shard) {
                self.windows.push(Window::new(lease));
            }
        }
        Ok(())
    }

    /// Publishes wave after wave. Returns how many events were sent.
    async fn send(&mut self) -> Result<u64, Failure> {
        let mut sent = 0;
        let mut failure = None;
        // A round ends when the leases are to be renewed, at the latest.
        while failure.is_none() && !self.is_lease_due() {
            let now = Instant::now();
            let (rows, messages) = self.wave(now);
            if messages.is_empty() {
                break;
            }
            let outcomes = self.broker.publish(&messages).await;
            for ((row, message), outcome) in rows.into_iter().zip(&messages).zip(outcomes) {
                self.windows[row.window].settle(row.index, &outcome, now);
                sent += u64::from(outcome.is_ok());
                failure = self.note(message, outcome).or(failure);
            }
            self.wave_rows = match failure {
                Some(_) => (messages.len() / 2).max(1),
                None => (2 * self.wave_rows).min(WAVE_ROWS),
            };
        }
        if !self.windows.iter().any(Window::has_resting) {
            self.unroutable = None;
        }
        failure.map_or(Ok(sent), Err)
    }

    /// Returns the first unsent row of each aggregate, and its message; as many of each shard.
    fn wave(&self, now: Instant) -> (Vec<Row>, Vec<Message>) {
        let share = (self.wave_rows / self.windows.len().max(1)).max(1);
        let windows = self.windows.iter().enumerate();
        let due = windows.flat_map(|(at, window)| {
            let due = window.due(now, self.source, share).into_iter();
            due.map(move |(index, message)| (Row { window: at, index }, message))
        });
        due.take(self.wave_rows).unzip()
    }

    /// Counts and reports an outcome. Returns it if it is the connection that failed.
    fn note(&mut self, message: &Message, outcome: Outcome) -> Option<Failure> {
        let failure = match outcome {
            Ok(()) => {
                SENT.inc();
                return None;
            }
            Err(failure) => failure,
        };
        count_failure(failure.kind);
        self.failure = Some(failure.clone());
        match failure.kind {
            FailureKind::Away | FailureKind::Denied => return Some(failure),
            FailureKind::Unroutable => self.unroutable = Some(failure),
            FailureKind::Rejected => {
                let Message {
                    id,
                    event_type,
                    key,
                    ..
                } = message;
                let why = &failure.detail;
                tracing::error!(
                    id,
                    event_type,
                    key,
                    why,
                    "event left out: the broker refuses it for good"
                );
            }
        }
        None
    }

    /// Moves the cursors past what is settled. A cursor that could not be moved is moved later, or
    /// the events are sent again.
    async fn acknowledge(&mut self) {
        let windows = self.windows.iter_mut();
        let acknowledged = windows.map(|window| acknowledge(self.outbox, &self.owner, window));
        let mut are_ours = join_all(acknowledged).await.into_iter();
        self.windows.retain(|_| are_ours.next().unwrap_or(true));
    }
}

/// Reads the next rows of a shard, as far as there is room for them.
async fn read(outbox: &dyn Outbox, window: &Window, limit: u32) -> Result<Vec<OutboxRow>, Refused> {
    let (after, limit) = window.wants(limit);
    match limit {
        0 => Ok(Vec::new()),
        limit => outbox.read(window.shard, after, limit).await,
    }
}

/// Moves the cursor of a shard. Returns false if its lease is another node's by now.
async fn acknowledge(outbox: &dyn Outbox, owner: &str, window: &mut Window) -> bool {
    let Some(position) = window.settled() else {
        return true;
    };
    let shard = window.shard;
    match outbox.acknowledge(CONSUMER, owner, shard, position).await {
        Ok(is_ours) => {
            window.acknowledged(position);
            is_ours
        }
        Err(_) => true,
    }
}

/// Place of a row in the windows.
struct Row {
    window: usize,
    index: usize,
}

#[cfg(test)]
mod tests;

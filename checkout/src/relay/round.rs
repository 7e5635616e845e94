//! One round of the relay: it renews its leases, reads, publishes in waves, and acknowledges.

use super::broker::{Broker, Failure, FailureKind, Outcome};
use super::instruments::{SENT, count_failure};
use super::message::Message;
use super::window::Window;
use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::outbox::{LEASE_SECONDS, OUTBOX_ROWS_MAX, Outbox, OutboxRow};
use futures_util::future::join_all;
use shared::crypto::random_id;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Name under which the relay has its place in the outbox.
pub(super) const CONSUMER: &str = "relay";
/// Time after which leases are renewed: a third of the time for which they are given.
const RENEW_AFTER: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);
/// Largest number of rows read in a round, over all shards.
const ROUND_ROWS: u32 = 4_096;

/// The work of this node.
pub(super) struct Relay<'a> {
    shop: &'a Arc<Shop>,
    broker: Box<dyn Broker>,
    /// Name by which this process holds its leases.
    owner: String,
    windows: Vec<Window>,
    leased_at: Option<Instant>,
    /// Why events wait that the broker has no place for, while there are any.
    unroutable: Option<Failure>,
}

/// Outcome of a round.
pub(super) enum Round {
    /// There may be more to send.
    Sent,
    /// Nothing was there, or the store is away.
    Idle,
}

impl Relay<'_> {
    pub(super) fn new(shop: &Arc<Shop>, broker: Box<dyn Broker>) -> Relay<'_> {
        Relay {
            shop,
            broker,
            owner: random_id("relay_"),
            windows: Vec::new(),
            leased_at: None,
            unroutable: None,
        }
    }

    /// Sends what there is to send.
    ///
    /// # Errors
    /// Why the broker takes nothing. Its rows are tried again in the next round.
    pub(super) async fn round(&mut self) -> Result<Round, Failure> {
        if let Err(error) = self.prepare().await {
            tracing::debug!(%error, "the outbox cannot be read just now");
            return Ok(Round::Idle);
        }
        let sent = self.send().await;
        self.acknowledge().await;
        if sent? > 0 {
            return Ok(Round::Sent);
        }
        // So that a broker that is back is known before the next event.
        self.broker.connect().await?;
        Ok(Round::Idle)
    }

    /// Returns why events wait though the broker answers.
    pub(super) fn unroutable(&self) -> Option<&Failure> {
        self.unroutable.as_ref()
    }

    /// Gives the leases back, so that another node need not wait until they end.
    pub(super) async fn end(self) {
        let outbox = self.shop.inventory.outbox();
        if let Err(error) = outbox.release(CONSUMER, &self.owner).await {
            tracing::debug!(%error, "the leases of the relay end by themselves");
        }
    }

    async fn prepare(&mut self) -> Result<(), Refused> {
        if self.is_lease_due() {
            self.lease().await?;
        }
        let shards = u32::try_from(self.windows.len()).unwrap_or(u32::MAX);
        let limit = (ROUND_ROWS / shards.max(1)).clamp(1, OUTBOX_ROWS_MAX);
        let outbox = self.shop.inventory.outbox();
        let windows = self.windows.iter();
        let read = join_all(windows.map(|window| read(outbox, window, limit))).await;
        for (window, rows) in self.windows.iter_mut().zip(read) {
            window.add(rows?);
        }
        Ok(())
    }

    fn is_lease_due(&self) -> bool {
        self.leased_at
            .is_none_or(|leased_at| leased_at.elapsed() >= RENEW_AFTER)
    }

    /// Renews the leases. What was read of a shard that another node had meanwhile is dropped.
    async fn lease(&mut self) -> Result<(), Refused> {
        let outbox = self.shop.inventory.outbox();
        let leases = outbox.lease(CONSUMER, &self.owner).await?;
        self.leased_at = Some(Instant::now());
        self.windows.retain(|window| {
            let mut leases = leases.iter();
            let lease = leases.find(|lease| lease.shard == window.shard);
            lease.is_some_and(|lease| !window.is_behind(lease))
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
        }
        if !self.windows.iter().any(Window::has_resting) {
            self.unroutable = None;
        }
        failure.map_or(Ok(sent), Err)
    }

    /// Returns the first unsent row of each aggregate, and its message.
    fn wave(&self, now: Instant) -> (Vec<Row>, Vec<Message>) {
        let source = &self.shop.site.public_url;
        let windows = self.windows.iter().enumerate();
        let due = windows.flat_map(|(at, window)| {
            let due = window.due(now, source).into_iter();
            due.map(move |(index, message)| (Row { window: at, index }, message))
        });
        due.unzip()
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
        match failure.kind {
            FailureKind::Away | FailureKind::Denied => return Some(failure),
            FailureKind::Unroutable => self.unroutable = Some(failure),
            FailureKind::Rejected => {
                let Message { id, kind, key, .. } = message;
                let why = &failure.detail;
                tracing::error!(id, kind, key, why, "the broker never takes this event");
            }
        }
        None
    }

    /// Moves the cursors past what is settled. A cursor that could not be moved is moved later, or
    /// the events are sent again.
    async fn acknowledge(&mut self) {
        let outbox = self.shop.inventory.outbox();
        let windows = self.windows.iter_mut();
        let acknowledged = windows.map(|window| acknowledge(outbox, &self.owner, window));
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

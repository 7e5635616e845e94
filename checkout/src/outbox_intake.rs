//! A consumer of the outbox that writes what follows from events into the same database, in the
//! transaction that moves its place there. Many nodes share the work by leases on shards.

use crate::inventory::Refused;
use crate::inventory::outbox::{LEASE_SECONDS, Outbox, OutboxLease, OutboxRow, OutboxShard};
use async_trait::async_trait;
use shared::crypto::random_id;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Time after which leases are renewed: a third of the time for which they are given.
const RENEW_AFTER: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

/// Events of a shard that were read.
pub(crate) struct Batch<'a> {
    /// Name by which this process holds its leases.
    pub(crate) owner: &'a str,
    /// The shard.
    pub(crate) shard: OutboxShard,
    /// Position after which they were read, the consumer's place.
    pub(crate) after: i64,
    /// Position of the last event.
    pub(crate) position: i64,
    /// The events, in order.
    pub(crate) rows: &'a [OutboxRow],
}

/// The consumer.
#[async_trait]
pub(crate) trait Intake: Send + Sync {
    /// Name under which it has its place in the outbox.
    const CONSUMER: &'static str;
    /// Largest number of events that are read at one time.
    const ROWS_MAX: u32;
    /// Pause while there is nothing new.
    const IDLE: Duration = Duration::from_millis(500);

    /// Returns whether there is anyone to take events in for. Until then its place stays.
    async fn is_wanted(&self) -> Result<bool, Refused>;

    /// Writes what follows from events, and moves its place past them. Returns false if the lease is
    /// another's by now; nothing is written then.
    async fn take_in(&self, batch: Batch<'_>) -> Result<bool, Refused>;
}

/// Takes events in until the stop signal.
pub(crate) async fn run<I: Intake>(intake: &I, outbox: &dyn Outbox, stop: &CancellationToken) {
    let mut work = Work {
        intake,
        outbox,
        owner: random_id("intake_"),
        leases: Vec::new(),
        leased_at: None,
    };
    while !stop.is_cancelled() {
        let wait = match work.round().await {
            Ok(true) => Duration::ZERO,
            // While the store is away it says so itself.
            Ok(false) | Err(_) => I::IDLE,
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
    // Otherwise they end by themselves.
    let _ = outbox.release(I::CONSUMER, &work.owner).await;
}

/// The work of this node.
struct Work<'a, I> {
    intake: &'a I,
    outbox: &'a dyn Outbox,
    owner: String,
    leases: Vec<OutboxLease>,
    leased_at: Option<Instant>,
}

impl<I: Intake> Work<'_, I> {
    /// Takes the next events of each shard in. Returns whether there may be more.
    async fn round(&mut self) -> Result<bool, Refused> {
        if !self.intake.is_wanted().await? {
            return Ok(false);
        }
        let is_due = |at: Instant| at.elapsed() >= RENEW_AFTER;
        if self.leased_at.is_none_or(is_due) {
            let asked_at = Instant::now();
            self.leases = self.outbox.lease(I::CONSUMER, &self.owner).await?;
            self.leased_at = Some(asked_at);
        }
        let mut has_more = false;
        for OutboxLease { shard, position } in &mut self.leases {
            let rows = match self.outbox.read(*shard, *position, I::ROWS_MAX).await {
                Ok(rows) => rows,
                // Another server answers, or one does not: its leases are asked for anew.
                Err(_) => {
                    self.leased_at = None;
                    continue;
                }
            };
            let Some(last) = rows.last().map(|row| row.position) else {
                continue;
            };
            let batch = Batch {
                owner: &self.owner,
                shard: *shard,
                after: *position,
                position: last,
                rows: &rows,
            };
            if self.intake.take_in(batch).await? {
                *position = last;
                has_more |= rows.len() == I::ROWS_MAX as usize;
            } else {
                self.leased_at = None;
            }
        }
        Ok(has_more)
    }
}

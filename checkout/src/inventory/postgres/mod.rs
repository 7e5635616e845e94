//! Postgres: any number of nodes sell from it. Every event has a writer on every node. The
//! predicates of the rows, not the memory of a node, decide who was first.

mod batch;
mod batched;
mod blocks;
mod buckets;
mod change_log;
mod clock;
mod columns;
mod completion;
mod config;
mod connection;
mod database;
mod decide;
mod engine;
mod event_cache;
mod event_handle;
mod hourly_sales;
mod inbox;
mod invoices;
mod line_log;
mod line_mail;
mod line_messages;
mod listener;
mod lists;
mod mail;
mod migrate;
mod outbox;
mod outbox_columns;
mod payments;
mod people;
mod plans;
mod pooler;
mod queue;
mod read;
mod sessions;
mod shard;
mod shards;
mod statistics;
mod sync;
mod tickets;
mod webhooks;
mod write;
mod writer;

pub use config::is_postgres;

use super::commands::json;
use super::model::{InboxEvent, Refused};
use crate::inventory::rules::Rules;
use batched::Batched;
use database::QueryError;
use event_handle::EventHandle;
use parking_lot::{Mutex, RwLock};
use queue::WriterMessage;
use shard::Shard;
use shared::crypto::random;
use shared::group_commit::{QUEUE_MAX, Unavailable};
use shared::ids::EventId;
use shared::sealing::SealingKeys;
use shared::time::Clock;
use sqlx::query;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use writer::Writer;

/// Time between two polls of every event, notified or not.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Time without an answered poll after which seat maps count as stale.
const STALE_AFTER: Duration = Duration::from_secs(3);

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Refused {
        error.log();
        Unavailable.into()
    }
}

/// The engine.
pub struct Postgres {
    /// The first has the catalogue.
    shards: Vec<Arc<Shard>>,
    /// The events that this node knows; never held across an await.
    handles: RwLock<HashMap<EventId, Arc<EventHandle>>>,
    /// Held while the writer of an event is started, so that there is one.
    opening: tokio::sync::Mutex<()>,
    pruned_at: Mutex<Option<Instant>>,
    /// Whether webhooks were received before.
    webhook_lookups: Batched<String, bool>,
    /// Webhooks to be remembered.
    webhook_inserts: Batched<InboxEvent, ()>,
    stop: CancellationToken,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Postgres {
    /// Connects, and creates the tables if they are missing.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open(url: &str, clock: Clock) -> Result<Postgres, String> {
        Postgres::open_sealed(url, clock, Arc::default()).await
    }

    /// As `open`, with keys that seal personal data.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open_sealed(
        url: &str,
        clock: Clock,
        keys: Arc<SealingKeys>,
    ) -> Result<Postgres, String> {
        let failed = |error: String| format!("FAIRLINE_INVENTORY: {error}");
        let mut postgres = Postgres {
            shards: Vec::new(),
            handles: RwLock::new(HashMap::new()),
            opening: tokio::sync::Mutex::new(()),
            pruned_at: Mutex::new(None),
            webhook_lookups: Batched::default(),
            webhook_inserts: Batched::default(),
            stop: CancellationToken::new(),
        };
        for config in config::parse(url)? {
            let stop = postgres.stop.child_token();
            let shard = Shard::open(&config, clock.clone(), keys.clone(), stop).await;
            postgres.shards.push(Arc::new(shard.map_err(failed)?));
        }
        let is_one_of_several = postgres.shards.len() > 1;
        for shard in &postgres.shards {
            let several = &shard.is_one_of_several;
            several.store(is_one_of_several, std::sync::atomic::Ordering::Relaxed);
        }
        let polled = postgres.poll().await;
        polled.map_err(|_| failed("the database does not answer".to_owned()))?;
        for shard in &postgres.shards {
            tokio::spawn(statistics::keep(shard.clone(), postgres.stop.child_token()));
        }
        Ok(postgres)
    }

    fn known(&self, event: &EventId) -> Option<Arc<EventHandle>> {
        let handles = self.handles.read();
        handles.get(event).cloned()
    }

    fn all(&self) -> Vec<Arc<EventHandle>> {
        let handles = self.handles.read();
        handles.values().cloned().collect()
    }

    /// Returns the writer of an event, started if the database has the event.
    async fn handle(&self, event: &EventId) -> Result<Option<Arc<EventHandle>>, Refused> {
        if let Some(handle) = self.known(event) {
            return Ok(Some(handle));
        }
        let exists = query("select 1 from fairline.event where event = $1").bind(event.as_str());
        let shard = self.shard_of(event).await?;
        if shard.reader().fetch_optional(exists).await?.is_none() {
            return Ok(None);
        }
        let _one = self.opening.lock().await;
        if let Some(handle) = self.known(event) {
            return Ok(Some(handle));
        }
        let handle = self.start(event, shard);
        self.reload(&handle).await?;
        Ok(Some(handle))
    }

    fn start(&self, event: &EventId, shard: Arc<Shard>) -> Arc<EventHandle> {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let stop = self.stop.child_token();
        let handle = Arc::new(EventHandle::new(event.clone(), shard.clone(), queue, stop));
        let writer = Writer::new(handle.clone(), shard, messages);
        tokio::spawn(writer.run());
        let mut handles = self.handles.write();
        handles.insert(event.clone(), handle.clone());
        handle
    }

    /// Loads the event again.
    async fn reload(&self, handle: &EventHandle) -> Result<(), Refused> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        let asked = handle.queue.try_send(WriterMessage::Reload(done));
        asked.map_err(|_| Refused::from(Unavailable))?;
        let answer = outcome.await.map_err(|_| Refused::from(Unavailable))?;
        Ok(answer?)
    }

    /// Creates an event with the default rules, unless it exists, and returns its writer.
    async fn make(&self, event: &EventId) -> Result<Arc<EventHandle>, Refused> {
        if let Some(handle) = self.handle(event).await? {
            return Ok(handle);
        }
        let make = query("select fairline.make_event($1, $2, $3)")
            .bind(event.as_str())
            .bind(json(&Rules::default()))
            .bind(random::<32>().as_slice());
        let shard = self.place(event).await?;
        shard.reader().fetch(make).await?;
        let made = self.handle(event).await?;
        made.ok_or_else(|| Unavailable.into())
    }
}

/// Checks whether the URLs can be read.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn check(urls: &str) -> Result<(), String> {
    config::parse(urls).map(|_| ())
}

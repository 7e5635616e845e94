//! Synchronisation with other nodes: finds new, removed and changed events, and brings the seat maps of all nodes
//! to the same version.

use super::queue::Message;
use super::{LOOK_EVERY, Postgres, Shard};
use crate::inventory::model::*;
use futures_util::future::join_all;
use shared::group_commit::ANSWER_SECONDS_MAX;
use shared::ids::EventId;
use shared::time::Time;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

impl Postgres {
    /// Publishes the changes committed by this node and applies those of others: for notified events at every call,
    /// and for all events once a second.
    pub(super) async fn show_and_follow(&self) -> Result<(), Refused> {
        let look_every = if self.shards[0].clock.is_manual() {
            Duration::ZERO
        } else {
            LOOK_EVERY
        };
        let is_due = |shard: &&Arc<Shard>| {
            let looked_at = shard.looked_at.lock();
            let looked_at = *looked_at.unwrap_or_else(PoisonError::into_inner);
            looked_at.is_none_or(|at| at.elapsed() >= look_every)
        };
        let looked = self.shards.iter().filter(is_due);
        let looked = join_all(looked.map(|shard| self.poll_shard(shard))).await;
        let notified = self.notified();
        let handles = self.all().into_iter().filter(|handle| {
            handle.is_dirty.load(Ordering::Relaxed)
                || handle.is_behind.swap(false, Ordering::Relaxed)
                || notified.contains(handle.event.as_str())
        });
        let ticks = handles.map(|handle| async move {
            let (done, ticked) = oneshot::channel();
            if handle.queue.try_send(Message::Tick(done)).is_ok() {
                let _ = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), ticked).await;
            }
        });
        join_all(ticks).await;
        looked.into_iter().collect()
    }

    /// Takes the events for which change notifications have arrived.
    fn notified(&self) -> HashSet<String> {
        let mut notified = HashSet::new();
        for shard in &self.shards {
            let notifications = shard.news.lock();
            let mut notifications = notifications.unwrap_or_else(PoisonError::into_inner);
            while let Ok(event) = notifications.try_recv() {
                notified.insert(event);
            }
        }
        notified
    }

    pub(super) fn forget(&self, event: &EventId) {
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.remove(event) {
            handle.stop.cancel();
        }
    }

    /// Polls all events of all databases.
    pub(super) async fn look(&self) -> Result<(), Refused> {
        let looked = self.shards.iter().map(|shard| self.poll_shard(shard));
        join_all(looked).await.into_iter().collect()
    }

    /// Polls all events of a database and records whether it answered.
    async fn poll_shard(&self, shard: &Arc<Shard>) -> Result<(), Refused> {
        let looked = self.poll_events(shard).await;
        let now = Instant::now();
        let reached_since = shard.reached_since.lock();
        let mut reached_since = reached_since.unwrap_or_else(PoisonError::into_inner);
        *reached_since = looked.is_ok().then(|| reached_since.unwrap_or(now));
        looked
    }

    /// Polls the events of a database for new, removed and changed ones.
    async fn poll_events(&self, shard: &Arc<Shard>) -> Result<(), Refused> {
        // Keeps the listening connection alive. Without it, changes are found by this poll alone.
        let _ = shard.listener.ask("select 1", &[]).await;
        let select =
            "select event, version, config, (extract(epoch from clock_timestamp()) * 1000)::bigint
            from fairline.event where not is_moving";
        let rows = shard.reader().ask(select, &[]).await?;
        let mut found: HashMap<EventId, (i64, i64)> = HashMap::new();
        for row in rows {
            shard.clock.hear(Time(row.get(3)));
            if let Ok(event) = EventId::parse(row.get(0)) {
                found.insert(event, (row.get(1), row.get(2)));
            }
        }
        for handle in self.all() {
            if !Arc::ptr_eq(&handle.shard, shard) {
                continue;
            }
            if handle.is_gone.load(Ordering::Relaxed) {
                // A new event with the same id is added below.
                self.forget(&handle.event);
                continue;
            }
            match found.remove(&handle.event) {
                None => self.forget(&handle.event),
                Some((version, config)) => {
                    let is_new = handle.config.swap(config, Ordering::Relaxed) != config
                        || handle.version.load(Ordering::Relaxed) != version;
                    handle.is_behind.fetch_or(is_new, Ordering::Relaxed);
                }
            }
        }
        for event in found.into_keys() {
            self.handle(&event).await?;
        }
        // No other statement is sent on a connection that is away: this one finds out when it is back.
        for link in shard.writers.iter().filter(|link| link.is_away()) {
            let _ = link.ask("select 1", &[]).await;
        }
        shard.meet().await?;
        shard.check_replicas().await?;
        let mut looked_at = shard
            .looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *looked_at = Some(Instant::now());
        Ok(())
    }
}

//! Synchronisation with other nodes: finds new, removed and changed events, and brings the seat
//! maps of all nodes to the same version.

use super::listener::Notification;
use super::queue::WriterMessage;
use super::shard::Shard;
use super::{POLL_EVERY, Postgres};
use crate::inventory::model::*;
use futures_util::future::join_all;
use shared::group_commit::ANSWER_SECONDS_MAX;
use shared::ids::EventId;
use shared::metrics::load::record_circuit;
use shared::time::Time;
use sqlx::{Row as _, query};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// State of an event in the database.
struct Stored {
    version: i64,
    config: i64,
}

impl Stored {
    /// Returns whether the event went back to an earlier state. One that was removed and created
    /// again has a later configuration.
    fn is_before(&self, known: &Stored) -> bool {
        self.version < known.version && self.config <= known.config
    }
}

impl Postgres {
    /// Publishes the changes committed by this node and applies those of others: for notified
    /// events at every call, and for all events once a second.
    pub(super) async fn show_and_follow(&self) -> Result<(), Refused> {
        let notified = self.notified();
        let poll_every = if self.shards[0].clock.is_manual() {
            Duration::ZERO
        } else {
            POLL_EVERY
        };
        let is_due = |shard: &&Arc<Shard>| {
            let polled_at = *shard.polled_at.lock();
            shard.must_poll.swap(false, Ordering::Relaxed)
                || polled_at.is_none_or(|at| at.elapsed() >= poll_every)
        };
        let due = self.shards.iter().filter(is_due);
        let polled = join_all(due.map(|shard| self.poll_shard(shard))).await;
        let handles = self.all().into_iter().filter(|handle| {
            handle.is_dirty.load(Ordering::Relaxed)
                || handle.is_behind.swap(false, Ordering::Relaxed)
                || notified.contains(handle.event.as_str())
        });
        let ticks = handles.map(|handle| async move {
            let (done, ticked) = oneshot::channel();
            if handle.queue.try_send(WriterMessage::Tick(done)).is_ok() {
                let _ = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), ticked).await;
            }
        });
        join_all(ticks).await;
        polled.into_iter().collect()
    }

    /// Takes the events for which notifications have arrived. All events of a database are due to
    /// be polled if some may have been missed.
    fn notified(&self) -> HashSet<String> {
        let mut notified = HashSet::new();
        for shard in &self.shards {
            let mut notifications = shard.notifications.lock();
            while let Ok(notification) = notifications.try_recv() {
                match notification {
                    Notification::Event(event) => {
                        notified.insert(event);
                    }
                    Notification::Missed => shard.must_poll.store(true, Ordering::Relaxed),
                }
            }
        }
        notified
    }

    pub(super) fn forget(&self, event: &EventId) {
        let mut handles = self.handles.write();
        if let Some(handle) = handles.remove(event) {
            handle.stop.cancel();
        }
    }

    /// Polls all events of all databases.
    pub(super) async fn poll(&self) -> Result<(), Refused> {
        let polled = self.shards.iter().map(|shard| self.poll_shard(shard));
        join_all(polled).await.into_iter().collect()
    }

    /// Polls all events of a database and records whether it answered.
    async fn poll_shard(&self, shard: &Arc<Shard>) -> Result<(), Refused> {
        let polled = self.poll_events(shard).await;
        let now = Instant::now();
        let mut reached_since = shard.reached_since.lock();
        *reached_since = polled.is_ok().then(|| reached_since.unwrap_or(now));
        let is_open = polled.is_err() || shard.is_away();
        record_circuit("postgres", &shard.name, is_open);
        polled
    }

    /// Returns what this node knows of the events of a database.
    fn known_of(&self, shard: &Arc<Shard>) -> HashMap<EventId, Stored> {
        let handles = self.all().into_iter();
        let own = handles.filter(|handle| Arc::ptr_eq(&handle.shard, shard));
        own.map(|handle| {
            let stored = Stored {
                version: handle.version.load(Ordering::Relaxed),
                config: handle.config.load(Ordering::Relaxed),
            };
            (handle.event.clone(), stored)
        })
        .collect()
    }

    /// Has every event of a database read anew, as it may lack what it had committed: another
    /// server answers than before, or some events have gone back to earlier versions.
    fn start_over(&self, shard: &Arc<Shard>, set_back: &[&str]) {
        let handles = self.all().into_iter();
        for handle in handles.filter(|handle| Arc::ptr_eq(&handle.shard, shard)) {
            handle.must_start_over.store(true, Ordering::Relaxed);
            handle.is_behind.store(true, Ordering::Relaxed);
        }
        let database = &shard.name;
        if set_back.is_empty() {
            tracing::warn!(
                database,
                "another server answers than before, or it was restarted: all events are read anew"
            );
        } else {
            tracing::error!(
                database,
                events = set_back.join(" "),
                "the database has lost commits: it is behind what it had told, and everything is read anew"
            );
        }
    }

    /// Polls the events of a database for new, removed and changed ones.
    async fn poll_events(&self, shard: &Arc<Shard>) -> Result<(), Refused> {
        let select =
            "select event, version, config, (extract(epoch from clock_timestamp()) * 1000)::bigint,
                pg_postmaster_start_time()::text || ' ' || 'fairline.event'::regclass::oid
            from fairline.event where not is_moving";
        // Taken before the question, so that they cannot be newer than its answer.
        let known = self.known_of(shard);
        let rows = shard.reader().fetch(query(select)).await?;
        let mut found: HashMap<EventId, Stored> = HashMap::new();
        let mut server: Option<String> = None;
        for row in rows {
            shard.clock.set(Time(row.get(3)));
            server = row.get(4);
            if let Ok(event) = EventId::parse(row.get(0)) {
                let (version, config) = (row.get(1), row.get(2));
                found.insert(event, Stored { version, config });
            }
        }
        let is_set_back = |(event, known): &(&EventId, &Stored)| {
            let stored = found.get(event);
            stored.is_some_and(|stored| stored.is_before(known))
        };
        let set_back = known.iter().filter(is_set_back);
        let set_back: Vec<&str> = set_back.map(|(event, _)| event.as_str()).collect();
        let is_another = server.is_some_and(|server| shard.is_another_server(server));
        if is_another || !set_back.is_empty() {
            self.start_over(shard, &set_back);
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
                Some(Stored { version, config }) => {
                    handle.polled_version.store(version, Ordering::Relaxed);
                    let is_new = handle.config.swap(config, Ordering::Relaxed) != config
                        || handle.version.load(Ordering::Relaxed) != version;
                    handle.is_behind.fetch_or(is_new, Ordering::Relaxed);
                }
            }
        }
        for event in found.into_keys() {
            if let Err(refused) = self.handle(&event).await {
                // The others go on. What is wrong with it was logged where it is known.
                tracing::warn!(event = event.as_str(), %refused, "an event cannot be opened");
            }
        }
        // No new requests are sent over the connections of writers while one of them got no answer.
        for writer in shard.writers.iter().filter(|writer| writer.is_away()) {
            writer.probe().await;
        }
        shard.heartbeat().await?;
        let checked = shard.clone();
        // A task of its own, whose statements have a time limit: a replica that does not answer
        // delays no poll.
        tokio::spawn(async move { checked.check_replicas().await });
        *shard.polled_at.lock() = Some(Instant::now());
        Ok(())
    }
}

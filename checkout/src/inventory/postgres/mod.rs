//! Postgres: any number of nodes sell from it. Every event has a writer on every node; the rows' own predicates, not the nodes'
//! memories, decide who was first.

mod change_log;
mod completion;
mod config;
mod connection;
mod engine;
mod event_cache;
mod queue;
mod read;
mod setup;
mod shards;
mod sync;
mod write;
mod writer;

use super::commands::json;
use super::model::Refused;
use super::seat_map::SeatMap;
use crate::inventory::rules::Rules;
use config::Database;
use connection::{Connection, Failed, Param, StoreClock};
use queue::Message;
use shared::crypto::{random, sha256};
use shared::group_commit::{QUEUE_MAX, Unavailable};
use shared::ids::EventId;
use shared::time::{Clock, Time};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use writer::Writer;

/// Connections that write; the events are spread over them, and the batches of an event.
const WRITERS: usize = 4;
/// Every event is looked at this often, whatever was heard of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A database that was not heard of for this long shows old maps.
const STALE_AFTER: Duration = Duration::from_secs(3);
/// Notifications that wait to be looked at.
const NEWS_MAX: usize = 1000;

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Refused {
        if let Failed::Refused(error) = failed {
            tracing::error!(error, "the database refused a statement");
        }
        Unavailable.into()
    }
}

/// The engine.
pub struct Postgres {
    /// The first has the catalogue.
    shards: Vec<Arc<Shard>>,
    /// The events that this node knows; never held across an await.
    handles: RwLock<HashMap<EventId, Arc<EventHandle>>>,
    /// Held while an event's writer is started, so that it gets one.
    opening: tokio::sync::Mutex<()>,
    pruned_at: Mutex<Option<Instant>>,
    stop: CancellationToken,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One database.
struct Shard {
    /// Host, port and name.
    name: String,
    /// The database's own name; empty until it was reached.
    id: OnceLock<String>,
    /// This node's name, and its (index, count) among the nodes.
    node: String,
    share: Mutex<(u32, u32)>,
    clock: StoreClock,
    writers: Vec<Connection>,
    reader: Connection,
    /// For what takes its time: nothing waits behind it.
    slow: Connection,
    replicas: Vec<Replica>,
    listener: Connection,
    news: Mutex<mpsc::Receiver<String>>,
    /// How far the primary had written at the last look.
    written: Mutex<Option<String>>,
    turn: AtomicUsize,
    /// When all events were looked at last.
    looked_at: Mutex<Option<Instant>>,
    /// Since when every look was answered; none after one that was not.
    reached_since: Mutex<Option<Instant>>,
}

/// One event's writer, as the rest of the node sees it.
struct EventHandle {
    event: EventId,
    shard: Arc<Shard>,
    queue: mpsc::Sender<Message>,
    /// Ends the writer: the event is gone, or the engine is no longer in use.
    stop: CancellationToken,
    seat_map: RwLock<Option<Arc<SeatMap>>>,
    /// Something was committed that is not shown yet.
    is_dirty: AtomicBool,
    /// Others changed something.
    is_behind: AtomicBool,
    /// The event as this node took it up is no more: it was removed, and perhaps made again.
    is_gone: AtomicBool,
    /// The hash of the event's secret, which no other event has, nor one of the same id that is made later.
    creation: OnceLock<[u8; 32]>,
    /// The newest that was heard of.
    config: AtomicI64,
    version: AtomicI64,
}

/// A copy that serves lists and maps, never a decision.
struct Replica {
    link: Connection,
    /// It has all that the primary had a second ago.
    is_fresh: AtomicBool,
}

impl Replica {
    fn new(config: tokio_postgres::Config) -> Replica {
        Replica {
            link: Connection::new(config),
            is_fresh: AtomicBool::new(false),
        }
    }

    /// Whether it has replayed what the primary had written at a look a second ago.
    async fn check(&self, written: &str) {
        let params: [Param<'_>; 1] = [(&written, Type::TEXT)];
        let has = "select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, true)";
        let rows = self.link.ask(has, &params).await;
        let is_fresh = rows.is_ok_and(|rows| rows.first().is_some_and(|row| row.get(0)));
        self.is_fresh.store(is_fresh, Ordering::Relaxed);
    }
}

impl EventHandle {
    /// Whether this is the event that was taken up; remembers the first that is asked about.
    fn is_of(&self, secret: &[u8]) -> bool {
        let creation = sha256(secret);
        let is_same = *self.creation.get_or_init(|| creation) == creation;
        self.is_gone.fetch_or(!is_same, Ordering::Relaxed);
        is_same
    }

    fn seat_map(&self) -> Option<Arc<SeatMap>> {
        self.seat_map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shard {
    fn new(database: &Database, clock: Clock) -> Shard {
        let (notified, news) = mpsc::channel(NEWS_MAX);
        let config = &database.primary;
        let listen = database.listen.as_ref().unwrap_or(config);
        let replicas = database.replicas.iter();
        Shard {
            name: config::shown(config),
            id: OnceLock::new(),
            node: shared::crypto::random_id("node_"),
            share: Mutex::new((0, 1)),
            replicas: replicas
                .map(|config| Replica::new(config.clone()))
                .collect(),
            clock: StoreClock::new(clock),
            writers: (0..WRITERS)
                .map(|_| Connection::writing(config.clone(), database.listen.is_none()))
                .collect(),
            reader: Connection::new(config.clone()),
            slow: Connection::patient(config.clone()),
            listener: Connection::listening(listen.clone(), notified),
            news: Mutex::new(news),
            written: Mutex::new(None),
            turn: AtomicUsize::new(0),
            looked_at: Mutex::new(None),
            reached_since: Mutex::new(None),
        }
    }

    fn reader(&self) -> &Connection {
        &self.reader
    }

    /// Returns the connection for lists: a fresh replica, in turn, else the primary.
    fn lists(&self) -> &Connection {
        let fresh = |replica: &&Replica| {
            replica.is_fresh.load(Ordering::Relaxed) && !replica.link.is_away()
        };
        let fresh: Vec<&Replica> = self.replicas.iter().filter(fresh).collect();
        if fresh.is_empty() {
            return &self.reader;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &fresh[turn % fresh.len()].link
    }

    /// Leaves out replicas that have not replayed what the primary had written at the last look, a second ago.
    async fn check_replicas(&self) -> Result<(), Failed> {
        if self.replicas.is_empty() {
            return Ok(());
        }
        let rows = self
            .reader
            .ask("select pg_current_wal_lsn()::text", &[])
            .await?;
        let written = rows.first().map(|row| row.get::<_, String>(0));
        let before = {
            let mut kept = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *kept, written)
        };
        if let Some(before) = before {
            for replica in &self.replicas {
                replica.check(&before).await;
            }
        }
        Ok(())
    }

    /// The connection of an event's batch, by its place among those on their way: each has its own.
    fn writer(&self, event: &EventId, turn: usize) -> &Connection {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(event);
        &self.writers[(hash as usize).wrapping_add(turn) % self.writers.len()]
    }

    /// Returns whether a writer got no answer lately.
    fn is_away(&self) -> bool {
        self.writers.iter().any(Connection::is_away)
    }

    fn id(&self) -> String {
        self.id.get().cloned().unwrap_or_default()
    }

    /// Returns this node's (index, count) among the nodes.
    fn share(&self) -> (u32, u32) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that this node is there, and learns which others are.
    async fn meet(&self) -> Result<(), Failed> {
        let params: [Param<'_>; 1] = [(&self.node, Type::TEXT)];
        let meet = "select place, nodes from fairline.meet($1)";
        let rows = self.reader.ask(meet, &params).await?;
        if let Some(row) = rows.first() {
            let (place, nodes): (i32, i32) = (row.get(0), row.get(1));
            let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
            *share = (place as u32, nodes as u32);
        }
        Ok(())
    }

    /// Returns the database's own name, which the first node gives it.
    async fn learn_id(&self) -> Result<(), Failed> {
        let id = shared::crypto::random_id("shard_");
        let name = "insert into fairline.shard (id) select $1 where not exists (select from fairline.shard)";
        self.reader.ask(name, &[(&id, Type::TEXT)]).await?;
        let select = "select id from fairline.shard order by id limit 1";
        let rows = self.reader.ask(select, &[]).await?;
        let id: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
        let _ = self.id.set(id);
        Ok(())
    }

    /// Hears the database's clock, and makes the partitions of the next months that are missing, unless that has to wait:
    /// nothing depends on them.
    async fn hear(&self) -> Result<(), Failed> {
        let now = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
        let rows = self.reader.ask(now, &[]).await?;
        self.clock.hear(Time(rows[0].get(0)));
        let params: [Param<'_>; 1] = [(&self.clock.now().0, Type::INT8)];
        let make = "select fairline.make_partitions($1)";
        let rows = self.reader.ask(make, &params).await?;
        if !rows.first().is_some_and(|row| row.get(0)) {
            tracing::info!(
                "the partitions of the next months are made later: orders are being read"
            );
        }
        Ok(())
    }

    /// The plan and rules that an event has now, by their number.
    async fn config_of(&self, handle: &EventHandle) -> i64 {
        let id = handle.event.as_str();
        let select = "select config from fairline.event where event = $1";
        let rows = self.reader.ask(select, &[(&id, Type::TEXT)]).await;
        rows.ok()
            .and_then(|rows| rows.first().map(|row| row.get(0)))
            .unwrap_or(0)
    }

    /// Shows what was committed, unless that was done a moment ago; says whether all is shown.
    async fn publish(&self, event: &EventId) -> Result<bool, Failed> {
        let every_ms = if self.clock.is_manual() {
            0
        } else {
            super::seat_map::VERSION_MS as i32
        };
        let id = event.as_str();
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&every_ms, Type::INT4)];
        let publish = "select fairline.publish($1, $2)";
        let rows = self.reader.ask(publish, &params).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }
}

impl Postgres {
    /// Connects, and makes the tables if they are not there.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open(url: &str, clock: Clock) -> Result<Postgres, String> {
        let failed = |error: String| format!("FAIRLINE_INVENTORY: {error}");
        let mut shards = Vec::new();
        for database in config::parse(url)? {
            let shard = Arc::new(Shard::new(&database, clock.clone()));
            let reached = shard.set_up().await;
            reached.map_err(|error| failed(format!("{}: {error}", shard.name)))?;
            let away = |error: Failed| failed(format!("{}: {error:?}", shard.name));
            shard.hear().await.map_err(away)?;
            shard.learn_id().await.map_err(away)?;
            shards.push(shard);
        }
        let postgres = Postgres {
            shards,
            handles: RwLock::new(HashMap::new()),
            opening: tokio::sync::Mutex::new(()),
            pruned_at: Mutex::new(None),
            stop: CancellationToken::new(),
        };
        let looked = postgres.look().await;
        looked.map_err(|_| failed("the database does not answer".to_owned()))?;
        Ok(postgres)
    }

    fn known(&self, event: &EventId) -> Option<Arc<EventHandle>> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        handles.get(event).cloned()
    }

    fn all(&self) -> Vec<Arc<EventHandle>> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        handles.values().cloned().collect()
    }

    /// The writer of an event, started if the database has the event.
    async fn handle(&self, event: &EventId) -> Result<Option<Arc<EventHandle>>, Refused> {
        if let Some(handle) = self.known(event) {
            return Ok(Some(handle));
        }
        let id = event.as_str();
        let exists = "select 1 from fairline.event where event = $1";
        let params: [Param<'_>; 1] = [(&id, Type::TEXT)];
        let shard = self.shard_of(event).await?;
        if shard.reader().ask(exists, &params).await?.is_empty() {
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
        let handle = Arc::new(EventHandle {
            event: event.clone(),
            shard: shard.clone(),
            queue,
            stop: self.stop.child_token(),
            seat_map: RwLock::new(None),
            is_dirty: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            creation: OnceLock::new(),
            config: AtomicI64::new(0),
            version: AtomicI64::new(0),
        });
        let writer = Writer::new(handle.clone(), shard, messages);
        tokio::spawn(writer.run());
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        handles.insert(event.clone(), handle.clone());
        handle
    }

    /// Reads the event anew.
    async fn reload(&self, handle: &EventHandle) -> Result<(), Refused> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        let asked = handle.queue.try_send(Message::Reload(done));
        asked.map_err(|_| Refused::from(Unavailable))?;
        let answer = outcome.await.map_err(|_| Refused::from(Unavailable))?;
        Ok(answer?)
    }

    /// Makes an event with the default rules, unless it is there.
    async fn make(&self, event: &EventId) -> Result<Arc<EventHandle>, Refused> {
        if let Some(handle) = self.handle(event).await? {
            return Ok(handle);
        }
        let (id, rules, secret) = (event.as_str(), json(&Rules::default()), random::<32>());
        let secret = secret.as_slice();
        let params: [Param<'_>; 3] = [
            (&id, Type::TEXT),
            (&rules, Type::TEXT),
            (&secret, Type::BYTEA),
        ];
        let make = "select fairline.make_event($1, $2, $3)";
        let shard = self.place(event).await?;
        shard.reader().ask(make, &params).await?;
        let made = self.handle(event).await?;
        made.ok_or_else(|| Unavailable.into())
    }
}

/// Whether the URLs can be read.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn check(urls: &str) -> Result<(), String> {
    config::parse(urls).map(|_| ())
}

//! Postgres: any number of nodes sell from it. Every event has a writer on every node; the rows' own predicates, not the nodes'
//! memories, decide who was first.

mod apply;
mod engine;
mod house;
mod link;
mod load;
mod writer;

use super::board::Board;
use super::desk::json;
use super::words::{Refused, Rules};
use link::{Failed, Link, Param, StoreClock};
use shared::combine::{QUEUE_MAX, Unavailable};
use shared::secret::random;
use shared::time::{Clock, Time};
use shared::words::EventId;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::Config;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use writer::{Message, Writer};

const SETUP: [&str; 4] = [
    include_str!("../../../migrations/postgres/1_setup.sql"),
    include_str!("../../../migrations/postgres/2_apply.sql"),
    include_str!("../../../migrations/postgres/3_sale.sql"),
    include_str!("../../../migrations/postgres/4_visits.sql"),
];
/// Connections that write; the events are spread over them.
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
    shard: Arc<Shard>,
    /// The events that this node knows; never held across an await.
    desks: RwLock<HashMap<EventId, Arc<Desk>>>,
    /// Held while an event is looked up, so that it gets one writer.
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
    clock: StoreClock,
    writers: Vec<Link>,
    reader: Link,
    listener: Link,
    news: Mutex<mpsc::Receiver<String>>,
    /// When all events were looked at last.
    looked_at: Mutex<Option<Instant>>,
}

/// One event's writer, as the rest of the node sees it.
struct Desk {
    event: EventId,
    queue: mpsc::Sender<Message>,
    /// Ends the writer: the event is gone, or nobody uses the engine any more.
    stop: CancellationToken,
    board: RwLock<Option<Arc<Board>>>,
    /// Something was committed that is not shown yet.
    is_dirty: AtomicBool,
    /// Others changed something.
    is_behind: AtomicBool,
    /// The newest that was heard of.
    config: AtomicI64,
    version: AtomicI64,
}

impl Desk {
    fn board(&self) -> Option<Arc<Board>> {
        self.board
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shard {
    fn new(config: &Config, clock: Clock) -> Shard {
        let (notified, news) = mpsc::channel(NEWS_MAX);
        Shard {
            clock: StoreClock::new(clock),
            writers: (0..WRITERS).map(|_| Link::new(config.clone())).collect(),
            reader: Link::new(config.clone()),
            listener: Link::listening(config.clone(), notified),
            news: Mutex::new(news),
            looked_at: Mutex::new(None),
        }
    }

    fn reader(&self) -> &Link {
        &self.reader
    }

    fn writer(&self, event: &EventId) -> &Link {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(event);
        &self.writers[hash as usize % self.writers.len()]
    }

    /// Makes the tables, or brings them up to this version.
    async fn set_up(&self) -> Result<(), String> {
        // One node at a time; the others find it done.
        let begin = "create schema if not exists fairline;
            create table if not exists fairline.migration (version integer primary key);";
        let lock = "select pg_advisory_xact_lock(4631729463);";
        self.reader
            .run(&format!("begin; {lock} {begin} commit"))
            .await?;
        let count = "select count(*)::integer from fairline.migration";
        let rows = self.reader.ask(count, &[]).await;
        let rows = rows.map_err(|failed| format!("{failed:?}"))?;
        let done: i32 = rows.first().map_or(0, |row| row.get(0));
        if done as usize > SETUP.len() {
            return Err(format!(
                "its schema has version {done}, this program knows {}",
                SETUP.len()
            ));
        }
        for (at, setup) in SETUP.iter().enumerate().skip(done as usize) {
            let version = at + 1;
            let outcome = self
                .reader
                .run(&format!(
                    "begin; {lock} insert into fairline.migration values ({version}); {setup}; commit"
                ))
                .await;
            if let Err(error) = outcome {
                let _ = self.reader.run("rollback").await;
                // Another node was faster.
                if !error.contains("duplicate key") {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Hears the database's clock, and makes sure of the partitions of this month and the next.
    async fn hear(&self) -> Result<(), Failed> {
        let now = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
        let rows = self.reader.ask(now, &[]).await?;
        self.clock.hear(Time(rows[0].get(0)));
        let params: [Param<'_>; 1] = [(&self.clock.now().0, Type::INT8)];
        let make = "select fairline.make_partitions($1)";
        self.reader.ask(make, &params).await.map(|_| ())
    }

    /// The plan and rules that an event has now, by their number.
    async fn config_of(&self, desk: &Desk) -> i64 {
        let id = desk.event.as_str();
        let select = "select config from fairline.event where event = $1";
        let rows = self.reader.ask(select, &[(&id, Type::TEXT)]).await;
        rows.ok()
            .and_then(|rows| rows.first().map(|row| row.get(0)))
            .unwrap_or(0)
    }

    /// Shows what was committed, unless that was done a moment ago.
    async fn publish(&self, event: &EventId) -> Result<(), Failed> {
        let every_ms = if self.clock.is_manual() {
            0
        } else {
            super::board::VERSION_MS as i32
        };
        let id = event.as_str();
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&every_ms, Type::INT4)];
        let publish = "select fairline.publish($1, $2)";
        self.reader.ask(publish, &params).await.map(|_| ())
    }
}

impl Postgres {
    /// Connects, and makes the tables if they are not there.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open(url: &str, clock: Clock) -> Result<Postgres, String> {
        let failed = |error: String| format!("FAIRLINE_INVENTORY: {error}");
        let config = Config::from_str(url).map_err(|error| failed(error.to_string()))?;
        let shard = Arc::new(Shard::new(&config, clock));
        let reached = shard.set_up().await;
        reached.map_err(|error| failed(format!("the database: {error}")))?;
        let heard = shard.hear().await;
        heard.map_err(|error| failed(format!("the database: {error:?}")))?;
        let postgres = Postgres {
            shard,
            desks: RwLock::new(HashMap::new()),
            opening: tokio::sync::Mutex::new(()),
            pruned_at: Mutex::new(None),
            stop: CancellationToken::new(),
        };
        let looked = postgres.look().await;
        looked.map_err(|_| failed("the database does not answer".to_owned()))?;
        Ok(postgres)
    }

    fn known(&self, event: &EventId) -> Option<Arc<Desk>> {
        let desks = self.desks.read().unwrap_or_else(PoisonError::into_inner);
        desks.get(event).cloned()
    }

    fn all(&self) -> Vec<Arc<Desk>> {
        let desks = self.desks.read().unwrap_or_else(PoisonError::into_inner);
        desks.values().cloned().collect()
    }

    /// The writer of an event, started if the database has the event.
    async fn desk(&self, event: &EventId) -> Result<Option<Arc<Desk>>, Refused> {
        if let Some(desk) = self.known(event) {
            return Ok(Some(desk));
        }
        let _one = self.opening.lock().await;
        if let Some(desk) = self.known(event) {
            return Ok(Some(desk));
        }
        let id = event.as_str();
        let exists = "select 1 from fairline.event where event = $1";
        let params: [Param<'_>; 1] = [(&id, Type::TEXT)];
        if self.shard.reader().ask(exists, &params).await?.is_empty() {
            return Ok(None);
        }
        let desk = self.start(event);
        self.reload(&desk).await?;
        Ok(Some(desk))
    }

    fn start(&self, event: &EventId) -> Arc<Desk> {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let desk = Arc::new(Desk {
            event: event.clone(),
            queue,
            stop: self.stop.child_token(),
            board: RwLock::new(None),
            is_dirty: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            config: AtomicI64::new(0),
            version: AtomicI64::new(0),
        });
        let writer = Writer::new(desk.clone(), self.shard.clone(), messages);
        tokio::spawn(writer.run());
        let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
        desks.insert(event.clone(), desk.clone());
        desk
    }

    /// Reads the event anew.
    async fn reload(&self, desk: &Desk) -> Result<(), Refused> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        let asked = desk.queue.try_send(Message::Reload(done));
        asked.map_err(|_| Refused::from(Unavailable))?;
        let answer = outcome.await.map_err(|_| Refused::from(Unavailable))?;
        Ok(answer?)
    }

    /// Makes an event with the default rules, unless it is there.
    async fn make(&self, event: &EventId) -> Result<Arc<Desk>, Refused> {
        if let Some(desk) = self.desk(event).await? {
            return Ok(desk);
        }
        let (id, rules, secret) = (event.as_str(), json(&Rules::default()), random::<32>());
        let secret = secret.as_slice();
        let params: [Param<'_>; 3] = [
            (&id, Type::TEXT),
            (&rules, Type::TEXT),
            (&secret, Type::BYTEA),
        ];
        let make = "select fairline.make_event($1, $2, $3)";
        self.shard.reader().ask(make, &params).await?;
        let made = self.desk(event).await?;
        made.ok_or_else(|| Unavailable.into())
    }
}

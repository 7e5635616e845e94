//! One database with its replicas, as this node uses it.

use super::batched::Batched;
use super::clock::StoreClock;
use super::config::{DatabaseConfig, shown};
use super::connection::Connection;
use super::database::{
    ANSWER, Database, LISTS_MAX, QueryError, READERS_MAX, REPLICA_MAX, SLOW_ANSWER, SLOW_MAX,
    WEBHOOKS_MAX,
};
use super::listener::{Notification, listen};
use super::{migrate, pooler};
use crate::inventory::best_available::Peer;
use crate::inventory::door_ticket::DoorTicket;
use crate::inventory::personal;
use crate::inventory::seat_map::VERSION_MS;
use futures_util::future::join_all;
use parking_lot::Mutex;
use shared::crypto::random_id;
use shared::ids::EventId;
use shared::sealing::{self, SealingKeys};
use shared::time::{Clock, Time};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Row as _, query};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Number of connections that write. The events are spread over them, and the batches of an event.
const WRITERS: usize = 4;
/// Versions of a map that are left out when another server answers: more than the other nodes may
/// have shown that have not noticed it yet.
const VERSIONS_SKIPPED: i64 = 100;
/// Digits of a database's id in numbers of invoices.
const TAG_DIGITS: usize = 6;
/// Largest number of notifications waiting to be read.
const NOTIFICATIONS_MAX: usize = 1000;

/// Event and id of a ticket.
pub(super) type TicketKey = (EventId, String);

/// One database.
pub(super) struct Shard {
    /// Host, port and name.
    pub(super) name: String,
    /// Id that the database has been given; empty until it was read.
    id: OnceLock<String>,
    /// Whether events are in other databases, too.
    pub(super) is_one_of_several: AtomicBool,
    /// Id of this node.
    node: String,
    peer: Mutex<Peer>,
    pub(super) clock: StoreClock,
    pub(super) writers: Vec<Connection>,
    reader: Database,
    /// Seal personal data.
    pub(super) keys: Arc<SealingKeys>,
    /// For lists and figures, unless a replica has them.
    pub(super) lister: Database,
    /// Looks for tickets at doors.
    pub(super) ticket_lookups: Batched<TicketKey, Option<DoorTicket>>,
    /// For deliveries to webhooks.
    pub(super) webhooks: Database,
    /// For statements that take long, so that none waits behind them.
    pub(super) slow: Database,
    replicas: Vec<Replica>,
    /// Held while the replicas are checked.
    checking: tokio::sync::Mutex<()>,
    pub(super) notifications: Mutex<mpsc::Receiver<Notification>>,
    /// How far the primary had written at the last poll.
    written: Mutex<Option<String>>,
    /// Identity of the server that answered the last poll: when it started, and the number of its
    /// table of events. One that is restarted, promoted or restored to an earlier state has another.
    server: Mutex<Option<String>>,
    /// Number of lists so far, which take the replicas in turn.
    lists: AtomicUsize,
    /// Time of the last poll of all events.
    pub(super) polled_at: Mutex<Option<Instant>>,
    /// Whether notifications may have been missed, so that all events must be polled.
    pub(super) must_poll: AtomicBool,
    /// Time since which every poll was answered; `None` after one that was not.
    pub(super) reached_since: Mutex<Option<Instant>>,
}

impl Shard {
    /// Brings the database up to this version and starts to listen.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) async fn open(
        config: &DatabaseConfig,
        clock: Clock,
        keys: Arc<SealingKeys>,
        stop: CancellationToken,
    ) -> Result<Shard, String> {
        let primary = &config.primary;
        let direct = config.listen.as_ref().unwrap_or(primary);
        let named = |error: String| format!("{}: {error}", shown(direct));
        pooler::check(direct).await.map_err(named)?;
        migrate::migrate(direct).await.map_err(named)?;
        let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
        tokio::spawn(listen(direct.clone(), sender, stop));
        let replicas = config.replicas.iter();
        let writers = (0..WRITERS).map(|_| Connection::new(direct.clone()));
        let shard = Shard {
            name: shown(primary),
            id: OnceLock::new(),
            is_one_of_several: AtomicBool::new(false),
            node: random_id("node_"),
            peer: Mutex::new(Peer::ALONE),
            clock: StoreClock::new(clock),
            writers: writers.collect(),
            reader: Database::new("reader", direct.clone(), READERS_MAX, ANSWER),
            keys,
            lister: Database::new("lists", direct.clone(), LISTS_MAX, ANSWER),
            ticket_lookups: Batched::default(),
            webhooks: Database::new("webhooks", direct.clone(), WEBHOOKS_MAX, ANSWER),
            slow: Database::new("slow", direct.clone(), SLOW_MAX, SLOW_ANSWER),
            replicas: replicas.cloned().map(Replica::new).collect(),
            notifications: Mutex::new(notifications),
            written: Mutex::new(None),
            server: Mutex::new(None),
            lists: AtomicUsize::new(0),
            polled_at: Mutex::new(None),
            must_poll: AtomicBool::new(false),
            checking: tokio::sync::Mutex::new(()),
            reached_since: Mutex::new(None),
        };
        let failed = |error: QueryError| {
            named(match error {
                QueryError::Unreachable => "no answer in time".to_owned(),
                QueryError::Rejected(error) => error,
            })
        };
        shard.prepare_months().await.map_err(failed)?;
        shard.read_id().await.map_err(failed)?;
        match shard.missing_key().await.map_err(failed)? {
            Some(id) => Err(personal::missing_key(&id)),
            None => Ok(shard),
        }
    }

    pub(super) fn reader(&self) -> &Database {
        &self.reader
    }

    /// Returns the pool for lists: that of a fresh replica, in turn, otherwise the primary's own.
    pub(super) fn lists(&self) -> &Database {
        let fresh = |replica: &&Replica| {
            replica.is_fresh.load(Ordering::Relaxed) && !replica.database.is_away()
        };
        let fresh: Vec<&Replica> = self.replicas.iter().filter(fresh).collect();
        if fresh.is_empty() {
            return &self.lister;
        }
        let number = self.lists.fetch_add(1, Ordering::Relaxed);
        &fresh[number % fresh.len()].database
    }

    /// Leaves out replicas that have not replayed what the primary had written at the last poll, a
    /// second ago.
    pub(super) async fn check_replicas(&self) -> Result<(), QueryError> {
        if self.replicas.is_empty() {
            return Ok(());
        }
        // One that does not answer takes longer than the time until the next poll.
        let Ok(_one) = self.checking.try_lock() else {
            return Ok(());
        };
        let select = query("select pg_current_wal_lsn()::text");
        let row = self.reader.fetch_optional(select).await?;
        let written = row.map(|row| row.get::<String, _>(0));
        let before = {
            let mut kept = self.written.lock();
            std::mem::replace(&mut *kept, written)
        };
        if let Some(before) = before {
            join_all(self.replicas.iter().map(|replica| replica.check(&before))).await;
        }
        Ok(())
    }

    /// Returns the connection for a batch of an event, by its index among the batches in flight:
    /// each has its own.
    pub(super) fn writer(&self, event: &EventId, index: usize) -> &Connection {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(event);
        &self.writers[(hash as usize).wrapping_add(index) % self.writers.len()]
    }

    /// Returns whether a writer got no answer lately.
    pub(super) fn is_away(&self) -> bool {
        self.writers.iter().any(Connection::is_away)
    }

    pub(super) fn id(&self) -> String {
        self.id.get().cloned().unwrap_or_default()
    }

    /// Returns the tag of numbers that this database gives: the first digits of its id, or nothing
    /// where it is the only one.
    pub(super) fn tag(&self) -> String {
        let id = self.id.get().map_or("", String::as_str);
        let digits = id.trim_start_matches("shard_").chars().take(TAG_DIGITS);
        let is_tagged = self.is_one_of_several.load(Ordering::Relaxed);
        digits.filter(|_| is_tagged).collect()
    }

    /// Returns the position of this node among the nodes.
    pub(super) fn peer(&self) -> Peer {
        *self.peer.lock()
    }

    /// Reports that this node is alive, and learns its position among the nodes that are.
    pub(super) async fn heartbeat(&self) -> Result<(), QueryError> {
        let meet = query("select place, nodes from fairline.meet($1)").bind(&self.node);
        if let Some(row) = self.reader.fetch_optional(meet).await? {
            let mut peer = self.peer.lock();
            *peer = Peer {
                index: row.get::<i32, _>(0) as u32,
                count: row.get::<i32, _>(1) as u32,
            };
        }
        Ok(())
    }

    /// Reads the id of the database, which the first node gives it.
    async fn read_id(&self) -> Result<(), QueryError> {
        let insert = "insert into fairline.shard (id) select $1 where not exists (select from fairline.shard)";
        let insert = query(insert).bind(random_id("shard_"));
        self.reader.fetch(insert).await?;
        let select = query("select id from fairline.shard order by id limit 1");
        let row = self.reader.fetch_optional(select).await?;
        let id = row.map(|row| row.get(0)).unwrap_or_default();
        let _ = self.id.set(id);
        Ok(())
    }

    /// Notes the key that seals personal data from now on. Returns the id of one that sealed some
    /// and is not known here.
    async fn missing_key(&self) -> Result<Option<String>, QueryError> {
        if let Some(id) = self.keys.ids().next() {
            let note = "insert into fairline.personal_key (id) values ($1) on conflict do nothing";
            self.reader.fetch(query(note).bind(id)).await?;
        }
        let select = query("select id from fairline.personal_key");
        for row in self.reader.fetch(select).await? {
            let id: String = row.get(0);
            if self.keys.ids().any(|known| known == id) {
                continue;
            }
            let sealed = "select 1 from fairline.orders where starts_with(buyer_name, $1) or starts_with(buyer_email, $1)
                union all select 1 from fairline.webhook_endpoint where starts_with(settings, $1) limit 1";
            let sealed = query(sealed).bind(sealing::prefix_of(&id));
            if self.slow.fetch_optional(sealed).await?.is_some() {
                return Ok(Some(id));
            }
            let forget = query("delete from fairline.personal_key where id = $1").bind(id);
            self.reader.fetch(forget).await?;
        }
        Ok(None)
    }

    /// Reads the database's clock, and creates the partitions of the next months that are missing,
    /// unless that has to wait: nothing depends on them.
    pub(super) async fn prepare_months(&self) -> Result<(), QueryError> {
        let now = query("select (extract(epoch from clock_timestamp()) * 1000)::bigint");
        if let Some(row) = self.reader.fetch_optional(now).await? {
            self.clock.set(Time(row.get(0)));
        }
        let make = query("select fairline.make_partitions($1)").bind(self.clock.now().0);
        let row = self.reader.fetch_optional(make).await?;
        if !row.is_some_and(|row| row.get(0)) {
            tracing::info!(
                "the partitions of the next months are created later: their tables are being read"
            );
        }
        Ok(())
    }

    /// Records which server answers. Returns whether it is another one than before, which may lack
    /// what the one before had committed.
    pub(super) fn is_another_server(&self, server: String) -> bool {
        let before = self.server.lock().replace(server.clone());
        before.is_some_and(|before| before != server)
    }

    /// Returns whether a server is another one than that of the last poll.
    pub(super) fn is_server_new(&self, server: &str) -> bool {
        let known = self.server.lock();
        known.as_ref().is_some_and(|known| known != server)
    }

    /// Moves the version of an event's map beyond the newest that this node has shown: a server
    /// that lost commits would give their numbers to other maps.
    pub(super) async fn skip_versions(
        &self,
        event: &EventId,
        shown: i64,
    ) -> Result<(), QueryError> {
        let update =
            "update fairline.event set version = $2 + $3 where event = $1 and version <= $2";
        let update = query(update).bind(event.as_str());
        let update = update.bind(shown).bind(VERSIONS_SKIPPED);
        self.reader.fetch(update).await.map(drop)
    }

    /// Returns the number of the plan and rules that an event has now.
    pub(super) async fn config_of(&self, event: &EventId) -> i64 {
        let select = "select config from fairline.event where event = $1";
        let select = query(select).bind(event.as_str());
        let row = self.reader.fetch_optional(select).await;
        row.ok().flatten().map_or(0, |row| row.get(0))
    }

    /// Publishes what was committed, unless that was done a moment ago. Returns whether everything
    /// is published.
    pub(super) async fn publish(&self, event: &EventId) -> Result<bool, QueryError> {
        let every_ms = if self.clock.is_manual() {
            0
        } else {
            VERSION_MS as i32
        };
        let publish = query("select fairline.publish($1, $2)");
        let publish = publish.bind(event.as_str()).bind(every_ms);
        let row = self.reader.fetch_optional(publish).await?;
        Ok(row.is_some_and(|row| row.get(0)))
    }
}

/// A copy of a database that serves lists, never a decision.
struct Replica {
    options: PgConnectOptions,
    database: Database,
    /// Whether no pooler is between; unknown until it was reached.
    is_direct: OnceLock<bool>,
    /// Whether it has everything that the primary had a second ago.
    is_fresh: AtomicBool,
}

impl Replica {
    fn new(options: PgConnectOptions) -> Replica {
        Replica {
            database: Database::new("replica", options.clone(), REPLICA_MAX, ANSWER),
            options,
            is_direct: OnceLock::new(),
            is_fresh: AtomicBool::new(false),
        }
    }

    /// Checks whether it has replayed what the primary had written at a poll a second ago.
    async fn check(&self, written: &str) {
        let has = "select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, true)";
        let is_fresh = self.is_direct().await
            && self
                .database
                .fetch_optional(query(has).bind(written))
                .await
                .is_ok_and(|row| row.is_some_and(|row| row.get(0)));
        self.is_fresh.store(is_fresh, Ordering::Relaxed);
    }

    async fn is_direct(&self) -> bool {
        if let Some(is_direct) = self.is_direct.get() {
            return *is_direct;
        }
        match timeout(ANSWER, pooler::is_shared(&self.options)).await {
            Ok(Ok(is_shared)) => {
                if is_shared {
                    let replica = shown(&self.options);
                    tracing::error!(
                        replica,
                        "a replica is left out, as a pooler is in front of it"
                    );
                }
                *self.is_direct.get_or_init(|| !is_shared)
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

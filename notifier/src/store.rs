//! The notifier's own file: which events are done, dead letters, the positions at brokers that keep
//! none, and the points that orders have.

use crate::event::Event;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use shared::sqlite;
use shared::time::{Clock, Time};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Days for which ids of done events are kept. Brokers repeat none that is older.
pub const DONE_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 3_600_000;
/// Longest wait for another process that writes to the file.
const BUSY: Duration = Duration::from_secs(5);
const SCHEMA: u32 = 1;
const TABLES: &str = "
    create table done (
        consumer text not null, id text not null, at integer not null, event_at integer not null,
        primary key (consumer, id)) without rowid;
    create index done_at on done (at);
    create table dead_letter (
        number integer primary key autoincrement, consumer text not null, id text not null,
        type text not null, aggregate text not null, event_at integer not null, data blob not null,
        fault text, reason text not null, failed_at integer not null,
        is_retried integer not null default 0, unique (consumer, id));
    create index dead_letter_aggregate on dead_letter (consumer, aggregate);
    create table position (
        consumer text not null, place text not null, next integer not null,
        primary key (consumer, place)) without rowid;
    create table order_points (
        id text primary key, total integer not null, currency text not null,
        points integer not null) without rowid;
    create table replay (consumer text primary key, since integer not null) without rowid;
    pragma user_version = 1;";

/// Result of an operation on the file; the error is a sentence for the operator.
pub type Stored<T> = Result<T, String>;

/// The file. Other processes may use it at the same time.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

/// An event that could not have its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Number by which operators name it.
    pub number: i64,
    /// The consumer.
    pub consumer: String,
    /// The event.
    pub event: Event,
    /// Why it had no effect.
    pub reason: String,
    /// When that was.
    pub failed_at: Time,
    /// True if it is to be tried again.
    pub is_retried: bool,
}

/// Points that an order has given to its buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPoints {
    /// `ord_…`
    pub order: String,
    /// Its total, in minor units.
    pub total: i64,
    /// The currency.
    pub currency: String,
    /// Points that its buyer has of it by now.
    pub points: i64,
}

/// Result of an event, written in one transaction.
#[derive(Clone, Debug)]
pub struct Settled<'a> {
    /// The consumer.
    pub consumer: &'a str,
    /// The event.
    pub event: &'a Event,
    /// Why it is a dead letter, if it is one.
    pub reason: Option<&'a str>,
    /// New state of an order's points.
    pub points: Option<&'a OrderPoints>,
}

/// A place at a broker up to which all is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Topic and partition, or stream.
    pub place: String,
    /// Next offset.
    pub next: i64,
}

impl Store {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(path: &Path, clock: Clock) -> Stored<Store> {
        let failed = |error: rusqlite::Error| format!("{}: {error}", path.display());
        let mut connection = sqlite::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let version = sqlite::schema_version(&connection, SCHEMA).map_err(failed)?;
        if version == 0 {
            let transaction = connection.transaction().map_err(failed)?;
            transaction.execute_batch(TABLES).map_err(failed)?;
            transaction.commit().map_err(failed)?;
        }
        Ok(Store {
            connection: Arc::new(Mutex::new(connection)),
            clock,
        })
    }

    /// Runs a transaction on a thread on which it may wait for the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Time) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<T> {
        let (connection, now) = (self.connection.clone(), self.clock.now());
        let run = move || {
            let mut connection = connection.lock();
            let transaction = connection.transaction()?;
            let result = work(&transaction, now)?;
            transaction.commit()?;
            Ok(result)
        };
        let ran = tokio::task::spawn_blocking(run).await;
        let ran = ran.map_err(|error| format!("the notifier's file: {error}"))?;
        ran.map_err(|error: rusqlite::Error| format!("the notifier's file: {error}"))
    }

    /// Returns whether an event is done, or is a dead letter already.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn is_settled(&self, consumer: &'static str, event: &Event) -> Stored<bool> {
        let id = event.id.clone();
        self.run(move |transaction, _| {
            let sql = "select exists (select 1 from done where consumer = ?1 and id = ?2)
                or exists (select 1 from dead_letter where consumer = ?1 and id = ?2)";
            transaction.query_row(sql, params![consumer, id], |row| row.get(0))
        })
        .await
    }

    /// Returns the first dead letter of an aggregate that has a lower number than this, if there is
    /// one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn held_back_by(
        &self,
        consumer: &'static str,
        event: &Event,
        number: i64,
    ) -> Stored<Option<String>> {
        let aggregate = event.aggregate.clone();
        self.run(move |transaction, _| {
            let sql = "select id from dead_letter where consumer = ? and aggregate = ? and aggregate != ''
                and number < ? order by number limit 1";
            let id = transaction.query_row(sql, params![consumer, aggregate, number], |row| row.get(0));
            id.optional()
        })
        .await
    }

    /// Writes the result of an event.
    ///
    /// # Errors
    /// If it is not written: then nothing of it is.
    pub async fn settle(&self, settled: Settled<'_>) -> Stored<()> {
        let (consumer, event) = (settled.consumer.to_owned(), settled.event.clone());
        let (reason, points) = (settled.reason.map(str::to_owned), settled.points.cloned());
        self.run(move |transaction, now| {
            if let Some(reason) = reason {
                return bury(transaction, &consumer, &event, &reason, now);
            }
            transaction.execute(
                "insert or ignore into done (consumer, id, at, event_at) values (?, ?, ?, ?)",
                params![consumer, event.id, now.0, event.at.0],
            )?;
            transaction.execute(
                "delete from dead_letter where consumer = ? and id = ?",
                params![consumer, event.id],
            )?;
            let Some(points) = points else { return Ok(()) };
            transaction.execute(
                "insert or replace into order_points (id, total, currency, points) values (?, ?, ?, ?)",
                params![points.order, points.total, points.currency, points.points],
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the points of an order, if it has given any.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn points(&self, order: &str) -> Stored<Option<OrderPoints>> {
        let order = order.to_owned();
        self.run(move |transaction, _| {
            let sql = "select total, currency, points from order_points where id = ?";
            let read = |row: &Row<'_>| {
                Ok(OrderPoints {
                    order: order.clone(),
                    total: row.get(0)?,
                    currency: row.get(1)?,
                    points: row.get(2)?,
                })
            };
            transaction.query_row(sql, [&order], read).optional()
        })
        .await
    }

    /// Returns the positions of a consumer.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn positions(&self, consumer: &'static str) -> Stored<Vec<Position>> {
        self.run(move |transaction, _| {
            let sql = "select place, next from position where consumer = ?";
            let mut statement = transaction.prepare(sql)?;
            let read = |row: &Row<'_>| {
                Ok(Position {
                    place: row.get(0)?,
                    next: row.get(1)?,
                })
            };
            statement.query_map([consumer], read)?.collect()
        })
        .await
    }

    /// Writes positions.
    ///
    /// # Errors
    /// If they are not written.
    pub async fn advance(&self, consumer: &'static str, positions: Vec<Position>) -> Stored<()> {
        self.run(move |transaction, _| {
            for Position { place, next } in &positions {
                transaction.execute(
                    "insert or replace into position (consumer, place, next) values (?, ?, ?)",
                    params![consumer, place, next],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Returns dead letters in the order in which they failed: all, or those of a consumer that are
    /// to be tried again.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn dead_letters(&self, retried: Option<&'static str>) -> Stored<Vec<DeadLetter>> {
        self.run(move |transaction, _| {
            let sql = "select number, consumer, id, type, aggregate, event_at, data, fault, reason,
                failed_at, is_retried from dead_letter
                where ?1 is null or (consumer = ?1 and is_retried) order by number";
            let mut statement = transaction.prepare(sql)?;
            statement.query_map([retried], read_letter)?.collect()
        })
        .await
    }

    /// Counts the dead letters of a consumer.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn count_dead_letters(&self, consumer: &'static str) -> Stored<i64> {
        self.run(move |transaction, _| {
            let sql = "select count(*) from dead_letter where consumer = ?";
            transaction.query_row(sql, [consumer], |row| row.get(0))
        })
        .await
    }

    /// Asks for another attempt at a dead letter, or at all. Returns how many there are.
    ///
    /// # Errors
    /// If it is not written.
    pub async fn retry(&self, number: Option<i64>) -> Stored<usize> {
        self.run(move |transaction, _| {
            let sql = "update dead_letter set is_retried = 1 where ?1 is null or number = ?1";
            transaction.execute(sql, [number])
        })
        .await
    }

    /// Notes that an attempt at a dead letter failed; `is_over` if it is not tried again.
    ///
    /// # Errors
    /// If it is not written.
    pub async fn retry_failed(&self, number: i64, reason: &str, is_over: bool) -> Stored<()> {
        let reason = reason.to_owned();
        self.run(move |transaction, now| {
            let sql =
                "update dead_letter set reason = ?, failed_at = ?, is_retried = ? where number = ?";
            transaction.execute(sql, params![reason, now.0, !is_over, number])?;
            Ok(())
        })
        .await
    }

    /// Gives a dead letter up: it counts as done. Returns whether there is one of this number.
    ///
    /// # Errors
    /// If it is not written.
    pub async fn discard(&self, number: i64) -> Stored<bool> {
        self.run(move |transaction, now| {
            transaction.execute(
                "insert or ignore into done (consumer, id, at, event_at)
                    select consumer, id, ?, event_at from dead_letter where number = ?",
                params![now.0, number],
            )?;
            let deleted =
                transaction.execute("delete from dead_letter where number = ?", [number])?;
            Ok(deleted == 1)
        })
        .await
    }

    /// Asks a consumer to begin again with events from a time on; `forgets` if it acts on those that
    /// it has done.
    ///
    /// # Errors
    /// If it is not written.
    pub async fn ask_replay(
        &self,
        consumer: &'static str,
        from: Time,
        forgets: bool,
    ) -> Stored<()> {
        self.run(move |transaction, _| {
            if forgets {
                transaction.execute(
                    "delete from done where consumer = ? and event_at >= ?",
                    params![consumer, from.0],
                )?;
            }
            transaction.execute(
                "insert or replace into replay (consumer, since) values (?, ?)",
                params![consumer, from.0],
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the time from which a consumer is to begin again, if it is.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn replay(&self, consumer: &'static str) -> Stored<Option<Time>> {
        self.run(move |transaction, _| {
            let sql = "select since from replay where consumer = ?";
            let since = transaction.query_row(sql, [consumer], |row| row.get(0));
            Ok(since.optional()?.map(Time))
        })
        .await
    }

    /// Notes that a consumer has begun again.
    ///
    /// # Errors
    /// If it is not written.
    pub async fn replayed(&self, consumer: &'static str) -> Stored<()> {
        self.run(move |transaction, _| {
            transaction.execute("delete from replay where consumer = ?", [consumer])?;
            Ok(())
        })
        .await
    }

    /// Deletes the ids of events that were done long ago.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn prune(&self) -> Stored<()> {
        self.run(|transaction, now| {
            let before = now.0 - DONE_DAYS * DAY_MS;
            transaction.execute("delete from done where at < ?", [before])?;
            Ok(())
        })
        .await
    }
}

fn bury(
    transaction: &Transaction<'_>,
    consumer: &str,
    event: &Event,
    reason: &str,
    now: Time,
) -> rusqlite::Result<()> {
    let sql = "insert into dead_letter (consumer, id, type, aggregate, event_at, data, fault, reason, failed_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (consumer, id) do update set reason = excluded.reason, failed_at = excluded.failed_at";
    transaction.execute(
        sql,
        params![
            consumer,
            event.id,
            event.event_type,
            event.aggregate,
            event.at.0,
            event.data,
            event.fault,
            reason,
            now.0
        ],
    )?;
    Ok(())
}

fn read_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        number: row.get(0)?,
        consumer: row.get(1)?,
        event: Event {
            id: row.get(2)?,
            event_type: row.get(3)?,
            aggregate: row.get(4)?,
            at: Time(row.get(5)?),
            data: row.get(6)?,
            fault: row.get(7)?,
        },
        reason: row.get(8)?,
        failed_at: Time(row.get(9)?),
        is_retried: row.get(10)?,
    })
}

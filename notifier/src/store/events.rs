//! Events that are done, points of orders, positions and replays.

use super::file::{Store, Stored};
use super::letters::{self, LetterState};
use crate::event::Event;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::time::Time;

/// Days for which ids of done events are kept. Brokers repeat none that is older.
pub const DONE_DAYS: i64 = 30;
/// Days for which the points of an order are kept after their last change. A later refund takes none
/// back.
pub const POINTS_DAYS: i64 = 730;
const DAY_MS: i64 = 24 * 3_600_000;
/// Largest number of rows that are deleted of a table in one step.
const PRUNED_MAX: i64 = 1000;

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
    /// Why it had no effect and becomes a letter of this state, if that is so.
    pub letter: Option<(&'a str, LetterState)>,
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

    /// Writes the result of an event.
    ///
    /// # Errors
    /// If it is not written: then nothing of it is.
    pub async fn settle(&self, settled: Settled<'_>) -> Stored<()> {
        let (consumer, event) = (settled.consumer.to_owned(), settled.event.clone());
        let letter = settled.letter;
        let letter = letter.map(|(reason, state)| (reason.to_owned(), state));
        let points = settled.points.cloned();
        self.run(move |transaction, now| {
            if let Some((reason, state)) = letter {
                return letters::bury(transaction, &consumer, &event, &reason, state, now);
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
                "insert or replace into order_points (id, total, currency, points, at)
                    values (?, ?, ?, ?, ?)",
                params![
                    points.order,
                    points.total,
                    points.currency,
                    points.points,
                    now.0
                ],
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

    /// Asks a consumer to begin again with events from a time on, or from an earlier one that it was asked
    /// for and has not begun with; `forgets` if it acts on those that it has done.
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
                "insert into replay (consumer, since) values (?, ?)
                    on conflict (consumer) do update set since = min(since, excluded.since)",
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

    /// Deletes a bounded number of old rows: ids of events that were done long ago, and points of orders,
    /// sooner where none are left to be taken back. Returns whether there may be more.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn prune(&self) -> Stored<bool> {
        self.run(|transaction, now| {
            let (done, points) = (now.0 - DONE_DAYS * DAY_MS, now.0 - POINTS_DAYS * DAY_MS);
            let of_done = "delete from done where (consumer, id) in
                (select consumer, id from done where at < ? limit ?)";
            let of_spent = "delete from order_points where id in
                (select id from order_points where points = 0 and at < ? limit ?)";
            let of_points = "delete from order_points where id in
                (select id from order_points where at < ? limit ?)";
            // Points of a version that kept no times count as new.
            transaction.execute("update order_points set at = ? where at = 0", [now.0])?;
            let mut has_more = false;
            for (sql, before) in [(of_done, done), (of_spent, done), (of_points, points)] {
                let deleted = transaction.execute(sql, [before, PRUNED_MAX])?;
                has_more |= deleted as i64 == PRUNED_MAX;
            }
            Ok(has_more)
        })
        .await
    }
}

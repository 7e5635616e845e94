//! Dead letters, and events that keep failing and let others go first.

use super::file::{Store, Stored};
use crate::event::Event;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use shared::time::Time;

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
    /// State of the letter.
    pub state: LetterState,
}

/// State of a letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterState {
    /// Rises from each event that came to the next one.
    pub came: i64,
    /// True if an operator wants it to be tried again.
    pub is_retried: bool,
    /// True if it is no dead letter yet: it is tried again until others show whether it is at fault.
    pub is_held: bool,
}

/// A letter that keeps back a later event of its aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Id of its event.
    pub id: String,
    /// Its state.
    pub state: LetterState,
}

/// Figures of the letters of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterCounts {
    /// Dead letters.
    pub dead: i64,
    /// Events that let others go first.
    pub held: i64,
    /// Number of aggregates of which these are.
    pub held_aggregates: i64,
    /// Reason of the first of these.
    pub held_reason: Option<String>,
}

impl Store {
    /// Returns the first letter of an event's aggregate that came before this, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn held_back_by(
        &self,
        consumer: &'static str,
        event: &Event,
        came: i64,
    ) -> Stored<Option<Ahead>> {
        let aggregate = event.aggregate.clone();
        self.run(move |transaction, _| {
            let sql = "select id, came, is_retried, is_held from dead_letter
                where consumer = ? and aggregate = ? and aggregate != '' and came < ?
                order by came limit 1";
            let read = |row: &Row<'_>| {
                Ok(Ahead {
                    id: row.get(0)?,
                    state: LetterState {
                        came: row.get(1)?,
                        is_retried: row.get(2)?,
                        is_held: row.get(3)?,
                    },
                })
            };
            let ahead = transaction.query_row(sql, params![consumer, aggregate, came], read);
            ahead.optional()
        })
        .await
    }

    /// Returns letters in the order in which their events came: all, or those of a consumer that are
    /// to be tried again.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn dead_letters(&self, retried: Option<&'static str>) -> Stored<Vec<DeadLetter>> {
        self.run(move |transaction, _| {
            let sql = "select number, consumer, id, type, aggregate, event_at, data, fault, reason,
                failed_at, came, is_retried, is_held from dead_letter
                where ?1 is null or (consumer = ?1 and (is_retried or is_held)) order by came, number";
            let mut statement = transaction.prepare(sql)?;
            statement.query_map([retried], read_letter)?.collect()
        })
        .await
    }

    /// Counts the letters of a consumer.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn count_letters(&self, consumer: &'static str) -> Stored<LetterCounts> {
        self.run(move |transaction, _| {
            let sql = "select count(*) filter (where not is_held), count(*) filter (where is_held),
                count(distinct aggregate) filter (where is_held),
                (select reason from dead_letter where consumer = ?1 and is_held order by came limit 1)
                from dead_letter where consumer = ?1";
            transaction.query_row(sql, [consumer], |row| {
                Ok(LetterCounts {
                    dead: row.get(0)?,
                    held: row.get(1)?,
                    held_aggregates: row.get(2)?,
                    held_reason: row.get(3)?,
                })
            })
        })
        .await
    }

    /// Returns when the newest letter of a consumer came; 0 without one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn newest_letter(&self, consumer: &'static str) -> Stored<i64> {
        self.run(move |transaction, _| {
            let sql = "select coalesce(max(came), 0) from dead_letter where consumer = ?";
            transaction.query_row(sql, [consumer], |row| row.get(0))
        })
        .await
    }

    /// Asks for another attempt at a letter, or at all. Returns how many there are.
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

    /// Notes that an attempt at a letter failed; `is_over` if it is not tried again, and is a dead letter.
    ///
    /// # Errors
    /// If it is not written.
    pub async fn retry_failed(&self, number: i64, reason: &str, is_over: bool) -> Stored<()> {
        let reason = reason.to_owned();
        self.run(move |transaction, now| {
            let sql = "update dead_letter set reason = ?1, failed_at = ?2,
                is_retried = is_retried and not ?3, is_held = is_held and not ?3 where number = ?4";
            transaction.execute(sql, params![reason, now.0, is_over, number])?;
            Ok(())
        })
        .await
    }

    /// Gives a letter up: it counts as done. Returns whether there is one of this number.
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
}

/// Writes an event to the letters.
pub(super) fn bury(
    transaction: &Transaction<'_>,
    consumer: &str,
    event: &Event,
    reason: &str,
    state: LetterState,
    now: Time,
) -> rusqlite::Result<()> {
    let sql = "insert into dead_letter (consumer, id, type, aggregate, event_at, data, fault, reason,
            failed_at, came, is_retried, is_held)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
            now.0,
            state.came,
            state.is_retried,
            state.is_held
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
        state: LetterState {
            came: row.get(10)?,
            is_retried: row.get(11)?,
            is_held: row.get(12)?,
        },
    })
}

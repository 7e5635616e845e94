//! The outbox in SQLite: one shard, which the process has to itself. Events are read by a
//! connection of its own, so that no sale waits for it.

use super::{Sqlite, Step, Store};
use crate::inventory::commands::json;
use crate::inventory::model::*;
use crate::inventory::outbox::{
    OUTBOX_ROWS_MAX, Outbox, OutboxEntry, OutboxLease, OutboxRow, OutboxShard, OutboxState,
    UNSENT_MAX,
};
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::time::Time;

const SHARD: OutboxShard = OutboxShard {
    database: 0,
    number: 0,
    server: 0,
};
/// Time after which it is written down again that a consumer is there.
const SEEN_MS: i64 = 600_000;
/// Largest number of events that are deleted by one step.
const PURGE_MAX: u32 = 1_000;

const READ: &str = "select position, id, event, aggregatetype, aggregateid, type, payload, traceparent, at from outbox
    where position > ?1 order by position limit ?2";

const STATE: &str = "select count(*), min(at) from (select at from outbox
    where position > coalesce((select position from outbox_cursor where consumer = ?1), 0) order by position limit ?2)";

/// Finds the position up to which the oldest events can be deleted, as far as the consumers that
/// are there have come.
const OLD: &str = "select max(position) from (
        select position, at from outbox where position <= coalesce(
            (select min(position) from outbox_cursor where seen_at > ?1
                or consumer in (select value from json_each(?3))), 9223372036854775807)
        order by position limit ?2)
    where at < ?1";

#[async_trait]
impl Outbox for Sqlite {
    async fn lease(&self, consumer: &str, _: &str) -> Result<Vec<OutboxLease>, Refused> {
        let (known, now) = (consumer.to_owned(), self.clock.now());
        let position = self.look(move |file| {
            file.query_row(
                "select position from outbox_cursor where consumer = ?1 and seen_at > ?2",
                params![known, now.0 - SEEN_MS],
                |row| row.get(0),
            )
            .optional()
        });
        let position = match position.await? {
            Some(position) => position,
            None => {
                let consumer = consumer.to_owned();
                self.step(move |store, now| store.see_consumer(&consumer, now))
                    .await?
            }
        };
        Ok(vec![OutboxLease {
            shard: SHARD,
            position,
        }])
    }

    async fn read(
        &self,
        _: OutboxShard,
        after: i64,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, Refused> {
        let limit = limit.min(OUTBOX_ROWS_MAX);
        self.look(move |file| {
            let mut query = file.prepare(READ)?;
            let rows = query.query_map(params![after, limit], read_row)?;
            rows.collect()
        })
        .await
    }

    async fn acknowledge(
        &self,
        consumer: &str,
        _: &str,
        _: OutboxShard,
        position: i64,
    ) -> Result<bool, Refused> {
        let consumer = consumer.to_owned();
        self.step(move |store, now| {
            store.write()?;
            store.acknowledge(&consumer, position, now)
        })
        .await
    }

    async fn release(&self, _: &str, _: &str) -> Result<(), Refused> {
        Ok(())
    }

    async fn state(&self, consumer: &str) -> Result<OutboxState, Refused> {
        let (consumer, now) = (consumer.to_owned(), self.clock.now());
        self.look(move |file| {
            file.query_row(STATE, params![consumer, UNSENT_MAX as i64], |row| {
                let oldest: Option<i64> = row.get(1)?;
                let age_ms = oldest.map_or(0, |at| now.0 - at);
                Ok(OutboxState {
                    unsent: row.get::<_, i64>(0)? as u64,
                    oldest_seconds: age_ms.max(0) as u64 / 1000,
                })
            })
        })
        .await
    }

    async fn newest(&self) -> Result<Vec<(OutboxShard, i64)>, Refused> {
        let newest = self.look(|file| {
            file.query_row("select coalesce(max(position), 0) from outbox", [], |row| {
                row.get(0)
            })
        });
        Ok(vec![(SHARD, newest.await?)])
    }

    async fn purge(&self, kept_ms: i64, waits_for: &[&str]) -> Result<bool, Refused> {
        let before = self.clock.now().0 - kept_ms;
        let waits_for = json(&waits_for);
        let old = self.look(move |file| {
            file.query_row(OLD, params![before, PURGE_MAX, waits_for], |row| {
                row.get::<_, Option<i64>>(0)
            })
        });
        let Some(position) = old.await? else {
            return Ok(false);
        };
        self.step(move |store, _| {
            store.write()?;
            let delete = "delete from outbox where position <= ?1 and at < ?2";
            store.db.execute(delete, [position, before])?;
            Ok(Ok(true))
        })
        .await
    }
}

impl Sqlite {
    /// Adds rows that follow from events, and records that the consumer has had all of them up to a
    /// position, in one transaction.
    pub(super) async fn insert_with_place<T: Send + 'static>(
        &self,
        consumer: &str,
        position: i64,
        rows: Vec<T>,
        insert: fn(&mut Store, &T, Time) -> rusqlite::Result<()>,
    ) -> Result<bool, Refused> {
        let consumer = consumer.to_owned();
        self.step(move |store, now| {
            store.write()?;
            for row in &rows {
                insert(store, row, now)?;
            }
            store.acknowledge(&consumer, position, now)
        })
        .await
    }
}

impl Store {
    /// Writes that a consumer is there, and returns the position that it has acknowledged.
    fn see_consumer(&mut self, consumer: &str, now: Time) -> Step<i64> {
        self.write()?;
        let see = "insert into outbox_cursor (consumer, seen_at) values (?1, ?2)
            on conflict (consumer) do update set seen_at = excluded.seen_at returning position";
        let mut see = self.db.prepare_cached(see)?;
        see.query_row(params![consumer, now.0], |row| row.get(0))
            .map(Ok)
    }

    /// Records, in the batch's transaction, that a consumer has had all events up to a position.
    pub(super) fn acknowledge(&mut self, consumer: &str, position: i64, now: Time) -> Step<bool> {
        self.move_place(consumer, None, position, now).map(Ok)
    }

    /// Moves a consumer's place in the batch's transaction, if it is where it is expected. Returns
    /// whether it was.
    pub(super) fn move_place(
        &mut self,
        consumer: &str,
        after: Option<i64>,
        position: i64,
        now: Time,
    ) -> rusqlite::Result<bool> {
        let update = "update outbox_cursor set position = max(position, ?3), seen_at = ?4
            where consumer = ?1 and position = coalesce(?2, position)";
        let mut update = self.db.prepare_cached(update)?;
        Ok(update.execute(params![consumer, after, position, now.0])? > 0)
    }

    /// Adds events to the batch's transaction.
    pub(super) fn insert_events(
        &mut self,
        event: &str,
        entries: &[OutboxEntry],
    ) -> rusqlite::Result<()> {
        for entry in entries {
            self.db
                .prepare_cached(
                    "insert into outbox (id, event, aggregatetype, aggregateid, type, payload, traceparent, at)
                     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    entry.id,
                    event,
                    entry.event_type.aggregate().as_str(),
                    entry.aggregate,
                    entry.event_type.as_str(),
                    entry.payload,
                    entry.traceparent,
                    entry.at.0
                ])?;
        }
        Ok(())
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        position: row.get(0)?,
        id: row.get(1)?,
        event: row.get(2)?,
        aggregate_type: row.get(3)?,
        aggregate_id: row.get(4)?,
        event_type: row.get(5)?,
        payload: row.get(6)?,
        traceparent: row.get(7)?,
        at: Time(row.get(8)?),
    })
}

//! The outbox in Postgres. Its shards are leased, so that any number of nodes share the work.

use super::Postgres;
use super::database::{Database, QueryError, Statement};
use super::engine::at_least_one;
use super::shard::Shard;
use super::writer::Writer;
use crate::inventory::model::*;
use crate::inventory::outbox::{
    EventType, LEASE_SECONDS, NewPlace, OUTBOX_ROWS_MAX, Outbox, OutboxLease, OutboxRow,
    OutboxShard, OutboxState, UNSENT_MAX, about_event,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};
use std::sync::Arc;

/// Number of shards of a database, as the functions in it have it.
const SHARDS: i16 = 16;
/// Largest number of events of a shard that are deleted by one statement.
const PURGE_MAX: i64 = 500;

/// Identity of the server and its table, as a number. One that is restarted, promoted or restored to
/// an earlier state has another.
const SERVER: &str = "hashtextextended(extract(epoch from pg_postmaster_start_time()) || ' ' || 'fairline.outbox'::regclass::oid, 0)";

const STATE: &str = "select count(*), min(r.at)
    from generate_series(0, 15) as n(shard)
    left join fairline.outbox_cursor c on c.consumer = $1 and c.shard = n.shard
    cross join lateral (select o.at from fairline.outbox o
        where o.shard = n.shard::smallint and o.position > coalesce(c.position, 0)
        order by o.position limit $2) r";

/// Deletes the oldest events, as far as the consumers that are there have come.
const PURGE: &str = "with gone as (
        delete from fairline.outbox o using (
            select k.shard, k.position from generate_series(0, 15) as n(shard) cross join lateral (
                select o.shard, o.position, o.at from fairline.outbox o
                where o.shard = n.shard::smallint and o.position <= coalesce((
                    select min(c.position) from fairline.outbox_cursor c
                    where c.shard = n.shard and (c.consumer = any ($3) or exists (select from fairline.outbox_owner w
                        where w.consumer = c.consumer and w.until > $1))), 9223372036854775807)
                order by o.position limit $2) k
            where k.at < $1) k
        where o.shard = k.shard and o.position = k.position returning 1
    ) select count(*) from gone";

impl Postgres {
    pub(super) fn database_of(&self, shard: OutboxShard) -> Result<&Arc<Shard>, Refused> {
        self.shards.get(shard.database).ok_or(Refused::NoSuchShard)
    }
}

impl NewPlace<'_> {
    /// Executes an insert that selects from `w`, in the order of `w.place`, in the transaction that
    /// moves the place. It has parameters of its own, as many as `bound`. Returns false if the place
    /// is another's or another by now, or another server answers; nothing is added then.
    pub(super) async fn insert(
        &self,
        database: &Database,
        insert: &str,
        bound: usize,
        on_conflict: &str,
        bind: impl FnOnce(Statement<'static>) -> Statement<'static>,
    ) -> Result<bool, Refused> {
        let [consumer, owner, shard, position, server, after] =
            [1, 2, 3, 4, 5, 6].map(|more| bound + more);
        let write = format!(
            "with mine as (
                update fairline.outbox_cursor set position = greatest(position, ${position})
                where consumer = ${consumer} and owner = ${owner} and shard = ${shard} and {SERVER} = ${server}
                    and (${after}::bigint is null or position = ${after}) returning 1
            ), added as ({insert} where exists (select from mine) order by w.place on conflict {on_conflict})
            select 1 from mine"
        );
        let write = bind(query(AssertSqlSafe(write)))
            .bind(self.consumer.to_owned())
            .bind(self.owner.to_owned())
            .bind(self.shard.number)
            .bind(self.position)
            .bind(self.shard.server)
            .bind(self.after);
        Ok(database.fetch_optional(write).await?.is_some())
    }
}

#[async_trait]
impl Outbox for Postgres {
    async fn lease(&self, consumer: &str, owner: &str) -> Result<Vec<OutboxLease>, Refused> {
        let databases = self.shards.iter().enumerate();
        let leasing = databases.map(|(database, shard)| async move {
            let now = shard.clock.now();
            let lease = format!(
                "select shard, position, {SERVER} from fairline.lease_outbox($1, $2, $3, $4)"
            );
            let lease = query(AssertSqlSafe(lease))
                .bind(consumer)
                .bind(owner)
                .bind(now.0)
                .bind(now.plus_seconds(LEASE_SECONDS).0);
            let rows = shard.reader().fetch(lease).await?;
            let leased = rows.iter().map(|row| OutboxLease {
                shard: OutboxShard {
                    database,
                    number: row.get(0),
                    server: row.get(2),
                },
                position: row.get(1),
            });
            Ok(leased.collect::<Vec<_>>())
        });
        Ok(at_least_one(join_all(leasing).await)?.concat())
    }

    async fn read(
        &self,
        shard: OutboxShard,
        after: i64,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, Refused> {
        // A row also where there is no event: it says which server answers.
        let select = format!(
            "select position, id, event, aggregatetype, aggregateid, type, payload::text, traceparent, at, {SERVER}
            from (values (1)) as one left join fairline.read_outbox($1, $2, $3) on true order by position"
        );
        let select = query(AssertSqlSafe(select))
            .bind(shard.number)
            .bind(after)
            .bind(limit.min(OUTBOX_ROWS_MAX) as i32);
        let rows = self.database_of(shard)?.reader().fetch(select).await?;
        if rows.iter().any(|row| row.get::<i64, _>(9) != shard.server) {
            return Err(Refused::NoSuchShard);
        }
        let events = rows
            .iter()
            .filter(|row| row.get::<Option<i64>, _>(0).is_some());
        Ok(events.map(read_row).collect())
    }

    async fn acknowledge(
        &self,
        consumer: &str,
        owner: &str,
        shard: OutboxShard,
        position: i64,
    ) -> Result<bool, Refused> {
        let update = format!(
            "update fairline.outbox_cursor set position = greatest(position, $4)
            where consumer = $1 and shard = $3 and owner = $2 and {SERVER} = $5 returning 1"
        );
        let update = query(AssertSqlSafe(update))
            .bind(consumer)
            .bind(owner)
            .bind(shard.number)
            .bind(position)
            .bind(shard.server);
        let row = self.database_of(shard)?.reader().fetch_optional(update);
        Ok(row.await?.is_some())
    }

    async fn release(&self, consumer: &str, owner: &str) -> Result<(), Refused> {
        let update = "with gone as (
                update fairline.outbox_owner set until = $3 where consumer = $1 and owner = $2)
            update fairline.outbox_cursor set owner = null where consumer = $1 and owner = $2";
        let update = |now: Time| query(update).bind(consumer).bind(owner).bind(now.0);
        self.fetch_each(update).await.map(drop)
    }

    async fn state(&self, consumer: &str) -> Result<OutboxState, Refused> {
        let counting = self.shards.iter().map(|shard| async move {
            let count = query(STATE)
                .bind(consumer)
                .bind(UNSENT_MAX as i64 / i64::from(SHARDS));
            let row = shard.lister.fetch_optional(count).await?;
            let (unsent, oldest) = row.map_or((0, None), |row| (row.get(0), row.get(1)));
            let age_ms = oldest.map_or(0, |at: i64| shard.clock.now().0 - at);
            Ok((unsent, age_ms))
        });
        let counted: Vec<(i64, i64)> = at_least_one(join_all(counting).await)?;
        let unsent: i64 = counted.iter().map(|(unsent, _)| unsent).sum();
        let age_ms = counted.iter().map(|(_, age_ms)| *age_ms).max();
        Ok(OutboxState {
            unsent: (unsent as u64).min(UNSENT_MAX),
            oldest_seconds: age_ms.unwrap_or(0).max(0) as u64 / 1000,
        })
    }

    async fn newest(&self) -> Result<Vec<(OutboxShard, i64)>, Refused> {
        let databases = self.shards.iter().enumerate();
        let asking = databases.map(|(database, shard)| async move {
            let select = format!("select fairline.outbox_horizon(), {SERVER}");
            let select = query(AssertSqlSafe(select));
            let row = shard.reader().fetch_optional(select).await?;
            let (position, server) = row.map_or((0, 0), |row| (row.get(0), row.get(1)));
            let shards = (0..SHARDS).map(|number| OutboxShard {
                database,
                number,
                server,
            });
            Ok(shards.map(|shard| (shard, position)).collect::<Vec<_>>())
        });
        Ok(at_least_one(join_all(asking).await)?.concat())
    }

    async fn purge(&self, kept_ms: i64, waits_for: &[&str]) -> Result<bool, Refused> {
        let purge = |now: Time| {
            let purge = query(PURGE).bind(now.0 - kept_ms);
            purge.bind(PURGE_MAX).bind(waits_for)
        };
        let rows = self.fetch_each(purge).await?;
        let delete = "delete from fairline.outbox_owner where until < $1";
        self.fetch_each(|now: Time| query(delete).bind(now.0 - kept_ms))
            .await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) > 0))
    }
}

fn read_row(row: &PgRow) -> OutboxRow {
    OutboxRow {
        position: row.get(0),
        id: row.get(1),
        event: row.get(2),
        aggregate_type: row.get(3),
        aggregate_id: row.get(4),
        event_type: row.get(5),
        payload: row.get(6),
        traceparent: row.get(7),
        at: Time(row.get(8)),
    }
}

impl Writer {
    /// Tells that the event is sold out, or is on sale again, if it looks so in memory and was not
    /// told.
    pub(super) async fn tell_sold_out(&mut self) {
        let Some(cache) = &self.cache else { return };
        // Seats that come back after the show was cancelled are not on sale.
        if cache.event_state.is_cancelled() {
            return;
        }
        let is_sold_out = cache.event_state.is_sold_out();
        if self.is_told_sold_out == Some(is_sold_out) {
            return;
        }
        match tell_sold_out(&self.shard, &self.handle.event, is_sold_out).await {
            Ok(told) => self.is_told_sold_out = told,
            Err(error) => error.log(),
        }
    }
}

/// Returns what was told last; `None` if there is no such event.
async fn tell_sold_out(
    shard: &Shard,
    event: &shared::ids::EventId,
    is_sold_out: bool,
) -> Result<Option<bool>, QueryError> {
    let event_type = EventType::of_sale(is_sold_out);
    let entry = about_event(event_type, event, None, shard.clock.now());
    let tell = query("select fairline.tell_sold_out($1, $2, $3, $4, $5, null, $6)")
        .bind(event.as_str())
        .bind(is_sold_out)
        .bind(&entry.id)
        .bind(event_type.as_str())
        .bind(&entry.payload)
        .bind(entry.at.0);
    let row = shard.reader().fetch_optional(tell).await?;
    Ok(row.and_then(|row| row.get(0)))
}

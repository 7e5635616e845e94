//! Several databases: which one holds an event, and how an event moves while it is not on sale. The
//! catalogue is in the first. An event that it does not name is in the first too, as when there was
//! no other.

use super::Postgres;
use super::database::{Database, QueryError, Statement};
use super::engine::at_least_one;
use super::shard::Shard;
use crate::inventory::model::*;
use futures_util::future::{join_all, try_join_all};
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};
use std::sync::Arc;

/// Rows that are copied at one time.
const ROWS_MAX: i64 = 2_000;

/// Tables of an event in the order of copying, with the columns that identify their rows.
const TABLES: [(&str, &str); 10] = [
    ("event", "event"),
    ("seat", "seat"),
    ("session", "key"),
    ("hold", "visitor, number"),
    ("orders", "id"),
    ("payment", "order_id, attempt"),
    ("ticket", "seat"),
    ("void_ticket", "id"),
    ("invoice", "kind, order_id, tag, number"),
    ("answer", "id"),
];

impl Postgres {
    fn first(&self) -> &Arc<Shard> {
        &self.shards[0]
    }

    /// Executes the same statement on every database, at the time of each.
    pub(super) async fn fetch_each<'q>(
        &self,
        query: impl Fn(Time) -> Statement<'q>,
    ) -> Result<Vec<PgRow>, Refused> {
        self.fetch_each_by(Shard::reader, query).await
    }

    /// As `fetch_each`, with the connections of another pool.
    pub(super) async fn fetch_each_by<'q>(
        &self,
        pool: impl Fn(&Shard) -> &Database,
        query: impl Fn(Time) -> Statement<'q>,
    ) -> Result<Vec<PgRow>, Refused> {
        let shards = self.shards.iter();
        let fetching = shards.map(|shard| pool(shard).fetch(query(shard.clock.now())));
        let rows = at_least_one(join_all(fetching).await)?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// As `fetch_each`, and fails if any database does, so that none is left out.
    pub(super) async fn fetch_all<'q>(
        &self,
        query: impl Fn(Time) -> Statement<'q>,
    ) -> Result<Vec<PgRow>, Refused> {
        let shards = self.shards.iter();
        let fetching = shards.map(|shard| shard.reader().fetch(query(shard.clock.now())));
        Ok(try_join_all(fetching)
            .await?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Executes a statement on the first database that answers, as any of them will do.
    pub(super) async fn fetch_anywhere<'q>(
        &self,
        pool: impl Fn(&Shard) -> &Database,
        statement: impl Fn(&Shard) -> Statement<'q>,
    ) -> Result<Vec<PgRow>, Refused> {
        let mut refused = Unavailable.into();
        for shard in &self.shards {
            match pool(shard).fetch(statement(shard)).await {
                Ok(rows) => return Ok(rows),
                Err(error) => refused = error.into(),
            }
        }
        Err(refused)
    }

    /// Returns the database that holds an event, or would hold it.
    pub(super) async fn shard_of(&self, event: &EventId) -> Result<Arc<Shard>, Refused> {
        if let Some(handle) = self.known(event) {
            return Ok(handle.shard.clone());
        }
        if self.shards.len() == 1 {
            return Ok(self.first().clone());
        }
        let select = "select shard from fairline.catalogue where event = $1";
        let select = query(select).bind(event.as_str());
        let Some(row) = self.first().reader().fetch_optional(select).await? else {
            return Ok(self.first().clone());
        };
        self.shard(row.get(0))
    }

    fn shard(&self, id: &str) -> Result<Arc<Shard>, Refused> {
        let shard = self.shards.iter().find(|shard| shard.id() == id);
        shard.cloned().ok_or(Refused::NoSuchShard)
    }

    /// Returns the database for a new event: the one with the fewest.
    pub(super) async fn place(&self, event: &EventId) -> Result<Arc<Shard>, Refused> {
        if self.shards.len() == 1 {
            return Ok(self.first().clone());
        }
        let events = |shard: &&Arc<Shard>| {
            let handles = self.all();
            let own = handles
                .iter()
                .filter(|handle| Arc::ptr_eq(&handle.shard, shard));
            own.count()
        };
        let fewest = self.shards.iter().min_by_key(events);
        let fewest = fewest.unwrap_or_else(|| self.first());
        // Of two nodes that do this at once, one decides.
        let place =
            "insert into fairline.catalogue (event, shard) values ($1, $2) on conflict do nothing";
        let place = query(place).bind(event.as_str()).bind(fewest.id());
        self.first().reader().fetch(place).await?;
        self.shard_of(event).await
    }

    pub(super) async fn list_shards(&self) -> Result<Vec<ShardView>, Refused> {
        let handles = self.all();
        let view = |shard: &Arc<Shard>| {
            let own = handles
                .iter()
                .filter(|handle| Arc::ptr_eq(&handle.shard, shard));
            ShardView {
                id: shard.id(),
                database: shard.name.clone(),
                is_away: shard.reader().is_away(),
                events: own.map(|handle| handle.event.clone()).collect(),
            }
        };
        Ok(self.shards.iter().map(view).collect())
    }

    /// Moves an event. A move that was interrupted is completed by repeating the request.
    pub(super) async fn move_to(&self, event: &EventId, to: &str) -> Result<(), Refused> {
        let to = self.shard(to)?;
        let from = self.shard_of(event).await?;
        let id = event.as_str();
        if !Arc::ptr_eq(&from, &to) {
            self.bring(&from, &to, id).await?;
        }
        // The catalogue has its new place, so rows elsewhere are leftovers. A repeated request does
        // this again.
        let arrive = query("select fairline.arrive($1)").bind(id);
        to.slow.fetch(arrive).await?;
        for other in self.shards.iter().filter(|shard| !Arc::ptr_eq(shard, &to)) {
            clear(other, id).await?;
        }
        self.forget(event);
        let handle = self.handle(event).await?;
        handle.map(|_| ()).ok_or(Refused::NoSuchEvent)
    }

    /// Copies an event and enters its new place.
    async fn bring(&self, from: &Shard, to: &Shard, id: &str) -> Result<(), Refused> {
        let begin = query("select fairline.begin_move($1, $2)");
        let begin = begin.bind(id).bind(from.clock.now().0);
        let row = from.slow.fetch_optional(begin).await?;
        match row.and_then(|row| row.get::<Option<bool>, _>(0)) {
            None => return Err(Refused::NoSuchEvent),
            Some(false) => return Err(Refused::OnSale),
            Some(true) => {}
        }
        if let Err(error) = copy(from, to, id).await {
            let end = query("select fairline.end_move($1)").bind(id);
            let _ = from.reader().fetch(end).await;
            return Err(error.into());
        }
        let place = "insert into fairline.catalogue (event, shard) values ($1, $2)
            on conflict (event) do update set shard = excluded.shard";
        let place = query(place).bind(id).bind(to.id());
        self.first().reader().fetch(place).await?;
        Ok(())
    }
}

/// Deletes all rows of an event.
async fn clear(shard: &Shard, id: &str) -> Result<(), QueryError> {
    let invoices = query("delete from fairline.invoice where event = $1").bind(id);
    shard.slow.fetch(invoices).await?;
    let clear = query("select fairline.clear($1)").bind(id);
    shard.slow.fetch(clear).await.map(drop)
}

/// Copies all rows of an event, after deleting what an earlier attempt left.
async fn copy(from: &Shard, to: &Shard, id: &str) -> Result<(), QueryError> {
    clear(to, id).await?;
    for (table, order) in TABLES {
        let mut offset = 0_i64;
        loop {
            let select = AssertSqlSafe(format!(
                "select coalesce(json_agg(t), '[]')::text, count(*) from
                 (select * from fairline.{table} where event = $1 order by {order} offset $2 limit $3) t"
            ));
            let select = query(select).bind(id).bind(offset).bind(ROWS_MAX);
            let row = from.slow.fetch_optional(select).await?;
            let count: i64 = row.as_ref().map_or(0, |row| row.get(1));
            if let Some(row) = row.filter(|_| count > 0) {
                let insert = AssertSqlSafe(format!(
                    "insert into fairline.{table} select * from json_populate_recordset(null::fairline.{table}, $1::text::json)"
                ));
                to.slow
                    .fetch(query(insert).bind(row.get::<&str, _>(0)))
                    .await?;
            }
            offset += count;
            if count < ROWS_MAX {
                break;
            }
        }
    }
    Ok(())
}

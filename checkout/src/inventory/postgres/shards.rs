//! Several databases: which one holds an event, and how an event moves while it is not on sale. The catalogue is in the first;
//! what it does not name is in the first too, as it was when there was no other.

use super::connection::{Failed, Param};
use super::{Postgres, Shard};
use crate::inventory::model::*;
use shared::ids::EventId;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Rows that are copied at one time.
const ROWS_MAX: i64 = 2_000;

/// Tables of an event in the order of copying, with the columns that identify their rows.
const TABLES: [(&str, &str); 8] = [
    ("event", "event"),
    ("seat", "seat"),
    ("session", "key"),
    ("hold", "visitor, number"),
    ("orders", "id"),
    ("payment", "order_id, attempt"),
    ("ticket", "seat"),
    ("answer", "id"),
];

impl Postgres {
    fn first(&self) -> &Arc<Shard> {
        &self.shards[0]
    }

    /// The database that holds an event, or would.
    pub(super) async fn shard_of(&self, event: &EventId) -> Result<Arc<Shard>, Refused> {
        if let Some(handle) = self.known(event) {
            return Ok(handle.shard.clone());
        }
        if self.shards.len() == 1 {
            return Ok(self.first().clone());
        }
        let id = event.as_str();
        let select = "select shard from fairline.catalogue where event = $1";
        let rows = self
            .first()
            .reader()
            .ask(select, &[(&id, Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
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
        let (id, shard) = (event.as_str(), fewest.id());
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&shard, Type::TEXT)];
        // Two nodes at once: one place.
        let place =
            "insert into fairline.catalogue (event, shard) values ($1, $2) on conflict do nothing";
        self.first().reader().ask(place, &params).await?;
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

    /// Moves an event. A move that was cut short is completed by asking again.
    pub(super) async fn move_to(&self, event: &EventId, to: &str) -> Result<(), Refused> {
        let to = self.shard(to)?;
        let from = self.shard_of(event).await?;
        let id = event.as_str();
        if !Arc::ptr_eq(&from, &to) {
            self.bring(&from, &to, id).await?;
        }
        // The catalogue says that it is there: what is elsewhere is only in the way. Who asks again does this again.
        let key: [Param<'_>; 1] = [(&id, Type::TEXT)];
        let arrive = "select fairline.arrive($1)";
        to.slow.ask(arrive, &key).await?;
        for other in self.shards.iter().filter(|shard| !Arc::ptr_eq(shard, &to)) {
            other.slow.ask("select fairline.clear($1)", &key).await?;
        }
        self.forget(event);
        let handle = self.handle(event).await?;
        handle.map(|_| ()).ok_or(Refused::NoSuchEvent)
    }

    /// Copies an event and enters its new place.
    async fn bring(&self, from: &Shard, to: &Shard, id: &str) -> Result<(), Refused> {
        let key: [Param<'_>; 1] = [(&id, Type::TEXT)];
        let now = from.clock.now().0;
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&now, Type::INT8)];
        let begin = "select fairline.begin_move($1, $2)";
        let rows = from.slow.ask(begin, &params).await?;
        match rows.first().and_then(|row| row.get::<_, Option<bool>>(0)) {
            None => return Err(Refused::NoSuchEvent),
            Some(false) => return Err(Refused::OnSale),
            Some(true) => {}
        }
        if let Err(failed) = copy(from, to, id).await {
            let end = "select fairline.end_move($1)";
            let _ = from.reader().ask(end, &key).await;
            return Err(failed.into());
        }
        let shard = to.id();
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&shard, Type::TEXT)];
        let place = "insert into fairline.catalogue (event, shard) values ($1, $2)
            on conflict (event) do update set shard = excluded.shard";
        self.first().reader().ask(place, &params).await?;
        Ok(())
    }
}

/// Copies all rows of an event, after removing what an earlier try left.
async fn copy(from: &Shard, to: &Shard, id: &str) -> Result<(), Failed> {
    let key: [Param<'_>; 1] = [(&id, Type::TEXT)];
    to.slow.ask("select fairline.clear($1)", &key).await?;
    for (table, order) in TABLES {
        let mut offset = 0_i64;
        loop {
            let select = format!(
                "select coalesce(json_agg(t), '[]')::text, count(*) from
                 (select * from fairline.{table} where event = $1 order by {order} offset $2 limit $3) t"
            );
            let params: [Param<'_>; 3] = [
                (&id, Type::TEXT),
                (&offset, Type::INT8),
                (&ROWS_MAX, Type::INT8),
            ];
            let rows = from.slow.ask(&select, &params).await?;
            let (text, count): (String, i64) = rows
                .first()
                .map_or((String::new(), 0), |row| (row.get(0), row.get(1)));
            if count > 0 {
                let insert = format!(
                    "insert into fairline.{table} select * from json_populate_recordset(null::fairline.{table}, $1::text::json)"
                );
                to.slow.ask(&insert, &[(&text, Type::TEXT)]).await?;
            }
            offset += count;
            if count < ROWS_MAX {
                break;
            }
        }
    }
    Ok(())
}

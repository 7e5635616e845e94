//! Subscriptions of fans in line, in Postgres: kept in the database of the event, and looked for in all,
//! as events move between them.

use super::Postgres;
use super::database::Statement;
use super::engine::at_least_one;
use super::shard::Shard;
use crate::inventory::line_mail::InLine;
use crate::inventory::line_push::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use shared::ids::EventId;
use shared::line_push::LinePush;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};

const KEEP: &str =
    "insert into fairline.line_push (event, visitor, subscription, created_at) values ($1, $2, $3, $4)
    on conflict (event, visitor) do update set subscription = excluded.subscription,
        created_at = excluded.created_at, claim_by = null, next_at = null, attempts = 0";

const FIND: &str =
    "select event, visitor, subscription from fairline.line_push where event = $1 and visitor = $2";

const REMOVE: &str = "delete from fairline.line_push where event = $1 and visitor = $2";

const CALL: &str = "update fairline.line_push p set claim_by = w.claim_by, next_at = $4
    from unnest($1::text[], $2::text[], $3::bigint[]) as w(event, visitor, claim_by)
    where p.event = w.event and p.visitor = w.visitor and p.claim_by is null";

/// Materialized, as each claim of a limited number here.
const CLAIM: &str = "with due as materialized (
        select event, visitor from fairline.line_push where next_at <= $1
        order by next_at limit $3 for update skip locked)
    update fairline.line_push p set attempts = p.attempts + 1, next_at = $1 + $2 from due
    where p.event = due.event and p.visitor = due.visitor
    returning p.event, p.visitor, p.subscription, p.claim_by, p.attempts";

const PURGE: &str = "with gone as (delete from fairline.line_push where (event, visitor) in
        (select event, visitor from fairline.line_push
            where created_at <= $1 and ($2::text is null or event = $2) and coalesce(claim_by, 0) <= $4 limit $3)
        returning 1)
    select count(*) from gone";

#[async_trait]
impl LinePushStore for Postgres {
    async fn keep(&self, place: &InLine, push: &LinePush) -> Result<(), Refused> {
        let shard = self.shard_of(&place.event).await?;
        // One that was left before the event moved is in another database.
        self.remove(place).await?;
        let column = seal_push(&shard.keys, place, push);
        let keep = named(KEEP, place).bind(column).bind(shard.clock.now().0);
        shard.reader().fetch(keep).await?;
        Ok(())
    }

    async fn find(&self, place: &InLine) -> Result<Option<LinePush>, Refused> {
        let rows = self.fetch_each(|_| named(FIND, place)).await?;
        let keys = &self.shards[0].keys;
        let mut found = rows
            .iter()
            .filter_map(|row| open_push(keys, place, row.get(2)));
        Ok(found.next())
    }

    async fn remove(&self, place: &InLine) -> Result<(), Refused> {
        self.fetch_each(|_| named(REMOVE, place)).await?;
        Ok(())
    }

    async fn call(&self, turns: Vec<(InLine, Time)>) -> Result<(), Refused> {
        let events: Vec<&str> = turns
            .iter()
            .map(|(place, _)| place.event.as_str())
            .collect();
        let visitors = turns.iter().map(|(place, _)| place.visitor.to_string());
        let visitors: Vec<String> = visitors.collect();
        let claim_by: Vec<i64> = turns.iter().map(|(_, claim_by)| claim_by.0).collect();
        let each = self.shards.iter().map(|shard| {
            let call = query(CALL).bind(events.clone()).bind(visitors.clone());
            let call = call.bind(claim_by.clone()).bind(shard.clock.now().0);
            shard.reader().fetch(call)
        });
        // All of them: the place in the outbox moves after this.
        try_join_all(each).await?;
        Ok(())
    }

    async fn claim(&self, limit: u32, lease_ms: i64) -> Result<Vec<QueuedPush>, Refused> {
        let databases = self.shards.iter().enumerate();
        let claiming = databases.map(|(database, shard)| async move {
            let claim = query(CLAIM).bind(shard.clock.now().0).bind(lease_ms);
            let rows = shard.reader().fetch(claim.bind(i64::from(limit))).await?;
            let read = |row: &PgRow| read_push(database, shard, row);
            Ok(rows.iter().filter_map(read).collect::<Vec<_>>())
        });
        Ok(at_least_one(join_all(claiming).await)?.concat())
    }

    async fn settle(&self, push: &QueuedPush, again_at: Option<Time>) -> Result<(), Refused> {
        let shard = self.shards.get(push.database).ok_or(Refused::NoSuchShard)?;
        let statement = match again_at {
            Some(at) => named(
                "update fairline.line_push set next_at = $4 where event = $1 and visitor = $2 and attempts = $3",
                &push.place,
            )
            .bind(push.attempts)
            .bind(at.0),
            None => named(
                "delete from fairline.line_push where event = $1 and visitor = $2 and attempts = $3",
                &push.place,
            )
            .bind(push.attempts),
        };
        shard.reader().fetch(statement).await?;
        Ok(())
    }

    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused> {
        let event = event.map(EventId::as_str);
        let most = LINE_PUSHES_MAX as i64;
        let purge = |now: Time| {
            let purge = query(PURGE).bind(now.0 - kept_ms).bind(event);
            purge.bind(most).bind(now.0)
        };
        let rows = self.fetch_each(purge).await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) == most))
    }
}

/// Begins a statement about a place.
fn named<'q>(statement: &'static str, place: &InLine) -> Statement<'q> {
    query(statement)
        .bind(place.event.as_str().to_owned())
        .bind(place.visitor.to_string())
}

/// Reads a message that was taken; none if its names are none.
fn read_push(database: usize, shard: &Shard, row: &PgRow) -> Option<QueuedPush> {
    let place = InLine::parse(row.get(0), row.get(1))?;
    Some(QueuedPush {
        database,
        push: open_push(&shard.keys, &place, row.get(2)),
        place,
        claim_by: Time(row.get(3)),
        attempts: row.get(4),
    })
}

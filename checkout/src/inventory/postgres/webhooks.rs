//! Webhooks in Postgres. The endpoints are in the first database, and their deliveries in that of the
//! event; each is taken by one node, until its time is over.

use super::Postgres;
use super::database::Statement;
use super::engine::at_least_one;
use super::shard::Shard;
use crate::inventory::model::*;
use crate::inventory::outbox::{NewPlace, OutboxShard};
use crate::inventory::webhooks::*;
use async_trait::async_trait;
use futures_util::future::join_all;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};
use std::collections::{HashMap, HashSet};

const NEW: &str = "insert into fairline.webhook_delivery
        (endpoint, id, event, type, aggregate, body, in_order, next_at, created_at, queued_at)
    select w.endpoint, w.id, w.event, w.type, w.aggregate, w.body, w.in_order, $9, w.created_at, $9
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::bigint[])
        with ordinality as w(endpoint, id, event, type, aggregate, body, in_order, created_at, place)";

/// Number of its parameters.
const NEW_BOUND: usize = 9;

/// Materialized, as a plan that reads the rows due a second time would skip those that it has locked, and take more.
const CLAIM: &str = "with due as materialized (
        select k.number from unnest($3::text[], $4::bigint[]) as r(endpoint, room) cross join lateral (
            select d.number from fairline.webhook_delivery d
            where d.endpoint = r.endpoint and d.state = 0 and d.next_at <= $1 and (not d.in_order or not exists (
                select from fairline.webhook_delivery e where e.endpoint = d.endpoint and e.aggregate = d.aggregate
                    and e.number < d.number and e.state = 0 and e.in_order))
            order by d.next_at limit r.room for update skip locked) k)
    update fairline.webhook_delivery m set attempts = m.attempts + 1, next_at = $1 + $2 from due
    where m.number = due.number and m.state = 0
    returning m.number, m.endpoint, m.id, m.body, m.attempts, m.queued_at";

const SETTLE: &str = "update fairline.webhook_delivery
    set state = $3, next_at = coalesce($4, next_at), status = $5, answer = $6, done_at = case when $3 = 0 then null else $7 end
    where number = $1 and attempts = $2 and state = 0";

/// Deletes deliveries by the index on `done_at`, each kind by its own time.
const DONE: &str = "with gone as (delete from fairline.webhook_delivery where number in (
        (select number from fairline.webhook_delivery where state = 1 and done_at < $1 order by done_at limit $3)
        union all (select number from fairline.webhook_delivery where state = 2 and done_at < $2 order by done_at limit $3)
        limit $3) returning 1)
    select count(*) from gone";

/// Names the endpoints of deliveries, by one step in an index for each.
const NAMED: &str = "with recursive named (id) as (
        select min(endpoint) from fairline.webhook_delivery
        union all select (select min(d.endpoint) from fairline.webhook_delivery d where d.endpoint > n.id)
            from named n where n.id is not null)
    select id from named where id is not null limit $1";
/// Largest number of them that is looked at.
const NAMED_MAX: i64 = 1_000;

/// Counts by the index of deliveries that wait, which has their times.
const BACKLOG: &str =
    "select r.endpoint, c.waiting, c.oldest from unnest($1::text[]) as r(endpoint) cross join lateral (
        select count(*) as waiting, min(queued_at) as oldest from (
            select queued_at from fairline.webhook_delivery d
            where d.endpoint = r.endpoint and d.state = 0 order by queued_at limit $2) d) c";

/// Deletes deliveries to endpoints that are gone.
const REMOVED: &str = "with gone as (delete from fairline.webhook_delivery where number in (
        select d.number from unnest($1::text[]) as r(endpoint) cross join lateral (
            select number from fairline.webhook_delivery d
            where d.endpoint = r.endpoint order by created_at limit $2) d limit $2) returning 1)
    select count(*) from gone";

#[async_trait]
impl WebhookStore for Postgres {
    async fn endpoints(&self) -> Result<Vec<WebhookEndpoint>, Refused> {
        let select = "select id, settings, version, state, reason, created_at, since, failing_since
            from fairline.webhook_endpoint order by created_at, id";
        let first = &self.shards[0];
        let rows = first.webhooks.fetch(query(select)).await?;
        Ok(rows.iter().map(|row| read_endpoint(first, row)).collect())
    }

    async fn add_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<bool, Refused> {
        let insert = "insert into fairline.webhook_endpoint (id, settings, state, created_at, since)
            select $1, $2, $3, $4, $5 where (select count(*) from fairline.webhook_endpoint) < $6 returning 1";
        let first = &self.shards[0];
        let insert = query(insert)
            .bind(&endpoint.id)
            .bind(seal_settings(&first.keys, endpoint))
            .bind(endpoint.state.number())
            .bind(endpoint.created_at.0)
            .bind(endpoint.since.0)
            .bind(ENDPOINTS_MAX);
        let row = first.webhooks.fetch_optional(insert).await?;
        Ok(row.is_some())
    }

    async fn change_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<bool, Refused> {
        let update =
            "update fairline.webhook_endpoint set settings = $2, version = version + 1, state = $3,
                reason = $4, since = $5, failing_since = $6
            where id = $1 and version = $7 returning 1";
        let first = &self.shards[0];
        let update = query(update)
            .bind(&endpoint.id)
            .bind(seal_settings(&first.keys, endpoint))
            .bind(endpoint.state.number())
            .bind(&endpoint.reason)
            .bind(endpoint.since.0)
            .bind(endpoint.failing_since.map(|at| at.0))
            .bind(endpoint.version);
        let row = first.webhooks.fetch_optional(update).await?;
        Ok(row.is_some())
    }

    async fn remove_endpoint(&self, endpoint: &str) -> Result<bool, Refused> {
        let delete = query("delete from fairline.webhook_endpoint where id = $1 returning 1");
        let row = self.shards[0]
            .webhooks
            .fetch_optional(delete.bind(endpoint));
        Ok(row.await?.is_some())
    }

    async fn note_endpoint(
        &self,
        endpoint: &WebhookEndpoint,
        note: &EndpointNote,
    ) -> Result<bool, Refused> {
        let first = &self.shards[0];
        let note = match note {
            EndpointNote::Succeeded => query(
                "update fairline.webhook_endpoint set failing_since = null
                where id = $1 and version = $2 and failing_since is not null returning 1",
            )
            .bind(&endpoint.id)
            .bind(endpoint.version),
            EndpointNote::Failed => query(
                "update fairline.webhook_endpoint set failing_since = $3
                where id = $1 and version = $2 and failing_since is null returning 1",
            )
            .bind(&endpoint.id)
            .bind(endpoint.version)
            .bind(first.clock.now().0),
            EndpointNote::Disabled(reason) => query(
                "update fairline.webhook_endpoint set state = 2, version = version + 1, reason = $3
                where id = $1 and version = $2 and state = 0 returning 1",
            )
            .bind(&endpoint.id)
            .bind(endpoint.version)
            .bind(reason),
        };
        Ok(first.webhooks.fetch_optional(note).await?.is_some())
    }

    async fn take_in(
        &self,
        consumer: &str,
        owner: &str,
        shard: OutboxShard,
        position: i64,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, Refused> {
        let database = self.database_of(shard)?;
        let place = NewPlace {
            consumer,
            owner,
            shard,
            after: None,
            position,
        };
        let (columns, now) = (DeliveryColumns::of(&deliveries), database.clock.now());
        let bind = |insert| columns.bind(insert, now);
        place
            .insert(&database.webhooks, NEW, NEW_BOUND, "do nothing", bind)
            .await
    }

    async fn add_delivery(&self, delivery: NewDelivery) -> Result<(), Refused> {
        let deliveries = [delivery];
        let insert = |shard: &Shard| {
            let insert = query(AssertSqlSafe(format!("{NEW} on conflict do nothing")));
            DeliveryColumns::of(&deliveries).bind(insert, shard.clock.now())
        };
        self.fetch_anywhere(|shard| &shard.webhooks, insert).await?;
        Ok(())
    }

    async fn claim(
        &self,
        rooms: &[(String, u32)],
        lease_ms: i64,
    ) -> Result<Vec<QueuedDelivery>, Refused> {
        let (endpoints, rooms): (Vec<String>, Vec<i64>) = rooms
            .iter()
            .map(|(endpoint, room)| (endpoint.clone(), i64::from(*room)))
            .unzip();
        let databases = self.shards.iter().enumerate();
        let claiming = databases.map(|(database, shard)| {
            let claim = query(CLAIM).bind(shard.clock.now().0).bind(lease_ms);
            let claim = claim.bind(endpoints.clone()).bind(rooms.clone());
            async move {
                let rows = shard.webhooks.fetch(claim).await?;
                let read = |row: &PgRow| read_delivery(database, row);
                Ok(rows.iter().map(read).collect::<Vec<_>>())
            }
        });
        Ok(at_least_one(join_all(claiming).await)?.concat())
    }

    async fn settle(
        &self,
        delivery: &QueuedDelivery,
        outcome: &DeliveryOutcome,
    ) -> Result<(), Refused> {
        let shard = self.shards.get(delivery.database);
        let shard = shard.ok_or(Refused::NoSuchShard)?;
        let (state, next_at) = outcome.next.columns();
        let settle = query(SETTLE)
            .bind(delivery.number)
            .bind(delivery.attempts)
            .bind(state)
            .bind(next_at)
            .bind(outcome.status.map(u16::cast_signed))
            .bind(outcome.answer.clone())
            .bind(shard.clock.now().0);
        shard.webhooks.fetch(settle).await?;
        Ok(())
    }

    async fn deliveries(
        &self,
        endpoint: &str,
        after: Option<DeliveryCursor>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, Refused> {
        let select =
            "select id, event, type, state, attempts, created_at, next_at, done_at, status, answer
            from fairline.webhook_delivery where endpoint = $1 and (created_at, id) < ($2, $3)
            order by created_at desc, id desc limit $4";
        let limit = limit.min(DELIVERIES_MAX);
        let (before, id) = after.map_or((i64::MAX, String::new()), |after| {
            (after.created_at.0, after.id)
        });
        let select = |_: Time| {
            let select = query(select).bind(endpoint).bind(before);
            select.bind(id.clone()).bind(i64::from(limit))
        };
        let rows = self.fetch_deliveries(select).await?;
        let mut records: Vec<DeliveryRecord> = rows.iter().map(read_record).collect();
        records.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        records.truncate(limit as usize);
        Ok(records)
    }

    async fn resend(&self, endpoint: &str, id: &str) -> Result<bool, Refused> {
        let update = "update fairline.webhook_delivery set state = 0, in_order = false, attempts = 0, next_at = $3,
                queued_at = $3, done_at = null, status = null, answer = ''
            where endpoint = $1 and id = $2 and state > 0 returning 1";
        let update = |now: Time| query(update).bind(endpoint).bind(id).bind(now.0);
        Ok(!self.fetch_deliveries(update).await?.is_empty())
    }

    async fn backlog(&self, endpoints: &[String]) -> Result<Vec<EndpointBacklog>, Refused> {
        let counting = self.shards.iter().map(|shard| async move {
            let count = query(BACKLOG).bind(endpoints).bind(WAITING_MAX as i64);
            let rows = shard.lister.fetch(count).await?;
            let now = shard.clock.now();
            let read = |row: &PgRow| {
                let age_ms = row.get::<Option<i64>, _>(2).map_or(0, |at| now.0 - at);
                EndpointBacklog {
                    endpoint: row.get(0),
                    waiting: row.get::<i64, _>(1) as u64,
                    oldest_seconds: age_ms.max(0) as u64 / 1000,
                }
            };
            Ok(rows.iter().map(read).collect::<Vec<_>>())
        });
        let mut sums: HashMap<String, EndpointBacklog> = HashMap::new();
        for found in at_least_one(join_all(counting).await)?
            .into_iter()
            .flatten()
        {
            let sum = sums.entry(found.endpoint.clone()).or_default();
            sum.waiting = (sum.waiting + found.waiting).min(WAITING_MAX);
            sum.oldest_seconds = sum.oldest_seconds.max(found.oldest_seconds);
            sum.endpoint = found.endpoint;
        }
        Ok(sums.into_values().collect())
    }

    async fn purge_done(&self, made_kept_ms: i64, failed_kept_ms: i64) -> Result<bool, Refused> {
        let delete = |now: Time| {
            let delete = query(DONE).bind(now.0 - made_kept_ms);
            delete.bind(now.0 - failed_kept_ms).bind(PURGE_MAX)
        };
        let rows = self.fetch_deliveries(delete).await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) == PURGE_MAX))
    }

    async fn purge_removed(&self) -> Result<bool, Refused> {
        let rows = self
            .fetch_deliveries(|_| query(NAMED).bind(NAMED_MAX))
            .await?;
        let named: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        // Read after the deliveries: an endpoint that was added before one of them is among these.
        let known = self.endpoints().await?;
        let is_known = |id: &String| known.iter().any(|endpoint| endpoint.id == *id);
        let removed: Vec<String> = named.into_iter().filter(|id| !is_known(id)).collect();
        if removed.is_empty() {
            return Ok(false);
        }
        let delete = |_: Time| query(REMOVED).bind(removed.clone()).bind(PURGE_MAX);
        let rows = self.fetch_deliveries(delete).await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) > 0))
    }
}

impl Postgres {
    /// Executes the same statement on every database, at the time of each.
    async fn fetch_deliveries<'q>(
        &self,
        query: impl Fn(Time) -> Statement<'q>,
    ) -> Result<Vec<PgRow>, Refused> {
        self.fetch_each_by(|shard| &shard.webhooks, query).await
    }
}

/// Columns of new rows.
#[derive(Default)]
struct DeliveryColumns {
    endpoints: Vec<String>,
    ids: Vec<String>,
    events: Vec<String>,
    types: Vec<String>,
    aggregates: Vec<String>,
    bodies: Vec<String>,
    in_order: Vec<bool>,
    created_at: Vec<i64>,
}

impl DeliveryColumns {
    fn of(deliveries: &[NewDelivery]) -> DeliveryColumns {
        let mut columns = DeliveryColumns::default();
        for delivery in deliveries {
            columns.endpoints.push(delivery.endpoint.clone());
            columns.ids.push(delivery.id.clone());
            columns.events.push(delivery.event.clone());
            columns.types.push(delivery.event_type.clone());
            columns.aggregates.push(delivery.aggregate.clone());
            columns.bodies.push(delivery.body.clone());
            columns.in_order.push(delivery.in_order);
            columns.created_at.push(delivery.created_at.0);
        }
        columns
    }

    fn bind(self, statement: Statement<'_>, now: Time) -> Statement<'_> {
        statement
            .bind(self.endpoints)
            .bind(self.ids)
            .bind(self.events)
            .bind(self.types)
            .bind(self.aggregates)
            .bind(self.bodies)
            .bind(self.in_order)
            .bind(self.created_at)
            .bind(now.0)
    }
}

fn read_endpoint(first: &Shard, row: &PgRow) -> WebhookEndpoint {
    let (id, stored): (String, String) = (row.get(0), row.get(1));
    WebhookEndpoint {
        settings: open_settings(&first.keys, &id, &stored),
        is_current: first.keys.is_current(&stored),
        id,
        version: row.get(2),
        state: EndpointState::of(row.get(3)),
        reason: row.get(4),
        created_at: Time(row.get(5)),
        since: Time(row.get(6)),
        failing_since: row.get::<Option<i64>, _>(7).map(Time),
    }
}

fn read_delivery(database: usize, row: &PgRow) -> QueuedDelivery {
    QueuedDelivery {
        database,
        number: row.get(0),
        endpoint: row.get(1),
        id: row.get(2),
        body: row.get(3),
        attempts: row.get(4),
        queued_at: Time(row.get(5)),
    }
}

fn read_record(row: &PgRow) -> DeliveryRecord {
    let state = DeliveryState::of(row.get(3));
    let next_at = Some(Time(row.get(6)));
    DeliveryRecord {
        id: row.get(0),
        event: row.get(1),
        event_type: row.get(2),
        state,
        attempts: row.get(4),
        created_at: Time(row.get(5)),
        next_at: next_at.filter(|_| state == DeliveryState::Waiting),
        done_at: row.get::<Option<i64>, _>(7).map(Time),
        status: row.get::<Option<i16>, _>(8).map(i16::cast_unsigned),
        answer: row.get(9),
    }
}

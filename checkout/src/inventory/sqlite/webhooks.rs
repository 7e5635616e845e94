//! Webhooks in SQLite. What is due is looked for by a connection of its own, so that an idle look
//! writes nothing.

use super::{Sqlite, Step, Store};
use crate::inventory::commands::json;
use crate::inventory::model::*;
use crate::inventory::outbox::OutboxShard;
use crate::inventory::webhooks::*;
use async_trait::async_trait;
use rusqlite::{Row, params};
use shared::sealing::SealingKeys;
use shared::time::Time;

const DUE: &str = "select number from webhook_delivery d
    where endpoint = ?1 and state = 0 and next_at <= ?2 and (not in_order or not exists (
        select 1 from webhook_delivery e where e.endpoint = d.endpoint and e.aggregate = d.aggregate
            and e.number < d.number and e.state = 0 and e.in_order))
    order by next_at limit ?3";

const CLAIM: &str = "update webhook_delivery set attempts = attempts + 1, next_at = ?2
    where number = ?1 and state = 0 and next_at <= ?3
    returning number, endpoint, id, body, attempts, queued_at";

const DONE: &str = "select number from webhook_delivery where state = ?1 and done_at < ?2 limit ?3";

/// Finds the endpoints of deliveries by one step in an index for each, and the deliveries to those
/// that are gone.
const REMOVED: &str = "with recursive named (id) as (
        select min(endpoint) from webhook_delivery
        union all select (select min(d.endpoint) from webhook_delivery d where d.endpoint > n.id)
            from named n where n.id is not null)
    select d.number from named n cross join webhook_delivery d on d.endpoint = n.id
    where n.id not in (select id from webhook_endpoint) limit ?1";

/// Counts by the index of deliveries that wait, which has their times.
const BACKLOG: &str = "select count(*), min(queued_at) from (select queued_at from webhook_delivery
    where endpoint = ?1 and state = 0 order by queued_at limit ?2)";

#[async_trait]
impl WebhookStore for Sqlite {
    async fn endpoints(&self) -> Result<Vec<WebhookEndpoint>, Refused> {
        let keys = self.keys.clone();
        self.look(move |file| {
            let mut query = file.prepare(
                "select id, settings, version, state, reason, created_at, since, failing_since
                from webhook_endpoint order by created_at, id",
            )?;
            let rows = query.query_map([], |row| read_endpoint(&keys, row))?;
            rows.collect()
        })
        .await
    }

    async fn add_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<bool, Refused> {
        let endpoint = endpoint.clone();
        self.step(move |store, _| {
            store.write()?;
            let insert = "insert into webhook_endpoint (id, settings, state, created_at, since)
                select ?1, ?2, ?3, ?4, ?5 where (select count(*) from webhook_endpoint) < ?6";
            let rows = store.db.execute(
                insert,
                params![
                    endpoint.id,
                    seal_settings(&store.keys, &endpoint),
                    endpoint.state.number(),
                    endpoint.created_at.0,
                    endpoint.since.0,
                    ENDPOINTS_MAX
                ],
            )?;
            Ok(Ok(rows > 0))
        })
        .await
    }

    async fn change_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<bool, Refused> {
        let endpoint = endpoint.clone();
        self.step(move |store, _| {
            store.write()?;
            let update =
                "update webhook_endpoint set settings = ?2, version = version + 1, state = ?3,
                    reason = ?4, since = ?5, failing_since = ?6
                where id = ?1 and version = ?7";
            let rows = store.db.execute(
                update,
                params![
                    endpoint.id,
                    seal_settings(&store.keys, &endpoint),
                    endpoint.state.number(),
                    endpoint.reason,
                    endpoint.since.0,
                    endpoint.failing_since.map(|at| at.0),
                    endpoint.version
                ],
            )?;
            Ok(Ok(rows > 0))
        })
        .await
    }

    async fn remove_endpoint(&self, endpoint: &str) -> Result<bool, Refused> {
        let id = endpoint.to_owned();
        self.step(move |store, _| {
            store.write()?;
            let delete = "delete from webhook_endpoint where id = ?1";
            Ok(Ok(store.db.execute(delete, [id])? > 0))
        })
        .await
    }

    async fn note_endpoint(
        &self,
        endpoint: &WebhookEndpoint,
        note: &EndpointNote,
    ) -> Result<bool, Refused> {
        let (id, version, note) = (endpoint.id.clone(), endpoint.version, note.clone());
        self.step(move |store, now| {
            store.write()?;
            let rows = match &note {
                EndpointNote::Succeeded => store.db.execute(
                    "update webhook_endpoint set failing_since = null
                    where id = ?1 and version = ?2 and failing_since is not null",
                    params![id, version],
                )?,
                EndpointNote::Failed => store.db.execute(
                    "update webhook_endpoint set failing_since = ?3
                    where id = ?1 and version = ?2 and failing_since is null",
                    params![id, version, now.0],
                )?,
                EndpointNote::Disabled(reason) => store.db.execute(
                    "update webhook_endpoint set state = 2, version = version + 1, reason = ?3
                    where id = ?1 and version = ?2 and state = 0",
                    params![id, version, reason],
                )?,
            };
            Ok(Ok(rows > 0))
        })
        .await
    }

    async fn take_in(
        &self,
        consumer: &str,
        _: &str,
        _: OutboxShard,
        position: i64,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, Refused> {
        self.insert_with_place(consumer, position, deliveries, Store::insert_delivery)
            .await
    }

    async fn add_delivery(&self, delivery: NewDelivery) -> Result<(), Refused> {
        self.step(move |store, now| {
            store.write()?;
            store.insert_delivery(&delivery, now).map(Ok)
        })
        .await
    }

    async fn claim(
        &self,
        rooms: &[(String, u32)],
        lease_ms: i64,
    ) -> Result<Vec<QueuedDelivery>, Refused> {
        let (rooms, now) = (rooms.to_vec(), self.clock.now());
        let due = self.look(move |file| {
            let mut query = file.prepare(DUE)?;
            let mut due: Vec<i64> = Vec::new();
            for (endpoint, room) in rooms {
                let numbers = query.query_map(params![endpoint, now.0, room], |row| row.get(0))?;
                for number in numbers {
                    due.push(number?);
                }
            }
            Ok(due)
        });
        let due = due.await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.step(move |store, now| store.claim_deliveries(&due, now, lease_ms))
            .await
    }

    async fn settle(
        &self,
        delivery: &QueuedDelivery,
        outcome: &DeliveryOutcome,
    ) -> Result<(), Refused> {
        let (number, attempts) = (delivery.number, delivery.attempts);
        let outcome = outcome.clone();
        self.step(move |store, now| {
            store.write()?;
            let (state, next_at) = outcome.next.columns();
            let update = "update webhook_delivery set state = ?3, next_at = coalesce(?4, next_at), status = ?5, answer = ?6,
                    done_at = case when ?3 = 0 then null else ?7 end
                where number = ?1 and attempts = ?2 and state = 0";
            let mut update = store.db.prepare_cached(update)?;
            update.execute(params![
                number, attempts, state, next_at, outcome.status, outcome.answer, now.0
            ])?;
            Ok(Ok(()))
        })
        .await
    }

    async fn deliveries(
        &self,
        endpoint: &str,
        after: Option<DeliveryCursor>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, Refused> {
        let endpoint = endpoint.to_owned();
        let (before, id) = after.map_or((i64::MAX, String::new()), |after| {
            (after.created_at.0, after.id)
        });
        self.look(move |file| {
            let mut query = file.prepare(
                "select id, event, type, state, attempts, created_at, next_at, done_at, status, answer
                from webhook_delivery where endpoint = ?1 and (created_at, id) < (?2, ?3)
                order by created_at desc, id desc limit ?4",
            )?;
            let limit = limit.min(DELIVERIES_MAX);
            let rows = query.query_map(params![endpoint, before, id, limit], read_record)?;
            rows.collect()
        })
        .await
    }

    async fn resend(&self, endpoint: &str, id: &str) -> Result<bool, Refused> {
        let (endpoint, id) = (endpoint.to_owned(), id.to_owned());
        self.step(move |store, now| {
            store.write()?;
            let update = "update webhook_delivery set state = 0, in_order = 0, attempts = 0, next_at = ?3, queued_at = ?3,
                    done_at = null, status = null, answer = ''
                where endpoint = ?1 and id = ?2 and state > 0";
            let rows = store.db.execute(update, params![endpoint, id, now.0])?;
            Ok(Ok(rows > 0))
        })
        .await
    }

    async fn backlog(&self, endpoints: &[String]) -> Result<Vec<EndpointBacklog>, Refused> {
        let (endpoints, now) = (endpoints.to_vec(), self.clock.now());
        self.look(move |file| {
            let mut count = file.prepare(BACKLOG)?;
            let counted = endpoints.into_iter().map(|endpoint| {
                count.query_row(params![endpoint, WAITING_MAX as i64], |row| {
                    let oldest: Option<i64> = row.get(1)?;
                    let age_ms = oldest.map_or(0, |at| now.0 - at);
                    Ok(EndpointBacklog {
                        endpoint: endpoint.clone(),
                        waiting: row.get::<_, i64>(0)? as u64,
                        oldest_seconds: age_ms.max(0) as u64 / 1000,
                    })
                })
            });
            counted.collect()
        })
        .await
    }

    async fn purge_done(&self, made_kept_ms: i64, failed_kept_ms: i64) -> Result<bool, Refused> {
        let now = self.clock.now();
        let before = [now.0 - made_kept_ms, now.0 - failed_kept_ms];
        let done = self.look(move |file| {
            let mut numbers = Vec::new();
            for (state, before) in [DELIVERED, FAILED].into_iter().zip(before) {
                let mut query = file.prepare(DONE)?;
                let rows = query.query_map(params![state, before, PURGE_MAX], |row| row.get(0))?;
                numbers.extend(rows.collect::<rusqlite::Result<Vec<i64>>>()?);
            }
            Ok(numbers)
        });
        self.delete_deliveries(done.await?).await
    }

    async fn purge_removed(&self) -> Result<bool, Refused> {
        let removed = self.look(|file| {
            let mut query = file.prepare(REMOVED)?;
            let rows = query.query_map([PURGE_MAX], |row| row.get(0))?;
            rows.collect()
        });
        self.delete_deliveries(removed.await?).await
    }
}

impl Sqlite {
    /// Deletes deliveries, at most `PURGE_MAX` of them. Returns whether there were so many.
    async fn delete_deliveries(&self, mut numbers: Vec<i64>) -> Result<bool, Refused> {
        if numbers.is_empty() {
            return Ok(false);
        }
        numbers.truncate(PURGE_MAX as usize);
        self.step(move |store, _| {
            store.write()?;
            let delete =
                "delete from webhook_delivery where number in (select value from json_each(?1))";
            store.db.execute(delete, [json(&numbers)])?;
            Ok(Ok(numbers.len() as i64 == PURGE_MAX))
        })
        .await
    }
}

impl Store {
    fn insert_delivery(&mut self, delivery: &NewDelivery, now: Time) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "insert into webhook_delivery
                    (endpoint, id, event, type, aggregate, body, in_order, next_at, created_at, queued_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8) on conflict do nothing",
            )?
            .execute(params![
                delivery.endpoint,
                delivery.id,
                delivery.event,
                delivery.event_type,
                delivery.aggregate,
                delivery.body,
                delivery.in_order,
                now.0,
                delivery.created_at.0
            ])?;
        Ok(())
    }

    fn claim_deliveries(
        &mut self,
        numbers: &[i64],
        now: Time,
        lease_ms: i64,
    ) -> Step<Vec<QueuedDelivery>> {
        self.write()?;
        let mut claim = self.db.prepare_cached(CLAIM)?;
        let mut claimed = Vec::new();
        for number in numbers {
            let mut rows = claim.query(params![number, now.0 + lease_ms, now.0])?;
            if let Some(row) = rows.next()? {
                claimed.push(QueuedDelivery {
                    database: 0,
                    number: row.get(0)?,
                    endpoint: row.get(1)?,
                    id: row.get(2)?,
                    body: row.get(3)?,
                    attempts: row.get(4)?,
                    queued_at: Time(row.get(5)?),
                });
            }
        }
        Ok(Ok(claimed))
    }
}

fn read_endpoint(keys: &SealingKeys, row: &Row<'_>) -> rusqlite::Result<WebhookEndpoint> {
    let (id, stored): (String, String) = (row.get(0)?, row.get(1)?);
    Ok(WebhookEndpoint {
        settings: open_settings(keys, &id, &stored),
        is_current: keys.is_current(&stored),
        id,
        version: row.get(2)?,
        state: EndpointState::of(row.get(3)?),
        reason: row.get(4)?,
        created_at: Time(row.get(5)?),
        since: Time(row.get(6)?),
        failing_since: row.get::<_, Option<i64>>(7)?.map(Time),
    })
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<DeliveryRecord> {
    let state = DeliveryState::of(row.get(3)?);
    let next_at = Some(Time(row.get(6)?));
    Ok(DeliveryRecord {
        id: row.get(0)?,
        event: row.get(1)?,
        event_type: row.get(2)?,
        state,
        attempts: row.get(4)?,
        created_at: Time(row.get(5)?),
        next_at: next_at.filter(|_| state == DeliveryState::Waiting),
        done_at: row.get::<_, Option<i64>>(7)?.map(Time),
        status: row.get(8)?,
        answer: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, params_from_iter};
    use shared::time::Clock;

    /// Returns how SQLite executes a statement.
    fn plan(file: &Connection, statement: &str) -> String {
        let mut explain = file
            .prepare(&format!("explain query plan {statement}"))
            .unwrap();
        let values = params_from_iter(vec![0; explain.parameter_count()]);
        let steps = explain.query_map(values, |row| row.get::<_, String>(3));
        let steps: rusqlite::Result<Vec<String>> = steps.unwrap().collect();
        steps.unwrap().join("; ")
    }

    #[test]
    fn purges_and_figures_read_no_delivery_beside_those_that_they_are_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.sqlite");
        drop(Sqlite::open(&path, Clock::manual(Time(900))).unwrap());
        let file = Connection::open(&path).unwrap();
        for (statement, index) in [
            (DONE, "webhook_delivery_done (state=? AND done_at<?)"),
            (REMOVED, "(endpoint=?)"),
            (
                BACKLOG,
                "COVERING INDEX webhook_delivery_waiting (endpoint=?)",
            ),
        ] {
            let plan = plan(&file, statement);
            assert!(plan.contains(index), "{plan}");
            assert!(
                !plan.contains("SCAN d") && !plan.contains("SCAN webhook_delivery"),
                "{plan}"
            );
        }
    }
}

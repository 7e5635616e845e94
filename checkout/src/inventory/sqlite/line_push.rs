//! Subscriptions of fans in line, in SQLite. Messages that are due are looked for by a connection of its
//! own, so that an idle look writes nothing.

use super::{Sqlite, Step, Store};
use crate::inventory::line_mail::InLine;
use crate::inventory::line_push::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};
use shared::ids::EventId;
use shared::line_push::LinePush;
use shared::time::Time;

const KEEP: &str =
    "insert into line_push (event, visitor, subscription, created_at) values (?1, ?2, ?3, ?4)
    on conflict (event, visitor) do update set subscription = excluded.subscription,
        created_at = excluded.created_at, claim_by = null, next_at = null, attempts = 0";

const FIND: &str = "select subscription from line_push where event = ?1 and visitor = ?2";

const REMOVE: &str = "delete from line_push where event = ?1 and visitor = ?2";

const CALL: &str = "update line_push set claim_by = ?3, next_at = ?4
    where event = ?1 and visitor = ?2 and claim_by is null";

const DUE: &str =
    "select event, visitor from line_push where next_at <= ?1 order by next_at limit ?2";

const CLAIM: &str = "update line_push set attempts = attempts + 1, next_at = ?4
    where event = ?1 and visitor = ?2 and next_at <= ?3 returning subscription, claim_by, attempts";

const PURGE: &str = "delete from line_push where (event, visitor) in
    (select event, visitor from line_push
        where created_at <= ?1 and (?2 is null or event = ?2) and coalesce(claim_by, 0) <= ?4 limit ?3)";

#[async_trait]
impl LinePushStore for Sqlite {
    async fn keep(&self, place: &InLine, push: &LinePush) -> Result<(), Refused> {
        let (place, push) = (place.clone(), push.clone());
        self.step(move |store, now| {
            store.write()?;
            let column = seal_push(&store.keys, &place, &push);
            let (event, visitor) = (place.event.as_str(), place.visitor.to_string());
            let mut keep = store.db.prepare_cached(KEEP)?;
            keep.execute(params![event, visitor, column, now.0])?;
            Ok(Ok(()))
        })
        .await
    }

    async fn find(&self, place: &InLine) -> Result<Option<LinePush>, Refused> {
        let asked = place.clone();
        let column = self.look(move |file| {
            let of = params![asked.event.as_str(), asked.visitor.to_string()];
            let found = file.query_row(FIND, of, |row| row.get::<_, String>(0));
            found.optional()
        });
        let column = column.await?;
        Ok(column.and_then(|column| open_push(&self.keys, place, &column)))
    }

    async fn remove(&self, place: &InLine) -> Result<(), Refused> {
        let place = place.clone();
        let asked = place.clone();
        let is_there = self.look(move |file| {
            let of = params![asked.event.as_str(), asked.visitor.to_string()];
            file.prepare(FIND)?.exists(of)
        });
        if !is_there.await? {
            return Ok(());
        }
        self.step(move |store, _| {
            store.write()?;
            let of = params![place.event.as_str(), place.visitor.to_string()];
            store.db.prepare_cached(REMOVE)?.execute(of)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn call(&self, turns: Vec<(InLine, Time)>) -> Result<(), Refused> {
        let known = self.look(move |file| {
            let mut query = file.prepare(FIND)?;
            let mut known = Vec::new();
            for (place, claim_by) in turns {
                if query.exists(params![place.event.as_str(), place.visitor.to_string()])? {
                    known.push((place, claim_by));
                }
            }
            Ok(known)
        });
        let known = known.await?;
        if known.is_empty() {
            return Ok(());
        }
        self.step(move |store, now| {
            store.write()?;
            for (place, claim_by) in &known {
                let (event, visitor) = (place.event.as_str(), place.visitor.to_string());
                let mut call = store.db.prepare_cached(CALL)?;
                call.execute(params![event, visitor, claim_by.0, now.0])?;
            }
            Ok(Ok(()))
        })
        .await
    }

    async fn claim(&self, limit: u32, lease_ms: i64) -> Result<Vec<QueuedPush>, Refused> {
        let now = self.clock.now();
        let due = self.look(move |file| {
            let mut query = file.prepare(DUE)?;
            let names = query.query_map(params![now.0, limit], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            names.collect::<rusqlite::Result<Vec<_>>>()
        });
        let due = due.await?.into_iter();
        let due = due.filter_map(|(event, visitor)| InLine::parse(&event, &visitor));
        let due: Vec<InLine> = due.collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.step(move |store, now| store.claim_pushes(due, now, lease_ms))
            .await
    }

    async fn settle(&self, push: &QueuedPush, again_at: Option<Time>) -> Result<(), Refused> {
        let (place, attempts) = (push.place.clone(), push.attempts);
        self.step(move |store, _| {
            store.write()?;
            let (event, visitor) = (place.event.as_str(), place.visitor.to_string());
            match again_at {
                Some(at) => store.db.execute(
                    "update line_push set next_at = ?4 where event = ?1 and visitor = ?2 and attempts = ?3",
                    params![event, visitor, attempts, at.0],
                )?,
                None => store.db.execute(
                    "delete from line_push where event = ?1 and visitor = ?2 and attempts = ?3",
                    params![event, visitor, attempts],
                )?,
            };
            Ok(Ok(()))
        })
        .await
    }

    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused> {
        let before = self.clock.now().0 - kept_ms;
        let event = event.map(|event| event.as_str().to_owned());
        let select =
            "select 1 from line_push where created_at <= ?1 and (?2 is null or event = ?2)";
        let is_old = self.has_old(select, event.clone(), before);
        if !is_old.await? {
            return Ok(false);
        }
        self.step(move |store, now| {
            store.write()?;
            let of = params![before, event, LINE_PUSHES_MAX as i64, now.0];
            let rows = store.db.execute(PURGE, of)?;
            Ok(Ok(rows == LINE_PUSHES_MAX))
        })
        .await
    }
}

impl Store {
    fn claim_pushes(
        &mut self,
        due: Vec<InLine>,
        now: Time,
        lease_ms: i64,
    ) -> Step<Vec<QueuedPush>> {
        self.write()?;
        let mut claimed = Vec::new();
        for place in due {
            let (event, visitor) = (place.event.as_str(), place.visitor.to_string());
            let mut claim = self.db.prepare_cached(CLAIM)?;
            let of = params![event, visitor, now.0, now.0 + lease_ms];
            let row = claim.query_row(of, |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            });
            if let Some((column, claim_by, attempts)) = row.optional()? {
                claimed.push(QueuedPush {
                    database: 0,
                    push: open_push(&self.keys, &place, &column),
                    place,
                    claim_by: Time(claim_by),
                    attempts,
                });
            }
        }
        Ok(Ok(claimed))
    }
}

//! Subscriptions and numbers of fans in line, in SQLite. Messages that are due are looked for by a connection
//! of its own, so that an idle look writes nothing.

use super::{Sqlite, Step, Store};
use crate::inventory::line_mail::InLine;
use crate::inventory::line_messages::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};
use shared::ids::EventId;
use shared::line_contact::{Channel, LineContact};
use shared::time::Time;

const KEEP: &str =
    "insert into line_message (event, visitor, channel, contact, created_at) values (?1, ?2, ?3, ?4, ?5)
    on conflict (event, visitor, channel) do update set contact = excluded.contact, created_at = excluded.created_at,
        claim_by = null, called_at = null, next_at = null, attempts = 0";

const FIND: &str =
    "select contact from line_message where event = ?1 and visitor = ?2 and channel = ?3";

const KNOWN: &str = "select 1 from line_message where event = ?1 and visitor = ?2";

const REMOVE: &str = "delete from line_message where event = ?1 and visitor = ?2 and channel = ?3";

const CALL: &str = "update line_message set claim_by = ?3, next_at = ?4, called_at = ?4
    where event = ?1 and visitor = ?2 and claim_by is null";

const DUE: &str = "select event, visitor from line_message where channel = ?3 and next_at <= ?1
    order by next_at limit ?2";

const CLAIM: &str = "update line_message set attempts = attempts + 1, next_at = ?4
    where event = ?1 and visitor = ?2 and channel = ?5 and next_at <= ?3 returning contact, claim_by, attempts";

const AGAIN: &str = "update line_message set next_at = ?5
    where event = ?1 and visitor = ?2 and channel = ?3 and attempts = ?4";

const DONE: &str = "delete from line_message
    where event = ?1 and visitor = ?2 and channel = ?3 and attempts = ?4";

const OLD: &str = "select 1 from line_message where created_at <= ?1 and (?2 is null or event = ?2)
    union all select 1 from line_count where ?2 is null and counted_at <= ?1";

const PURGE: &str = "delete from line_message where (event, visitor, channel) in
    (select event, visitor, channel from line_message
        where created_at <= ?1 and (?2 is null or event = ?2) and coalesce(claim_by, 0) <= ?4 limit ?3)";

/// Counts outlive the line: who leaves it and comes back gets no more messages than others.
const PURGE_COUNTS: &str = "delete from line_count where counted_at <= ?1";

const BACKLOG: &str = "select count(*), min(called_at) from (select called_at from line_message
    where channel = ?1 and next_at is not null limit ?2)";

const COUNT: &str = "insert into line_count (event, name, count, counted_at) values (?1, ?2, 1, ?3)
    on conflict (event, name) do update set count = count + 1, counted_at = excluded.counted_at where count < ?4";

const UNCOUNT: &str =
    "update line_count set count = count - 1 where event = ?1 and name = ?2 and count > 0";

#[async_trait]
impl LineMessageStore for Sqlite {
    async fn keep(&self, place: &InLine, contact: &LineContact) -> Result<(), Refused> {
        let (place, contact) = (place.clone(), contact.clone());
        self.step(move |store, now| {
            store.write()?;
            let column = seal_contact(&store.keys, &place, &contact);
            let (event, visitor) = (place.event.as_str(), place.visitor.to_string());
            let mut keep = store.db.prepare_cached(KEEP)?;
            let channel = contact.channel().as_str();
            keep.execute(params![event, visitor, channel, column, now.0])?;
            Ok(Ok(()))
        })
        .await
    }

    async fn find(&self, place: &InLine, channel: Channel) -> Result<Option<LineContact>, Refused> {
        let (event, visitor) = (place.event.clone(), place.visitor.to_string());
        let column = self.look(move |file| {
            let of = params![event.as_str(), visitor, channel.as_str()];
            let found = file.query_row(FIND, of, |row| row.get::<_, String>(0));
            found.optional()
        });
        let column = column.await?;
        Ok(column.and_then(|column| open_contact(&self.keys, place, channel, &column)))
    }

    async fn remove(&self, place: &InLine, channel: Channel) -> Result<(), Refused> {
        let place = place.clone();
        let asked = place.clone();
        let is_there = self.look(move |file| {
            let visitor = asked.visitor.to_string();
            let of = params![asked.event.as_str(), visitor, channel.as_str()];
            file.prepare(FIND)?.exists(of)
        });
        if !is_there.await? {
            return Ok(());
        }
        self.step(move |store, _| {
            store.write()?;
            let visitor = place.visitor.to_string();
            let of = params![place.event.as_str(), visitor, channel.as_str()];
            store.db.prepare_cached(REMOVE)?.execute(of)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn call(&self, turns: Vec<(InLine, Time)>) -> Result<(), Refused> {
        let known = self.look(move |file| {
            let mut query = file.prepare(KNOWN)?;
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

    async fn claim(
        &self,
        channel: Channel,
        limit: u32,
        lease_ms: i64,
    ) -> Result<Vec<QueuedMessage>, Refused> {
        let now = self.clock.now();
        let due = self.look(move |file| {
            let mut query = file.prepare(DUE)?;
            let names = query.query_map(params![now.0, limit, channel.as_str()], |row| {
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
        self.step(move |store, now| store.claim_messages(channel, due, now, lease_ms))
            .await
    }

    async fn settle(&self, message: &QueuedMessage, again_at: Option<Time>) -> Result<(), Refused> {
        let message = message.clone();
        self.step(move |store, _| {
            store.write()?;
            let (event, visitor) = (
                message.place.event.as_str(),
                message.place.visitor.to_string(),
            );
            let (channel, attempts) = (message.channel.as_str(), message.attempts);
            match again_at {
                Some(at) => {
                    let of = params![event, visitor, channel, attempts, at.0];
                    store.db.execute(AGAIN, of)?
                }
                None => {
                    let of = params![event, visitor, channel, attempts];
                    store.db.execute(DONE, of)?
                }
            };
            Ok(Ok(()))
        })
        .await
    }

    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused> {
        let before = self.clock.now().0 - kept_ms;
        let event = event.map(|event| event.as_str().to_owned());
        if !self.has_old(OLD, event.clone(), before).await? {
            return Ok(false);
        }
        self.step(move |store, now| {
            store.write()?;
            if event.is_none() {
                store.db.execute(PURGE_COUNTS, [before])?;
            }
            let of = params![before, event, LINE_MESSAGES_MAX as i64, now.0];
            let rows = store.db.execute(PURGE, of)?;
            Ok(Ok(rows == LINE_MESSAGES_MAX))
        })
        .await
    }

    async fn backlog(&self, channel: Channel) -> Result<LineBacklog, Refused> {
        let now = self.clock.now();
        self.look(move |file| {
            let of = params![channel.as_str(), BACKLOG_MAX];
            let counted = file.query_row(BACKLOG, of, |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
            });
            let (waiting, oldest) = counted?;
            Ok(LineBacklog {
                waiting: waiting as u64,
                oldest_seconds: oldest.map_or(0, |at| (now.0 - at).max(0) as u64 / 1000),
            })
        })
        .await
    }

    async fn count_sms(
        &self,
        event: &EventId,
        number: &str,
        at: Time,
        bounds: SmsBounds,
    ) -> Result<SmsCount, Refused> {
        let (event, number) = (event.clone(), number.to_owned());
        self.step(move |store, _| {
            store.write()?;
            let day = day_count(at);
            let of_day = params!["", day, at.0, bounds.in_day];
            if store.db.execute(COUNT, of_day)? == 0 {
                return Ok(Ok(SmsCount::DayIsFull));
            }
            let of_number = params![event.as_str(), number, at.0, bounds.to_number];
            if store.db.execute(COUNT, of_number)? == 0 {
                store.db.execute(UNCOUNT, params!["", day])?;
                return Ok(Ok(SmsCount::NumberIsFull));
            }
            Ok(Ok(SmsCount::Counted))
        })
        .await
    }

    async fn uncount_sms(&self, event: &EventId, number: &str, at: Time) -> Result<(), Refused> {
        let (event, number) = (event.clone(), number.to_owned());
        self.step(move |store, _| {
            store.write()?;
            store.db.execute(UNCOUNT, params!["", day_count(at)])?;
            store.db.execute(UNCOUNT, params![event.as_str(), number])?;
            Ok(Ok(()))
        })
        .await
    }
}

impl Store {
    fn claim_messages(
        &mut self,
        channel: Channel,
        due: Vec<InLine>,
        now: Time,
        lease_ms: i64,
    ) -> Step<Vec<QueuedMessage>> {
        self.write()?;
        let mut claimed = Vec::new();
        for place in due {
            let (event, visitor) = (place.event.as_str(), place.visitor.to_string());
            let mut claim = self.db.prepare_cached(CLAIM)?;
            let of = params![event, visitor, now.0, now.0 + lease_ms, channel.as_str()];
            let row = claim.query_row(of, |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            });
            if let Some((column, claim_by, attempts)) = row.optional()? {
                claimed.push(QueuedMessage {
                    database: 0,
                    channel,
                    contact: open_contact(&self.keys, &place, channel, &column),
                    place,
                    claim_by: Time(claim_by),
                    attempts,
                });
            }
        }
        Ok(Ok(claimed))
    }
}

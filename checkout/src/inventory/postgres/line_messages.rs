//! Subscriptions and numbers of fans in line, in Postgres: kept in the database of the event, and looked for
//! in all, as events move between them. Text messages are counted in the first database alone.

use super::Postgres;
use super::database::Statement;
use super::engine::at_least_one;
use super::shard::Shard;
use crate::inventory::line_mail::InLine;
use crate::inventory::line_messages::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use shared::ids::EventId;
use shared::line_contact::{Channel, LineContact};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};

const KEEP: &str =
    "insert into fairline.line_message (event, visitor, channel, contact, created_at) values ($1, $2, $3, $4, $5)
    on conflict (event, visitor, channel) do update set contact = excluded.contact, created_at = excluded.created_at,
        claim_by = null, called_at = null, next_at = null, attempts = 0";

const FIND: &str =
    "select contact from fairline.line_message where event = $1 and visitor = $2 and channel = $3";

/// Rows of `line_push` are those of nodes of the version before, here and below.
const REMOVE: &str = "with left_over as (delete from fairline.line_push
        where event = $1 and visitor = $2 and $3 = 'push')
    delete from fairline.line_message where event = $1 and visitor = $2 and channel = $3";

const TAKE_OVER: &str = "with moved as (delete from fairline.line_push p
        using unnest($1::text[], $2::text[]) as w(event, visitor)
        where p.event = w.event and p.visitor = w.visitor and p.claim_by is null
        returning p.event, p.visitor, p.subscription, p.created_at)
    insert into fairline.line_message (event, visitor, channel, contact, created_at)
    select event, visitor, 'push', subscription, created_at from moved
    on conflict (event, visitor, channel) do nothing";

const CALL: &str =
    "update fairline.line_message m set claim_by = w.claim_by, next_at = $4, called_at = $4
    from unnest($1::text[], $2::text[], $3::bigint[]) as w(event, visitor, claim_by)
    where m.event = w.event and m.visitor = w.visitor and m.claim_by is null";

/// Materialized, as each claim of a limited number here.
const CLAIM: &str = "with due as materialized (
        select event, visitor, channel from fairline.line_message where channel = $4 and next_at <= $1
        order by next_at limit $3 for update skip locked)
    update fairline.line_message m set attempts = m.attempts + 1, next_at = $1 + $2 from due
    where m.event = due.event and m.visitor = due.visitor and m.channel = due.channel
    returning m.event, m.visitor, m.contact, m.claim_by, m.attempts";

const AGAIN: &str = "update fairline.line_message set next_at = $5
    where event = $1 and visitor = $2 and channel = $3 and attempts = $4";

const DONE: &str = "delete from fairline.line_message
    where event = $1 and visitor = $2 and channel = $3 and attempts = $4";

const PURGE: &str = "with left_over as (delete from fairline.line_push where (event, visitor) in
        (select event, visitor from fairline.line_push
            where created_at <= $1 and ($2::text is null or event = $2) and coalesce(claim_by, 0) <= $4 limit $3)),
    gone as (delete from fairline.line_message where (event, visitor, channel) in
        (select event, visitor, channel from fairline.line_message
            where created_at <= $1 and ($2::text is null or event = $2) and coalesce(claim_by, 0) <= $4 limit $3)
        returning 1)
    select count(*) from gone";

/// Counts outlive the line: who leaves it and comes back gets no more messages than others.
const PURGE_COUNTS: &str = "delete from fairline.line_count where counted_at <= $1";

const BACKLOG: &str =
    "select count(*), min(called_at) from (select called_at from fairline.line_message
    where channel = $1 and next_at is not null limit $2) m";

const COUNT: &str = "insert into fairline.line_count as c (event, name, count, counted_at) values ($1, $2, 1, $3)
    on conflict (event, name) do update set count = c.count + 1, counted_at = excluded.counted_at where c.count < $4
    returning 1";

const UNCOUNT: &str =
    "update fairline.line_count set count = count - 1 where event = $1 and name = $2 and count > 0";

#[async_trait]
impl LineMessageStore for Postgres {
    async fn keep(&self, place: &InLine, contact: &LineContact) -> Result<(), Refused> {
        let shard = self.shard_of(&place.event).await?;
        let channel = contact.channel();
        // One that was left before the event moved is in another database.
        self.fetch_each(|_| named(REMOVE, place, channel)).await?;
        let column = seal_contact(&shard.keys, place, contact);
        let keep = named(KEEP, place, channel).bind(column);
        shard.reader().fetch(keep.bind(shard.clock.now().0)).await?;
        Ok(())
    }

    async fn find(&self, place: &InLine, channel: Channel) -> Result<Option<LineContact>, Refused> {
        let rows = self.fetch_each(|_| named(FIND, place, channel)).await?;
        let keys = &self.shards[0].keys;
        let mut found = rows
            .iter()
            .filter_map(|row| open_contact(keys, place, channel, row.get(0)));
        Ok(found.next())
    }

    async fn remove(&self, place: &InLine, channel: Channel) -> Result<(), Refused> {
        self.fetch_all(|_| named(REMOVE, place, channel)).await?;
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
            let take_over = query(TAKE_OVER).bind(events.clone()).bind(visitors.clone());
            let call = query(CALL).bind(events.clone()).bind(visitors.clone());
            let call = call.bind(claim_by.clone()).bind(shard.clock.now().0);
            async move {
                shard.reader().fetch(take_over).await?;
                shard.reader().fetch(call).await
            }
        });
        // All of them: the place in the outbox moves after this.
        try_join_all(each).await?;
        Ok(())
    }

    async fn claim(
        &self,
        channel: Channel,
        limit: u32,
        lease_ms: i64,
    ) -> Result<Vec<QueuedMessage>, Refused> {
        let databases = self.shards.iter().enumerate();
        let claiming = databases.map(|(database, shard)| async move {
            let claim = query(CLAIM).bind(shard.clock.now().0).bind(lease_ms);
            let claim = claim.bind(i64::from(limit)).bind(channel.as_str());
            let rows = shard.reader().fetch(claim).await?;
            let read = |row: &PgRow| read_message(database, shard, channel, row);
            Ok(rows.iter().filter_map(read).collect::<Vec<_>>())
        });
        Ok(at_least_one(join_all(claiming).await)?.concat())
    }

    async fn settle(&self, message: &QueuedMessage, again_at: Option<Time>) -> Result<(), Refused> {
        let shard = self.shards.get(message.database);
        let shard = shard.ok_or(Refused::NoSuchShard)?;
        let (place, channel) = (&message.place, message.channel);
        let statement = match again_at {
            Some(at) => named(AGAIN, place, channel)
                .bind(message.attempts)
                .bind(at.0),
            None => named(DONE, place, channel).bind(message.attempts),
        };
        shard.reader().fetch(statement).await?;
        Ok(())
    }

    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused> {
        let event = event.map(EventId::as_str);
        let most = LINE_MESSAGES_MAX as i64;
        if event.is_none() {
            let first = &self.shards[0];
            let purge = query(PURGE_COUNTS).bind(first.clock.now().0 - kept_ms);
            first.reader().fetch(purge).await?;
        }
        let purge = |now: Time| {
            let purge = query(PURGE).bind(now.0 - kept_ms).bind(event);
            purge.bind(most).bind(now.0)
        };
        let rows = self.fetch_each(purge).await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) == most))
    }

    async fn backlog(&self, channel: Channel) -> Result<LineBacklog, Refused> {
        let counting = self.shards.iter().map(|shard| async move {
            let count = query(BACKLOG).bind(channel.as_str()).bind(BACKLOG_MAX);
            let row = shard.lister.fetch_optional(count).await?;
            let figures = row.map(|row| (row.get(0), row.get(1)));
            let (waiting, oldest): (i64, Option<i64>) = figures.unwrap_or_default();
            let age_ms = oldest.map_or(0, |at| shard.clock.now().0 - at);
            Ok((waiting as u64, age_ms.max(0) as u64 / 1000))
        });
        let counted = at_least_one(join_all(counting).await)?.into_iter();
        Ok(
            counted.fold(LineBacklog::default(), |sum, (waiting, age)| LineBacklog {
                waiting: sum.waiting + waiting,
                oldest_seconds: sum.oldest_seconds.max(age),
            }),
        )
    }

    async fn count_sms(
        &self,
        event: &EventId,
        number: &str,
        at: Time,
        bounds: SmsBounds,
    ) -> Result<SmsCount, Refused> {
        let first = &self.shards[0];
        let day = day_count(at);
        let count = |event: &str, name: &str, most: u32| {
            let count = query(COUNT).bind(event.to_owned()).bind(name.to_owned());
            first.reader().fetch(count.bind(at.0).bind(i64::from(most)))
        };
        if count("", &day, bounds.in_day).await?.is_empty() {
            return Ok(SmsCount::DayIsFull);
        }
        let counted = count(event.as_str(), number, bounds.to_number).await;
        if matches!(&counted, Ok(rows) if !rows.is_empty()) {
            return Ok(SmsCount::Counted);
        }
        let uncount = query(UNCOUNT).bind("").bind(day);
        first.reader().fetch(uncount).await?;
        counted?;
        Ok(SmsCount::NumberIsFull)
    }

    async fn uncount_sms(&self, event: &EventId, number: &str, at: Time) -> Result<(), Refused> {
        let first = &self.shards[0];
        let day = day_count(at);
        for (event, name) in [("", &*day), (event.as_str(), number)] {
            let uncount = query(UNCOUNT).bind(event.to_owned()).bind(name.to_owned());
            first.reader().fetch(uncount).await?;
        }
        Ok(())
    }
}

/// Begins a statement about a place and a channel.
fn named<'q>(statement: &'static str, place: &InLine, channel: Channel) -> Statement<'q> {
    query(statement)
        .bind(place.event.as_str().to_owned())
        .bind(place.visitor.to_string())
        .bind(channel.as_str())
}

/// Reads a message that was taken; none if its names are none.
fn read_message(
    database: usize,
    shard: &Shard,
    channel: Channel,
    row: &PgRow,
) -> Option<QueuedMessage> {
    let place = InLine::parse(row.get(0), row.get(1))?;
    Some(QueuedMessage {
        database,
        channel,
        contact: open_contact(&shard.keys, &place, channel, row.get(2)),
        place,
        claim_by: Time(row.get(3)),
        attempts: row.get(4),
    })
}

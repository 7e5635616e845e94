//! Addresses of fans in line, in Postgres: kept in the database of the event, and looked for in all, as
//! events move between them.

use super::Postgres;
use super::database::{QueryError, Statement};
use super::engine::at_least_one;
use super::mail::MailColumns;
use crate::inventory::line_mail::*;
use crate::inventory::mail::NewMail;
use crate::inventory::model::*;
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use shared::ids::{EventId, VisitorId};
use shared::line_mail::{LineMail, WAITS_MAX};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::collections::HashSet;

const KEEP: &str = "insert into fairline.line_mail (event, visitor, email, link, language, created_at, number, soon)
    values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (event, visitor) do update set
        email = excluded.email, link = excluded.link, language = excluded.language, created_at = excluded.created_at,
        number = excluded.number, soon = excluded.soon";

const REMOVE: &str =
    "delete from fairline.line_mail where event = $1 and visitor = $2 and created_at <= $3";

const FIND: &str =
    "select event, visitor, email, link, language, created_at, number, soon from fairline.line_mail
    where event = $1 and visitor = $2";

const KNOWN: &str = "select l.event, l.visitor from fairline.line_mail l
    join unnest($1::text[], $2::text[]) as w(event, visitor) on l.event = w.event and l.visitor = w.visitor";

const PAGE: &str =
    "select event, visitor, email, link, language, created_at, number, soon from fairline.line_mail
    where (event, visitor) > ($1, $2) order by event, visitor limit $3";

const PURGE: &str = "with gone as (delete from fairline.line_mail where (event, visitor) in
        (select event, visitor from fairline.line_mail
            where created_at <= $1 and ($2::text is null or event = $2) limit $3) returning 1)
    select count(*) from gone";

const SOON_EVENTS: &str = "select w.event from unnest($1::text[]) as w(event)
    where exists (select from fairline.line_mail l where l.event = w.event and l.soon)";

const NEXT_SOON: &str = "select visitor, number from fairline.line_mail where event = $1 and soon
    order by number nulls first limit $2";

/// Takes the rows that no other node is taking, and adds the mails of those among them.
const SETTLE_SOON: &str = "with due as materialized (
        select visitor from fairline.line_mail where event = $8 and visitor = any($9::text[]) and soon for update skip locked),
    settled as (update fairline.line_mail l set number = coalesce(a.number, l.number), soon = a.soon
        from due, unnest($9::text[], $10::bigint[], $11::boolean[]) as a(visitor, number, soon)
        where l.event = $8 and l.visitor = due.visitor and a.visitor = due.visitor returning l.visitor)
    insert into fairline.mail (id, event, order_id, kind, detail, next_at, created_at)
    select w.id, w.event, w.order_id, w.kind, w.detail, w.next_at, w.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
        as w(id, event, order_id, kind, detail, next_at, created_at)
    join settled s on w.order_id = s.visitor || '.soon' on conflict do nothing";

#[async_trait]
impl LineMailStore for Postgres {
    async fn keep(&self, place: &InLine, mail: &LineMail) -> Result<(), Refused> {
        let shard = self.shard_of(&place.event).await?;
        // One that was left before the event moved is in another database.
        self.fetch_each(|_| named(REMOVE, place).bind(i64::MAX))
            .await?;
        let now = shard.clock.now();
        let columns = LineMailColumns::seal(&shard.keys, place, mail, now);
        let keep = named(KEEP, place).bind(columns.email).bind(columns.link);
        let keep = keep.bind(columns.language).bind(columns.created_at);
        let keep = keep.bind(columns.number).bind(columns.soon);
        shard.reader().fetch(keep).await?;
        Ok(())
    }

    async fn find(&self, place: &InLine) -> Result<Option<LineMailRow>, Refused> {
        let rows = self.fetch_all(|_| named(FIND, place)).await?;
        let keys = &self.shards[0].keys;
        let mut found = rows.iter().filter_map(|row| {
            let (place, columns) = read(row)?;
            columns.open(keys, place)
        });
        Ok(found.next())
    }

    async fn known(&self, places: Vec<InLine>) -> Result<HashSet<InLine>, Refused> {
        let names = |of: &dyn Fn(&InLine) -> String| places.iter().map(of).collect::<Vec<_>>();
        let events = names(&|place| place.event.as_str().to_owned());
        let visitors = names(&|place| place.visitor.to_string());
        let each = self.shards.iter().map(|shard| {
            let known = query(KNOWN).bind(events.clone()).bind(visitors.clone());
            shard.reader().fetch(known)
        });
        let rows = try_join_all(each).await?;
        Ok(rows.iter().flatten().filter_map(place_of).collect())
    }

    async fn remove(&self, place: &InLine, until: Time) -> Result<(), Refused> {
        self.fetch_all(|_| named(REMOVE, place).bind(until.0))
            .await?;
        Ok(())
    }

    async fn page(
        &self,
        after: Option<&InLine>,
    ) -> Result<(Vec<LineMailRow>, Option<InLine>), Refused> {
        let (event, visitor) = match after {
            Some(after) => (after.event.as_str(), after.visitor.to_string()),
            None => ("", String::new()),
        };
        let each = self.shards.iter().map(async |shard| {
            let page = query(PAGE).bind(event).bind(visitor.clone());
            let rows = shard.slow.fetch(page.bind(LINE_MAILS_MAX as i64)).await?;
            Ok::<_, QueryError>(rows.iter().filter_map(read).collect::<Vec<_>>())
        });
        let mut rows: Vec<_> = try_join_all(each).await?.into_iter().flatten().collect();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        rows.truncate(LINE_MAILS_MAX);
        let is_full = rows.len() == LINE_MAILS_MAX;
        let last = rows.last().map(|(place, _)| place.clone());
        let keys = &self.shards[0].keys;
        let opened = rows
            .into_iter()
            .filter_map(|(place, columns)| columns.open(keys, place));
        Ok((opened.collect(), last.filter(|_| is_full)))
    }

    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused> {
        let event = event.map(EventId::as_str);
        let most = LINE_MAILS_MAX as i64;
        let purge = |now: Time| query(PURGE).bind(now.0 - kept_ms).bind(event).bind(most);
        let rows = self.fetch_each(purge).await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) == most))
    }

    async fn soon_events(&self, events: Vec<EventId>) -> Result<Vec<EventId>, Refused> {
        let names: Vec<&str> = events.iter().map(EventId::as_str).collect();
        let rows = self.fetch_each(|_| query(SOON_EVENTS).bind(&names)).await?;
        let found: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        let is_found = |event: &EventId| found.contains(event.as_str());
        Ok(events.into_iter().filter(is_found).collect())
    }

    async fn next_soon(&self, event: &EventId) -> Result<Vec<SoonRow>, Refused> {
        let most = WAITS_MAX as i64;
        let next = |_| query(NEXT_SOON).bind(event.as_str()).bind(most);
        let rows = self.fetch_each(next).await?;
        let fans = rows.iter().filter_map(|row| {
            Some(SoonRow {
                visitor: VisitorId::parse(row.get(0))?,
                number: row.get::<Option<i64>, _>(1).map(i64::unsigned_abs),
            })
        });
        let mut fans: Vec<SoonRow> = fans.collect();
        fans.sort_by_key(|fan| fan.number);
        fans.truncate(WAITS_MAX);
        Ok(fans)
    }

    async fn settle_soon(
        &self,
        event: &EventId,
        fans: Vec<(SoonRow, SoonStep)>,
    ) -> Result<(), Refused> {
        let visitors: Vec<String> = fans
            .iter()
            .map(|(fan, _)| fan.visitor.to_string())
            .collect();
        let numbers: Vec<Option<i64>> = fans
            .iter()
            .map(|(fan, _)| fan.number.map(|number| number as i64))
            .collect();
        let soon: Vec<bool> = fans
            .iter()
            .map(|(_, step)| *step == SoonStep::Later)
            .collect();
        // The row and its mail are in the same database.
        let settling = self.shards.iter().map(|shard| {
            let told = fans.iter().filter(|(_, step)| *step == SoonStep::Tell);
            let now = shard.clock.now();
            let mails: Vec<NewMail> = told.map(|(fan, _)| soon_mail(event, fan, now)).collect();
            let settle = MailColumns::of(shard, &mails).bind(query(SETTLE_SOON));
            let settle = settle.bind(event.as_str()).bind(&visitors);
            shard.reader().fetch(settle.bind(&numbers).bind(&soon))
        });
        at_least_one(join_all(settling).await)?;
        Ok(())
    }
}

/// Begins a statement about a place.
fn named<'q>(statement: &'static str, place: &InLine) -> Statement<'q> {
    query(statement)
        .bind(place.event.as_str().to_owned())
        .bind(place.visitor.to_string())
}

fn place_of(row: &PgRow) -> Option<InLine> {
    InLine::parse(row.get(0), row.get(1))
}

/// Reads a row; none if its names are none.
fn read(row: &PgRow) -> Option<(InLine, LineMailColumns)> {
    let columns = LineMailColumns {
        email: row.get(2),
        link: row.get(3),
        language: row.get(4),
        created_at: row.get(5),
        number: row.get(6),
        soon: row.get(7),
    };
    Some((place_of(row)?, columns))
}

//! Addresses of fans in line, in Postgres: kept in the database of the event, and looked for in all, as
//! events move between them.

use super::Postgres;
use super::database::{QueryError, Statement};
use crate::inventory::line_mail::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use futures_util::future::try_join_all;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::LineMail;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::collections::HashSet;

const KEEP: &str = "insert into fairline.line_mail (event, visitor, email, link, language, created_at)
    values ($1, $2, $3, $4, $5, $6) on conflict (event, visitor) do update set
        email = excluded.email, link = excluded.link, language = excluded.language, created_at = excluded.created_at";

const FIND: &str =
    "select event, visitor, email, link, language, created_at from fairline.line_mail
    where event = $1 and visitor = $2";

const KNOWN: &str = "select l.event, l.visitor from fairline.line_mail l
    join unnest($1::text[], $2::text[]) as w(event, visitor) on l.event = w.event and l.visitor = w.visitor";

const PAGE: &str =
    "select event, visitor, email, link, language, created_at from fairline.line_mail
    where (event, visitor) > ($1, $2) order by event, visitor limit $3";

const PURGE: &str = "with gone as (delete from fairline.line_mail where (event, visitor) in
        (select event, visitor from fairline.line_mail
            where created_at <= $1 and ($2::text is null or event = $2) limit $3) returning 1)
    select count(*) from gone";

#[async_trait]
impl LineMailStore for Postgres {
    async fn keep(&self, place: &InLine, mail: &LineMail) -> Result<(), Refused> {
        let shard = self.shard_of(&place.event).await?;
        // One that was left before the event moved is in another database.
        self.remove(place, Time(i64::MAX)).await?;
        let now = shard.clock.now();
        let columns = LineMailColumns::seal(&shard.keys, place, mail, now);
        let keep = named(KEEP, place).bind(columns.email).bind(columns.link);
        let keep = keep.bind(columns.language).bind(columns.created_at);
        shard.reader().fetch(keep).await?;
        Ok(())
    }

    async fn find(&self, place: &InLine) -> Result<Option<LineMailRow>, Refused> {
        let rows = self.fetch_each(|_| named(FIND, place)).await?;
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
        let delete =
            "delete from fairline.line_mail where event = $1 and visitor = $2 and created_at <= $3";
        self.fetch_each(|_| named(delete, place).bind(until.0))
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
}

/// Begins a statement about a place.
fn named<'q>(statement: &'static str, place: &InLine) -> Statement<'q> {
    query(statement)
        .bind(place.event.as_str().to_owned())
        .bind(place.visitor.to_string())
}

fn place_of(row: &PgRow) -> Option<InLine> {
    let event = EventId::parse(row.get(0)).ok()?;
    let visitor = VisitorId::parse(row.get(1))?;
    Some(InLine { event, visitor })
}

/// Reads a row; none if its names are none.
fn read(row: &PgRow) -> Option<(InLine, LineMailColumns)> {
    let columns = LineMailColumns {
        email: row.get(2),
        link: row.get(3),
        language: row.get(4),
        created_at: row.get(5),
    };
    Some((place_of(row)?, columns))
}

//! Addresses of fans in line, in SQLite.

use super::Sqlite;
use crate::inventory::line_mail::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::ids::{EventId, VisitorId};
use shared::line_mail::LineMail;
use shared::time::Time;
use std::collections::HashSet;

const KEEP: &str = "insert into line_mail (event, visitor, email, link, language, created_at)
    values (?1, ?2, ?3, ?4, ?5, ?6) on conflict (event, visitor) do update set
        email = excluded.email, link = excluded.link, language = excluded.language, created_at = excluded.created_at";

const FIND: &str = "select event, visitor, email, link, language, created_at from line_mail
    where event = ?1 and visitor = ?2";

const PAGE: &str = "select event, visitor, email, link, language, created_at from line_mail
    where (event, visitor) > (?1, ?2) order by event, visitor limit ?3";

const PURGE: &str = "delete from line_mail where (event, visitor) in
    (select event, visitor from line_mail where created_at <= ?1 and (?2 is null or event = ?2) limit ?3)";

#[async_trait]
impl LineMailStore for Sqlite {
    async fn keep(&self, place: &InLine, mail: &LineMail) -> Result<(), Refused> {
        let (place, mail) = (place.clone(), mail.clone());
        self.step(move |store, now| {
            store.write()?;
            let columns = LineMailColumns::seal(&store.keys, &place, &mail, now);
            store.db.prepare_cached(KEEP)?.execute(params![
                place.event.as_str(),
                place.visitor.to_string(),
                columns.email,
                columns.link,
                columns.language,
                columns.created_at
            ])?;
            Ok(Ok(()))
        })
        .await
    }

    async fn find(&self, place: &InLine) -> Result<Option<LineMailRow>, Refused> {
        let (keys, place) = (self.keys.clone(), place.clone());
        let found = self.look(move |file| {
            let of = params![place.event.as_str(), place.visitor.to_string()];
            file.query_row(FIND, of, read).optional()
        });
        let found = found.await?.flatten();
        Ok(found.and_then(|(place, columns)| columns.open(&keys, place)))
    }

    async fn known(&self, places: Vec<InLine>) -> Result<HashSet<InLine>, Refused> {
        self.look(move |file| {
            let mut query =
                file.prepare("select 1 from line_mail where event = ?1 and visitor = ?2")?;
            let mut known = HashSet::new();
            for place in places {
                if query.exists(params![place.event.as_str(), place.visitor.to_string()])? {
                    known.insert(place);
                }
            }
            Ok(known)
        })
        .await
    }

    async fn remove(&self, place: &InLine, until: Time) -> Result<(), Refused> {
        if !self.known(vec![place.clone()]).await?.contains(place) {
            return Ok(());
        }
        let place = place.clone();
        self.step(move |store, _| {
            store.write()?;
            let delete =
                "delete from line_mail where event = ?1 and visitor = ?2 and created_at <= ?3";
            let of = params![place.event.as_str(), place.visitor.to_string(), until.0];
            store.db.prepare_cached(delete)?.execute(of)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn page(
        &self,
        after: Option<&InLine>,
    ) -> Result<(Vec<LineMailRow>, Option<InLine>), Refused> {
        let (event, visitor) = match after {
            Some(after) => (after.event.as_str().to_owned(), after.visitor.to_string()),
            None => (String::new(), String::new()),
        };
        let rows = self.look(move |file| {
            let mut query = file.prepare(PAGE)?;
            let rows = query.query_map(params![event, visitor, LINE_MAILS_MAX as i64], read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let rows = rows.await?;
        let is_full = rows.len() == LINE_MAILS_MAX;
        let rows: Vec<(InLine, LineMailColumns)> = rows.into_iter().flatten().collect();
        let last = rows.last().map(|(place, _)| place.clone());
        let opened = rows
            .into_iter()
            .filter_map(|(place, columns)| columns.open(&self.keys, place));
        Ok((opened.collect(), last.filter(|_| is_full)))
    }

    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused> {
        let before = self.clock.now().0 - kept_ms;
        let event = event.map(|event| event.as_str().to_owned());
        let of = event.clone();
        let is_old = self.look(move |file| {
            let select =
                "select 1 from line_mail where created_at <= ?1 and (?2 is null or event = ?2)";
            file.prepare(select)?.exists(params![before, of])
        });
        if !is_old.await? {
            return Ok(false);
        }
        self.step(move |store, _| {
            store.write()?;
            let of = params![before, event, LINE_MAILS_MAX as i64];
            let rows = store.db.execute(PURGE, of)?;
            Ok(Ok(rows == LINE_MAILS_MAX))
        })
        .await
    }
}

/// Reads a row; none if its names are none.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<(InLine, LineMailColumns)>> {
    let (event, visitor): (String, String) = (row.get(0)?, row.get(1)?);
    let columns = LineMailColumns {
        email: row.get(2)?,
        link: row.get(3)?,
        language: row.get(4)?,
        created_at: row.get(5)?,
    };
    let event = EventId::parse(&event).ok();
    let place = event.zip(VisitorId::parse(&visitor));
    Ok(place.map(|(event, visitor)| (InLine { event, visitor }, columns)))
}

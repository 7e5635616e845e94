//! Addresses of fans in line, in SQLite.

use super::Sqlite;
use crate::inventory::line_mail::*;
use crate::inventory::model::*;
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::ids::{EventId, VisitorId};
use shared::line_mail::{LineMail, WAITS_MAX};
use shared::time::Time;
use std::collections::HashSet;

const KEEP: &str = "insert into line_mail (event, visitor, email, link, language, created_at, number, soon)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) on conflict (event, visitor) do update set
        email = excluded.email, link = excluded.link, language = excluded.language, created_at = excluded.created_at,
        number = excluded.number, soon = excluded.soon";

const FIND: &str =
    "select event, visitor, email, link, language, created_at, number, soon from line_mail
    where event = ?1 and visitor = ?2";

const PAGE: &str =
    "select event, visitor, email, link, language, created_at, number, soon from line_mail
    where (event, visitor) > (?1, ?2) order by event, visitor limit ?3";

const PURGE: &str = "delete from line_mail where (event, visitor) in
    (select event, visitor from line_mail where created_at <= ?1 and (?2 is null or event = ?2) limit ?3)";

const NEXT_SOON: &str =
    "select visitor, number from line_mail where event = ?1 and soon = 1 order by number limit ?2";

const SETTLE_SOON: &str = "update line_mail set number = coalesce(?3, number), soon = ?4
    where event = ?1 and visitor = ?2 and soon = 1";

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
                columns.created_at,
                columns.number,
                columns.soon
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
        let select =
            "select 1 from line_mail where created_at <= ?1 and (?2 is null or event = ?2)";
        let is_old = self.has_old(select, event.clone(), before);
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

    async fn soon_events(&self, events: Vec<EventId>) -> Result<Vec<EventId>, Refused> {
        self.look(move |file| {
            let mut query = file.prepare(
                "select 1 from line_mail indexed by line_mail_soon where event = ?1 and soon = 1",
            )?;
            let mut found = Vec::new();
            for event in events {
                if query.exists([event.as_str()])? {
                    found.push(event);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn next_soon(&self, event: &EventId) -> Result<Vec<SoonRow>, Refused> {
        let event = event.clone();
        let rows = self.look(move |file| {
            let mut query = file.prepare(NEXT_SOON)?;
            let of = params![event.as_str(), WAITS_MAX as i64];
            let rows = query.query_map(of, |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let fans = rows.await?.into_iter().filter_map(|(visitor, number)| {
            Some(SoonRow {
                visitor: VisitorId::parse(&visitor)?,
                number: number.map(i64::unsigned_abs),
            })
        });
        Ok(fans.collect())
    }

    async fn settle_soon(
        &self,
        event: &EventId,
        fans: Vec<(SoonRow, SoonStep)>,
    ) -> Result<(), Refused> {
        let event = event.clone();
        self.step(move |store, now| {
            store.write()?;
            for (fan, step) in &fans {
                let of = params![
                    event.as_str(),
                    fan.visitor.to_string(),
                    fan.number.map(|number| number as i64),
                    *step == SoonStep::Later
                ];
                let settled = store.db.prepare_cached(SETTLE_SOON)?.execute(of)? > 0;
                if settled && *step == SoonStep::Tell {
                    store.insert_mail(&soon_mail(&event, fan, now), now)?;
                }
            }
            Ok(Ok(()))
        })
        .await
    }
}

impl Sqlite {
    /// Returns whether rows were left before this time, of an event or of all.
    pub(super) async fn has_old(
        &self,
        select: &'static str,
        event: Option<String>,
        before: i64,
    ) -> Result<bool, Refused> {
        self.look(move |file| file.prepare(select)?.exists(params![before, event]))
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
        number: row.get(6)?,
        soon: row.get(7)?,
    };
    Ok(InLine::parse(&event, &visitor).map(|place| (place, columns)))
}

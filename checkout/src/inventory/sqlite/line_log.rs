//! The place of the outbox in the logs of the lines, in SQLite.

use super::Sqlite;
use crate::inventory::model::*;
use crate::inventory::outbox::{LineLogStore, entries_of};
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};
use shared::ids::EventId;
use shared::line_log::{LogPage, LogPlace};

#[async_trait]
impl LineLogStore for Sqlite {
    async fn log_place(&self, event: &EventId) -> Result<LogPlace, Refused> {
        let event = event.clone();
        let place = self.look(move |file| {
            let select = "select log_life, log_entry from event where event = ?1";
            file.query_row(select, [event.as_str()], |row| {
                Ok(LogPlace {
                    life: row.get(0)?,
                    entry: row.get::<_, i64>(1)? as u64,
                })
            })
            .optional()
        });
        place.await?.ok_or(Refused::NoSuchEvent)
    }

    async fn take_log(
        &self,
        event: &EventId,
        from: &LogPlace,
        page: &LogPage,
    ) -> Result<bool, Refused> {
        let (event, from, next) = (event.clone(), from.clone(), page.end());
        let entries = entries_of(&event, page);
        self.step(move |store, _| {
            store.write()?;
            let update = "update event set log_life = ?4, log_entry = ?5
                where event = ?1 and log_life = ?2 and log_entry = ?3";
            let place = params![
                event.as_str(),
                from.life,
                from.entry as i64,
                next.life,
                next.entry as i64
            ];
            if store.db.prepare_cached(update)?.execute(place)? == 0 {
                return Ok(Ok(false));
            }
            store.insert_events(event.as_str(), &entries)?;
            Ok(Ok(true))
        })
        .await
    }
}

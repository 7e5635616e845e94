//! The place of the outbox in the logs of the lines, in Postgres.

use super::Postgres;
use super::outbox_columns::OutboxColumns;
use crate::inventory::model::*;
use crate::inventory::outbox::{LineLogStore, entries_of};
use async_trait::async_trait;
use shared::ids::EventId;
use shared::line_log::{LogPage, LogPlace};
use sqlx::{Row as _, query};

#[async_trait]
impl LineLogStore for Postgres {
    async fn log_place(&self, event: &EventId) -> Result<LogPlace, Refused> {
        let shard = self.shard_of(event).await?;
        let select = "select log_life, log_entry from fairline.event where event = $1";
        let select = query(select).bind(event.as_str());
        let row = shard.reader().fetch_optional(select).await?;
        let row = row.ok_or(Refused::NoSuchEvent)?;
        Ok(LogPlace {
            life: row.get(0),
            entry: row.get::<i64, _>(1) as u64,
        })
    }

    async fn take_log(
        &self,
        event: &EventId,
        from: &LogPlace,
        page: &LogPage,
    ) -> Result<bool, Refused> {
        let shard = self.shard_of(event).await?;
        let (entries, next) = (entries_of(event, page), page.end());
        let columns = OutboxColumns::of(&entries);
        let take =
            "select fairline.take_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let take = query(take)
            .bind(event.as_str())
            .bind(&from.life)
            .bind(from.entry as i64)
            .bind(&next.life)
            .bind(next.entry as i64);
        let row = shard.reader().fetch_optional(columns.bind(take)).await?;
        Ok(row.is_some_and(|row| row.get(0)))
    }
}

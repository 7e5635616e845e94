//! Blocked seats in SQLite, read by a connection of its own.

use super::Sqlite;
use crate::inventory::block_note::StoredBlocks;
use crate::inventory::model::*;
use shared::ids::EventId;

impl Sqlite {
    pub(super) async fn list_blocks(&self, event: &EventId) -> Result<StoredBlocks, Refused> {
        let event = event.clone();
        self.look(move |file| {
            let event = event.as_str();
            let transaction = file.unchecked_transaction()?;
            let mut query =
                transaction.prepare("select plan_version from event where event = ?1")?;
            let mut versions = query.query_map([event], |row| row.get(0))?;
            let plan_version = versions.next().transpose()?.unwrap_or(0);
            let mut query = transaction.prepare(
                "select seat, note from seat where event = ?1 and state = 3 order by seat",
            )?;
            let seats = query.query_map([event], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(StoredBlocks {
                plan_version,
                seats: seats.collect::<rusqlite::Result<_>>()?,
            })
        })
        .await
    }
}

//! Blocked seats in Postgres.

use super::Postgres;
use crate::inventory::block_note::StoredBlocks;
use crate::inventory::model::*;
use shared::ids::EventId;
use sqlx::{Row as _, query};

const BLOCKS: &str = "select e.plan_version, s.seat, s.note from fairline.event e
    left join fairline.seat s on s.event = e.event and s.state = 3 where e.event = $1 order by s.seat";

impl Postgres {
    pub(super) async fn list_blocks(&self, event: &EventId) -> Result<StoredBlocks, Refused> {
        let shard = self.shard_of(event).await?;
        let select = query(BLOCKS).bind(event.as_str());
        let rows = shard.lists().fetch(select).await?;
        let version = rows.first().map_or(0, |row| row.get::<i32, _>(0));
        let seats = rows.iter().filter_map(|row| {
            let seat: i32 = row.get::<Option<i32>, _>(1)?;
            Some((seat as u32, row.get(2)))
        });
        Ok(StoredBlocks {
            plan_version: version as u32,
            seats: seats.collect(),
        })
    }
}

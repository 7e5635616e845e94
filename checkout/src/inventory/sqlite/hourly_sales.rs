//! Sales by the hour in SQLite.

use super::{Sqlite, Step, Store};
use crate::inventory::hourly_sales::*;
use crate::inventory::model::*;
use crate::inventory::outbox::NewPlace;
use async_trait::async_trait;
use rusqlite::{Row, params};
use shared::ids::EventId;
use shared::time::Time;

const ADD: &str = "insert into sales_hour (event, hour, figure, category, currency, value)
    values (?1, ?2, ?3, ?4, ?5, ?6)
    on conflict (event, hour, figure, category, currency) do update set value = value + excluded.value";

const READ: &str = "select hour, figure, category, currency, value from sales_hour
    where event = ?1 and hour >= ?2 and hour < ?3";

#[async_trait]
impl HourlySalesStore for Sqlite {
    async fn add_sales(&self, place: NewPlace<'_>, sums: HourlySums) -> Result<bool, Refused> {
        let consumer = place.consumer.to_owned();
        let (after, position) = (place.after, place.position);
        self.step(move |store, now| {
            store.write()?;
            match store.move_place(&consumer, after, position, now)? {
                true => store.add_sales(&sums),
                false => Ok(Ok(false)),
            }
        })
        .await
    }

    async fn sums_between(
        &self,
        event: &EventId,
        from: Time,
        to: Time,
    ) -> Result<Vec<StoredSum>, Refused> {
        let event = event.clone();
        let sums = self.look(move |file| {
            let mut query = file.prepare(READ)?;
            let rows = query.query_map(params![event.as_str(), from.0, to.0], read_sum)?;
            rows.collect::<rusqlite::Result<Vec<StoredSum>>>()
        });
        sums.await
    }
}

impl Store {
    fn add_sales(&mut self, sums: &HourlySums) -> Step<bool> {
        let mut add = self.db.prepare_cached(ADD)?;
        for (key, value) in &sums.0 {
            add.execute(params![
                key.event,
                key.hour.0,
                key.figure.as_str(),
                key.category,
                key.currency,
                value
            ])?;
        }
        Ok(Ok(true))
    }
}

fn read_sum(row: &Row<'_>) -> rusqlite::Result<StoredSum> {
    Ok(StoredSum {
        hour: Time(row.get(0)?),
        figure: row.get(1)?,
        category: row.get(2)?,
        currency: row.get(3)?,
        value: row.get(4)?,
    })
}

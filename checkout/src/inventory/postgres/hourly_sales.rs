//! Sales by the hour in Postgres.

use super::Postgres;
use super::database::Statement;
use crate::inventory::hourly_sales::*;
use crate::inventory::model::*;
use crate::inventory::outbox::NewPlace;
use async_trait::async_trait;
use futures_util::future::join_all;
use shared::ids::EventId;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::sync::Arc;

const ADD: &str =
    "insert into fairline.sales_hour as s (event, hour, figure, category, currency, value)
    select w.event, w.hour, w.figure, w.category, w.currency, w.value
    from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
        with ordinality as w(event, hour, figure, category, currency, value, place)";

/// Number of its parameters.
const ADD_BOUND: usize = 6;

const ON_CONFLICT: &str =
    "(event, hour, figure, category, currency) do update set value = s.value + excluded.value";

const READ: &str = "select hour, figure, category, currency, value from fairline.sales_hour
    where event = $1 and hour >= $2 and hour < $3";

#[async_trait]
impl HourlySalesStore for Postgres {
    async fn add_sales(&self, place: NewPlace<'_>, sums: HourlySums) -> Result<bool, Refused> {
        let database = self.database_of(place.shard)?.reader();
        let columns = SumColumns::of(sums);
        let bind = |add| columns.bind(add);
        place
            .insert(database, ADD, ADD_BOUND, ON_CONFLICT, bind)
            .await
    }

    async fn sums_between(
        &self,
        event: &EventId,
        from: Time,
        to: Time,
    ) -> Result<Vec<StoredSum>, Refused> {
        let own = self.shard_of(event).await?;
        let reading = self.shards.iter().map(|shard| {
            let read = query(READ).bind(event.as_str()).bind(from.0).bind(to.0);
            shard.lister.fetch(read)
        });
        let mut sums = Vec::new();
        for (shard, read) in self.shards.iter().zip(join_all(reading).await) {
            match read {
                Ok(rows) => sums.extend(rows.iter().map(read_sum)),
                Err(error) if Arc::ptr_eq(shard, &own) => return Err(error.into()),
                // Its sums of before the event was moved are missing while it is away.
                Err(_) => {}
            }
        }
        Ok(sums)
    }
}

/// Columns of rows to be added.
#[derive(Default)]
struct SumColumns {
    events: Vec<String>,
    hours: Vec<i64>,
    figures: Vec<&'static str>,
    categories: Vec<String>,
    currencies: Vec<String>,
    values: Vec<i64>,
}

impl SumColumns {
    fn of(sums: HourlySums) -> SumColumns {
        let mut columns = SumColumns::default();
        for (key, value) in sums.0 {
            columns.events.push(key.event);
            columns.hours.push(key.hour.0);
            columns.figures.push(key.figure.as_str());
            columns.categories.push(key.category);
            columns.currencies.push(key.currency);
            columns.values.push(value);
        }
        columns
    }

    fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        statement
            .bind(self.events)
            .bind(self.hours)
            .bind(self.figures)
            .bind(self.categories)
            .bind(self.currencies)
            .bind(self.values)
    }
}

fn read_sum(row: &PgRow) -> StoredSum {
    StoredSum {
        hour: Time(row.get(0)),
        figure: row.get(1),
        category: row.get(2),
        currency: row.get(3),
        value: row.get(4),
    }
}

//! Organiser routes of the sales by the hour, as JSON, CSV and Parquet.

use crate::app::{App, Shop};
use crate::hourly_table::{Cell, HourlyTable, Kind, ParquetFile};
use crate::inventory::hourly_sales::{HOUR_MS, SalesHour};
use crate::inventory::{Currency, Money};
use crate::organiser::known;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::http::openapi::Refusals;
use shared::http::problem::{Parameters, Problem};
use shared::ids::EventId;
use shared::organiser::Organiser;
use shared::time::Time;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest number of hours of an answer: 31 days.
const HOURS_MAX: i64 = 31 * 24;
/// Number of hours of an answer if `from` is absent.
const HOURS_DEFAULT: i64 = 7 * 24;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_hourly_sales))
        .routes(routes!(export_hourly_sales))
        .routes(routes!(export_hourly_sales_as_parquet))
}

/// Query of the sales, or of the funnel, by the hour.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HourlyQuery {
    /// Beginning, down to the full hour in UTC: at most 31 days before `to`, 7 days if absent.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-03-01T00:00:00Z")]
    from: Option<Time>,
    /// End, up to the full hour: now if absent.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-03-08T00:00:00Z")]
    to: Option<Time>,
}

impl HourlyQuery {
    /// Returns the hours that are asked for: the first, and the one after the last.
    pub(crate) fn hours(&self, now: Time) -> Result<(Time, Time), Problem> {
        let down = |at: Time| at.0 - at.0.rem_euclid(HOUR_MS);
        let to = self.to.unwrap_or(now);
        let to = down(Time(to.0 + HOUR_MS - 1));
        let from = self.from.map_or(to - HOURS_DEFAULT * HOUR_MS, down);
        if from >= to {
            return Err(Problem::invalid("from", "before `to`"));
        }
        if to - from > HOURS_MAX * HOUR_MS {
            return Err(Problem::invalid("from", "at most 31 days before `to`"));
        }
        Ok((Time(from), Time(to)))
    }
}

/// Sales by the hour.
#[derive(Serialize, utoipa::ToSchema)]
struct HourlySales {
    /// Beginning of the first hour that was asked for.
    from: Time,
    /// End of the last one.
    to: Time,
    /// The hours in which something happened, in order.
    #[schema(max_items = 744)]
    hours: Vec<SalesHour>,
}

async fn read(shop: &Shop, event: &EventId, query: &HourlyQuery) -> Result<HourlySales, Problem> {
    let (from, to) = query.hours(shop.inventory.now())?;
    let sales = shop.inventory.hourly_sales();
    let hours = sales.sales_between(event, from, to).await?;
    Ok(HourlySales { from, to, hours })
}

/// Show the sales by the hour. They are counted some seconds after they happen, each event once.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales/hourly", tag = "organiser",
    params(("event" = String, Path), HourlyQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The figures", body = HourlySales), Refusals))]
async fn show_hourly_sales(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HourlyQuery>,
) -> Result<Json<HourlySales>, Problem> {
    let event = known(&shop, &event).await?;
    Ok(Json(read(&shop, &event, &query).await?))
}

/// Export the sales by the hour as CSV: a row for each hour and currency, those without sales too, and a
/// column for each category of which tickets were sold. Counts are in the first row of an hour.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales/hourly.csv", tag = "organiser",
    params(("event" = String, Path), HourlyQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), Refusals))]
async fn export_hourly_sales(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HourlyQuery>,
) -> Result<Response, Problem> {
    let (event, table) = table_of(&shop, &event, &query).await?;
    table.csv_file(&format!("{event}-hourly-sales.csv"))
}

/// Export the sales by the hour as Parquet: the table of the CSV, for programs that analyse it.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales/hourly.parquet", tag = "organiser",
    params(("event" = String, Path), HourlyQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The table", content((ParquetFile = "application/vnd.apache.parquet"))), Refusals))]
async fn export_hourly_sales_as_parquet(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HourlyQuery>,
) -> Result<Response, Problem> {
    let (event, table) = table_of(&shop, &event, &query).await?;
    table.parquet_file(&format!("{event}-hourly-sales.parquet"))
}

async fn table_of(
    shop: &Shop,
    event: &str,
    query: &HourlyQuery,
) -> Result<(EventId, HourlyTable), Problem> {
    let event = known(shop, event).await?;
    let currency = shop.inventory.rules(&event).await?.currency;
    let table = table(&read(shop, &event, query).await?, currency);
    Ok((event, table))
}

/// Columns of counts.
const COUNTS: [&str; 7] = [
    "orders confirmed",
    "orders refunded",
    "orders cancelled",
    "orders expired",
    "tickets sold",
    "tickets voided",
    "holds expired",
];
/// Columns of amounts.
const AMOUNTS: [&str; 3] = ["gross", "refunded", "charged back"];

/// Makes the table. `currency` is that of hours without money.
fn table(sales: &HourlySales, currency: Currency) -> HourlyTable {
    let sold = sales.hours.iter().flat_map(|hour| &hour.categories);
    let categories: BTreeSet<&str> = sold.map(|it| it.category.as_str()).collect();
    let mut columns = vec![("hour".to_owned(), Kind::Hour)];
    columns.extend(COUNTS.map(|name| (name.to_owned(), Kind::Count)));
    columns.extend(AMOUNTS.map(|name| (name.to_owned(), Kind::Amount)));
    columns.push(("currency".to_owned(), Kind::Text));
    let sold_of = categories.iter().map(|id| format!("tickets sold: {id}"));
    columns.extend(sold_of.map(|name| (name, Kind::Count)));
    let mut table = HourlyTable::new(columns);
    let mut counted = sales.hours.iter().peekable();
    for hour in (sales.from.0..sales.to.0).step_by(HOUR_MS as usize) {
        let nothing = SalesHour {
            hour: Time(hour),
            ..SalesHour::default()
        };
        let of_hour = counted.next_if(|counted| counted.hour.0 == hour);
        let of_hour = of_hour.unwrap_or(&nothing);
        add_hour(&mut table, of_hour, currency, &categories);
    }
    table
}

fn add_hour(
    table: &mut HourlyTable,
    hour: &SalesHour,
    currency: Currency,
    categories: &BTreeSet<&str>,
) {
    let nothing = [Money {
        amount: 0,
        currency,
    }; 3];
    let money = hour.money.iter();
    let mut money = money.map(|it| [it.gross, it.refunded, it.charged_back]);
    let counts = [
        hour.orders_confirmed,
        hour.orders_refunded,
        hour.orders_cancelled,
        hour.orders_expired,
        hour.tickets_sold,
        hour.tickets_voided,
        hour.holds_expired,
    ];
    let mut row = vec![Cell::Hour(hour.hour)];
    row.extend(counts.map(Cell::Count));
    row.extend(amounts(money.next().unwrap_or(nothing)));
    row.extend(categories.iter().map(|id| {
        let own = hour.categories.iter().filter(|it| it.category == *id);
        Cell::Count(own.map(|it| it.tickets_sold).sum())
    }));
    table.add_row(row);
    for other in money {
        let mut row = vec![Cell::Hour(hour.hour)];
        row.extend(counts.map(|_| Cell::Empty));
        row.extend(amounts(other));
        row.extend(categories.iter().map(|_| Cell::Empty));
        table.add_row(row);
    }
}

fn amounts([gross, refunded, charged_back]: [Money; 3]) -> [Cell; 4] {
    let currency = gross.currency.as_str().to_owned();
    [
        Cell::Amount(gross),
        Cell::Amount(refunded),
        Cell::Amount(charged_back),
        Cell::Text(currency),
    ]
}

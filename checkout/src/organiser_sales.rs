//! Organiser routes of the sales by the hour, as JSON and as CSV.

use crate::app::{App, Shop};
use crate::csv_table::{BYTE_ORDER_MARK, CsvTable};
use crate::inventory::hourly_sales::{HOUR_MS, SalesHour};
use crate::inventory::{Currency, Money};
use crate::organiser::known;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::http::openapi::Refusals;
use shared::http::problem::{Parameters, Problem};
use shared::ids::EventId;
use shared::organiser::Organiser;
use shared::time::Time;
use std::collections::BTreeSet;
use std::io;
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
    let event = known(&shop, &event).await?;
    let currency = shop.inventory.rules(&event).await?.currency;
    let sales = read(&shop, &event, &query).await?;
    csv_file(
        &format!("{event}-hourly-sales.csv"),
        table(&sales, currency),
    )
}

/// Returns the answer with a table to be saved under this name.
pub(crate) fn csv_file(name: &str, table: io::Result<Vec<u8>>) -> Result<Response, Problem> {
    let table = table.map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((head, table).into_response())
}

/// Columns before those of the categories.
const COLUMNS: [&str; 12] = [
    "hour",
    "orders confirmed",
    "orders refunded",
    "orders cancelled",
    "orders expired",
    "tickets sold",
    "tickets voided",
    "holds expired",
    "gross",
    "refunded",
    "charged back",
    "currency",
];

/// Writes the table. `currency` is that of hours without money.
fn table(sales: &HourlySales, currency: Currency) -> io::Result<Vec<u8>> {
    let sold = sales.hours.iter().flat_map(|hour| &hour.categories);
    let categories: BTreeSet<&str> = sold.map(|it| it.category.as_str()).collect();
    let mut columns = COLUMNS.map(str::to_owned).to_vec();
    columns.extend(categories.iter().map(|id| format!("tickets sold: {id}")));
    let mut table = CsvTable::after(BYTE_ORDER_MARK);
    table.add_row(&columns)?;
    let mut counted = sales.hours.iter().peekable();
    for hour in (sales.from.0..sales.to.0).step_by(HOUR_MS as usize) {
        let nothing = SalesHour {
            hour: Time(hour),
            ..SalesHour::default()
        };
        let of_hour = counted.next_if(|counted| counted.hour.0 == hour);
        add_hour(
            &mut table,
            of_hour.unwrap_or(&nothing),
            currency,
            &categories,
        )?;
    }
    table.into_bytes()
}

fn add_hour(
    table: &mut CsvTable,
    hour: &SalesHour,
    currency: Currency,
    categories: &BTreeSet<&str>,
) -> io::Result<()> {
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
    let mut row = vec![hour.hour.to_string()];
    row.extend(counts.iter().map(i64::to_string));
    row.extend(amounts(money.next().unwrap_or(nothing)));
    row.extend(categories.iter().map(|id| {
        let own = hour.categories.iter().filter(|it| it.category == *id);
        own.map(|it| it.tickets_sold).sum::<i64>().to_string()
    }));
    table.add_row(&row)?;
    for other in money {
        let mut row = vec![hour.hour.to_string()];
        row.extend(counts.iter().map(|_| String::new()));
        row.extend(amounts(other));
        row.extend(categories.iter().map(|_| String::new()));
        table.add_row(&row)?;
    }
    Ok(())
}

fn amounts([gross, refunded, charged_back]: [Money; 3]) -> [String; 4] {
    let currency = gross.currency.as_str().to_owned();
    [
        gross.decimal(),
        refunded.decimal(),
        charged_back.decimal(),
        currency,
    ]
}

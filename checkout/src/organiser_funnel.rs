//! Organiser routes of the funnel from the line to a ticket by the hour, as JSON, CSV and Parquet.

use crate::app::{App, Shop};
use crate::hourly_table::{Cell, HourlyTable, Kind, ParquetFile};
use crate::inventory::funnel::{Funnel, FunnelHour, WAIT_BOUNDS_MINUTES};
use crate::inventory::hourly_sales::HOUR_MS;
use crate::organiser::known;
use crate::organiser_sales::HourlyQuery;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use shared::http::openapi::Refusals;
use shared::http::problem::{Parameters, Problem};
use shared::ids::EventId;
use shared::organiser::Organiser;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_funnel))
        .routes(routes!(export_funnel))
        .routes(routes!(export_funnel_as_parquet))
}

/// The funnel by the hour. Visitors who gave up while they waited are not in it: they leave no event.
#[derive(Serialize, utoipa::ToSchema)]
struct HourlyFunnel {
    /// Beginning of the first hour that was asked for.
    from: Time,
    /// End of the last one.
    to: Time,
    /// Upper bounds in minutes of the counts of waits; the last count is of longer ones.
    #[schema(min_items = 12, max_items = 12)]
    bounds_minutes: Vec<u32>,
    /// The sum of the hours.
    total: Funnel,
    /// The hours in which something happened, in order.
    #[schema(max_items = 744)]
    hours: Vec<FunnelHour>,
}

async fn read(shop: &Shop, event: &EventId, query: &HourlyQuery) -> Result<HourlyFunnel, Problem> {
    let (from, to) = query.hours(shop.inventory.now())?;
    let sales = shop.inventory.hourly_sales();
    let hours = sales.funnel_between(event, from, to).await?;
    Ok(HourlyFunnel {
        from,
        to,
        bounds_minutes: WAIT_BOUNDS_MINUTES.to_vec(),
        total: Funnel::sum(&hours),
        hours,
    })
}

/// Show the way from the line to a ticket: admissions, how they ended, buyers, and waits, as a sum and by
/// the hour. They are counted some seconds after they happen, each event once.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales/funnel", tag = "organiser",
    params(("event" = String, Path), HourlyQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The figures", body = HourlyFunnel), Refusals))]
async fn show_funnel(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HourlyQuery>,
) -> Result<Json<HourlyFunnel>, Problem> {
    let event = known(&shop, &event).await?;
    Ok(Json(read(&shop, &event, &query).await?))
}

/// Export the funnel by the hour as CSV: a row for each hour, also those in which nothing happened.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales/funnel.csv", tag = "organiser",
    params(("event" = String, Path), HourlyQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), Refusals))]
async fn export_funnel(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HourlyQuery>,
) -> Result<Response, Problem> {
    let event = known(&shop, &event).await?;
    let funnel = read(&shop, &event, &query).await?;
    table(&funnel).csv_file(&format!("{event}-funnel.csv"))
}

/// Export the funnel by the hour as Parquet: the table of the CSV, for programs that analyse it.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/sales/funnel.parquet", tag = "organiser",
    params(("event" = String, Path), HourlyQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The table", content((ParquetFile = "application/vnd.apache.parquet"))), Refusals))]
async fn export_funnel_as_parquet(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HourlyQuery>,
) -> Result<Response, Problem> {
    let event = known(&shop, &event).await?;
    let funnel = read(&shop, &event, &query).await?;
    table(&funnel).parquet_file(&format!("{event}-funnel.parquet"))
}

/// Columns of counts, before those of the counts of waits.
const COUNTS: [&str; 10] = [
    "admitted",
    "missed their turn",
    "came",
    "finished",
    "ran out of time",
    "left",
    "ejected",
    "buyers",
    "waits",
    "waits in seconds",
];

fn table(funnel: &HourlyFunnel) -> HourlyTable {
    let mut names = COUNTS.map(str::to_owned).to_vec();
    let bounds = WAIT_BOUNDS_MINUTES.iter();
    names.extend(bounds.map(|minutes| format!("waits up to {minutes} min")));
    names.push("longer waits".to_owned());
    let mut columns = vec![("hour".to_owned(), Kind::Hour)];
    columns.extend(names.into_iter().map(|name| (name, Kind::Count)));
    let mut table = HourlyTable::new(columns);
    let mut counted = funnel.hours.iter().peekable();
    let nothing = Funnel::default();
    for hour in (funnel.from.0..funnel.to.0).step_by(HOUR_MS as usize) {
        let of_hour = counted.next_if(|counted| counted.hour.0 == hour);
        let mut row = vec![Cell::Hour(Time(hour))];
        let figures = figures(of_hour.map_or(&nothing, |counted| &counted.funnel));
        row.extend(figures.into_iter().map(Cell::Count));
        table.add_row(row);
    }
    table
}

/// Returns the cells of an hour after the first.
fn figures(funnel: &Funnel) -> Vec<i64> {
    let mut figures = vec![
        funnel.admitted,
        funnel.missed,
        funnel.came,
        funnel.finished,
        funnel.ran_out,
        funnel.left,
        funnel.ejected,
        funnel.buyers,
        funnel.waits.count,
        funnel.waits.sum_seconds,
    ];
    figures.extend(funnel.waits.counts);
    figures
}

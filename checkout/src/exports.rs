//! Exports of an event as CSV: orders, tickets, the door list, payments. Each is streamed page by
//! page, whatever its size.

use crate::app::{App, Shop};
use crate::csv_table::{BYTE_ORDER_MARK, CsvTable};
use crate::inventory::{Order, OrderPage, SeatPrice};
use crate::organiser::{Change, known, record};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::organiser::Organiser;
use std::io;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Number of orders read at one time.
const STEP: u32 = 500;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

/// A table that is exported.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
enum Table {
    /// All orders.
    #[serde(rename = "orders.csv")]
    Orders,
    /// Valid tickets.
    #[serde(rename = "tickets.csv")]
    Tickets,
    /// Valid tickets with the buyer first, for a door without a scanner.
    #[serde(rename = "door-list.csv")]
    DoorList,
    /// Orders that were paid, with what was given back.
    #[serde(rename = "payments.csv")]
    Payments,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Orders => "orders",
            Table::Tickets => "tickets",
            Table::DoorList => "door-list",
            Table::Payments => "payments",
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Table::Orders => &[
                "order",
                "made at",
                "state",
                "name",
                "e-mail",
                "seats",
                "total",
                "given back",
                "currency",
            ],
            Table::Tickets => &[
                "ticket",
                "seat",
                "category",
                "price",
                "currency",
                "order",
                "name",
                "e-mail",
                "ticket type",
            ],
            Table::DoorList => &["name", "seat", "category", "order", "ticket", "ticket type"],
            Table::Payments => &[
                "payment",
                "provider",
                "order",
                "made at",
                "state",
                "total",
                "given back",
                "currency",
            ],
        }
    }

    /// Adds the rows of an order.
    fn add(self, table: &mut CsvTable, order: &Order) -> io::Result<()> {
        let (name, email) = order.buyer.as_ref().map_or(("", ""), |buyer| {
            (buyer.name.as_str(), buyer.email.as_str())
        });
        let made_at = order.created_at.to_string();
        let (total, currency) = (order.total.decimal(), order.total.currency.as_str());
        let given_back = order.refunded.map(|money| money.decimal());
        let given_back = given_back.unwrap_or_default();
        match self {
            Table::Orders => {
                let seats: Vec<&str> = order.seats.iter().map(place).collect();
                let seats = seats.join("; ");
                let row = [
                    &order.id,
                    &made_at,
                    &order.state,
                    name,
                    email,
                    &seats,
                    &total,
                    &given_back,
                    currency,
                ];
                table.add_row(&row)?;
            }
            Table::Payments => {
                let payment = &order.payment;
                let is_paid = ["confirmed", "refunding", "refunded", "needs_review"];
                if is_paid.contains(&order.state.as_str()) {
                    let row = [
                        &payment.id,
                        &payment.provider,
                        &order.id,
                        &made_at,
                        &order.state,
                        &total,
                        &given_back,
                        currency,
                    ];
                    table.add_row(&row)?;
                }
            }
            Table::Tickets | Table::DoorList => {
                for ticket in order.tickets.iter().flatten() {
                    let mut seats = order.seats.iter();
                    let seat = seats.find(|seat| *seat.id == *ticket.seat);
                    let label = seat.map_or(&*ticket.seat, place);
                    let category = seat.map_or("", |seat| &*seat.category);
                    let price = seat.map(|seat| seat.price.decimal()).unwrap_or_default();
                    let own = ticket.ticket_type.as_ref();
                    let own = own.map_or("", |own| own.name.as_str());
                    if let Table::DoorList = self {
                        let row = [name, label, category, &order.id, &ticket.id, own];
                        table.add_row(&row)?;
                    } else {
                        let row = [
                            &ticket.id, label, category, &price, currency, &order.id, name, email,
                            own,
                        ];
                        table.add_row(&row)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Export a table of an event as CSV: UTF-8, a comma between cells, CRLF at the end of a row. A cell
/// that a spreadsheet would take for a formula begins with an apostrophe. The newest orders come
/// first.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/exports/{table}", tag = "organiser",
    params(("event" = String, Path), ("table" = inline(Table), Path)), security(("organiser" = ["operator"])),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), Refusals))]
async fn export(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, table)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let table: Table = serde_json::from_value(json!(table)).map_err(|_| {
        let why = "orders.csv, tickets.csv, door-list.csv or payments.csv";
        Problem::invalid("table", why)
    })?;
    let event = known(&shop, &event).await?;
    let change = Change {
        action: "orders.export",
        event: &event,
        from: Value::Null,
        to: json!({"table": table.name()}),
    };
    record(&shop, &organiser, change).await;
    let file = format!("attachment; filename=\"{event}-{}.csv\"", table.name());
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, file),
    ];
    Ok((head, Body::from_stream(pages(shop, event, table))).into_response())
}

/// Returns the table, some hundred orders at a time. It ends with an error if the store cannot be
/// reached, so that no one takes a part for the whole.
fn pages(
    shop: Arc<Shop>,
    event: EventId,
    table: Table,
) -> impl futures_util::Stream<Item = io::Result<Vec<u8>>> {
    let first = Some(OrderPage::newest(STEP));
    stream::unfold((shop, first), move |(shop, page)| {
        let event = event.clone();
        async move {
            let page = page?;
            match rows(&shop, &event, table, page).await {
                Ok((text, next)) => Some((Ok(text), (shop, next))),
                Err(error) => Some((Err(error), (shop, None))),
            }
        }
    })
    // Compression asks again after the end.
    .fuse()
}

/// Returns the rows of a page of orders, with the columns before the first, and the page after it.
async fn rows(
    shop: &Shop,
    event: &EventId,
    table: Table,
    page: OrderPage,
) -> io::Result<(Vec<u8>, Option<OrderPage>)> {
    let is_first = page.after.is_none();
    let mut rows = CsvTable::after(if is_first { BYTE_ORDER_MARK } else { "" });
    if is_first {
        rows.add_row(table.columns())?;
    }
    let listed = shop.inventory.list_orders(event, page, None).await;
    let list = listed.map_err(io::Error::other)?;
    for order in &list.orders {
        table.add(&mut rows, order)?;
    }
    let next = list.next.map(|after| OrderPage {
        after: Some(after),
        ..OrderPage::newest(STEP)
    });
    Ok((rows.into_bytes()?, next))
}

/// Returns the place of a seat as people read it; orders that were made before there were labels
/// have its id.
fn place(seat: &SeatPrice) -> &str {
    if seat.label.is_empty() {
        &seat.id
    } else {
        &seat.label
    }
}

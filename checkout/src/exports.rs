//! Exports of an event as CSV and as spreadsheets: orders, tickets, the door list, payments, blocked
//! seats. Those of orders are streamed page by page, whatever their size.

use crate::app::{App, Shop};
use crate::export_file::ExportFile;
use crate::inventory::{Order, OrderPage, SeatPrice};
use crate::organiser::{Change, known, record};
use crate::organiser_blocks::{COLUMNS, write_blocks};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
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

/// Name of the table of blocked seats, the only one that is not of orders.
const BLOCKS: &str = "blocks";

/// A table of orders that is exported.
#[derive(Clone, Copy)]
enum Table {
    /// All orders.
    Orders,
    /// Valid tickets.
    Tickets,
    /// Valid tickets with the buyer first, for a door without a scanner.
    DoorList,
    /// Orders that were paid, with what was given back and charged back.
    Payments,
}

impl Table {
    const ALL: [Table; 4] = [
        Table::Orders,
        Table::Tickets,
        Table::DoorList,
        Table::Payments,
    ];

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
                "charged back",
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
                "charged back",
                "currency",
            ],
        }
    }

    /// Adds the rows of an order.
    fn add(self, table: &mut ExportFile, order: &Order) -> io::Result<()> {
        let (name, email) = order.buyer.as_ref().map_or(("", ""), |buyer| {
            (buyer.name.as_str(), buyer.email.as_str())
        });
        let made_at = order.created_at.to_string();
        let (total, currency) = (order.total.decimal(), order.total.currency.as_str());
        let [given_back, charged_back] = [order.refunded, order.charged_back]
            .map(|money| money.map_or(String::new(), |money| money.decimal()));
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
                    &charged_back,
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
                        &charged_back,
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

/// A spreadsheet.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
struct SheetFile(
    #[expect(dead_code, reason = "describes an answer that is made elsewhere")] Vec<u8>,
);

/// Export a table of an event as CSV (UTF-8, a comma between cells, CRLF at the end of a row; a cell
/// that a spreadsheet would take for a formula begins with an apostrophe) or as a spreadsheet of Office
/// Open XML, whose sheets have up to 1,048,576 rows. The newest orders come first. A download that
/// breaks off is not whole.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/exports/{table}", tag = "organiser",
    params(("event" = String, Path),
        ("table" = String, Path, pattern = "^(orders|tickets|door-list|payments|blocks)\\.(csv|xlsx)$")),
    security(("organiser" = ["operator"])),
    responses((status = 200, description = "The table", content((String = "text/csv"),
        (SheetFile = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))), Refusals))]
async fn export(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let no_such = || {
        let why = "orders, tickets, door-list, payments or blocks, and .csv or .xlsx after it";
        Problem::invalid("table", why)
    };
    let (wanted, format) = name.split_once('.').ok_or_else(no_such)?;
    let mut tables = Table::ALL.into_iter();
    let table = tables.find(|table| table.name() == wanted);
    let columns = match table {
        Some(table) => table.columns(),
        None if wanted == BLOCKS => &COLUMNS,
        None => return Err(no_such()),
    };
    let file = ExportFile::begin(format, columns).ok_or_else(no_such)?;
    let file = file.map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let event = known(&shop, &event).await?;
    let change = Change {
        action: "orders.export",
        event: &event,
        from: Value::Null,
        to: json!({"table": wanted}),
    };
    record(&shop, &organiser, change).await;
    let head = [
        (header::CONTENT_TYPE, file.media_type().to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{event}-{name}\""),
        ),
    ];
    let Some(table) = table else {
        return Ok((head, write_blocks(&shop, &event, file).await?).into_response());
    };
    Ok((head, Body::from_stream(pages(shop, event, table, file))).into_response())
}

/// Returns the file, some hundred orders at a time. It ends with an error if the store cannot be
/// reached, so that no one takes a part for the whole.
fn pages(
    shop: Arc<Shop>,
    event: EventId,
    table: Table,
    file: ExportFile,
) -> impl futures_util::Stream<Item = io::Result<Vec<u8>>> {
    let first = Some((file, OrderPage::newest(STEP)));
    stream::unfold((shop, first), move |(shop, state)| {
        let event = event.clone();
        async move {
            let (file, page) = state?;
            match rows(&shop, &event, table, (file, page)).await {
                Ok((bytes, next)) => Some((Ok(bytes), (shop, next))),
                Err(error) => Some((Err(error), (shop, None))),
            }
        }
    })
    // Compression asks again after the end.
    .fuse()
}

/// Writes a page of orders. Returns what was written, and the page after it unless it was the last.
async fn rows(
    shop: &Shop,
    event: &EventId,
    table: Table,
    (mut file, page): (ExportFile, OrderPage),
) -> io::Result<(Vec<u8>, Option<(ExportFile, OrderPage)>)> {
    let listed = shop.inventory.list_orders(event, page, None).await;
    let list = listed.map_err(io::Error::other)?;
    for order in &list.orders {
        table.add(&mut file, order)?;
    }
    let Some(after) = list.next else {
        return Ok((file.finish()?, None));
    };
    let next = OrderPage {
        after: Some(after),
        ..OrderPage::newest(STEP)
    };
    Ok((file.take()?, Some((file, next))))
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

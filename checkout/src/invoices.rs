//! Routes of invoices and credit notes: lists, and each as a PDF, for buyers and organisers.

use crate::app::{App, Shop};
use crate::inventory::{Buyer, Invoice, Order};
use crate::invoice_pdf::{PrintedInvoice, draw};
use crate::orders::OrderReader;
use crate::pdf::{Pdf, answer, draw_aside};
use crate::sessions::event_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::organiser::{Organiser, Role};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_own_invoices))
        .routes(routes!(show_own_invoice))
        .routes(routes!(list_invoices))
        .routes(routes!(show_invoice))
}

/// Lists the invoice of an order and its credit notes; none where the organiser issues none. Needs
/// the session, or the key of the signed link as the bearer token.
#[utoipa::path(get, path = "/api/v1/orders/{order}/invoices", tag = "checkout",
    params(("order" = String, Path)), security(("session" = []), ("link" = [])),
    responses((status = 200, description = "The invoice, then its credit notes", body = Vec<Invoice>), Refusals))]
async fn list_own_invoices(
    State(shop): State<Arc<Shop>>,
    Path(order): Path<String>,
    OrderReader(reader): OrderReader,
) -> Result<Json<Vec<Invoice>>, Problem> {
    let order = shop.inventory.show_order(reader, &order).await?;
    Ok(Json(
        shop.inventory.invoices(&order.event, &order.id).await?,
    ))
}

/// Returns an invoice or a credit note of an order as a PDF. Needs the session, or the key of the
/// signed link as the bearer token.
#[utoipa::path(get, path = "/api/v1/orders/{order}/invoices/{number}", tag = "checkout",
    params(("order" = String, Path), ("number" = String, Path)),
    security(("session" = []), ("link" = [])),
    responses((status = 200, description = "The document", content((Pdf = "application/pdf"))), Refusals))]
async fn show_own_invoice(
    State(shop): State<Arc<Shop>>,
    Path((order, number)): Path<(String, String)>,
    OrderReader(reader): OrderReader,
) -> Result<Response, Problem> {
    let order = shop.inventory.show_order(reader, &order).await?;
    let buyer = order.buyer.clone();
    pdf(&shop, &order, buyer, &number).await
}

/// List the invoice of an order and its credit notes.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders/{order}/invoices", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The invoice, then its credit notes", body = Vec<Invoice>), Refusals))]
async fn list_invoices(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path((event, order)): Path<(String, String)>,
) -> Result<Json<Vec<Invoice>>, Problem> {
    let event = event_id(&event)?;
    let order = shop.inventory.order_details(&event, &order).await?.order;
    Ok(Json(shop.inventory.invoices(&event, &order.id).await?))
}

/// Return an invoice or a credit note of an order as a PDF; without the buyer for viewers.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders/{order}/invoices/{number}", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path), ("number" = String, Path)),
    security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The document", content((Pdf = "application/pdf"))), Refusals))]
async fn show_invoice(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order, number)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let order = shop.inventory.order_details(&event, &order).await?.order;
    let sees_buyers = organiser.role >= Role::Operator;
    let buyer = order.buyer.clone().filter(|_| sees_buyers);
    pdf(&shop, &order, buyer, &number).await
}

async fn pdf(
    shop: &Shop,
    order: &Order,
    buyer: Option<Buyer>,
    number: &str,
) -> Result<Response, Problem> {
    let invoices = shop.inventory.invoices(&order.event, &order.id).await?;
    let found = invoices.into_iter().find(|known| known.number == number);
    let missing = || {
        let title = "There is no such invoice of this order";
        Problem::new(StatusCode::NOT_FOUND, "no-such-invoice", title)
    };
    let invoice = found.ok_or_else(missing)?;
    let facts = shop.event_facts(&order.event).await;
    let facts = facts.ok_or_else(Problem::unavailable)?;
    let paper = PrintedInvoice {
        invoice,
        event: order.event.clone(),
        order: order.id.clone(),
        buyer,
        language: facts.language_of(order),
    };
    let (name, fonts) = (format!("{}.pdf", paper.invoice.number), shop.fonts.clone());
    answer(draw_aside(move || draw(&paper, &fonts)).await, &name)
}

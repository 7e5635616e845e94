//! Routes of the tickets of an order as a PDF, for buyers and for organisers who print them.

use crate::app::{App, Shop};
use crate::inventory::Order;
use crate::orders::OrderReader;
use crate::pdf::{Pdf, answer};
use crate::sessions::event_id;
use crate::ticket_pdf::tickets_pdf;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(print_own_tickets))
        .routes(routes!(print_tickets))
}

/// Returns the valid tickets of an order as a PDF, one on each page. Needs the session, or the key of
/// the signed link as the bearer token. 409 `no-tickets` while there are none, and once all were
/// given back.
#[utoipa::path(get, path = "/api/v1/orders/{order}/tickets.pdf", tag = "checkout",
    params(("order" = String, Path)), security(("session" = []), ("link" = [])),
    responses((status = 200, description = "The tickets", content((Pdf = "application/pdf"))), Refusals))]
async fn print_own_tickets(
    State(shop): State<Arc<Shop>>,
    Path(order): Path<String>,
    OrderReader(reader): OrderReader,
) -> Result<Response, Problem> {
    let order = shop.inventory.show_order(reader, &order).await?;
    print(&shop, order).await
}

/// Return the valid tickets of an order as a PDF, one on each page.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders/{order}/tickets.pdf", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 200, description = "The tickets", content((Pdf = "application/pdf"))), Refusals))]
async fn print_tickets(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path((event, order)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let order = shop.inventory.order_details(&event, &order).await?.order;
    print(&shop, order).await
}

async fn print(shop: &Shop, order: Order) -> Result<Response, Problem> {
    if order.tickets.as_ref().is_none_or(Vec::is_empty) {
        let title = "This order has no valid tickets";
        return Err(Problem::new(StatusCode::CONFLICT, "no-tickets", title));
    }
    let event = shop.event_facts(&order.event).await;
    let event = event.ok_or_else(Problem::unavailable)?;
    let name = format!("tickets-{}.pdf", order.id);
    answer(tickets_pdf(&shop.fonts, order, event).await, &name)
}

//! The QR code of a ticket.

use crate::app::{App, Shop};
use crate::orders::OrderReader;
use crate::qr_picture::{QUIET, qr_code};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use qrcode::Color;
use serde::Deserialize;
use shared::http::problem::{Input, Problem};
use std::fmt::Write as _;
use std::sync::Arc;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/api/v1/qr", post(draw))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    /// Id of the order.
    order: String,
    /// Code of one of its tickets.
    code: String,
}

/// Draws the code of a ticket for whoever may see its order. A drawing costs more than most
/// requests: strangers get none, nor does anyone who asks for drawings of their own words. The
/// method is POST, so that codes appear in no URL and no log.
async fn draw(
    State(shop): State<Arc<Shop>>,
    OrderReader(reader): OrderReader,
    Input(input, _): Input<Code>,
) -> Result<Response, Problem> {
    let order = shop.inventory.show_order(reader, &input.order).await?;
    let mut tickets = order.tickets.iter().flatten();
    if !tickets.any(|ticket| ticket.code == input.code) {
        let title = "There is no such ticket in this order";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-ticket", title));
    }
    drawing(&input.code)
}

/// Draws a code as an SVG path.
fn drawing(code: &str) -> Result<Response, Problem> {
    let code = qr_code(code).map_err(|_| Problem::of_status(StatusCode::UNPROCESSABLE_ENTITY))?;
    let width = code.width();
    let mut path = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let _ = write!(
                path,
                "M{} {}h1v1h-1z",
                at % width + QUIET,
                at / width + QUIET
            );
        }
    }
    let size = width + 2 * QUIET;
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/><path d=\"{path}\"/></svg>"
    );
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

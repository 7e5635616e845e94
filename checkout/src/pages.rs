//! Pages of the checkout, and the image of a ticket's code.

use crate::app::{App, Shop};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use qrcode::{Color, EcLevel, QrCode};
use serde::Deserialize;
use shared::edge::Lifetime;
use shared::http::problem::{Input, Problem};
use shared::http::static_files::page;
use shared::ids::EventId;
use std::fmt::Write as _;
use std::sync::Arc;

/// Longest code that is drawn, in bytes.
const CODE_BYTES_MAX: usize = 300;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/e/{event}/seats", get(show_shop))
        .route("/orders/{order}", get(show_order))
        .route("/api/v1/qr", axum::routing::post(draw))
}

async fn show_shop(State(shop): State<Arc<Shop>>, Path(event): Path<String>) -> Response {
    let Ok(event) = EventId::parse(&event) else {
        return Problem::no_such_event().into_response();
    };
    let mut response = page("seats.html", &[("event", event.as_str())]);
    let edge = &shop.site.edge;
    edge.keep(response.headers_mut(), Lifetime::Page, &event);
    response
}

/// Query of an order page. The key of a signed link stays in the page's address; the page sends it
/// on in a header.
#[derive(Deserialize)]
struct Link {
    #[serde(rename = "key")]
    _key: Option<String>,
}

async fn show_order(Path(order): Path<String>, _: Query<Link>) -> Response {
    page("order.html", &[("order", &order)])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

/// Draws a code as an SVG path. The method is POST, so that codes appear in no URL and no log.
async fn draw(Input(input, _): Input<Code>) -> Result<Response, Problem> {
    if input.code.is_empty() || input.code.len() > CODE_BYTES_MAX {
        return Err(Problem::invalid(
            "code",
            format!("1 to {CODE_BYTES_MAX} characters"),
        ));
    }
    let code = QrCode::with_error_correction_level(input.code.as_bytes(), EcLevel::M)
        .map_err(|_| Problem::of_status(StatusCode::UNPROCESSABLE_ENTITY))?;
    let width = code.width();
    let mut path = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let _ = write!(path, "M{} {}h1v1h-1z", at % width + 4, at / width + 4);
        }
    }
    let size = width + 8;
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/><path d=\"{path}\"/></svg>"
    );
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

//! The QR code of a ticket.

use crate::app::App;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use qrcode::{Color, EcLevel, QrCode};
use serde::Deserialize;
use shared::http::problem::{Input, Problem};
use std::fmt::Write as _;

/// Longest code that is drawn, in bytes.
const CODE_BYTES_MAX: usize = 300;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/api/v1/qr", post(draw))
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

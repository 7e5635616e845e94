//! Drawing of PDFs: fonts, lines of text, coloured areas. Drawings run on threads of their own, a
//! bounded number at one time.

mod fonts;
mod surface;

pub(crate) use fonts::{Fonts, Weight};
pub(crate) use surface::{Style, draw_line, fill, page_of};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shared::http::problem::Problem;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Documents that are drawn at one time. Further requests wait.
static DRAWING: Semaphore = Semaphore::const_new(2);

/// A document as a PDF.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Pdf(
    #[expect(dead_code, reason = "describes an answer that is made elsewhere")] Vec<u8>,
);

/// Draws a document away from the threads that serve requests.
///
/// # Errors
/// The reason, which is in the log as well.
pub(crate) async fn draw_aside(
    draw: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static,
) -> Result<Vec<u8>, String> {
    let place = DRAWING.acquire().await;
    let drawn = spawn_blocking(move || {
        let _place = place;
        draw()
    });
    let drawn = drawn.await.unwrap_or_else(|error| Err(error.to_string()));
    if let Err(error) = &drawn {
        tracing::error!(error, "a PDF could not be drawn");
    }
    drawn
}

/// Answers with a document, whose file name has no characters that need quotes.
///
/// # Errors
/// 500 if it could not be drawn.
pub(crate) fn answer(drawn: Result<Vec<u8>, String>, file_name: &str) -> Result<Response, Problem> {
    let failed = |_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
    let head = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("inline; filename=\"{file_name}\""),
        ),
    ];
    Ok((head, drawn.map_err(failed)?).into_response())
}

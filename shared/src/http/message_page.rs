//! Pages of one sentence, for browsers: a page that does not exist, an overloaded server, a refusal.

use super::path_prefix::PathPrefix;
use super::problem::Problem;
use super::static_files::page;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Returns whether a request comes from a browser that asks for a page.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

/// Returns a page of one sentence.
pub fn message(prefix: &PathPrefix, status: StatusCode, title: &str, text: &str) -> Response {
    let mut response = page(prefix, "message.html", &[("title", title), ("text", text)]);
    *response.status_mut() = status;
    response
}

/// Returns the page of an address under which there is none.
pub fn not_found(prefix: &PathPrefix) -> Response {
    let text = "There is no page under this address. It may have been mistyped, or what it showed is over.";
    message(prefix, StatusCode::NOT_FOUND, "Page not found", text)
}

/// Returns the page of an event that does not exist.
pub fn no_such_event(prefix: &PathPrefix) -> Response {
    let text = "There is no sale under this address.";
    message(prefix, StatusCode::NOT_FOUND, "No such event", text)
}

/// Answers a request for which there is no route: a page for a browser that asks for one, a problem
/// for all others.
pub(super) async fn answer_unknown(
    method: Method,
    prefix: PathPrefix,
    headers: HeaderMap,
) -> Response {
    if method.is_safe() && wants_page(&headers) {
        return not_found(&prefix);
    }
    Problem::of_status(StatusCode::NOT_FOUND).into_response()
}

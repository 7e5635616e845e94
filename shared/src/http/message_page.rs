//! Pages of one sentence, for browsers: a page that does not exist, an overloaded server, a refusal.

use super::page_request::PageRequest;
use super::problem::Problem;
use super::static_files::page;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Returns whether a request comes from a browser that asks for a page.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

/// Returns a page of one sentence, given with its title by their keys in the catalogue.
pub fn message(request: &PageRequest, status: StatusCode, title: &str, text: &str) -> Response {
    let language = request.language();
    let [title, text] = [title, text].map(|key| language.phrase(key, &[]));
    let values = [("title", title.as_str()), ("text", &text)];
    let mut response = page(request, language, "message.html", &values);
    *response.status_mut() = status;
    response
}

/// Returns the page of an address under which there is none.
pub fn not_found(request: &PageRequest) -> Response {
    message(
        request,
        StatusCode::NOT_FOUND,
        "page.message.not_found",
        "page.message.not_found_text",
    )
}

/// Returns the page of an event that does not exist.
pub fn no_such_event(request: &PageRequest) -> Response {
    message(
        request,
        StatusCode::NOT_FOUND,
        "page.message.no_event",
        "page.message.no_event_text",
    )
}

/// Answers a request for which there is no route: a page for a browser that asks for one, a problem
/// for all others.
pub(super) async fn answer_unknown(
    method: Method,
    request: PageRequest,
    headers: HeaderMap,
) -> Response {
    if method.is_safe() && wants_page(&headers) {
        return not_found(&request);
    }
    Problem::of_status(StatusCode::NOT_FOUND).into_response()
}

//! Answer to a request that is refused because of overload.

use super::message_page::message;
use super::page_request::PageRequest;
use super::problem::Problem;
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};

/// Answers a request that was refused; `page` of a browser that asked for one, which is shown one that tries
/// again by itself.
pub(super) fn refuse(page: Option<&PageRequest>, method: &Method, problem: Problem) -> Response {
    let refusal = problem.into_response();
    let Some(seconds) = refusal.headers().get(header::RETRY_AFTER).cloned() else {
        return refusal;
    };
    let Some(request) = page else {
        return refusal;
    };
    let can_repeat = method.is_safe();
    let text = if can_repeat {
        "page.message.busy"
    } else {
        "page.message.busy_form"
    };
    let mut response = message(request, refusal.status(), "page.message.moment", text);
    let headers = response.headers_mut();
    if can_repeat {
        headers.insert(header::REFRESH, seconds.clone());
    }
    headers.insert(header::RETRY_AFTER, seconds);
    response
}

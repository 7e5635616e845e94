//! Answer to a request that is refused because of overload.

use super::path_prefix::PathPrefix;
use super::problem::Problem;
use super::static_files::page;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Response};

/// Returns whether a request comes from a browser that asks for a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

/// Answers a request that was refused: a browser that asked for a page is shown one that tries
/// again by itself.
pub(super) fn refuse(
    prefix: &PathPrefix,
    method: &Method,
    wants_page: bool,
    problem: Problem,
) -> Response {
    let refusal = problem.into_response();
    let Some(seconds) = refusal.headers().get(header::RETRY_AFTER).cloned() else {
        return refusal;
    };
    if !wants_page {
        return refusal;
    }
    let can_repeat = method.is_safe();
    let text = if can_repeat {
        "Very many people are here. This page tries again by itself in a few seconds."
    } else {
        "Very many people are here. Nothing was done: go back and try again in a few seconds."
    };
    let mut response = page(
        prefix,
        "message.html",
        &[("title", "One moment"), ("text", text)],
    );
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    if can_repeat {
        headers.insert(header::REFRESH, seconds.clone());
    }
    headers.insert(header::RETRY_AFTER, seconds);
    response
}

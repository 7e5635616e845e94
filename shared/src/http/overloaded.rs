//! Answer to a request that is refused because of overload.

use super::message_page::message;
use super::path_prefix::PathPrefix;
use super::problem::Problem;
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};

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
    let mut response = message(prefix, refusal.status(), "One moment", text);
    let headers = response.headers_mut();
    if can_repeat {
        headers.insert(header::REFRESH, seconds.clone());
    }
    headers.insert(header::RETRY_AFTER, seconds);
    response
}

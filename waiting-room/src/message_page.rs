//! Pages of one sentence: a line that cannot be reached, a form that was refused.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shared::http::message_page::{message, no_such_event};
use shared::http::page_request::PageRequest;
use shared::http::problem::Problem;

/// Time after which that page tries again.
const AWAY_SECONDS: u16 = 5;

/// Returns the page of a line that cannot be reached.
pub(crate) fn away(request: &PageRequest, method: Method) -> Response {
    let (text, is_repeated) = if method.is_safe() {
        ("page.message.away_text", true)
    } else {
        ("page.message.away_form", false)
    };
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = message(request, status, "page.message.away", text);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(AWAY_SECONDS));
    if is_repeated {
        headers.insert(header::REFRESH, HeaderValue::from(AWAY_SECONDS));
    }
    response
}

/// Answers a page that was refused: there is no such event, or the line cannot be reached.
pub(crate) fn refuse(request: &PageRequest, problem: Problem) -> Response {
    if problem.status() == StatusCode::NOT_FOUND {
        return no_such_event(request);
    }
    away(request, Method::GET)
}

/// Answers a form whose request was refused.
pub(crate) fn refuse_form(request: &PageRequest, problem: Problem) -> Response {
    if problem.status() == StatusCode::TOO_MANY_REQUESTS {
        return one_moment(request, problem);
    }
    if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
        return away(request, Method::POST);
    }
    if problem.status() == StatusCode::NOT_FOUND {
        return no_such_event(request);
    }
    problem.into_response()
}

/// Answers a fan without JavaScript who cannot be given a place just now.
fn one_moment(request: &PageRequest, problem: Problem) -> Response {
    let kind = problem.clone().into_value()["type"].take();
    let text = match kind.as_str() {
        Some("/problems/too-many-places") => "later.too_many_places",
        _ => "page.message.crowded",
    };
    let refusal = problem.into_response();
    let mut response = message(request, refusal.status(), "page.message.moment", text);
    if let Some(seconds) = refusal.headers().get(header::RETRY_AFTER) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.clone());
    }
    response
}

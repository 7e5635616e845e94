//! Pages of one sentence: a line that cannot be reached, a form that was refused.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shared::http::message_page::{message, no_such_event};
use shared::http::path_prefix::PathPrefix;
use shared::http::problem::Problem;

pub(crate) const AWAY_TITLE: &str = "We cannot reach the line at the moment";
const AWAY_TEXT: &str =
    "If you have a place, it is kept. This page tries again by itself in a few seconds.";
const AWAY_FORM_TEXT: &str =
    "If you have a place, it is kept. Go back and try again in a few seconds.";
/// Time after which that page tries again.
const AWAY_SECONDS: u16 = 5;

/// Returns the page of a line that cannot be reached.
pub(crate) fn away(prefix: &PathPrefix, method: Method) -> Response {
    let (text, is_repeated) = if method.is_safe() {
        (AWAY_TEXT, true)
    } else {
        (AWAY_FORM_TEXT, false)
    };
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = message(prefix, status, AWAY_TITLE, text);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(AWAY_SECONDS));
    if is_repeated {
        headers.insert(header::REFRESH, HeaderValue::from(AWAY_SECONDS));
    }
    response
}

/// Answers a page that was refused: there is no such event, or the line cannot be reached.
pub(crate) fn refuse(prefix: &PathPrefix, problem: Problem) -> Response {
    if problem.status() == StatusCode::NOT_FOUND {
        return no_such_event(prefix);
    }
    away(prefix, Method::GET)
}

/// Answers a form whose request was refused.
pub(crate) fn refuse_form(prefix: &PathPrefix, problem: Problem) -> Response {
    if problem.status() == StatusCode::TOO_MANY_REQUESTS {
        return one_moment(prefix, problem);
    }
    if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
        return away(prefix, Method::POST);
    }
    if problem.status() == StatusCode::NOT_FOUND {
        return no_such_event(prefix);
    }
    problem.into_response()
}

/// Answers a fan without JavaScript who cannot be given a place just now.
fn one_moment(prefix: &PathPrefix, problem: Problem) -> Response {
    let detail = problem.clone().into_value()["detail"].take();
    let text = detail.as_str().unwrap_or(
        "Many people are joining from your network. Go back and try again in a few seconds.",
    );
    let refusal = problem.into_response();
    let mut response = message(prefix, refusal.status(), "One moment", text);
    if let Some(seconds) = refusal.headers().get(header::RETRY_AFTER) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.clone());
    }
    response
}

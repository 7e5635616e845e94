//! Ids that clients send.

use axum::http::StatusCode;
use shared::http::problem::Problem;

/// Length of the part of an id of ours after its prefix, such as `ord_`: hexadecimal digits.
const DIGITS: usize = 40;

/// Returns the problem for an `after` that no list gave. An empty list would look like the end.
pub(crate) fn unknown_cursor() -> Problem {
    let title = "This list has no such place: `after` is the `next` of the answer before";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-cursor", title)
}

/// Checks where a list is to go on: at an id with this prefix.
pub(crate) fn check_after(prefix: &str, after: &str) -> Result<(), Problem> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    let digits = after.strip_prefix(prefix);
    let is_one = digits.is_some_and(|rest| rest.len() == DIGITS && rest.bytes().all(is_digit));
    is_one.then_some(()).ok_or_else(unknown_cursor)
}

/// Returns whether a text may be an id of ours. Postgres takes no NUL at all.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

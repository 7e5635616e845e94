//! Cookies of a request.

use axum::http::{HeaderMap, header};

/// Largest number of cookies of one name that are looked at.
const SAME_NAME_MAX: usize = 4;

/// Returns the value of the first cookie of exactly this name.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    cookie_values(headers, name).next().map(str::to_owned)
}

/// Returns the values of the cookies of exactly this name, at most four.
pub fn cookie_values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let named = pairs(headers).filter(move |(found, _)| *found == name);
    named.map(|(_, value)| value).take(SAME_NAME_MAX)
}

/// Returns the cookies that are text, without blanks around their names and values and without the
/// quotes that some clients put around values. The header is read as bytes: other software of the
/// site may write anything into its own cookies, and a pair that cannot be read must not hide ours.
pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| str::from_utf8(pair).ok()?.split_once('='))
        .map(|(name, value)| (name.trim_ascii(), unquoted(value.trim_ascii())))
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or(value)
}

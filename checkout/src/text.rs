//! Texts that people and clients send: names and ids.

use shared::http::problem::Problem;

/// Returns whether a character ends a line, or changes the direction of what follows it: neither
/// belongs to a name.
pub(crate) fn disturbs_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a text on one line, without what would change its direction: neither headers nor lists
/// can be added to by it.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.chars().map(|c| if disturbs_text(c) { ' ' } else { c });
    line.collect()
}

/// Returns whether a text is one line of 1 to so many characters, not all of them blanks.
pub(crate) fn is_line(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && !text.trim().is_empty() && !text.chars().any(disturbs_text)
}

/// Checks where a list is to go on: at an id that begins like this.
pub(crate) fn check_after(prefix: &str, after: &str) -> Result<(), Problem> {
    let why = || Problem::invalid("after", "`next` of the answer before");
    let is_one = is_id(after) && after.starts_with(prefix);
    is_one.then_some(()).ok_or_else(why)
}

/// Returns whether a text may be an id of ours. Postgres takes no NUL at all.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

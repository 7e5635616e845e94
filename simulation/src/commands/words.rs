//! Words of a command, and what is common in reading them.

/// Words of a command, its name first.
pub(crate) type Words<'a> = &'a [&'a [u8]];

/// Returns the refusal of a command with too few or too many words.
pub(super) fn arity(words: Words<'_>) -> String {
    let name = String::from_utf8_lossy(words[0]).to_ascii_lowercase();
    format!("ERR wrong number of arguments for '{name}' command")
}

pub(super) fn syntax() -> String {
    "ERR syntax error".to_owned()
}

/// Returns whether a word is this option, in any case.
pub(super) fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

/// Returns the part of a list of this length that two indexes name, which count from the end where
/// they are negative; none if it is empty.
pub(super) fn span(start: i64, end: i64, length: usize) -> Option<(usize, usize)> {
    let length = length as i64;
    let start = if start < 0 {
        (start + length).max(0)
    } else {
        start
    };
    let end = if end < 0 { end + length } else { end }.min(length - 1);
    (start <= end && start < length && end >= 0).then_some((start as usize, end as usize))
}

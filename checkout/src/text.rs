//! Characters of names that people type.

/// Returns whether a character ends a line, or changes the direction of what follows it: neither
/// belongs to a name.
pub(crate) fn disturbs_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

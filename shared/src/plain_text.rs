//! Rules for texts that people send, such as names, titles and notes: they show something, and stay on
//! their line.

/// Returns whether a text has a character that leaves a mark: one of blanks, joiners, direction marks
/// and fillers alone shows nothing.
pub fn has_visible(text: &str) -> bool {
    text.chars().any(is_visible)
}

/// Returns whether a character leaves a mark. Letters of some scripts are written with invisible
/// ones between them, so that a name may have both.
pub fn is_visible(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_whitespace() && !c.is_control() && !is_invisible
}

/// Returns whether a character ends a line, or changes the direction of what follows it: neither
/// belongs to a name.
pub fn disturbs_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a text on one line, without what would change its direction: neither headers nor lists
/// can be added to by it.
pub fn one_line(text: &str) -> String {
    let line = text.chars().map(|c| if disturbs_text(c) { ' ' } else { c });
    line.collect()
}

/// Checks that a text is one line of at most so many characters with something to see in it.
///
/// # Errors
/// The rule, for the client.
pub fn check_line(text: &str, chars_max: usize) -> Result<(), String> {
    let is_short = text.chars().count() <= chars_max;
    let is_line = is_short && has_visible(text) && !text.chars().any(disturbs_text);
    let rule = || format!("1 to {chars_max} characters on one line, of which some can be seen");
    is_line.then_some(()).ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_seen_and_stays_on_its_line() {
        for name in [
            "Ada",
            "李",
            "O\u{2019}Neil Jr.",
            "می\u{200c}خواهم",
            "n\u{303}",
            "👩\u{200d}🚀",
            "=HYPERLINK(…)",
        ] {
            assert_eq!(check_line(name, 200), Ok(()), "{name:?}");
        }
        let long = "x".repeat(201);
        for name in [
            "",
            " ",
            "\u{a0}\u{3000}",
            "\u{200b}\u{200b}",
            "\u{200c}\u{200d}\u{2060}",
            "\u{200e}\u{200f}\u{61c}",
            "\u{feff}",
            "\u{ad}\u{ad}",
            "\u{115f}\u{1160}\u{3164}\u{ffa0}",
            "\u{2800}",
            "\u{fe0f}",
            "\u{1d173}",
            "\u{e0041}",
            "Ada\u{2028}B",
            "Ada\u{2029}",
            "Ada\n",
            "Ada\u{202e}",
            "\u{2067}Ada",
            "Ada\0",
            &long,
        ] {
            let rule = "1 to 200 characters on one line, of which some can be seen";
            assert_eq!(check_line(name, 200), Err(rule.to_owned()), "{name:?}");
        }
        for text in ["", " \n\t", "\u{202a}\u{202c}", "\u{2067}\u{2069}\u{200b}"] {
            assert!(!has_visible(text), "{text:?}");
        }
        assert_eq!(one_line("a\r\nb\u{202e}c"), "a  b c");
    }
}

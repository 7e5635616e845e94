//! Excerpts of answers for operators, without addresses and numbers of persons.

/// Characters that are kept of an answer.
const EXCERPT_CHARS: usize = 200;
/// Longest number that is kept, in digits.
const DIGITS_MAX: usize = 5;
/// Stands for what is left out.
const LEFT_OUT: &str = "…";

/// Returns the beginning of an answer on one line. Words with an at sign, as e-mail addresses have it, are
/// left out, and so are numbers of six digits or more, as those of telephones and cards, also if they are
/// grouped.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let bytes = body.len().min(4 * EXCERPT_CHARS);
    let text = String::from_utf8_lossy(&body[..bytes]);
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if bytes < body.len() {
        // Its other half may show that it is an address.
        words.pop();
    }
    let line = without_numbers(&without_addresses(&words.join(" ")));
    line.chars().take(EXCERPT_CHARS).collect()
}

fn without_addresses(text: &str) -> String {
    let is_between = |letter: char| letter.is_whitespace() || "\"'<>()[]{},;:=&|".contains(letter);
    let words = text.split_inclusive(is_between).map(|word| {
        let bare = word.trim_end_matches(is_between);
        let lower = bare.to_ascii_lowercase();
        let is_address = ["@", "%40", "\\u0040"].iter().any(|at| lower.contains(at));
        match is_address {
            true => format!("{LEFT_OUT}{}", &word[bare.len()..]),
            false => word.to_owned(),
        }
    });
    words.collect()
}

fn without_numbers(text: &str) -> String {
    let (mut kept, mut number) = (String::new(), String::new());
    let end = |kept: &mut String, number: &mut String| {
        let digits = number.chars().filter(|digit| digit.is_numeric()).count();
        let bare = number.trim_end_matches(is_grouping).len();
        match digits > DIGITS_MAX {
            true => *kept += &format!("{LEFT_OUT}{}", &number[bare..]),
            false => *kept += number,
        }
        number.clear();
    };
    for letter in text.chars() {
        if letter.is_numeric() || (!number.is_empty() && is_grouping(letter)) {
            number.push(letter);
        } else {
            end(&mut kept, &mut number);
            kept.push(letter);
        }
    }
    end(&mut kept, &mut number);
    kept
}

/// Returns whether a letter may stand between the groups of a number.
fn is_grouping(letter: char) -> bool {
    " -./()".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_no_addresses_and_no_long_numbers() {
        for (body, wanted) in [
            ("no such member", "no such member"),
            (r#"{"email": "ada@example.org"}"#, r#"{"email": "…"}"#),
            (
                "mailto:ada%40example.org?x=1 is unknown",
                "mailto:…=1 is unknown",
            ),
            (r#"{"e":"ada\u0040example.org"}"#, r#"{"e":"…"}"#),
            ("call +49 (170) 123-45 67 now", "call +… now"),
            ("card 4111111111111111, points 90", "card …, points 90"),
            ("error 1042 at 17", "error 1042 at 17"),
            ("a\n  b", "a b"),
        ] {
            assert_eq!(excerpt(body.as_bytes()), wanted);
        }
    }

    #[test]
    fn an_excerpt_is_bounded_and_keeps_no_half_of_an_address() {
        let long = "x ".repeat(5_000);
        assert_eq!(excerpt(long.as_bytes()).chars().count(), EXCERPT_CHARS);
        // It is read up to the middle of the name.
        let many = format!("{}ada.lovelace.of.london@example.org", " ".repeat(780));
        assert!(!excerpt(many.as_bytes()).contains("ada"));
    }
}

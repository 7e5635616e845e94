//! The ways in which a fan in line is told of their turn beside mail, as the waiting room hands them to the
//! checkout: a browser's subscription, or the number of a phone.

use crate::line_push::LinePush;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A way to tell fans in line of their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A notification of the browser.
    Push,
    /// A text message to a phone.
    Sms,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 2] = [Channel::Push, Channel::Sms];

    /// Returns the name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Push => "push",
            Channel::Sms => "sms",
        }
    }
}

/// The subscription or the number of a fan in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineContact {
    /// Subscription of a browser.
    Push(LinePush),
    /// Number of a phone.
    Sms(LineSms),
}

impl LineContact {
    /// Returns the channel by which it is reached.
    pub fn channel(&self) -> Channel {
        match self {
            LineContact::Push(_) => Channel::Push,
            LineContact::Sms(_) => Channel::Sms,
        }
    }
}

/// The number of a phone to which a text message goes once it is the fan's turn.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineSms {
    /// Number with `+` and country code (E.164).
    #[schema(max_length = 16)]
    pub phone: String,
    /// Code of the message's language, such as `de`.
    pub language: String,
}

impl fmt::Debug for LineSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineSms(…)")
    }
}

/// The ways in which a site tells fans in line of their turn beside mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineOffers {
    /// Public key with which browsers subscribe: a point on P-256, uncompressed, in URL-safe base64; null
    /// where no notifications are sent.
    pub push_key: Option<String>,
    /// Beginnings of the numbers to which text messages are sent; empty where none are.
    pub sms_prefixes: Vec<String>,
}

impl LineOffers {
    /// Returns whether a channel is offered.
    pub fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::Push => self.push_key.is_some(),
            Channel::Sms => !self.sms_prefixes.is_empty(),
        }
    }
}

/// Digits of a number with its country code (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Checks that a number has the form of E.164, and begins with one of the prefixes.
///
/// # Errors
/// The required form, such as `a number with + and country code, such as +4915112345678`.
pub fn check_phone(phone: &str, prefixes: &[String]) -> Result<(), String> {
    let digits = phone.strip_prefix('+').unwrap_or_default();
    let is_number = PHONE_DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if !is_number {
        return Err("a number with + and country code, such as +4915112345678".to_owned());
    }
    let is_allowed = prefixes.iter().any(|prefix| phone.starts_with(&**prefix));
    is_allowed
        .then_some(())
        .ok_or_else(|| format!("a number that begins with {}", prefixes.join(", ")))
}

/// Returns a number as people write it without what stands between the digits, with `+` for a leading `00`, and
/// without the `(0)` that is dialled within the country alone.
pub fn plain_phone(text: &str) -> String {
    // Phones add marks of direction to a number that is copied.
    let is_between = |char: char| {
        char.is_whitespace()
            || "-()/.\u{2011}\u{2013}".contains(char)
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let plain = |text: &str| -> String { text.chars().filter(|it| !is_between(*it)).collect() };
    let abroad = |number: String| match number.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => number,
    };
    match text.split_once("(0)") {
        Some((code, rest)) if abroad(plain(code)).starts_with('+') => {
            abroad(plain(code)) + &plain(rest)
        }
        _ => abroad(plain(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_country_code_and_one_of_the_prefixes() {
        let prefixes = ["+49".to_owned(), "+4366".to_owned()];
        for phone in ["+4915112345678", "+43660123456"] {
            assert_eq!(check_phone(phone, &prefixes), Ok(()), "{phone}");
        }
        for phone in [
            "",
            "+",
            "015112345678",
            "4915112345678",
            "+49 151 12345678",
            "+49151x2345678",
            "+4915112345678901",
            "+49151",
            "+0491511234567",
            "+49151123456７8",
            "+4915112345678\r\nTo: +1",
        ] {
            let refused = check_phone(phone, &prefixes).unwrap_err();
            assert!(refused.contains("country code"), "{phone}: {refused}");
        }
        for phone in ["+8821234567890", "+43720123456", "+15550100123"] {
            let refused = check_phone(phone, &prefixes).unwrap_err();
            assert_eq!(refused, "a number that begins with +49, +4366", "{phone}");
        }
        assert!(check_phone("+4915112345678", &[]).is_err());
    }

    #[test]
    fn a_number_is_read_as_people_write_it() {
        for text in [
            "+49 (151) 123-456.78",
            "0049 151/12345678",
            " +4915112345678 ",
            "+49 (0)151 12345678",
            "0049(0) 151 12345678",
            "\u{202a}+4915112345678\u{202c}",
        ] {
            assert_eq!(plain_phone(text), "+4915112345678", "{text}");
        }
        assert_eq!(plain_phone("0151 1234"), "01511234");
        assert_eq!(plain_phone("(0)151 1234"), "01511234");
    }
}

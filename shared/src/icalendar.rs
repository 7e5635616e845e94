//! The format of calendar files (iCalendar, RFC 5545).

use crate::time::Time;

/// Longest line, in bytes without its end; longer ones are folded.
pub const LINE_BYTES_MAX: usize = 75;

/// Returns a calendar file with these lines between its beginning and its end.
pub fn calendar(lines: Vec<String>) -> String {
    let begin = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Fairline//Fairline//EN",
        "METHOD:PUBLISH",
    ];
    let begin = begin.map(str::to_owned).into_iter();
    let all = begin.chain(lines).chain(["END:VCALENDAR".to_owned()]);
    all.map(|line| folded(&line)).collect()
}

/// Returns a time as the basic format of ISO 8601, in UTC.
pub fn basic(time: Time) -> String {
    let whole = Time(time.seconds() * 1000).to_string();
    whole.replace(['-', ':'], "")
}

/// Escapes a text (RFC 5545, 3.3.11).
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace(';', "\\;")
        .replace(',', "\\,")
        .replace("\r\n", "\\n")
        .replace('\n', "\\n")
        .replace(char::is_control, " ")
}

/// Returns a line with its end, folded where it is too long (RFC 5545, 3.1).
fn folded(line: &str) -> String {
    let (mut text, mut length) = (String::new(), 0);
    for character in line.chars() {
        if length + character.len_utf8() > LINE_BYTES_MAX {
            text.push_str("\r\n ");
            length = 1;
        }
        text.push(character);
        length += character.len_utf8();
    }
    text + "\r\n"
}

//! The text of a message, in the alphabet and the length of one SMS where the language allows (3GPP TS 23.038).

use crate::line_messages::TurnMessage;
use shared::event_details::short_time;
use shared::texts::Language;

/// Length of one SMS in the alphabet GSM-7, where some characters count twice.
const GSM_MAX: usize = 160;
/// The same with characters of other alphabets, in units of UTF-16.
const OTHER_MAX: usize = 70;
/// End of a name that is cut.
const CUT: &str = "..";

/// Letters, digits and signs of GSM-7.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those of its second table, which count twice.
const GSM_TWICE: &str = "^{}\\[~]|€";
/// Characters that GSM-7 lacks, with one that is like them.
const ALIKE: [(&str, char); 38] = [
    ("áâãāăą", 'a'),
    ("ÁÂÀÃĀĂĄ", 'A'),
    ("çćč", 'c'),
    ("ĆČ", 'C'),
    ("ďđð", 'd'),
    ("ĎĐÐ", 'D'),
    ("êëēėęě", 'e'),
    ("ÈÊËĒĖĘĚ", 'E'),
    ("ğģ", 'g'),
    ("ĞĢ", 'G'),
    ("íîïīįı", 'i'),
    ("ÍÌÎÏĪĮİ", 'I'),
    ("ķ", 'k'),
    ("Ķ", 'K'),
    ("ĺļľł", 'l'),
    ("ĹĻĽŁ", 'L'),
    ("ńņň", 'n'),
    ("ŃŅŇ", 'N'),
    ("óôõōő", 'o'),
    ("ÓÒÔÕŌŐ", 'O'),
    ("ŕřŗ", 'r'),
    ("ŔŘŖ", 'R'),
    ("śşšș", 's'),
    ("ŚŞŠȘ", 'S'),
    ("ţťț", 't'),
    ("ŢŤȚ", 'T'),
    ("úûūůűų", 'u'),
    ("ÚÙÛŪŮŰŲ", 'U'),
    ("ýÿ", 'y'),
    ("ÝŸ", 'Y'),
    ("źżž", 'z'),
    ("ŹŻŽ", 'Z'),
    ("’‘‚´`′", '\''),
    ("“”„«»″", '"'),
    ("–—‐‑−", '-'),
    ("•·×", '*'),
    ("\u{a0}\u{202f}\u{2009}\t\n\r", ' '),
    ("…", '.'),
];

/// Writes the message: whose turn it is, the time until which it may be taken, and the address of the line, which
/// is no proof of the place.
pub(super) fn text(message: &TurnMessage<'_>, code: &str, public_url: &str) -> String {
    let language = Language::parse(code).unwrap_or_default();
    let time = alike(&short_time(message.claim_by, message.zone(), language));
    let link = format!("{public_url}/e/{}", message.event);
    let write = |name: &str| {
        let values = [("event", name), ("time", &*time), ("link", &*link)];
        language.phrase("sms.turn", &values)
    };
    let (used, most) = match septets(&write("")) {
        Some(used) => (used, GSM_MAX),
        None => (write("").encode_utf16().count(), OTHER_MAX),
    };
    let name = alike(&message.facts.name);
    // A name whose letters were mostly left out says nothing.
    let letters = |text: &str| text.chars().filter(|char| char.is_alphanumeric()).count();
    let is_readable = letters(&name) > 0 && 3 * letters(&name) >= 2 * letters(&message.facts.name);
    let name = if is_readable {
        name.trim()
    } else {
        message.event.as_str()
    };
    write(&cut(name, most.saturating_sub(used)))
}

/// Replaces the characters that GSM-7 lacks by ones that are like them, and leaves out those that have none.
fn alike(text: &str) -> String {
    let alike = |char: char| {
        if is_gsm(char) && !"\n\r".contains(char) {
            return Some(char);
        }
        let mut all = ALIKE.iter();
        let known = all.find(|(chars, _)| chars.contains(char));
        known.map(|(_, char)| *char)
    };
    text.chars().filter_map(alike).collect()
}

fn is_gsm(char: char) -> bool {
    GSM.contains(char) || GSM_TWICE.contains(char)
}

/// Returns the length of a text in GSM-7; none if it has other characters.
fn septets(text: &str) -> Option<usize> {
    let lengths = text.chars().map(|char| match char {
        _ if GSM.contains(char) => Some(1),
        _ if GSM_TWICE.contains(char) => Some(2),
        _ => None,
    });
    lengths.sum()
}

/// Cuts a name to a length.
fn cut(name: &str, room: usize) -> String {
    let length = |text: &str| septets(text).unwrap_or_else(|| text.encode_utf16().count());
    if length(name) <= room {
        return name.to_owned();
    }
    let mut name: Vec<char> = name.chars().collect();
    while name.pop().is_some() {
        let text: String = name.iter().collect();
        let text = format!("{}{CUT}", text.trim_end());
        if length(&text) <= room {
            return text;
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting_room::EventFacts;
    use shared::event_details::EventDetails;
    use shared::ids::EventId;
    use shared::line_contact::{LineContact, LineSms};
    use shared::time::Time;

    const SITE: &str = "https://tickets.arena.example";

    fn written(event: &str, name: &str, zone: Option<&str>, code: &str) -> String {
        let event = EventId::parse(event).unwrap();
        let details = EventDetails {
            time_zone: zone.map(str::to_owned),
            ..EventDetails::default()
        };
        let facts = EventFacts {
            name: name.to_owned(),
            details: Some(details),
        };
        let contact = LineContact::Sms(LineSms {
            phone: "+4915112345678".to_owned(),
            language: code.to_owned(),
        });
        let message = TurnMessage {
            event: &event,
            facts: &facts,
            contact: &contact,
            claim_by: Time::parse("2026-12-12T19:05:00Z").unwrap(),
            now: Time::parse("2026-12-12T19:00:00Z").unwrap(),
        };
        text(&message, code, SITE)
    }

    #[test]
    fn a_message_says_whose_turn_it_is_until_when_and_where() {
        let berlin = Some("Europe/Berlin");
        assert_eq!(
            written("night", "Arena Night", berlin, "en"),
            "Arena Night: it is your turn. Enter by 20:05 (UTC+1): https://tickets.arena.example/e/night"
        );
        assert_eq!(
            written("night", "Die große Nacht", berlin, "de"),
            "Die große Nacht: Sie sind an der Reihe. Kommen Sie bis 20:05 Uhr (UTC+1): https://tickets.arena.example/e/night"
        );
        assert!(written("night", "N", None, "en").contains("Enter by 19:05 (UTC): "));
    }

    #[test]
    fn a_message_is_one_sms_in_every_language_whatever_the_name() {
        let event = "x".repeat(40);
        for language in Language::all() {
            for name in [
                "N",
                &"Night ".repeat(60),
                &"€[]{}".repeat(60),
                &"Dvořák – „Rusalka“ ".repeat(20),
                &"夜".repeat(200),
                "Ночь",
                "🎸🎸🎸",
                "{link} {time} {event}",
                "Night\r\nReply YES",
            ] {
                for zone in [None, Some("America/St_Johns"), Some("Asia/Kathmandu")] {
                    let text = written(&event, name, zone, language.code());
                    let length = septets(&text).expect("it is in GSM-7");
                    assert!(length <= GSM_MAX, "{length}: {text}");
                    assert!(text.ends_with(&format!("{SITE}/e/{event}")), "{text}");
                    assert!(!text.contains(['\r', '\n']), "{text}");
                }
            }
        }
        let long = written("night", &"Night ".repeat(60), None, "en");
        assert!(septets(&long).unwrap() >= GSM_MAX - 1, "{long}");
        assert!(long.contains("..: it is your turn."), "{long}");
        for name in ["Ночь", "Ночь 2026", "ΑΘΗΝΑ"] {
            let other = written("night", name, None, "en");
            assert!(other.starts_with("night: it is your turn."), "{other}");
        }
        let folded = written("night", "Dvořák – „Rusalka“", None, "en");
        assert!(folded.starts_with("Dvorak - \"Rusalka\": "), "{folded}");
    }

    #[test]
    fn a_table_has_the_characters_of_the_standard() {
        assert_eq!(GSM.chars().count(), 127);
        for (chars, like) in ALIKE {
            assert!(is_gsm(like), "{like}");
            assert!(
                !chars.contains(|char| is_gsm(char) && !"\n\r".contains(char)),
                "{chars}"
            );
        }
    }
}

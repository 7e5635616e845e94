//! From a letter to the bytes that the mail server is handed (RFC 5322, MIME).

use super::letter::{Letter, TicketBlock};
use crate::qr_picture::picture;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use shared::crypto::encode_base64;
use shared::plain_text::one_line;
use shared::time::Time;
use std::time::{Duration, SystemTime};
use url::Host;

/// A mail as it is handed over.
pub(super) struct Sealed {
    pub(super) envelope: Envelope,
    pub(super) content: Vec<u8>,
}

/// Sender of mails.
pub(super) struct Origin {
    /// Sender as recipients see it.
    pub(super) sender: Mailbox,
    /// Address that gets reports on mails that cannot be delivered.
    pub(super) return_path: Address,
}

/// Writes a letter, with an id that every attempt has, so that mailboxes may know a duplicate.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn seal(
    origin: &Origin,
    letter: &Letter,
    id: &str,
    now: Time,
) -> Result<Sealed, String> {
    let (sender, (address, name)) = (&origin.sender, &letter.to);
    let to = address_of(address).ok_or("the address is none that a mail can be sent to")?;
    let name = Some(one_line(name)).filter(|name| !name.trim().is_empty());
    let id = format!("<{id}@{}>", sender.email.domain());
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now.seconds().max(0).unsigned_abs());
    let mut builder = Message::builder()
        .from(sender.clone())
        .to(Mailbox::new(name, to.clone()))
        .subject(one_line(&letter.subject))
        .message_id(Some(id))
        .date(at)
        .raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(reply_to) = letter.reply_to.as_deref().and_then(address_of) {
        builder = builder.reply_to(Mailbox::new(None, reply_to));
    }
    if let Some(link) = &letter.unsubscribe {
        builder = builder.raw_header(header("List-Unsubscribe", &format!("<{link}>")));
        // In one step by HTTPS alone (RFC 8058).
        if link.starts_with("https://") {
            let post = header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
            builder = builder.raw_header(post);
        }
    }
    let envelope = Envelope::new(Some(origin.return_path.clone()), vec![to]);
    let envelope = envelope.map_err(|error| format!("the mail cannot be addressed: {error}"))?;
    let message = builder.envelope(envelope).multipart(body(letter)?);
    let message = message.map_err(|error| format!("the mail cannot be written: {error}"))?;
    Ok(Sealed {
        envelope: message.envelope().clone(),
        content: message.formatted(),
    })
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn body(letter: &Letter) -> Result<MultiPart, String> {
    let html = SinglePart::html(letter.html());
    let tickets: Vec<&TicketBlock> = letter.tickets().collect();
    let text = SinglePart::plain(letter.text());
    let mut alternative = MultiPart::alternative().singlepart(text);
    if tickets.is_empty() {
        alternative = alternative.singlepart(html);
    } else {
        let png = content_type("image/png")?;
        let mut related = MultiPart::related().singlepart(html);
        for (number, ticket) in (1..).zip(tickets) {
            let name = format!("qr{number}");
            let file = format!("ticket-{number}.png");
            let picture = picture(&ticket.code)?;
            let inline = Attachment::new_inline_with_name(name, file).body(picture, png.clone());
            related = related.singlepart(inline);
        }
        alternative = alternative.multipart(related);
    }
    let mut attached: Vec<SinglePart> = Vec::new();
    if let Some(calendar) = &letter.calendar {
        let kind = content_type("text/calendar; charset=utf-8; method=PUBLISH")?;
        attached.push(Attachment::new("event.ics".to_owned()).body(calendar.clone(), kind));
    }
    if let Some(pdf) = &letter.tickets_pdf {
        let kind = content_type("application/pdf")?;
        attached.push(Attachment::new("tickets.pdf".to_owned()).body(pdf.clone(), kind));
    }
    if attached.is_empty() {
        return Ok(alternative);
    }
    let mixed = MultiPart::mixed().multipart(alternative);
    Ok(attached.into_iter().fold(mixed, MultiPart::singlepart))
}

/// Returns the HTML of a letter with the pictures of its tickets in it.
pub(super) fn inlined(letter: &Letter) -> String {
    let mut html = letter.html();
    for (number, ticket) in (1..).zip(letter.tickets()) {
        let picture = encode_base64(&picture(&ticket.code).unwrap_or_default());
        let inside = format!("src=\"data:image/png;base64,{picture}\"");
        html = html.replace(&format!("src=\"cid:qr{number}\""), &inside);
    }
    html
}

fn content_type(text: &str) -> Result<ContentType, String> {
    ContentType::parse(text).map_err(|error| error.to_string())
}

/// Returns an address with its domain in ASCII, as all mail servers take it.
pub(super) fn address_of(text: &str) -> Option<Address> {
    let (user, domain) = text.rsplit_once('@')?;
    let Ok(Host::Domain(domain)) = Host::parse(domain) else {
        return None;
    };
    Address::new(user, domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::letter::LetterBlock;
    use shared::texts::Language;

    const EVIL: &str = "Night\r\nBcc: evil@b.example\r\n\r\n<script>alert(1)</script>\u{202e}";

    fn letter(address: &str, text: &str) -> Letter {
        let text = || text.to_owned();
        Letter {
            language: Language::english(),
            to: (address.to_owned(), text()),
            reply_to: Some(text()),
            unsubscribe: None,
            subject: text(),
            title: text(),
            colours: None,
            blocks: vec![
                LetterBlock::Text(text()),
                LetterBlock::Fields(vec![(text(), text())]),
                LetterBlock::Link(text(), "https://tickets.example".to_owned()),
                LetterBlock::Ticket(TicketBlock {
                    label: text(),
                    hints: vec![text()],
                    short_code: text(),
                    code: "FL2.night.tix_1.signature".to_owned(),
                }),
            ],
            calendar: Some(text()),
            tickets_pdf: Some(b"%PDF-1.7".to_vec()),
        }
    }

    fn origin() -> Origin {
        Origin {
            sender: "Arena <tickets@arena.example>".parse().unwrap(),
            return_path: "bounces@arena.example".parse().unwrap(),
        }
    }

    fn sealed(letter: &Letter) -> Result<Sealed, String> {
        seal(&origin(), letter, "evt_1", Time(1_800_000_000_000))
    }

    #[test]
    fn no_text_adds_a_line_to_the_header_a_recipient_or_a_script() {
        let sealed = sealed(&letter("ada@example.org", EVIL)).unwrap();
        let content = String::from_utf8(sealed.content).unwrap();
        let (head, _) = content.split_once("\r\n\r\n").unwrap();
        let names = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']));
        let mut names: Vec<&str> = names.filter_map(|line| line.split(':').next()).collect();
        names.sort_unstable();
        let known = [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ];
        assert_eq!(names, known, "{head}");
        let to: Vec<String> = sealed
            .envelope
            .to()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(to, ["ada@example.org"]);
        let html = letter("ada@example.org", EVIL).html();
        assert!(
            !html.contains("<script>") && !html.contains('\u{202e}'),
            "{html}"
        );
        let text = letter("ada@example.org", EVIL).text();
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
    }

    #[test]
    fn domains_are_written_in_ascii_and_what_is_no_address_is_refused() {
        let to = |address: &str| {
            let sealed = sealed(&letter(address, "Ada"))?;
            Ok::<_, String>(sealed.envelope.to()[0].to_string())
        };
        assert_eq!(
            to("ada@münchen.example").unwrap(),
            "ada@xn--mnchen-3ya.example"
        );
        for address in [
            "ada",
            "ada@",
            "@b.example",
            "a@b.example\r\nBcc: c@d.example",
            "a b@c.example",
            "a@[127.0.0.1]",
            "a@b.example, c@d.example",
        ] {
            let refused = to(address);
            assert!(refused.is_err(), "{address}: {refused:?}");
        }
    }

    #[test]
    fn a_letter_to_a_fan_says_how_to_withdraw_the_address_and_in_one_step_by_https() {
        let head = |link: &str| {
            let letter = Letter {
                unsubscribe: Some(link.to_owned()),
                ..letter("ada@example.org", "Ada")
            };
            let content = String::from_utf8(sealed(&letter).unwrap().content).unwrap();
            content.split_once("\r\n\r\n").unwrap().0.to_owned()
        };
        let link = format!(
            "https://tickets.example/e/night/unsubscribe?fan={}",
            "x".repeat(80)
        );
        let secure = head(&link);
        assert!(
            secure.contains(&format!("\r\nList-Unsubscribe: <{link}>\r\n")),
            "{secure}"
        );
        assert!(
            secure.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click"),
            "{secure}"
        );
        let clear = head("http://localhost/e/night/unsubscribe?fan=x");
        assert!(clear.contains("List-Unsubscribe: <http"), "{clear}");
        assert!(!clear.contains("List-Unsubscribe-Post"), "{clear}");
    }

    #[test]
    fn every_attempt_has_the_same_message_id() {
        let content = |at: i64| {
            let sealed = seal(
                &origin(),
                &letter("ada@example.org", "Ada"),
                "evt_1",
                Time(at),
            );
            String::from_utf8(sealed.unwrap().content).unwrap()
        };
        for at in [1_800_000_000_000, 1_800_000_060_000] {
            assert!(content(at).contains("\r\nMessage-ID: <evt_1@arena.example>\r\n"));
        }
        assert!(
            content(1_800_000_000_000).contains("\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n")
        );
    }
}

//! Reads delivery status notifications (RFC 3464), as mail servers send them to the return path of a mail
//! that they could not deliver.

use super::internet_message::{Fields, MessagePart, parts};

/// Largest number of recipients that are read of a report.
const RECIPIENTS_MAX: usize = 100;

/// A report of a mail server on a mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeliveryReport {
    /// Id in the `Message-ID` of the mail, without the domain.
    pub(super) mail: Option<String>,
    /// Recipients to whom it was not delivered and will not be.
    pub(super) failed: Vec<FailedRecipient>,
}

/// A recipient whom a mail did not reach.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FailedRecipient {
    /// Addresses by which the report names the recipient: as it was sent to, and as it was forwarded to.
    pub(super) addresses: Vec<String>,
    /// Whether the address has no mailbox, so that no mail to it will arrive.
    pub(super) is_gone: bool,
    /// Answer of the mail server, which may hold the address.
    pub(super) reason: String,
}

impl DeliveryReport {
    /// Reads a report.
    ///
    /// # Errors
    /// The end of a sentence: what is missing in it.
    pub(super) fn read(text: &[u8]) -> Result<DeliveryReport, &'static str> {
        let (fields, body) = Fields::read(text);
        let kind = fields.content_type();
        let is_report = kind.name == "multipart/report"
            && kind
                .parameter("report-type")
                .is_none_or(|kind| kind.eq_ignore_ascii_case("delivery-status"));
        if !is_report {
            return Err(
                "a delivery status notification (multipart/report; report-type=delivery-status)",
            );
        }
        let boundary = kind.parameter("boundary").filter(|it| !it.is_empty());
        let parts = parts(body, boundary.ok_or("a boundary between its parts")?);
        let status = parts.iter().find(|part| {
            let kind = part.kind.as_str();
            kind == "message/delivery-status" || kind == "message/global-delivery-status"
        });
        let status = status.ok_or("a part of the type message/delivery-status")?;
        let returned = parts.iter().find_map(id_of_returned);
        let named = || {
            let mut names = ["in-reply-to", "references"].into_iter();
            names.find_map(|name| id_in(fields.get(name)?))
        };
        Ok(DeliveryReport {
            mail: returned.or_else(named),
            failed: failed_recipients(&status.content),
        })
    }
}

/// Returns the id of the mail whose header a part returns.
fn id_of_returned(part: &MessagePart) -> Option<String> {
    let is_header = matches!(
        part.kind.as_str(),
        "message/rfc822" | "text/rfc822-headers" | "message/global" | "message/global-headers"
    );
    if !is_header {
        return None;
    }
    id_in(Fields::read(&part.content).0.get("message-id")?)
}

/// Returns the first id in a field, without its domain.
fn id_in(value: &str) -> Option<String> {
    let (_, rest) = value.split_once('<')?;
    let (id, _) = rest.split_once('>')?;
    let (id, _) = id.rsplit_once('@')?;
    Some(id.trim().to_owned())
}

/// Reads the groups of fields of a status, one for the mail and one for each recipient.
fn failed_recipients(status: &[u8]) -> Vec<FailedRecipient> {
    let mut failed = Vec::new();
    let mut rest = status;
    while !rest.is_empty() && failed.len() < RECIPIENTS_MAX {
        let (group, after) = Fields::read(rest);
        failed.extend(failed_recipient(&group));
        rest = after;
    }
    failed
}

fn failed_recipient(group: &Fields) -> Option<FailedRecipient> {
    let action = first_word(group.get("action")?);
    if !action.eq_ignore_ascii_case("failed") {
        return None;
    }
    let names = ["original-recipient", "final-recipient"];
    let addresses = names.iter().filter_map(|name| {
        let address = after_type(group.get(name)?);
        Some(address.trim_matches(['<', '>']).to_owned())
    });
    let status = first_word(group.get("status").unwrap_or_default());
    let diagnostic = after_type(group.get("diagnostic-code").unwrap_or_default());
    let reason = match diagnostic.contains(status) {
        true => diagnostic.to_owned(),
        false => format!("{status} {diagnostic}"),
    };
    Some(FailedRecipient {
        addresses: addresses.collect(),
        is_gone: is_gone(code(status, diagnostic)),
        reason: reason.trim().to_owned(),
    })
}

/// Returns the enhanced status code (RFC 3463), from the answer of the mail server where the status says no more than
/// that it failed.
fn code<'a>(status: &'a str, diagnostic: &'a str) -> &'a str {
    let says_more = !status.is_empty() && !status.ends_with(".0.0");
    let is_code = |word: &&str| {
        let mut numbers = word.split('.');
        let is_class = matches!(numbers.next(), Some("2" | "4" | "5"));
        let mut details = 0;
        let are_numbers = numbers.all(|number| {
            details += 1;
            (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        is_class && are_numbers && details == 2
    };
    let mut words = diagnostic.split(|c: char| c.is_ascii_whitespace() || c == '-');
    let told = words.find(is_code).filter(|_| !says_more);
    told.unwrap_or(status)
}

/// Returns whether a code says that the address has no mailbox: it is wrong (5.1, but for the codes about the sender),
/// or no longer in use (5.2.1). All others are about the mail, the sender, or a state that passes, such as a full mailbox,
/// a sender that is blocked, or a record that has lapsed.
fn is_gone(code: &str) -> bool {
    let is_about_sender = ["5.1.7", "5.1.8"].contains(&code);
    code.starts_with("5.1.") && !is_about_sender || code == "5.2.1"
}

/// Returns a value without the type in front of it, such as `rfc822;` or `smtp;`.
fn after_type(value: &str) -> &str {
    let (kind, rest) = value.split_once(';').unwrap_or(("", value));
    match kind.trim().contains(' ') {
        true => value.trim(),
        false => rest.trim(),
    }
}

/// Returns a value without a comment behind it.
fn first_word(value: &str) -> &str {
    value.split_ascii_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POSTFIX: &str = include_str!("../../tests/fixtures/bounces/postfix.eml");
    const EXIM: &str = include_str!("../../tests/fixtures/bounces/exim.eml");
    const EXCHANGE: &str = include_str!("../../tests/fixtures/bounces/exchange.eml");
    const GMAIL: &str = include_str!("../../tests/fixtures/bounces/gmail.eml");
    const DELAYED: &str = include_str!("../../tests/fixtures/bounces/delayed.eml");
    const EXPIRED: &str = include_str!("../../tests/fixtures/bounces/expired.eml");
    const ALL: [&str; 6] = [POSTFIX, EXIM, EXCHANGE, GMAIL, DELAYED, EXPIRED];

    fn filled(sample: &str) -> String {
        sample
            .replace("{mail}", "evt_1")
            .replace("{address}", "ada@example.org")
    }

    #[test]
    fn reports_of_well_known_mail_servers_are_read_with_either_end_of_a_line() {
        for (sample, is_gone, reason) in [
            (
                POSTFIX,
                true,
                "550 5.1.1 <ada@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
            ),
            (EXIM, true, "5.0.0 550 5.1.1 unknown user"),
            (
                EXCHANGE,
                true,
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ada@example.org not found by SMTP address lookup",
            ),
            (
                GMAIL,
                true,
                "550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 \
                 double-checking the recipient's email address for typos or 550 5.1.1 unnecessary spaces. x12si1.1 - gsmtp",
            ),
            (
                EXPIRED,
                false,
                "4.4.1 connect to mail.example.org[192.0.2.25]:25: Connection timed out",
            ),
        ] {
            for text in [filled(sample), filled(sample).replace('\n', "\r\n")] {
                let report = DeliveryReport::read(text.as_bytes()).unwrap();
                assert_eq!(report.mail.as_deref(), Some("evt_1"), "{text}");
                let [failed] = &report.failed[..] else {
                    panic!("{report:?}");
                };
                assert!(failed.addresses.iter().all(|it| it == "ada@example.org"));
                assert!(!failed.addresses.is_empty());
                assert_eq!((failed.is_gone, &*failed.reason), (is_gone, reason));
            }
        }
        let delayed = DeliveryReport::read(filled(DELAYED).as_bytes()).unwrap();
        assert_eq!(delayed.failed, []);
    }

    #[test]
    fn only_an_address_without_a_mailbox_is_gone() {
        for (status, diagnostic, gone) in [
            ("5.1.1", "", true),
            ("5.1.10", "550 5.1.10 null MX", true),
            ("5.2.1", "550 5.2.1 disabled", true),
            ("5.0.0", "550-5.1.1 unknown", true),
            ("", "550 5.1.6 moved", true),
            ("5.0.0", "550 unknown user", false),
            ("5.0.0", "550 5.7.26 unauthenticated, see 5.1.1", false),
            ("5.1.8", "550 5.1.8 the sender's domain is not known", false),
            ("5.2.2", "552 5.2.2 mailbox full", false),
            ("5.3.4", "552 5.3.4 too large", false),
            ("5.7.1", "550 5.7.1 blocked", false),
            ("4.1.1", "450 4.1.1 unknown yet", false),
            ("5.1", "5.1.", false),
        ] {
            assert_eq!(
                is_gone(code(status, diagnostic)),
                gone,
                "{status} {diagnostic}"
            );
        }
    }

    #[test]
    fn fields_that_may_be_missing_are_not_needed() {
        let bare = "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n\
            Final-Recipient: rfc822;ada@example.org\nAction: failed\n";
        let report = DeliveryReport::read(bare.as_bytes()).unwrap();
        let failed = FailedRecipient {
            addresses: vec!["ada@example.org".to_owned()],
            is_gone: false,
            reason: String::new(),
        };
        assert_eq!((report.mail, report.failed), (None, vec![failed]));
    }

    #[test]
    fn other_mails_are_no_reports() {
        let deep: String = (0..1_000)
            .map(|depth| {
                format!("Content-Type: multipart/report; boundary=b{depth}\n\n--b{depth}\n")
            })
            .collect();
        let wide = format!(
            "Content-Type: multipart/report; boundary=b\n\n{}",
            "--b\n\n".repeat(40_000)
        );
        let read_receipt = filled(POSTFIX).replace(
            "report-type=delivery-status",
            "report-type=disposition-notification",
        );
        for text in [
            "",
            "\n\n",
            "Subject: Absent until Monday\n\nHello",
            "Content-Type: multipart/report; report-type=delivery-status\n\nno boundary",
            "Content-Type: multipart/report; boundary=\"\"\n\n--\n--\n",
            "{\"colour\": \"red\"}",
            &deep,
            &wide,
            &read_receipt,
        ] {
            let read = DeliveryReport::read(text.as_bytes());
            assert!(read.is_err(), "{read:?}");
        }
    }

    #[test]
    fn of_many_recipients_a_bounded_number_is_read() {
        let recipient = "Final-Recipient: rfc822;a@b.example\nAction: failed\nStatus: 5.1.1\n\n";
        let text = format!(
            "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n{}--b--\n",
            recipient.repeat(4_000)
        );
        let report = DeliveryReport::read(text.as_bytes()).unwrap();
        assert_eq!(report.failed.len(), RECIPIENTS_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_input_ends_the_program(text in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = DeliveryReport::read(&text);
        }

        #[test]
        fn no_damaged_report_ends_the_program(
            sample in prop::sample::select(&ALL[..]),
            (from, length) in (0..4_000_usize, 0..400_usize),
            put in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut text = filled(sample).into_bytes();
            let from = from.min(text.len());
            let until = (from + length).min(text.len());
            text.splice(from..until, put);
            let _ = DeliveryReport::read(&text);
        }
    }
}

//! A letter: its blocks, written as plain text and as HTML. All values are escaped here.

use shared::event_details::Colours;
use shared::http::static_files::escape;
use shared::plain_text::one_line;
use shared::texts::Language;
use std::fmt::Write as _;

/// Content of a mail.
pub(super) struct Letter {
    /// Address of the recipient, and the name.
    pub(super) to: (String, String),
    /// Address for answers, if it is not the sender's.
    pub(super) reply_to: Option<String>,
    /// Link by which the recipient withdraws the address; none for mails about orders.
    pub(super) unsubscribe: Option<String>,
    pub(super) subject: String,
    /// Line at its head.
    pub(super) title: String,
    pub(super) language: Language,
    pub(super) colours: Option<Colours>,
    pub(super) blocks: Vec<LetterBlock>,
    /// Calendar file, if there is a date.
    pub(super) calendar: Option<String>,
    /// The tickets as a PDF, if there are some and it is not too large.
    pub(super) tickets_pdf: Option<Vec<u8>>,
}

/// A piece of a letter.
pub(super) enum LetterBlock {
    Text(String),
    Heading(String),
    /// Names and their values.
    Fields(Vec<(String, String)>),
    /// Lines of a price, with their amounts.
    Amounts(Vec<(String, String)>),
    /// Text of a link, and its address.
    Link(String, String),
    Ticket(TicketBlock),
    /// A remark at the end, in small letters.
    Small(String),
}

/// A ticket.
pub(super) struct TicketBlock {
    /// Place as people read it.
    pub(super) label: String,
    /// Door and notes.
    pub(super) hints: Vec<String>,
    pub(super) short_code: String,
    /// Text of its QR code.
    pub(super) code: String,
}

const STYLE: &str = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;\
    font-size:16px;line-height:1.5;color:#1a1a1a";

impl Letter {
    /// Returns the tickets, in their order.
    pub(super) fn tickets(&self) -> impl Iterator<Item = &TicketBlock> {
        self.blocks.iter().filter_map(|block| match block {
            LetterBlock::Ticket(ticket) => Some(ticket),
            _ => None,
        })
    }

    /// Writes the letter as plain text.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", one_line(&self.title));
        for block in &self.blocks {
            text.push('\n');
            match block {
                LetterBlock::Text(line) | LetterBlock::Small(line) => {
                    let _ = writeln!(text, "{}", one_line(line));
                }
                LetterBlock::Heading(line) => {
                    let line = one_line(line);
                    let _ = writeln!(text, "{line}\n{}", "-".repeat(line.chars().count()));
                }
                LetterBlock::Fields(fields) | LetterBlock::Amounts(fields) => {
                    for (name, value) in fields {
                        let _ = writeln!(text, "{}: {}", one_line(name), one_line(value));
                    }
                }
                LetterBlock::Link(name, url) => {
                    let _ = writeln!(text, "{}: {url}", one_line(name));
                }
                LetterBlock::Ticket(ticket) => {
                    let _ = writeln!(text, "{}", one_line(&ticket.label));
                    for hint in &ticket.hints {
                        let _ = writeln!(text, "{}", one_line(hint));
                    }
                    let code = one_line(&ticket.short_code);
                    let _ = writeln!(
                        text,
                        "{}",
                        self.language.phrase("mail.code", &[("code", &code)])
                    );
                }
            }
        }
        text
    }

    /// Writes the letter as HTML. The picture of ticket `n`, from 1, is `cid:qr{n}`.
    pub(super) fn html(&self) -> String {
        let (background, colour) = match &self.colours {
            Some(Colours { background, text }) => (background.as_str(), text.as_str()),
            None => ("#1a1a1a", "#ffffff"),
        };
        let (background, colour) = (shown(background), shown(colour));
        let (title, language) = (shown(&self.title), self.language.code());
        let mut html = format!(
            "<!doctype html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\n\
             <body style=\"margin:0;background:#ffffff\"><div style=\"max-width:600px;margin:0 auto;{STYLE}\">\n\
             <h1 style=\"margin:0;padding:20px;font-size:22px;background:{background};color:{colour}\">{title}</h1>\n\
             <div style=\"padding:8px 20px 20px\">\n"
        );
        let mut tickets = 0;
        for block in &self.blocks {
            match block {
                LetterBlock::Text(line) => {
                    let _ = writeln!(html, "<p>{}</p>", shown(line));
                }
                LetterBlock::Small(line) => {
                    let style = "font-size:13px;color:#595959";
                    let _ = writeln!(html, "<p style=\"{style}\">{}</p>", shown(line));
                }
                LetterBlock::Heading(line) => {
                    let style = "font-size:18px;margin:24px 0 8px";
                    let _ = writeln!(html, "<h2 style=\"{style}\">{}</h2>", shown(line));
                }
                LetterBlock::Fields(fields) => table(&mut html, fields, "left"),
                LetterBlock::Amounts(lines) => table(&mut html, lines, "right"),
                LetterBlock::Link(name, url) => {
                    let style = format!(
                        "display:inline-block;padding:12px 20px;border-radius:6px;text-decoration:none;background:{background};color:{colour}"
                    );
                    let (name, url) = (shown(name), shown(url));
                    let _ = writeln!(
                        html,
                        "<p><a href=\"{url}\" style=\"{style}\">{name}</a></p>"
                    );
                }
                LetterBlock::Ticket(ticket) => {
                    tickets += 1;
                    write_ticket(&mut html, ticket, tickets, self.language);
                }
            }
        }
        html.push_str("</div></div></body></html>\n");
        html
    }
}

fn table(html: &mut String, rows: &[(String, String)], align: &str) {
    let cell = "padding:4px 16px 4px 0;vertical-align:top";
    html.push_str("<table role=\"presentation\" style=\"border-collapse:collapse\">\n");
    for (name, value) in rows {
        let (name, value) = (shown(name), shown(value));
        let _ = writeln!(
            html,
            "<tr><td style=\"{cell};text-align:left\">{name}</td><td style=\"{cell};text-align:{align}\">{value}</td></tr>"
        );
    }
    html.push_str("</table>\n");
}

fn write_ticket(html: &mut String, ticket: &TicketBlock, number: usize, language: Language) {
    let (label, code) = (shown(&ticket.label), shown(&ticket.short_code));
    let picture = language.phrase("mail.qr", &[("code", &ticket.short_code)]);
    let picture = shown(&picture);
    let _ = write!(
        html,
        "<div style=\"border:1px solid #767676;border-radius:6px;padding:12px 16px;margin:0 0 16px\"><strong>{label}</strong>"
    );
    for hint in &ticket.hints {
        let _ = write!(html, "<br>{}", shown(hint));
    }
    let _ = writeln!(
        html,
        "<br><img src=\"cid:qr{number}\" width=\"240\" height=\"240\" alt=\"{picture}\" \
         style=\"display:block;background:#ffffff\"><span style=\"font-family:monospace\">{code}</span></div>"
    );
}

fn shown(text: &str) -> String {
    escape(&one_line(text))
}
